/*
 * test_program_bad_allocations.c - `linearity allocate`: --verify, which must refuse a file with any one of its values changed, and all that
 * cannot be asked
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "core/tests/allocate_program.h"
#include "core/tests/bad_input.h"

/* Another value of the same kind, not far away. */
static json_t *other_value(const json_t *value)
{
    if (json_is_integer(value)) return json_integer(json_integer_value(value) + 1);
    if (json_is_real(value)) return json_real(json_real_value(value) * (1 + 1e-4));
    if (json_is_boolean(value)) return json_boolean(json_is_false(value));
    return json_string("rtn{bits=2,group=64}");
}

static int refuse_each_value(json_t *root, json_t *object, const char *table)
{
    const char *key, **keys = xmalloc(sizeof *keys * 64);
    json_t *value;
    int n = 0, tried = 0;
    json_object_foreach(object, key, value) if (!json_is_object(value) && !json_is_array(value)) keys[n++] = key;
    for (int i = 0; i < n; i++) {
        value = json_incref(json_object_get(object, keys[i]));
        json_t *other = other_value(value);
        if (!json_equal(value, other)) {
            char *name = xstrdup(keys[i]);
            json_object_set(object, name, other);
            Ran ran = program("allocate", table, "--verify", save("bad.json", root), NULL);
            const char *end = strchr(ran.err, '\n');
            if (ran.status != 1 || *ran.out || !end || end[1]) fail_msg("'%s' changed: status %d, '%s' '%s'", name, ran.status, ran.out, ran.err);
            assert_non_null(strstr(ran.err, "bad.json: "));
            ran_free(&ran);
            json_object_set(object, name, value);
            free(name);
            tried++;
        }
        json_decref(other);
        json_decref(value);
    }
    free(keys);
    return tried;
}

static void test_every_value_counts(void **state)
{
    (void)state;
    const char *table = table_path("t.csv", false);
    Ran ran = program("allocate", table, "--size", "10kB", "--pin", "blocks.1.k=rtn{bits=4,group=64}", "--json", NULL);
    json_t *root = json_of(&ran), *a = item(root, "allocations", 0), *certificate = json_object_get(a, "certificate");
    assert_true(number(certificate, "gap") > 0 && number(certificate, "price") > 0);
    assert_int_equal(refuse_each_value(root, a, table), 8);
    assert_int_equal(refuse_each_value(root, certificate, table), 7);
    assert_true(refuse_each_value(root, json_object_get(a, "choices"), table) >= 4);
    json_array_set_new(json_object_get(json_object_get(root, "constraints"), "pin"), 0, json_string("*.k=rtn{bits=8,group=64}"));
    ran = program("allocate", table, "--verify", save("bad.json", root), NULL);
    assert_true(ran.status == 1 && strstr(ran.err, "allocation 1: layer 'blocks.0.k' is pinned to"));
    ran_free(&ran);
    json_decref(root);
}

/* ---- sentences ---- */

static void make_table(void) { table_path("good.csv", false); }
static void make_groups(void)
{
    scratch_text("few.csv", "layer,weights,choice,bits,cost\na,1,x,2,1\na,1,y,3,0\nb,1,z,2,0\nb,1,y,8,0\nc,1,z,2,0\n");
    scratch_text("groups.csv", "layer,weights,choice,bits,cost,group\na,1,x,2,1,g\na,1,y,3,0,h\n");
}
static void make_apart(void) { scratch_text("apart.csv", "layer,weights,choice,bits,cost,group\na,1,x,2,1,g\nb,1,y,3,0,g\n"); }
static void make_json(void)
{
    make_table();
    scratch_text("no.json", "not JSON");
    scratch_text("empty.json", "{}");
    scratch_text("layer.json", "{\"allocations\":[{\"choices\":{\"blocks.0.qq\":\"x\"}}]}");
    scratch_text("choice.json", "{\"allocations\":[{\"choices\":{\"blocks.0.q\":\"x\"}}]}");
    scratch_text("pin.json", "{\"allocations\":[],\"constraints\":{\"pin\":[\"a=b\"]}}");
}

static const BadInput bad[] = {
    { "nothing asked for", 2, { "allocate", "@good.csv" }, { "--budget is missing: average bits per weight", "--size, --frontier or --verify" }, make_table },
    { "model without size", 2, { "allocate", "@good.csv", "--budget", "3", "--model", TINY }, { "--model is of --size" }, make_table },
    { "csv without frontier", 2, { "allocate", "@good.csv", "--budget", "3", "--csv" }, { "--csv is of --frontier" }, make_table },
    { "verify with a budget", 2, { "allocate", "@good.csv", "--verify", "@a.json", "--budget", "3" }, { "leave out --budget" }, make_table },
    { "best and distinct", 2, { "allocate", "@good.csv", "--budget", "3", "--best", "2", "--distinct", "2" }, { "--best does not take --distinct" }, make_table },
    { "frontier and distinct", 2, { "allocate", "@good.csv", "--frontier", "--distinct", "2" }, { "--frontier does not take --distinct" }, make_table },
    { "too few distinct choices", 1, { "allocate", "@few.csv", "--budget", "3", "--distinct", "1" }, { "1 distinct choices are not enough for every layer to have one; 2 are" }, make_groups },
    { "distinct choices that do not fit", 1, { "allocate", "@good.csv", "--budget", "3", "--distinct", "1", "--forbid", "blocks.0.q=*2,*" },
      { "no allocation with at most 1 distinct choice fits 3 bits per weight; the least that fits is 4.25" }, make_table },
    { "size without a unit known", 2, { "allocate", "@good.csv", "--size", "3 bananas" }, { "--size", "must be a size" }, make_table },
    { "size that nothing fits", 1, { "allocate", "@good.csv", "--size", "5kB" }, { "no allocation fits 5000 bytes; the least that fits is 5184 bytes" }, make_table },
    { "pin without a choice", 1, { "allocate", "@good.csv", "--budget", "3", "--pin", "blocks.0.q" }, { "--pin is written 'LAYERS=CHOICE'" }, make_table },
    { "pin of no layer", 1, { "allocate", "@good.csv", "--budget", "3", "--pin", "block.0.q=x" }, { "no layer matches 'block.0.q'; did you mean 'blocks.0.q'?" }, make_table },
    { "pin to no choice", 1, { "allocate", "@good.csv", "--budget", "3", "--pin", "*.q=rtn{bits=3,group=64}" }, { "has no choice 'rtn{bits=3,group=64}'; did you mean" }, make_table },
    { "pins that do not fit", 1, { "allocate", "@good.csv", "--budget", "3", "--pin", "*.up=rtn{bits=8,group=64}" },
      { "no allocation that keeps the constraints fits 3 bits per weight; the least that fits is 5.25" }, make_table },
    { "pin that is forbidden", 1, { "allocate", "@good.csv", "--budget", "3", "--pin", "*.q=rtn{bits=8,group=64}", "--forbid", "*=*bits=8*" }, { "is pinned to", "which is forbidden" }, make_table },
    { "excluded and pinned", 1, { "allocate", "@good.csv", "--budget", "3", "--exclude", "*.q", "--pin", "*.q=rtn{bits=8,group=64}" }, { "layer 'blocks.0.q' is both excluded and pinned" }, make_table },
    { "all excluded", 1, { "allocate", "@good.csv", "--budget", "3", "--exclude", "*" }, { "every layer is excluded" }, make_table },
    { "type that is none", 1, { "allocate", "@good.csv", "--budget", "3", "--together", "q,upp" }, { "no layer is of type 'upp'; did you mean 'up'?" }, make_table },
    { "group that changes", 1, { "allocate", "@groups.csv", "--budget", "3" }, { "groups.csv:3: layer 'a' is of group 'g' in an earlier row and of 'h' here" }, make_groups },
    { "group with nothing in common", 1, { "allocate", "@apart.csv", "--budget", "3" }, { "layers 'a' and 'b' must share a choice, but have none in common" }, make_apart },
    { "layer that the model lacks", 1, { "allocate", "@apart.csv", "--size", "1MB", "--model", TINY }, { "has no layer 'a'; names are such as 'blocks.0.q'" }, make_apart },
    { "verify of no file", 1, { "allocate", "@good.csv", "--verify", "@nothing.json" }, { "nothing.json" }, make_json },
    { "verify of no JSON", 1, { "allocate", "@good.csv", "--verify", "@no.json" }, { "no.json" }, make_json },
    { "verify of nothing", 1, { "allocate", "@good.csv", "--verify", "@empty.json" }, { "empty.json: there are no 'allocations'" }, make_json },
    { "verify of another table", 1, { "allocate", "@good.csv", "--verify", "@layer.json" }, { "allocation 1: the table has no layer 'blocks.0.qq'; did you mean 'blocks.0.q'?" }, make_json },
    { "verify of another choice", 1, { "allocate", "@good.csv", "--verify", "@choice.json" }, { "layer 'blocks.0.q' has no choice 'x' in the table" }, make_json },
    { "verify of a wrong pin", 1, { "allocate", "@good.csv", "--verify", "@pin.json" }, { "pin.json: --pin: no layer matches 'a'" }, make_json },
};

static void test_sentences(void **state)
{
    (void)state;
    BAD_CHECK_ALL(bad);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_every_value_counts), cmocka_unit_test(test_sentences) };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    scratch_remove();
    return failed;
}
