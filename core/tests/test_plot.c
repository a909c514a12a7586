/* Pictures: what is drawn of which tables, what is left out, and what a failure leaves behind. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <ctype.h>
#include <math.h>
#include <stdbool.h>
#include <sys/stat.h>

#include "core/base/err.h"
#include "core/report/gnuplot.h"
#include "core/report/plot.h"
#include "core/tests/scratch.h"

/* ---- tables as the experiments make them ---- */

static const char *const types[] = { "q", "k", "v", "o", "gate", "up", "down" };
typedef struct { int n_blocks, n_levels, n_groups; double floor; bool with_predictions; } Made;

static void add_numbers(Table *table, const char *names)
{
    char *list = xstrdup(names), *rest = list;
    for (char *name = strtok_r(rest, " ", &rest); name; name = strtok_r(NULL, " ", &rest))
        table_add_column(table, COLUMN_NUMBER, name, "", "");
    free(list);
}

static Table *layer_table(const char *name, const char *numbers)
{
    Table *table = table_new(name, "");
    table_add_column(table, COLUMN_TEXT, "layer", "", "");
    table_add_column(table, COLUMN_INTEGER, "block", "", "");
    table_add_column(table, COLUMN_TEXT, "type", "", "");
    add_numbers(table, numbers);
    return table;
}

static int64_t add_layer(Table *table, int block, int type)
{
    int64_t row = table_add_row(table);
    char *name = xformat("blocks.%d.%s", block, types[type]);
    table_set_text(table, row, "layer", name);
    table_set_integer(table, row, "block", block);
    table_set_text(table, row, "type", types[type]);
    free(name);
    return row;
}

/* From 0.003 to 5, as in a model of 30 blocks. */
static double alpha_of(int block, int type) { return 0.003 * pow(5 / 0.003, fmod(0.37 * block + 0.61 * type, 1)); }

static Table *make_responses(const Made *made)
{
    Table *table = layer_table("responses", "t2_asked t2 kl kl_se");
    table_add_column(table, COLUMN_INTEGER, "near_floor", "", "");
    table_add_column(table, COLUMN_INTEGER, "noise.group", "", SWEPT_MEANING);
    for (int i = 0; i < made->n_groups * made->n_blocks * 7 * made->n_levels; i++) {
        int level = i % made->n_levels, layer = i / made->n_levels % (7 * made->n_blocks);
        double t2 = 0.003 * pow(10, 0.5 * level), kl = alpha_of(layer / 7, layer % 7) * t2 * (1 - 0.5 * t2);
        int64_t row = add_layer(table, layer / 7, layer % 7);
        table_set_number(table, row, "t2_asked", t2);
        table_set_number(table, row, "t2", 1.001 * t2);
        table_set_number(table, row, "kl", kl);
        if (layer % 5) table_set_number(table, row, "kl_se", 0.05 * kl);        /* one window: no standard error */
        table_set_integer(table, row, "near_floor", kl < 1e-5);
        table_set_integer(table, row, "noise.group", 64 + i / (made->n_levels * 7 * made->n_blocks));
    }
    return table;
}

static Table *make_coefficients(const Made *made)
{
    Table *table = layer_table("coefficients", "alpha alpha_low alpha_high b");
    table_add_column(table, COLUMN_TEXT, "estimator", "", "");
    table_add_column(table, COLUMN_TEXT, "metric", "", "");
    table_add_column(table, COLUMN_INTEGER, "noise.group", "", SWEPT_MEANING);
    for (int layer = 0; layer < made->n_blocks * 7; layer++) {
        double alpha = alpha_of(layer / 7, layer % 7);
        int64_t row = add_layer(table, layer / 7, layer % 7);
        table_set_text(table, row, "estimator", "kl");
        table_set_text(table, row, "metric", "kl");
        table_set_number(table, row, "alpha", alpha);
        table_set_number(table, row, "alpha_low", layer == 3 ? -alpha : 0.9 * alpha);
        table_set_number(table, row, "alpha_high", 1.1 * alpha);
        if (made->n_levels > 1) table_set_number(table, row, "b", -0.5 * alpha);
        table_set_integer(table, row, "noise.group", 64);
    }
    return table;
}

static Table *make_predictions(void)
{
    Table *table = table_new("predictions", "");
    table_add_column(table, COLUMN_TEXT, "model", "", "");
    add_numbers(table, "bits predicted_kl predicted_low predicted_high kl kl_se");
    table_add_column(table, COLUMN_TEXT, "note", "", "");
    table_set_text(table, table_add_row(table), "model", "clean");
    for (int i = 0; i < 8; i++) {
        int64_t row = table_add_row(table);
        double bits = 2.5 + i / 2 * 0.5, kl = 40 * pow(4, -bits) * (i % 2 ? 1 : 0.6);
        table_set_text(table, row, "model", i % 2 ? "uniform" : "allocated");
        table_set_number(table, row, "bits", bits);
        table_set_number(table, row, "predicted_kl", kl);
        if (i != 6) {                   /* one window: no interval */
            table_set_number(table, row, "predicted_low", i == 1 ? -kl : 0.8 * kl);
            table_set_number(table, row, "predicted_high", i == 2 ? 1.02 * kl : 1.2 * kl);
        }
        if (i == 5) continue;           /* predicted, not measured */
        table_set_number(table, row, "kl", 1.05 * kl);
        table_set_number(table, row, "kl_se", 0.03 * kl);
        table_set_text(table, row, "note", "a \"note\", with a comma");
    }
    return table;
}

static Table *make_floor(double kl)
{
    Table *table = table_new("floor", "");
    add_numbers(table, "kl kl_se");
    table_set_number(table, table_add_row(table), "kl", kl);
    return table;
}

static void put(Store *store, Table *table)
{
    assert_int_equal(store_put_table(store, table), OK);
    table_free(table);
}

/* As the experiment additivity makes them: the law bends up, slopes rise and fall, one standard error is unknown. */
static Table *make_ladder(void)
{
    Table *table = table_new("ladder", "");
    table_add_column(table, COLUMN_TEXT, "law", "", "");
    table_add_column(table, COLUMN_INTEGER, "near_floor", "", "");
    add_numbers(table, "t2 kl predicted_linear predicted_trapezoid predicted_ladder ratio_linear ratio_linear_se");
    for (int k = 0; k < 6; k++) {
        int64_t row = table_add_row(table);
        const double t2 = 0.002 * pow(2.2, k), linear = 50 * t2;
        const double number[] = { t2, linear * (1 + 4 * t2), linear, linear * (1 + 5 * t2 - 60 * t2 * t2), linear * (1 + 4.2 * t2), 1 + 4 * t2, 0.05 };
        static const char *const name[] = { "t2", "kl", "predicted_linear", "predicted_trapezoid", "predicted_ladder", "ratio_linear", "ratio_linear_se" };
        table_set_text(table, row, "law", "noise");
        for (int c = 0; c < (k == 3 ? 6 : 7); c++) table_set_number(table, row, name[c], number[c]);
        table_set_integer(table, row, "near_floor", k == 0);
    }
    return table;
}

static Table *make_additivity(void)
{
    Table *table = table_new("additivity", "");
    table_add_column(table, COLUMN_TEXT, "law", "", "");
    table_add_column(table, COLUMN_INTEGER, "near_floor", "", "");
    add_numbers(table, "bits kl delta_nll delta_nll_se clean_ppl ppl ppl_linear ppl_exponential ppl_ladder ratio_linear ratio_trapezoid ratio_ladder "
                       "ratio_linear_se ratio_trapezoid_se ratio_ladder_se");
    for (int i = 0; i < 6; i++) {
        int64_t row = table_add_row(table);
        const double bits = 2.25 + i / 2, kl = 40 * pow(4, 2 - bits), ratio = 1 + kl / 20;
        const struct { const char *name; double value; } cell[] = {
            { "bits", bits }, { "kl", kl }, { "delta_nll", 0.9 * kl }, { "delta_nll_se", 0.02 * kl }, { "clean_ppl", 45 }, { "ppl", 45 * exp(0.1 * kl) },
            { "ppl_linear", 45 * (1 + 0.08 * kl) }, { "ppl_exponential", 45 * exp(0.08 * kl) }, { "ppl_ladder", 45 * exp(0.095 * kl) }, { "ratio_linear", ratio },
            { "ratio_trapezoid", 2 - ratio }, { "ratio_ladder", 1.01 }, { "ratio_linear_se", 0.05 }, { "ratio_trapezoid_se", i == 0 ? 40 : 0.05 },
        };
        table_set_text(table, row, "law", i % 2 ? "noise" : "quantizer");
        table_set_integer(table, row, "near_floor", i == 5);
        for (size_t c = 0; c < sizeof cell / sizeof *cell; c++) table_set_number(table, row, cell[c].name, cell[c].value);
    }
    return table;
}

static Table *make_slopes(int n_blocks)
{
    Table *table = layer_table("slopes", "bits ratio ratio_se shrunk shrunk_se");
    table_add_column(table, COLUMN_TEXT, "choice", "", "");
    for (int i = 0; i < 2 * 7 * n_blocks; i++) {
        const int choice = i / (7 * n_blocks), block = i / 7 % n_blocks;
        int64_t row = add_layer(table, block, i % 7);
        table_set_text(table, row, "choice", choice ? "rtn-bits3-group64" : "rtn-bits4-group64");
        table_set_number(table, row, "bits", 4.25 - choice);
        if (i % 11) table_set_number(table, row, "ratio", 1 + 0.5 * choice + sin(1.3 * i) * (i % 13 ? 0.5 : 9));
        table_set_number(table, row, "shrunk", 1 + 0.5 * choice + 0.1 * sin(0.3 * block));
        table_set_number(table, row, "shrunk_se", 0.1);
    }
    return table;
}

static Store *make_store(const char *name, Made made)
{
    Store *store = NULL;
    if (store_open(&store, scratch_path(name), false) != OK) fail_msg("%s", err_last());
    put(store, make_responses(&made));
    put(store, make_coefficients(&made));
    if (made.with_predictions) put(store, make_predictions());
    if (made.floor > 0) put(store, make_floor(made.floor));
    return store;
}

/* ---- what came out ---- */

static char *read_whole(const char *path)
{
    FILE *file = fopen(path, "rb");
    if (!file) return NULL;
    fseek(file, 0, SEEK_END);
    size_t n = (size_t)ftell(file);
    rewind(file);
    char *text = xcalloc(n + 1, 1);
    assert_int_equal(fread(text, 1, n, file), n);
    fclose(file);
    return text;
}

static bool exists(const char *folder, const char *name)
{
    char *path = xformat("%s/%s", folder, name);
    bool found = access(path, F_OK) == 0;
    free(path);
    return found;
}

/* Every element that is opened is closed by its own name, in order, and there is one at the top. */
static bool is_well_formed(const char *text)
{
    enum { DEEPEST = 64 };
    const char *open[DEEPEST];
    int depth = 0, n_top = 0;
    for (const char *at = strchr(text, '<'), *end; at; at = strchr(end, '<')) {
        bool is_comment = strncmp(at, "<!--", 4) == 0;
        end = is_comment ? strstr(at, "-->") : strchr(at, '>');
        if (!end) return false;
        if (is_comment || at[1] == '?' || at[1] == '!') continue;
        if (at[1] == '/') {
            if (depth-- == 0) return false;
            size_t n = (size_t)(end - at) - 2;
            while (n > 0 && isspace((unsigned char)at[1 + n])) n--;
            if (strncmp(open[depth], at + 2, n) != 0 || isalnum((unsigned char)open[depth][n])) return false;
        } else {
            n_top += depth == 0;
            if (end[-1] == '/') continue;
            if (depth == DEEPEST) return false;
            open[depth++] = at + 1;
        }
    }
    return depth == 0 && n_top == 1;
}

static void check_file(const char *path)
{
    char *text = read_whole(path);
    assert_non_null(text);
    const char *ending = strrchr(path, '.');
    if (strcmp(ending, ".svg") == 0) assert_true(is_well_formed(text));
    else if (strcmp(ending, ".png") == 0) assert_memory_equal(text, "\211PNG\r\n\032\n", 8);
    else assert_non_null(strchr(text, ','));
    free(text);
}

/* Draws into the folder, checks each file, and returns how many there are. */
static int plot(const Store *store, const char *folder)
{
    char **files = NULL;
    int n = 0;
    if (plot_run(store, "plots", folder, &files, &n) != OK) fail_msg("%s", err_last());
    for (int i = 0; i < n; i++) {
        check_file(files[i]);
        free(files[i]);
    }
    free(files);
    assert_false(exists(folder, "response.tmp.svg"));
    assert_false(exists(folder, "response.tmp.png"));
    return n;
}

static bool picture_says(const char *folder, const char *name, const char *words)
{
    char *path = xformat("%s/%s", folder, name), *text = read_whole(path);
    assert_non_null(text);
    bool found = strstr(text, words) != NULL;
    free(path);
    free(text);
    return found;
}

static void need_gnuplot(void)
{
    char *path = xstrdup(getenv("PATH") ? getenv("PATH") : ""), *rest = path;
    bool found = false;
    for (char *folder = strtok_r(rest, ":", &rest); folder; folder = strtok_r(NULL, ":", &rest)) found = found || exists(folder, "gnuplot");
    free(path);
    if (found) return;
    printf("SKIPPED: gnuplot is not installed\n");
    skip();
}

/* ---- tests ---- */

static void test_many_blocks(void **state)
{
    (void)state;
    need_gnuplot();
    Store *store = make_store("many.h5", (Made){ 30, 3, 1, 0.3, true });
    const char *folder = scratch_path("new/many");
    assert_int_equal(plot(store, folder), 4 + 2 * 4);
    assert_null(plot_left_out(store));
    assert_true(picture_says(folder, "response.svg", "12 of 210 layers"));
    assert_true(picture_says(folder, "predicted.svg", "noise floor"));
    store_close(&store);
}

static void test_few_blocks_one_level(void **state)
{
    (void)state;
    need_gnuplot();
    Store *store = make_store("few.h5", (Made){ 1, 1, 2, 1e-9, true });
    const char *folder = scratch_path("it's < a | `folder`");
    assert_int_equal(plot(store, folder), 4 + 2 * 4);
    assert_false(picture_says(folder, "predicted.svg", "noise floor"));         /* far below the points */
    assert_true(picture_says(folder, "response.svg", "7 of 7 layers"));
    assert_true(picture_says(folder, "response.svg", "noise.group = 64"));
    assert_false(picture_says(folder, "predicted.svg", "noise.group"));
    store_close(&store);
}

/* An older table in the folder is not taken for this run's. */
static void test_older_tables(void **state)
{
    (void)state;
    need_gnuplot();
    const char *folder = scratch_path("older");
    Store *with = make_store("with.h5", (Made){ 3, 2, 1, 0.3, true }), *without = make_store("without.h5", (Made){ 3, 2, 1, 0, true });
    plot(with, folder);
    assert_true(picture_says(folder, "predicted.svg", "noise floor"));
    plot(without, folder);
    assert_true(exists(folder, "floor.csv"));
    assert_false(picture_says(folder, "predicted.svg", "noise floor"));
    store_close(&with);
    store_close(&without);
}

static void expect_left_out(const Store *store, const char *sentence)
{
    char *said = plot_left_out(store);
    assert_non_null(said);
    assert_string_equal(said, sentence);
    free(said);
}

static void test_left_out(void **state)
{
    (void)state;
    need_gnuplot();
    Store *store = make_store("part.h5", (Made){ 3, 3, 1, 0, false });
    const char *folder = scratch_path("part");
    expect_left_out(store, "predicted is not drawn: there is no table predictions; frontier is not drawn: there is no table predictions");
    assert_int_equal(plot(store, folder), 2 + 2 * 2);
    assert_false(exists(folder, "predicted.svg"));

    Table *clean = table_new("predictions", "");
    table_add_column(clean, COLUMN_TEXT, "model", "", "");
    add_numbers(clean, "bits kl");
    int64_t row = table_add_row(clean);
    table_set_text(clean, row, "model", "clean");
    table_set_number(clean, row, "bits", 16);
    table_set_number(clean, row, "kl", 1e-9);
    put(store, clean);
    expect_left_out(store, "predicted is not drawn: the table predictions has no column predicted_kl; "
                           "frontier is not drawn: the table predictions has no row to draw (positive kl)");
    assert_int_equal(plot(store, folder), 3 + 2 * 2);
    store_close(&store);
}

static void expect_failure(const Store *store, const char *scripts, const char *folder, const char *sentence)
{
    char **files = (char **)1;
    int n = -1;
    assert_int_equal(plot_run(store, scripts, folder, &files, &n), ERR_FILE);
    assert_string_equal(err_last(), sentence);
    assert_true(files == (char **)1 && n == -1);
}

/* A run that asked about additivity has left out none of the other pictures. */
static void test_additivity(void **state)
{
    (void)state;
    need_gnuplot();
    static const int blocks[] = { 30, 1 };
    for (int i = 0; i < 2; i++) {
        Store *store = NULL;
        char *name = xformat("additivity-%d.h5", blocks[i]), *folder = xformat("%s/additivity-%d", scratch_path(""), blocks[i]);
        assert_int_equal(store_open(&store, scratch_path(name), false), OK);
        put(store, make_ladder());
        expect_left_out(store, "additivity is not drawn: there is no table additivity; ppl_law is not drawn: there is no table additivity; "
                               "slopes is not drawn: there is no table slopes");
        put(store, make_additivity());
        put(store, make_slopes(blocks[i]));
        assert_int_equal(plot(store, folder), 3 + 2 * 4);
        assert_null(plot_left_out(store));
        assert_true(picture_says(folder, "slopes.svg", "3.25 bits") && picture_says(folder, "ladder.svg", "measured"));
        store_close(&store);
        free(name);
        free(folder);
    }
}

/* Powers of ten are where their labels say, wherever the axis begins. */
static void test_ticks(void **state)
{
    (void)state;
    need_gnuplot();
    scratch_text("ticks.gp", "set terminal dumb 60 30\nset output data.'/ticks.txt'\ncall 'plots/log_axis.gp' 'y' 30 1.3e6\nset format y '<%g>'\nplot 100\n");
    char *script = xstrdup(scratch_path("ticks.gp"));
    const GnuplotVariable folder = { "data", scratch_path("") };
    assert_int_equal(gnuplot_run(script, &folder, 1), OK);
    assert_true(picture_says(scratch_path(""), "ticks.txt", "<1000>") && picture_says(scratch_path(""), "ticks.txt", "<100>"));
    assert_false(picture_says(scratch_path(""), "ticks.txt", "<200>") || picture_says(scratch_path(""), "ticks.txt", "<2000>"));
    free(script);
}

static void test_no_gnuplot(void **state)
{
    (void)state;
    Store *store = make_store("bare.h5", (Made){ 3, 3, 1, 0, false });
    const char *folder = scratch_path("bare");
    char *path = xstrdup(getenv("PATH") ? getenv("PATH") : ""), *sentence = xformat("gnuplot is not installed; the tables are in %s/*.csv", folder);
    setenv("PATH", scratch_path("nothing"), 1);
    expect_failure(store, "plots", folder, sentence);
    setenv("PATH", path, 1);
    assert_true(exists(folder, "responses.csv") && exists(folder, "coefficients.csv"));
    assert_false(exists(folder, "response.svg"));
    free(path);
    free(sentence);
    store_close(&store);
}

/* A failing script leaves the picture of before. */
static void test_failing_script(void **state)
{
    (void)state;
    need_gnuplot();
    Store *store = make_store("broken.h5", (Made){ 3, 3, 1, 0, false });
    const char *folder = scratch_path("broken"), *scripts = scratch_path("scripts");
    plot(store, folder);
    scratch_text("broken/response.svg", "before");
    char *sentence = xformat("gnuplot failed: line 0: Cannot load input from '%s/response.gp'; the tables are in %s/*.csv", scripts, folder);
    expect_failure(store, scripts, folder, sentence);
    free(sentence);

    assert_int_equal(mkdir(scripts, 0777), 0);
    scratch_text("scripts/response.gp", "set terminal svg\nset output output.\".svg\"\nplot x\nreplot nothing_of_this_name\n");
    sentence = xformat("gnuplot failed: \"%s/response.gp\" line 4: undefined variable: nothing_of_this_name; the tables are in %s/*.csv", scripts, folder);
    expect_failure(store, scripts, folder, sentence);
    free(sentence);
    assert_true(picture_says(folder, "response.svg", "before"));
    assert_false(exists(folder, "response.tmp.svg"));

    scratch_text("scripts/response.gp", "exit");
    sentence = xformat("%s/response.svg: gnuplot left it unfinished (is the disk full?); the tables are in %s/*.csv", folder, folder);
    expect_failure(store, scripts, folder, sentence);
    free(sentence);
    sentence = xformat("%s: the folder cannot be made (File exists)", scratch_path("broken/response.svg"));
    expect_failure(store, "plots", scratch_path("broken/response.svg"), sentence);
    free(sentence);
    store_close(&store);
}

static void test_scripts_dir(void **state)
{
    (void)state;
    setenv("LINEARITY_PLOTS", "/elsewhere", 1);
    char *dir = plot_scripts_dir();
    assert_string_equal(dir, "/elsewhere");
    free(dir);
    unsetenv("LINEARITY_PLOTS");
    dir = plot_scripts_dir();
    assert_string_equal(dir, "plots");          /* there is none beside this test */
    free(dir);
}

static int remove_scratch(void **state)
{
    (void)state;
    scratch_remove();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_many_blocks),
        cmocka_unit_test(test_few_blocks_one_level),
        cmocka_unit_test(test_older_tables),
        cmocka_unit_test(test_left_out),
        cmocka_unit_test(test_additivity),
        cmocka_unit_test(test_ticks),
        cmocka_unit_test(test_no_gnuplot),
        cmocka_unit_test(test_failing_script),
        cmocka_unit_test(test_scripts_dir),
    };
    return cmocka_run_group_tests_name("plot", tests, NULL, remove_scratch);
}
