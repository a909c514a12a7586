/*
 * test_program_allocate.c - `linearity allocate`: constraints, sizes, k best, frontiers, results files, and --verify, which must
 * refuse a file with any one of its values changed
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "core/store/store.h"
#include "core/tests/bad_input.h"
#include "core/tests/program_models.h"

/* Two blocks of q, k and up, of the shapes of the tiny model, with three choices. */
static const char *table_path(const char *name, bool with_group)
{
    static const char *const layer[] = { "blocks.0.q", "blocks.0.k", "blocks.0.up", "blocks.1.q", "blocks.1.k", "blocks.1.up" };
    static const int cost[] = { 9, 3, 40, 6, 2, 30 };
    char *text = xformat("layer,weights,choice,bits,cost%s\n", with_group ? ",group" : "");
    for (int l = 0; l < 6; l++)
        for (int k = 0; k < 3; k++) {
            const char *group = !with_group ? "" : l % 3 == 2 ? ",ups" : ",";
            char *more = xformat("%s%s,%d,\"rtn{bits=%d,group=64}\",%g,%g%s\n", text, layer[l], l % 3 == 2 ? 4608 : 2304, 2 << k, (2 << k) + .25,
                                 cost[l] * pow(8, -k), group);
            free(text);
            text = more;
        }
    const char *path = scratch_text(name, text);
    free(text);
    return path;
}

static json_t *parse(Ran *ran)
{
    if (ran->status != 0) print_error("%s", ran->err);
    assert_int_equal(ran->status, 0);
    assert_string_equal(ran->err, "");
    json_t *root = json_loads(ran->out, 0, NULL);
    assert_non_null(root);
    ran_free(ran);
    return root;
}

static json_t *item(json_t *root, const char *list, int i) { return json_array_get(json_object_get(root, list), (size_t)i); }
static double number(const json_t *object, const char *key) { return json_number_value(json_object_get(object, key)); }
static const char *choice(json_t *allocation, const char *layer) { return json_string_value(json_object_get(json_object_get(allocation, "choices"), layer)); }

static const char *save(const char *name, const json_t *root)
{
    char *text = json_dumps(root, JSON_REAL_PRECISION(17));
    const char *path = scratch_text(name, text);
    free(text);
    return path;
}

/* ---- constraints ---- */

static void test_constraints(void **state)
{
    (void)state;
    const char *table = table_path("t.csv", false);
    Ran ran = program("allocate", table, "--budget", "5.5", "--together", "q,k", "--pin", "blocks.1.up=rtn{bits=8,group=64}", "--exclude", "blocks.0.up",
                      "--forbid", "blocks.0.q=*bits=2*", "--json", NULL);
    json_t *root = parse(&ran), *a = item(root, "allocations", 0);
    assert_int_equal(json_object_size(json_object_get(a, "choices")), 5);
    assert_string_equal(choice(a, "blocks.1.up"), "rtn{bits=8,group=64}");
    assert_string_equal(choice(a, "blocks.0.k"), choice(a, "blocks.0.q"));
    assert_string_equal(choice(a, "blocks.1.k"), choice(a, "blocks.1.q"));
    assert_non_null(strstr(choice(a, "blocks.0.q"), "bits=4"));
    assert_null(choice(a, "blocks.0.up"));
    assert_string_equal(json_string_value(item(json_object_get(root, "constraints"), "together", 0)), "q,k");
    ran = program("allocate", table, "--verify", save("c.json", root), NULL);
    assert_int_equal(ran.status, 0);
    assert_non_null(strstr(ran.out, "optimal, proven by"));
    ran_free(&ran);
    json_decref(root);
}

static void test_groups_of_the_table(void **state)
{
    (void)state;
    Ran ran = program("allocate", table_path("t.csv", false), "--budget", "5", "--json", NULL);
    json_t *root = parse(&ran), *a = item(root, "allocations", 0);
    assert_string_not_equal(choice(a, "blocks.0.up"), choice(a, "blocks.1.up"));
    json_decref(root);
    ran = program("allocate", table_path("g.csv", true), "--budget", "5", "--json", NULL);
    root = parse(&ran), a = item(root, "allocations", 0);
    assert_string_equal(choice(a, "blocks.0.up"), choice(a, "blocks.1.up"));
    ran = program("allocate", scratch_path("g.csv"), "--verify", save("g.json", root), "--json", NULL);
    json_t *verdict = parse(&ran);
    assert_true(json_is_true(json_object_get(item(verdict, "verified", 0), "optimal")));
    json_decref(verdict);
    json_decref(root);
}

static void test_distinct(void **state)
{
    (void)state;
    const char *table = table_path("t.csv", false);
    for (int k = 1; k <= 3; k++) {
        char *most = xformat("%d", k);
        Ran ran = program("allocate", table, "--budget", "5", "--distinct", most, "--json", NULL);
        json_t *root = parse(&ran), *choices = json_object_get(item(root, "allocations", 0), "choices"), *value;
        const char *layer;
        int seen[3] = { 0 };
        json_object_foreach(choices, layer, value) seen[json_string_value(value)[9] == '2' ? 0 : json_string_value(value)[9] == '4' ? 1 : 2] = 1;
        assert_int_equal(seen[0] + seen[1] + seen[2], k);
        assert_true(number(json_object_get(root, "constraints"), "distinct") == k && json_is_true(json_object_get(item(root, "allocations", 0), "optimal")));
        ran = program("allocate", table, "--verify", save("d.json", root), NULL);
        assert_int_equal(ran.status, 0);
        assert_non_null(strstr(ran.out, "optimal, proven by"));
        ran_free(&ran);
        if (k == 2) {
            json_object_set_new(json_object_get(root, "constraints"), "distinct", json_integer(1));
            ran = program("allocate", table, "--verify", save("d.json", root), NULL);
            assert_true(ran.status == 1 && strstr(ran.err, "there are more than 1 distinct choices"));
            ran_free(&ran);
        }
        json_decref(root);
        free(most);
    }
}

/* ---- sizes ---- */

static void test_sizes(void **state)
{
    (void)state;
    const char *table = table_path("t.csv", false);
    Ran ran = program("allocate", table, "--size", "10kB", "--size", "9216", "--json", NULL);
    json_t *root = parse(&ran);
    assert_true(number(item(root, "allocations", 0), "bytes") == 10000 && number(item(root, "allocations", 0), "elsewhere") == 0);
    assert_true(number(json_object_get(item(root, "allocations", 1), "certificate"), "capacity") == 8 * 9216 && number(item(root, "allocations", 1), "budget") == 4);
    json_decref(root);

    /* embedding, head and norms, and the layers that take no part: o, v, gate and down, all float32 */
    const int64_t elsewhere = 4 * (2 * 97 * 48 + 5 * 48 + 2 * (2 * 48 * 48 + 2 * 96 * 48));
    char *size = xformat("%lld", (long long)elsewhere + 9216);
    ran = program("allocate", table, "--size", size, "--model", TINY, "--json", NULL);
    root = parse(&ran);
    json_t *a = item(root, "allocations", 0);
    assert_true(number(a, "elsewhere") == (double)elsewhere && number(a, "bytes") == (double)elsewhere + 9216 && number(a, "budget") == 4);
    ran = program("allocate", table, "--verify", save("s.json", root), NULL);
    assert_int_equal(ran.status, 0);
    ran_free(&ran);
    json_decref(root);
    ran = program("allocate", table, "--size", size, "--model", TINY, "--exclude", "blocks.1.up", NULL);
    assert_int_equal(ran.status, 1);                /* 4608 weights more in float32 */
    char *least = xformat("the least that fits is %lld bytes, %lld of them", (long long)elsewhere + 4 * 4608 + 13824 * 9 / 32, (long long)elsewhere + 4 * 4608);
    if (!strstr(ran.err, least)) fail_msg("'%s' does not say '%s'", ran.err, least);
    free(least);
    free(size);
    ran_free(&ran);
}

/* ---- k best, frontier ---- */

static void swap_last_two(const char *table, const json_t *root)
{
    json_t *copy = json_deep_copy(root), *list = json_object_get(copy, "allocations"), *fourth = json_incref(json_array_get(list, 3));
    json_array_set(list, 3, json_array_get(list, 4));
    json_array_set_new(list, 4, fourth);
    for (size_t i = 3; i < 5; i++) json_object_set_new(json_array_get(list, i), "rank", json_integer((json_int_t)i + 1));
    Ran ran = program("allocate", table, "--verify", save("b.json", copy), NULL);
    assert_int_equal(ran.status, 1);
    assert_non_null(strstr(ran.err, "allocation 5: number 5 costs less than number 4"));
    ran_free(&ran);
    json_decref(copy);
}

static void test_best(void **state)
{
    (void)state;
    const char *table = table_path("t.csv", false);
    Ran ran = program("allocate", table, "--budget", "4.25", "--best", "5", "--json", NULL);
    json_t *root = parse(&ran), *list = json_object_get(root, "allocations");
    assert_int_equal(json_array_size(list), 5);
    for (int i = 0; i < 5; i++) {
        json_t *a = item(root, "allocations", i);
        assert_true(number(a, "rank") == i + 1 && number(a, "lower_bound") == number(a, "cost") && json_is_true(json_object_get(a, "optimal")));
        assert_int_equal(json_is_true(json_object_get(json_object_get(a, "certificate"), "optimal")), i == 0);
        if (i) assert_true(number(a, "cost") >= number(item(root, "allocations", i - 1), "cost"));
    }
    swap_last_two(table, root);
    ran = program("allocate", table, "--verify", save("b.json", root), NULL);
    assert_int_equal(ran.status, 0);
    assert_non_null(strstr(ran.out, "number 5"));
    assert_null(strstr(ran.out, "not verified"));
    ran_free(&ran);
    json_array_remove(list, 1);
    ran = program("allocate", table, "--verify", save("b.json", root), NULL);
    assert_int_equal(ran.status, 1);
    assert_non_null(strstr(ran.err, "allocation 2: number 3 does not follow number 2"));
    ran_free(&ran);
    for (int i = 1; i < 4; i++) json_object_set_new(item(root, "allocations", i), "rank", json_integer(i + 1));
    ran = program("allocate", table, "--verify", save("b.json", root), NULL);
    assert_int_equal(ran.status, 1);
    assert_non_null(strstr(ran.err, "allocation 2: it is not number 2: one that costs"));
    ran_free(&ran);
    json_array_insert_new(list, 1, json_deep_copy(item(root, "allocations", 1)));
    json_object_set_new(item(root, "allocations", 2), "rank", json_integer(3));
    ran = program("allocate", table, "--verify", save("b.json", root), NULL);
    assert_int_equal(ran.status, 1);
    assert_non_null(strstr(ran.err, "allocation 3: number 3 is number 2 again"));
    ran_free(&ran);
    json_decref(root);
}

static void test_frontier(void **state)
{
    (void)state;
    const char *table = table_path("t.csv", false);
    Ran ran = program("allocate", table, "--frontier", "--budget", "4", "--json", NULL);
    json_t *root = parse(&ran), *frontier = json_object_get(root, "frontier"), *point;
    size_t i, n = json_array_size(frontier);
    double best = INFINITY, last = INFINITY;
    assert_true(n == 19);
    json_array_foreach(frontier, i, point) {
        assert_true(number(point, "cost") < last && number(point, "bits") == number(point, "size") / 18432);
        last = number(point, "cost");
        if (number(point, "bits") <= 4) best = last;
    }
    assert_true(fabs(best - number(item(root, "allocations", 0), "cost")) <= 1e-13 * best);
    ran = program("allocate", table, "--frontier", "--csv", NULL);
    assert_int_equal(ran.status, 0);
    assert_int_equal(strncmp(ran.out, "bits,size,cost,on_hull\n", 23), 0);
    size_t lines = 0;
    for (const char *c = ran.out; *c; c++) lines += *c == '\n';
    assert_int_equal(lines, n + 1);
    ran_free(&ran);
    ran = program("allocate", table, "--frontier", NULL);
    char *summary = xformat("frontier: %zu sizes from 2.25 to 8.25 bits/weight", n);
    assert_non_null(strstr(ran.out, summary));
    free(summary);
    ran_free(&ran);
    json_decref(root);
}

/* ---- results files ---- */

static const char *results_path(const char *name, bool swept, bool twice)
{
    Table *t = table_new("choices", "");
    table_add_column(t, COLUMN_TEXT, "layer", "", "");
    table_add_column(t, COLUMN_INTEGER, "weights", "", "");
    table_add_column(t, COLUMN_TEXT, "choice", "", "");
    table_add_column(t, COLUMN_NUMBER, "bits", "", "");
    table_add_column(t, COLUMN_NUMBER, "cost", "", "");
    if (swept) table_add_column(t, COLUMN_INTEGER, "noise.group", "", SWEPT_MEANING);
    for (int i = 0; i < (twice ? 5 : 4); i++) {
        int64_t row = table_add_row(t);
        table_set_text(t, row, "layer", i % 4 < 2 ? "blocks.0.q" : "blocks.0.k");
        table_set_integer(t, row, "weights", 100);
        table_set_text(t, row, "choice", i % 2 ? "high" : "low");
        table_set_number(t, row, "bits", i % 2 ? 4 : 2);
        table_set_number(t, row, "cost", i % 2 ? 1 : 8 >> i % 4);
    }
    Store *store = NULL;
    const char *path = scratch_path(name);
    assert_int_equal(store_open(&store, path, false), OK);
    assert_int_equal(store_put_table(store, t), OK);
    assert_int_equal(store_close(&store), OK);
    table_free(t);
    return path;
}

static void test_results_file(void **state)
{
    (void)state;
    Ran ran = program("allocate", results_path("r.h5", false, false), "--budget", "3", "--json", NULL);
    json_t *root = parse(&ran), *a = item(root, "allocations", 0);
    assert_string_equal(choice(a, "blocks.0.q"), "high");
    assert_string_equal(choice(a, "blocks.0.k"), "low");
    assert_true(number(a, "cost") == 3);
    json_decref(root);
    ran = program("allocate", results_path("swept.h5", true, false), "--budget", "3", NULL);
    assert_true(ran.status == 1 && strstr(ran.err, "a sweep over 'noise.group'; write them with linearity export"));
    ran_free(&ran);
    ran = program("allocate", results_path("twice.h5", false, true), "--budget", "3", NULL);
    assert_true(ran.status == 1 && strstr(ran.err, "row 5 of choices: layer 'blocks.0.q' has the choice 'low' twice; write the table with linearity export"));
    ran_free(&ran);
}

/* ---- corruption ---- */

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
    json_t *root = parse(&ran), *a = item(root, "allocations", 0), *certificate = json_object_get(a, "certificate");
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
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_constraints), cmocka_unit_test(test_groups_of_the_table), cmocka_unit_test(test_distinct), cmocka_unit_test(test_sizes), cmocka_unit_test(test_best),
        cmocka_unit_test(test_frontier), cmocka_unit_test(test_results_file), cmocka_unit_test(test_every_value_counts), cmocka_unit_test(test_sentences),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    scratch_remove();
    return failed;
}
