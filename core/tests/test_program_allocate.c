/* test_program_allocate.c - `linearity allocate`: constraints, sizes, k best, frontiers, results files */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "core/store/store.h"
#include "core/tests/allocate_program.h"

/* ---- constraints ---- */

static void test_constraints(void **state)
{
    (void)state;
    const char *table = table_path("t.csv", false);
    Ran ran = program("allocate", table, "--budget", "5.5", "--together", "q,k", "--pin", "blocks.1.up=rtn{bits=8,group=64}", "--exclude", "blocks.0.up",
                      "--forbid", "blocks.0.q=*bits=2*", "--json", NULL);
    json_t *root = json_of(&ran), *a = item(root, "allocations", 0);
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
    json_t *root = json_of(&ran), *a = item(root, "allocations", 0);
    assert_string_not_equal(choice(a, "blocks.0.up"), choice(a, "blocks.1.up"));
    json_decref(root);
    ran = program("allocate", table_path("g.csv", true), "--budget", "5", "--json", NULL);
    root = json_of(&ran), a = item(root, "allocations", 0);
    assert_string_equal(choice(a, "blocks.0.up"), choice(a, "blocks.1.up"));
    ran = program("allocate", scratch_path("g.csv"), "--verify", save("g.json", root), "--json", NULL);
    json_t *verdict = json_of(&ran);
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
        json_t *root = json_of(&ran), *choices = json_object_get(item(root, "allocations", 0), "choices"), *value;
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
    json_t *root = json_of(&ran);
    assert_true(number(item(root, "allocations", 0), "bytes") == 10000 && number(item(root, "allocations", 0), "elsewhere") == 0);
    assert_true(number(json_object_get(item(root, "allocations", 1), "certificate"), "capacity") == 8 * 9216 && number(item(root, "allocations", 1), "budget") == 4);
    json_decref(root);

    /* embedding, head and norms, and the layers that take no part: o, v, gate and down, all float32 */
    const int64_t elsewhere = 4 * (2 * 97 * 48 + 5 * 48 + 2 * (2 * 48 * 48 + 2 * 96 * 48));
    char *size = xformat("%lld", (long long)elsewhere + 9216);
    ran = program("allocate", table, "--size", size, "--model", TINY, "--json", NULL);
    root = json_of(&ran);
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
    json_t *root = json_of(&ran), *list = json_object_get(root, "allocations");
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
    json_t *root = json_of(&ran), *frontier = json_object_get(root, "frontier"), *point;
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
    json_t *root = json_of(&ran), *a = item(root, "allocations", 0);
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_constraints), cmocka_unit_test(test_groups_of_the_table), cmocka_unit_test(test_distinct), cmocka_unit_test(test_sizes), cmocka_unit_test(test_best),
        cmocka_unit_test(test_frontier), cmocka_unit_test(test_results_file),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    scratch_remove();
    return failed;
}
