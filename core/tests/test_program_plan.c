/*
 * test_program_plan.c - linearity plan: bytes, blocks and JSON against what a stored importance and a memory ask for; the model that is made of it
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <cmocka.h>

#include "core/store/store.h"
#include "core/tests/program_json.h"

#define SMALL "random:smollm2-135m"
enum { BLOCKS = 30, LAYERS = 7 * BLOCKS };

/* ---- JSON of one run ---- */

static int64_t whole(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);
    if (!json_is_integer(value)) print_error("no whole number %s\n", key);
    assert_true(json_is_integer(value));
    return json_integer_value(value);
}

static const char *word(const json_t *object, const char *key) { return json_string_value(json_object_get(object, key)); }

static int bits_of(const json_t *plan, int block)
{
    const json_t *one = json_array_get(json_object_get(plan, "blocks"), (size_t)block);
    assert_int_equal(whole(one, "block"), block);
    return (int)whole(one, "bits");
}

/* What the items add up to, and that layers, parts and blocks tell the same. */
static void check_plan(const json_t *plan, int64_t memory)
{
    static const char *const items[] = { "embedding", "head", "norms", "codes", "scales", "zero_points", "kv_cache", "activations", "slack" };
    const json_t *bytes = json_object_get(plan, "bytes"), *blocks = json_object_get(plan, "blocks");
    int64_t sum = 0, of_blocks = 0;
    for (int i = 0; i < 9; i++) sum += whole(bytes, items[i]);
    assert_true(sum == whole(bytes, "total") && sum + whole(bytes, "left") == memory && whole(bytes, "left") >= 0);
    for (size_t b = 0; b < json_array_size(blocks); b++) of_blocks += whole(json_array_get(blocks, b), "bytes");
    assert_true(of_blocks == whole(bytes, "codes") + whole(bytes, "scales") + whole(bytes, "zero_points"));
    const json_t *choices = json_object_get(json_array_get(json_object_get(plan, "allocations"), 0), "choices");
    for (int l = 0; l < 7 * (int)json_array_size(blocks); l++) {
        static const char *const type[] = { "q", "k", "v", "o", "gate", "up", "down" };
        char name[32], choice[32];
        snprintf(name, sizeof name, "blocks.%d.%s", l / 7, type[l % 7]);
        snprintf(choice, sizeof choice, "rtn-bits%d-group0", bits_of(plan, l / 7));
        if (bits_of(plan, l / 7) == 16) assert_null(json_object_get(choices, name));
        else assert_string_equal(word(choices, name), choice);
    }
    const json_t *parts = json_object_get(plan, "parts");
    int in_parts = 0;
    for (size_t i = 0; i < json_array_size(parts); i++) {
        const json_t *part = json_array_get(parts, i), *layers = json_object_get(part, "layers");
        for (size_t k = 0; k < json_array_size(layers); k++, in_parts++)
            assert_int_equal(bits_of(plan, atoi(json_string_value(json_array_get(layers, k)) + strlen("blocks."))), whole(part, "bits"));
    }
    assert_int_equal(in_parts, json_array_size(blocks));
}

/* ---- stored importances ---- */

/* Block b of BLOCKS stands at place (7 b + 3) mod 30 of the order. */
static int rank_of(int block) { return (7 * block + 3) % BLOCKS + 1; }

static const char *importance_csv(void)
{
    char *text = xstrdup("block,rule,importance,importance_se,rank\n");
    for (int b = 0; b < BLOCKS; b++) {
        char *longer = xformat("%s%d,jaccard,%.9g,0.01,%d\n%d,lim,%d,,%d\n", text, b, 1 - .01 * rank_of(b), rank_of(b), b, b, BLOCKS - b);
        free(text);
        text = longer;
    }
    const char *path = scratch_text("importance.csv", text);
    free(text);
    return path;
}

/* Coefficients by which block b has the sum 7 (b + 1) mod 11. */
static Table *coefficients(void)
{
    static const char *const types[] = { "q", "k", "v", "o", "gate", "up", "down" };
    Table *t = table_new("coefficients", "");
    table_add_column(t, COLUMN_TEXT, "layer", "", ""), table_add_column(t, COLUMN_INTEGER, "block", "", ""), table_add_column(t, COLUMN_TEXT, "estimator", "", "");
    table_add_column(t, COLUMN_NUMBER, "alpha", "", ""), table_add_column(t, COLUMN_NUMBER, "alpha_se", "", "");
    for (int e = 0; e < 2; e++)
        for (int l = 0; l < LAYERS; l++) {
            const int64_t row = table_add_row(t);
            table_set_text(t, row, "layer", types[l % 7]), table_set_integer(t, row, "block", l / 7), table_set_text(t, row, "estimator", e ? "kl" : "fisher");
            table_set_number(t, row, "alpha", e ? 1 : (l / 7 * 7 + 7) % 11 / 7.0), table_set_number(t, row, "alpha_se", .25);
        }
    return t;
}

/* Coefficients, and the importances of a CSV (NULL: none). */
static const char *results_file(const char *name, const char *csv)
{
    Store *store;
    Table *t;
    const char *path = scratch_path(name);
    assert_int_equal(store_open(&store, path, false), OK);
    if (csv) {
        assert_int_equal(table_read_csv(&t, csv), OK);
        assert_int_equal(store_put_table(store, t), OK);
        table_free(t);
    }
    t = coefficients();
    assert_int_equal(store_put_table(store, t), OK);
    table_free(t);
    assert_int_equal(store_close(&store), OK);
    return path;
}

static const char *coefficients_csv(void)
{
    Table *t = coefficients();
    const char *path = scratch_path("coefficients.csv");
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_int_equal(table_write(t, file, FORMAT_CSV), OK);
    assert_int_equal(fclose(file), 0);
    table_free(t);
    return path;
}

/* 8 bits for the n most important ones by the rule, 4 for the others. */
static void check_blocks(const json_t *plan, int (*rank)(int block))
{
    const int n = (int)whole(plan, "n_high");
    assert_true(n > 5 && n < 25);
    for (int b = 0; b < BLOCKS; b++) {
        assert_int_equal(whole(json_array_get(json_object_get(plan, "blocks"), (size_t)b), "rank"), rank(b));
        assert_int_equal(bits_of(plan, b), rank(b) <= n ? 8 : 4);
    }
}

static int rank_from_last(int block) { return BLOCKS - block; }
static int rank_from_first(int block) { return block + 1; }

/* Larger sums first, of equal ones the lower block. */
static int rank_of_sums(int block)
{
    int rank = 1;
    for (int b = 0; b < BLOCKS; b++) {
        const int one = (7 * b + 7) % 11, own = (7 * block + 7) % 11;
        rank += one > own || (one == own && b < block);
    }
    return rank;
}

#define PLAN(...) json_of(&(Ran[]){ program("plan", __VA_ARGS__, "--json", NULL) }[0])
#define MEMORY "150000000", "--context", "256"

static void test_rules(void **state)
{
    (void)state;
    const char *csv = importance_csv(), *run = results_file("run.h5", csv), *alone = results_file("alone.h5", NULL), *table = coefficients_csv();
    const struct { json_t *plan; const char *rule; int (*rank)(int block); } cases[] = {
        { PLAN(SMALL, "--memory", MEMORY, "--importance", csv, "--rule", "jaccard"), "jaccard", rank_of },
        { PLAN(SMALL, "--memory", MEMORY, "--importance", csv, "--rule", "lim"), "lim", rank_from_last },
        { PLAN(SMALL, "--memory", MEMORY, "--importance", run, "--rule", "jaccard"), "jaccard", rank_of },
        { PLAN(SMALL, "--memory", MEMORY, "--importance", run, "--rule", "alpha"), "alpha", rank_of_sums },
        { PLAN(SMALL, "--memory", MEMORY, "--importance", alone, "--rule", "alpha"), "alpha", rank_of_sums },
        { PLAN(SMALL, "--memory", MEMORY, "--importance", alone), "alpha", rank_of_sums },
        { PLAN(SMALL, "--memory", MEMORY, "--importance", table), "alpha", rank_of_sums },
        { PLAN(SMALL, "--memory", MEMORY, "--rule", "first-to-last"), "first-to-last", rank_from_first },
        { PLAN(SMALL, "--memory", MEMORY), "first-to-last", rank_from_first },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const json_t *first = json_array_get(json_object_get(cases[i].plan, "blocks"), 0);
        check_plan(cases[i].plan, 150000000);
        check_blocks(cases[i].plan, cases[i].rank);
        assert_string_equal(word(cases[i].plan, "rule"), cases[i].rule);
        if (i >= 3 && i <= 6) assert_true(fabs(json_number_value(json_object_get(first, "importance")) - 7) < 1e-12);
        if (i >= 3 && i <= 6) assert_true(json_number_value(json_object_get(first, "importance_se")) == 1.75);
        if (i == 0) assert_true(json_number_value(json_object_get(first, "importance_se")) == .01);
        if (i == 1) assert_true(json_is_null(json_object_get(first, "importance_se")));
        json_decref(cases[i].plan);
    }
}

/* As lsaq stores them: the rules alpha and first-to-last among the importances go before what else would give them. */
static void test_stored_rules_go_first(void **state)
{
    (void)state;
    char *text = xstrdup("block,rule,importance,rank\n");
    for (int b = 0; b < BLOCKS; b++) {
        char *longer = xformat("%s%d,alpha,%d,%d\n%d,first-to-last,%d,%d\n", text, b, b, BLOCKS - b, b, BLOCKS - b, b + 1);
        free(text);
        text = longer;
    }
    assert_int_equal(mkdir(scratch_path("lsaq"), 0777), 0);
    const char *run = results_file("lsaq.h5", scratch_text("lsaq/importance.csv", text));
    json_t *alpha = PLAN(SMALL, "--memory", MEMORY, "--importance", run, "--rule", "alpha");
    json_t *first = PLAN(SMALL, "--memory", MEMORY, "--importance", run, "--rule", "first-to-last");
    check_blocks(alpha, rank_from_last);
    check_blocks(first, rank_from_first);
    assert_true(!strncmp(word(first, "importance"), "table importance of ", 20));
    json_decref(alpha), json_decref(first);
    free(text);
}

/* One rule needs no name. */
static void test_only_rule(void **state)
{
    (void)state;
    json_t *plan = PLAN("random:tiny", "--memory", "1MB", "--context", "16", "--importance",
                        scratch_text("one.csv", "rank,block,importance,rule\n2,0,-1,zd\n1,1,3.5,zd\n"));
    assert_string_equal(word(plan, "rule"), "zd");
    assert_int_equal(whole(json_array_get(json_object_get(plan, "blocks"), 1), "rank"), 1);
    json_decref(plan);
}

/* ---- the ladder ---- */

static void check_pair(const char *memory, int64_t bytes, int high, int low, int n_high)
{
    json_t *plan = PLAN(SMALL, "--memory", memory, "--context", "256");
    const json_t *pair = json_object_get(plan, "pair");
    check_plan(plan, bytes);
    assert_int_equal(json_integer_value(json_array_get(pair, 0)), high);
    assert_int_equal(json_integer_value(json_array_get(pair, 1)), low);
    if (n_high >= 0) assert_int_equal(whole(plan, "n_high"), n_high);
    json_decref(plan);
}

static void test_ladder(void **state)
{
    (void)state;
    check_pair("1GB", 1000000000, 16, 8, BLOCKS);
    check_pair("250MB", 250000000, 16, 8, -1);
    check_pair("150MB", 150000000, 8, 4, -1);
    check_pair("110MB", 110000000, 4, 2, -1);
    Ran ran = program("plan", SMALL, "--memory", "90MB", "--context", "256", NULL);
    assert_int_equal(ran.status, 1);
    assert_string_equal(ran.out, "");
    assert_non_null(strstr(ran.err, "does not fit into 90000000 bytes (stated with --memory): with all blocks at 2 bits and a context of 256 tokens it takes "));
    const int64_t least = strtoll(strstr(ran.err, "it takes ") + 9, NULL, 10);
    ran_free(&ran);
    char *memory = xformat("%lld", (long long)least);
    check_pair(memory, least, 4, 2, 0);
    free(memory);
}

/* What is said to fit does. */
static void test_shorter_context(void **state)
{
    (void)state;
    Ran ran = program("plan", SMALL, "--memory", "100MB", "--context", "8192", NULL);
    assert_int_equal(ran.status, 1);
    const char *said = strstr(ran.err, "a context of at most ");
    assert_non_null(said);
    const int context = atoi(said + 21);
    ran_free(&ran);
    for (int more = 0; more < 2; more++) {
        char *text = xformat("%d", context + more);
        ran = program("plan", SMALL, "--memory", "100MB", "--context", text, NULL);
        assert_int_equal(ran.status, more);
        ran_free(&ran);
        free(text);
    }
}

/* ---- settings of the budget ---- */

static void test_settings(void **state)
{
    (void)state;
    json_t *plan = PLAN(SMALL, "--memory", "1GB", "--context", "1000", "--sequences", "3", "--step", "64", "--kv-bits", "8", "--other-bits", "32", "--slack", "0.125",
                        "--bits", "8", "--bits", "3");
    const json_t *bytes = json_object_get(plan, "bytes");
    check_plan(plan, 1000000000);
    assert_true(whole(bytes, "kv_cache") == 2 * 30 * 3 * 64 * 1000 * 3 && whole(bytes, "slack") == 125000000 && whole(bytes, "embedding") == 4 * 49152 * 576);
    assert_true(whole(bytes, "activations") == 2 * 64 * (3 * 576 + 2 * 576 + 2 * 192 + 2 * 1536) + 4 * 3 * 49152 && whole(bytes, "head") == 0);
    assert_true(whole(bytes, "norms") == 4 * 576 * 61 && bits_of(plan, 29) == 8);
    json_decref(plan);
}

/* Free memory is found; its source is told. */
static void test_auto(void **state)
{
    (void)state;
    json_t *plan = PLAN("random:tiny", "--context", "16");
    const json_t *memory = json_object_get(plan, "memory");
    check_plan(plan, whole(memory, "bytes"));
    assert_true(strstr(word(memory, "source"), "MemAvailable") || strstr(word(memory, "source"), "control group"));
    json_decref(plan);
    Ran ran = program("plan", "random:tiny", "--context", "16", "--backend", "cuda", "--json", NULL);
    if (ran.status == 0) {                              /* the launch shim, or a GPU */
        plan = json_of(&ran);
        assert_int_equal(strncmp(word(json_object_get(plan, "memory"), "source"), "free on ", 8), 0);
        json_decref(plan);
    } else {
        assert_non_null(strstr(ran.err, "cuda"));
        ran_free(&ran);
    }
}

/* ---- the model that is made of it ---- */

/* Runs a command line as it is printed, in the scratch folder; bytes of the layers that it quantizes, from their bits per weight. */
static double made_bytes(const char *line)
{
    static const int64_t weights[] = { 48 * 48, 48 * 48, 48 * 48, 48 * 48, 48 * 96, 48 * 96, 48 * 96 };
    char *binary = realpath(program_path(), NULL);
    char *command = xformat("cd %s && %s%.*s --json --quiet > made.json", scratch_path(""), binary, (int)(strchr(line, '\n') - line - strlen("  linearity")),
                            line + strlen("  linearity"));
    assert_int_equal(system(command), 0);
    json_t *made = json_load_file(scratch_path("made.json"), 0, NULL);
    assert_int_equal(json_array_size(json_object_get(made, "layers")), 7);
    double sum = 0;
    for (size_t i = 0; i < 7; i++) sum += json_number_value(json_object_get(json_array_get(json_object_get(made, "layers"), i), "bits")) * (double)weights[i] / 8;
    json_decref(made);
    free(binary);
    free(command);
    return sum;
}

/* TINY has two blocks; the second gets more.  The model that the printed commands make takes the bytes that the plan counts; recipe reads it. */
static void test_made(void **state)
{
    (void)state;
    char *tiny = realpath(TINY, NULL);
    const char *csv = scratch_text("two.csv", "block,rule,importance,rank\n0,a,1,2\n1,a,2,1\n");
    json_t *plan = PLAN(tiny, "--memory", "86000", "--context", "16", "--importance", csv, "--exact");
    check_plan(plan, 86000);
    assert_true(bits_of(plan, 0) == 4 && bits_of(plan, 1) == 8 && json_is_true(json_object_get(plan, "exact")) && whole(plan, "zero_points_more") == 0);
    const json_t *blocks = json_object_get(plan, "blocks");
    Ran text = program("plan", tiny, "--memory", "86000", "--context", "16", "--importance", csv, "--exact", NULL);
    const char *first = strstr(text.out, "  linearity quantize"), *second = strstr(first + 1, "  linearity quantize");
    assert_true(made_bytes(first) == (double)whole(json_array_get(blocks, 1), "bytes"));
    assert_true(made_bytes(second) == (double)whole(json_array_get(blocks, 0), "bytes"));
    Ran info = program("info", scratch_path("OUT"), NULL);
    assert_int_equal(info.status, 0);
    char *dumped = json_dumps(plan, 0);
    Ran recipe = program("recipe", scratch_text("plan.json", dumped), "--format", "csv", "--model", TINY, NULL);
    assert_int_equal(recipe.status, 0);
    assert_non_null(strstr(recipe.out, "blocks.0.down,rtn-bits4-group0,"));
    assert_non_null(strstr(recipe.out, "blocks.1.q,rtn-bits8-group0,"));
    ran_free(&text), ran_free(&info), ran_free(&recipe);
    free(dumped);
    free(tiny);
    json_decref(plan);
}

/* ---- for people ---- */

static void assert_says(const char *text, const char *words)
{
    if (!strstr(text, words)) print_error("'%s' is not in:\n%s\n", words, text);
    assert_non_null(strstr(text, words));
}

static void test_text(void **state)
{
    (void)state;
    Ran ran = program("plan", SMALL, "--memory", MEMORY, "--importance", importance_csv(), "--rule", "jaccard", NULL);
    assert_int_equal(ran.status, 0);
    assert_string_equal(ran.err, "");
    assert_says(ran.out, "embedding, 16 bits                         56,623,104  also the head\n");
    assert_says(ran.out, "KV cache, 16 bits                           5,898,240  256 tokens x 1 sequence\n");
    assert_says(ran.out, "slack, 5 % of the memory                    7,500,000\n");
    assert_says(ran.out, "of                                        150,000,000  stated with --memory\n");
    assert_says(ran.out, " 0.01 +- 0.014 apart, so that another text might exchange them\n");
    assert_says(ran.out, "which slack and what is left would hold; --exact");
    assert_says(ran.out, " ms from reading the stored importance on");
    assert_says(ran.out, "linearity recipe plan.json");
    ran_free(&ran);
    ran = program("plan", SMALL, "--memory", "1GB", "--context", "256", NULL);
    assert_says(ran.out, "16 bits: 30 blocks, 0-29\n");
    assert_null(strstr(ran.out, "recipe"));
    ran_free(&ran);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rules), cmocka_unit_test(test_stored_rules_go_first), cmocka_unit_test(test_only_rule), cmocka_unit_test(test_ladder), cmocka_unit_test(test_shorter_context),
        cmocka_unit_test(test_settings), cmocka_unit_test(test_auto), cmocka_unit_test(test_made), cmocka_unit_test(test_text),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    scratch_remove();
    return failed;
}
