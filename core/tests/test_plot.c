/* Pictures: what is left out and why, and what a failure leaves behind. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <sys/stat.h>

#include "core/report/plot.h"
#include "core/tests/plot_pictures.h"
#include "core/tests/plot_tables.h"

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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_left_out),
        cmocka_unit_test(test_no_gnuplot),
        cmocka_unit_test(test_failing_script),
        cmocka_unit_test(test_scripts_dir),
    };
    return cmocka_run_group_tests_name("plot", tests, NULL, scratch_teardown);
}
