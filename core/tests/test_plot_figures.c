/* Pictures: what is drawn of which tables. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "core/report/gnuplot.h"
#include "core/tests/plot_pictures.h"
#include "core/tests/plot_tables.h"

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

/* ---- additivity ---- */

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

/* ---- lsaq ---- */

static const char *const rules[] = { "jaccard", "lim", "random-1", "random-2", "exact layers", "exact blocks" };

static void add_plan(Table *table, int pair, int rule, int high)
{
    static const char *const pairs[] = { "8/4", "4/3", "4/2" };
    const int64_t row = table_add_row(table);
    const double kl = pow(8, pair) * exp(-high / 9. + rule / 10.) / 2;
    const struct { const char *name; double value; } cell[] = { { "kl", kl }, { "kl_se", kl / 20 }, { "predicted", 1.1 * kl }, { "predicted_low", .8 * kl }, { "predicted_high", 1.5 * kl } };
    table_set_text(table, row, "pair", pairs[pair]);
    table_set_text(table, row, "rule", rules[rule]);
    table_set_text(table, row, "cost", rule < 4 ? "" : "group");
    table_set_integer(table, row, "high", high);
    table_set_integer(table, row, "bytes", 1000 + high);
    for (size_t c = 0; c < (rule == 1 && high == 15 ? 1 : 5); c++) table_set_number(table, row, cell[c].name, cell[c].value);
}

static Table *make_plans(int pairs)
{
    Table *table = table_new("plans", "");
    table_add_column(table, COLUMN_TEXT, "pair", "", "");
    table_add_column(table, COLUMN_TEXT, "rule", "", "");
    table_add_column(table, COLUMN_TEXT, "cost", "", "");
    table_add_column(table, COLUMN_INTEGER, "high", "", "");
    table_add_column(table, COLUMN_INTEGER, "bytes", "", "");
    add_numbers(table, "kl kl_se predicted predicted_low predicted_high");
    for (int i = 0; i < pairs * 5 * 6; i++) add_plan(table, i / 30, i % 6, 15 * (i / 6 % 5) / 2);
    return table;
}

static Table *make_importance(int blocks)
{
    Table *table = table_new("importance", "");
    table_add_column(table, COLUMN_TEXT, "rule", "", "");
    table_add_column(table, COLUMN_INTEGER, "block", "", "");
    table_add_column(table, COLUMN_INTEGER, "rank", "", "");
    for (int i = 0; i < 4 * blocks; i++) {
        const int64_t row = table_add_row(table);
        table_set_text(table, row, "rule", rules[i / blocks]);
        table_set_integer(table, row, "block", i % blocks);
        table_set_integer(table, row, "rank", 1 + (7 * i + i / blocks) % blocks);
    }
    return table;
}

/* One pair or as many as have panels; all rules in the key, the random ones once. */
static void test_lsaq(void **state)
{
    (void)state;
    need_gnuplot();
    for (int pairs = 1; pairs <= 3; pairs += 2) {
        Store *store = NULL;
        char *name = xformat("lsaq-%d.h5", pairs), *folder = xformat("%s/lsaq-%d", scratch_path(""), pairs);
        assert_int_equal(store_open(&store, scratch_path(name), false), OK);
        put(store, make_plans(pairs));
        expect_left_out(store, "importance is not drawn: there is no table importance");
        put(store, make_importance(pairs == 1 ? 1 : 30));
        assert_int_equal(plot(store, folder), 2 + 2 * 3);
        assert_null(plot_left_out(store));
        assert_true(picture_says(folder, "lsaq.svg", "8/4 bits") && picture_says(folder, "lsaq.svg", "exact layers") && picture_says(folder, "lsaq.svg", "random"));
        assert_int_equal(picture_says(folder, "lsaq.svg", "4/2 bits"), pairs == 3);
        assert_false(picture_says(folder, "lsaq.svg", "random-2"));
        assert_true(picture_says(folder, "importance.svg", "jaccard") && picture_says(folder, "lsaq_predicted.svg", "predicted"));
        store_close(&store);
        free(name);
        free(folder);
    }
}

/* ---- axes ---- */

/* Powers of ten are where their labels say, wherever the axis begins. */
/* ---- masks ---- */

/* On one text or two: plain models, three shares at two widths, one model that is not measured well. */
static Table *make_masks(int sides)
{
    Table *table = table_new("masks", "");
    table_add_column(table, COLUMN_TEXT, "text", "", "");
    table_add_column(table, COLUMN_INTEGER, "side", "", "");
    table_add_column(table, COLUMN_TEXT, "method", "", "");
    add_numbers(table, "ratio code_bits bits kl kl_se linear square joint");
    for (int i = 0; i < 10 * sides; i++) {
        const int side = i / 10, width = 2 + i % 10 % 2, kept = i % 10 < 4 ? 0 : i % 10 / 2;
        const double bits = width + .1 * kept, kl = (1 + side) * pow(6, -bits) * 20;
        const int64_t row = table_add_row(table);
        table_set_text(table, row, "text", side ? "other text.raw" : "a_task.jsonl");
        table_set_integer(table, row, "side", side + 1);
        table_set_text(table, row, "method", kept ? "tacq" : i % 10 < 2 ? "gptq" : "allocated");
        table_set_number(table, row, "ratio", .001 * kept);
        table_set_number(table, row, "code_bits", width);
        table_set_number(table, row, "bits", bits);
        table_set_number(table, row, "kl", kl);
        if (i % 10 != 5) table_set_number(table, row, "kl_se", i % 10 == 6 ? 2 * kl : .1 * kl);
        table_set_number(table, row, "linear", 2 * kl);
        table_set_number(table, row, "square", i % 10 == 7 ? 0 : 1.5 * kl);
        table_set_number(table, row, "joint", kl);
    }
    return table;
}

static void test_masks(void **state)
{
    (void)state;
    need_gnuplot();
    for (int sides = 1; sides <= 2; sides++) {
        Store *store = NULL;
        if (store_open(&store, scratch_path(sides == 1 ? "mask.h5" : "masks.h5"), false) != OK) fail_msg("%s", err_last());
        put(store, make_masks(sides));
        const char *folder = scratch_path(sides == 1 ? "mask" : "masks");
        assert_int_equal(plot(store, folder), 1 + 2 * 3);
        static const char *const picture[] = { "masks.svg", "mask_ratio.svg", "masks_predicted.svg" };
        for (int i = 0; i < 3; i++) {
            assert_true(picture_says(folder, picture[i], "a_task.jsonl"));
            assert_int_equal(picture_says(folder, picture[i], ".raw"), sides == 2);
        }
        assert_true(picture_says(folder, "masks.svg", "exact allocation") && picture_says(folder, "masks.svg", "tacq, 3 bits"));
        assert_false(picture_says(folder, "mask_ratio.svg", "allocated"));
        assert_null(plot_left_out(store));
        store_close(&store);
    }
}

/* Models of a run on a task or on text, where there are no accuracies and nobody asks for their picture. */
static Table *make_quantizers(bool task)
{
    Table *table = table_new("quantizers", "");
    table_add_column(table, COLUMN_TEXT, "choice", "", "");
    table_add_column(table, COLUMN_TEXT, "method", "", "");
    add_numbers(table, "bits kl kl_se ratio ratio_se near_floor");
    if (task) add_numbers(table, "acc acc_change acc_change_se acc_norm_change acc_norm_change_se");
    for (int i = 0; i < 4; i++) {
        const int64_t row = table_add_row(table);
        const struct { const char *name; double value; } cell[] = {
            { "bits", 2 + i }, { "kl", pow(6, -i) }, { "kl_se", .1 * pow(6, -i) }, { "ratio", 1 - .1 * i }, { "ratio_se", .1 }, { "near_floor", 0 },
            { "acc", .5 }, { "acc_change", -.2 / (1 + i) }, { "acc_change_se", .04 }, { "acc_norm_change", .01 * i }, { "acc_norm_change_se", NAN },
        };
        char *name = xformat("rtn-bits%d", 2 + i);
        table_set_text(table, row, "choice", name);
        table_set_text(table, row, "method", "rtn");
        for (int c = 0; c < (task ? 11 : 6); c++) table_set_number(table, row, cell[c].name, cell[c].value);
        free(name);
    }
    return table;
}

static void test_accuracies(void **state)
{
    (void)state;
    need_gnuplot();
    for (int task = 0; task < 2; task++) {
        Store *store = NULL;
        const char *folder = scratch_path(task ? "task" : "text");
        if (store_open(&store, scratch_path(task ? "task.h5" : "text.h5"), false) != OK) fail_msg("%s", err_last());
        put(store, make_quantizers(task));
        char *said = plot_left_out(store);
        assert_true(said && !strstr(said, "accuracies"));           /* predictors, whose table is not there */
        free(said);
        assert_int_equal(plot(store, folder), 1 + 2 * (1 + task));
        if (task) assert_true(picture_says(folder, "accuracies.svg", "rtn-bits5") && picture_says(folder, "accuracies.svg", "percentage points"));
        store_close(&store);
    }
}

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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_many_blocks),
        cmocka_unit_test(test_few_blocks_one_level),
        cmocka_unit_test(test_older_tables),
        cmocka_unit_test(test_additivity),
        cmocka_unit_test(test_lsaq),
        cmocka_unit_test(test_masks),
        cmocka_unit_test(test_accuracies), cmocka_unit_test(test_ticks),
    };
    return cmocka_run_group_tests_name("plot_figures", tests, NULL, scratch_teardown);
}
