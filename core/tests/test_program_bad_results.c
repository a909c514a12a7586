/*
 * test_program_bad_results.c - tables that cannot be allocated from, results files that are none, and
 * places that cannot be written
 */
#include <hdf5.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <sys/file.h>

#include "core/tests/bad_input.h"
#include "core/tests/program_models.h"

/* ---- tables for allocate ---- */

#define HEADER "layer,weights,choice,bits,cost\n"

static void make_no_column(void) { scratch_text("no-column.csv", "layer,weights,choice,bits\na,100,x,2\n"); }
static void make_ragged(void) { scratch_text("ragged.csv", HEADER "a,100,x,2,1\na,100,y,4\n"); }
static void make_nan(void) { scratch_text("nan.csv", HEADER "a,100,x,2,1\na,100,y,4,nan\n"); }
static void make_hole(void) { scratch_text("hole.csv", HEADER "a,100,x,2,1\na,100,y,,0\n"); }
static void make_infinite(void) { scratch_text("infinite.csv", HEADER "a,100,x,2,1\na,100,y,inf,0\n"); }
static void make_words(void) { scratch_text("words.csv", HEADER "a,100,x,two,1\n"); }
static void make_twice(void) { scratch_text("twice.csv", HEADER "a,100,x,2,1\nb,100,x,2,1\na,100,x,4,0\n"); }
static void make_weights(void) { scratch_text("weights.csv", HEADER "a,100,x,2,1\na,120,y,4,0\n"); }
static void make_half(void) { scratch_text("half.csv", HEADER "a,100.5,x,2,1\n"); }
static void make_no_rows(void) { scratch_text("no-rows.csv", HEADER); }
static void make_no_bytes(void) { scratch_text("no-bytes.csv", ""); }
static void make_two_heads(void) { scratch_text("two-heads.csv", "layer,weights,choice,bits,cost,bits\na,100,x,2,1,2\n"); }
static void make_semicolons(void) { scratch_text("semicolons.csv", "layer;weights;choice;bits;cost\na;100;x;2;1\n"); }
static void make_quote(void) { scratch_text("quote.csv", HEADER "a,100,\"x,2,1\n"); }
static void make_table(void) { scratch_text("good.csv", HEADER "a,100,x,2.25,1\na,100,y,4,0\nb,300,x,3.25,1\n"); }

static const BadInput tables[] = {
    { "no such table", 1, { "allocate", "@nothing.csv", "--budget", "3" }, { "nothing.csv: there is no such file" }, NULL },
    { "missing column", 1, { "allocate", "@no-column.csv", "--budget", "3" }, { "has no column 'cost'", "layer, weights, choice, bits, cost" }, make_no_column },
    { "ragged row", 1, { "allocate", "@ragged.csv", "--budget", "3" }, { "ragged.csv:3: 4 cells where the header has 5" }, make_ragged },
    { "NaN in a table", 1, { "allocate", "@nan.csv", "--budget", "3" }, { "nan.csv:3: the cell 'cost' is empty or not a number" }, make_nan },
    { "missing cell", 1, { "allocate", "@hole.csv", "--budget", "3" }, { "hole.csv:3: the cell 'bits' is empty" }, make_hole },
    { "infinite bits", 1, { "allocate", "@infinite.csv", "--budget", "3" }, { "infinite.csv:3: the cell 'bits' is infinite" }, make_infinite },
    { "words for numbers", 1, { "allocate", "@words.csv", "--budget", "3" }, { "column 'bits' must hold numbers, not 'two'" }, make_words },
    { "choice given twice", 1, { "allocate", "@twice.csv", "--budget", "3" }, { "twice.csv:4: layer 'a' has the choice 'x' twice" }, make_twice },
    { "two sizes of one layer", 1, { "allocate", "@weights.csv", "--budget", "3" }, { "weights.csv:3: layer 'a' has 100 weights in an earlier row and 120 here" }, make_weights },
    { "half a weight", 1, { "allocate", "@half.csv", "--budget", "3" }, { "half.csv:2: weights must be a whole number" }, make_half },
    { "header alone", 1, { "allocate", "@no-rows.csv", "--budget", "3" }, { "no-rows.csv: there is nothing to allocate" }, make_no_rows },
    { "table of no bytes", 1, { "allocate", "@no-bytes.csv", "--budget", "3" }, { "no-bytes.csv", "header line" }, make_no_bytes },
    { "column given twice", 1, { "allocate", "@two-heads.csv", "--budget", "3" }, { "two columns are named 'bits'" }, make_two_heads },
    { "semicolons", 1, { "allocate", "@semicolons.csv", "--budget", "3" }, { "semicolons.csv:1", "separated by commas" }, make_semicolons },
    { "quote left open", 1, { "allocate", "@quote.csv", "--budget", "3" }, { "quote.csv:2: a quote is opened and never closed" }, make_quote },
    { "budget that nothing fits", 1, { "allocate", "@good.csv", "--budget", "2.5" }, { "good.csv: no allocation fits 2.5 bits per weight", "the least that fits is 3.000000" }, make_table },
    { "second budget too small", 1, { "allocate", "@good.csv", "--budget", "4", "--budget", "1", "--json" }, { "no allocation fits 1 bits" }, make_table },
};

/* ---- results files ---- */

static const char config[] = "experiment: sensitivity\nestimator: inject\nmodel: " TINY "\ntext: {random: {windows: 2, length: 8}}\n"
                             "layers: blocks.0.q\nnoise: {t2: 0.1}\nbootstrap: 100\n";

static void make_text(void) { scratch_text("text.h5", "not HDF5 at all\n"); }
static void make_no_h5(void) { scratch_text("no-bytes.h5", ""); }
static void make_folder(void) { mkdir(scratch_path("folder.h5"), 0777); }

static void make_other(void)
{
    hid_t file = H5Fcreate(scratch_path("other.h5"), H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT);
    assert_true(file >= 0);
    H5Fclose(file);
}

static void make_results(void)
{
    if (file_there(scratch_path("good.h5"))) return;
    char *set = xformat("output=%s", scratch_path("good.h5"));
    Ran ran = program("run", scratch_text("good.yaml", config), "--quiet", "--set", set, NULL);
    assert_int_equal(ran.status, 0);
    ran_free(&ran);
    free(set);
    file_cut("short.h5", scratch_path("good.h5"), -2000);
    size_t n;
    char *bytes = file_read(scratch_path("good.h5"), &n);
    bytes[n / 2] ^= 4;
    scratch_bytes("damaged.h5", bytes, n);
    free(bytes);
}

static const BadInput results[] = {
    { "no such results", 1, { "export", "@nothing.h5", "runs" }, { "nothing.h5", "No such file" }, NULL },
    { "results in no folder", 1, { "export", "@no/where.h5" }, { "no/where.h5" }, NULL },
    { "text as results", 1, { "export", "@text.h5" }, { "a text file, not the results of a run" }, make_text },
    { "nothing as results", 1, { "export", "@no-bytes.h5" }, { "an empty file" }, make_no_h5 },
    { "folder as results", 1, { "export", "@folder.h5" }, { "a folder, not the results of a run" }, make_folder },
    { "HDF5 of another program", 1, { "export", "@other.h5" }, { "HDF5 file of another program" }, make_other },
    { "truncated results", 1, { "export", "@short.h5" }, { "short.h5", "damaged" }, make_results },
    { "damaged results", 1, { "export", "@damaged.h5" }, { "damaged.h5", "damaged" }, make_results },
    { "unknown table", 1, { "export", "@good.h5", "coeficients" }, { "no table 'coeficients'; did you mean 'coefficients'?", "responses" }, make_results },
    { "table unlike any", 1, { "export", "@good.h5", "everything" }, { "no table 'everything'; there are measurements", "responses" }, make_results },
    { "pictures of no run", 1, { "plot", "@text.h5" }, { "a text file, not the results of a run" }, make_text },
};

/* ---- places to write ---- */

static int held = -1;

static void make_config(void) { scratch_text("run.yaml", config); }

static void make_locked(void)
{
    make_config();
    scratch_text("locked.h5.lock", "4711\n");
    held = open(scratch_path("locked.h5.lock"), O_RDWR | O_CLOEXEC);
    assert_int_equal(flock(held, LOCK_EX), 0);
}

static void make_outputs(void)
{
    make_config();
    make_text();
    make_folder();
    make_other();
    scratch_text("results", "a file where a folder should be\n");
    scratch_text("blocked", "a file with the name of the pictures' folder\n");
}

static const BadInput places[] = {
    { "output is a folder", 1, { "run", "@run.yaml", "--quiet", "--set", "output=@folder.h5" }, { "folder.h5: a folder" }, make_outputs },
    { "output is a text", 1, { "run", "@run.yaml", "--quiet", "--set", "output=@text.h5" }, { "text.h5: a text file" }, make_outputs },
    { "output is another program's", 1, { "run", "@run.yaml", "--quiet", "--set", "output=@other.h5" }, { "other.h5", "another program" }, make_outputs },
    { "output below a file", 1, { "run", "@run.yaml", "--quiet", "--set", "output=@results/a.h5" }, { "results/a.h5" }, make_outputs },
    { "output in a folder of no folder", 1, { "run", "@run.yaml", "--quiet", "--set", "output=@a/b/c.h5" }, { "there is no folder", "a/b" }, make_outputs },
    { "pictures' folder is a file", 1, { "run", "@run.yaml", "--quiet", "--set", "output=@blocked.h5" }, { "blocked", "cannot be made" }, make_outputs },
    { "output in use", 1, { "run", "@run.yaml", "--quiet", "--set", "output=@locked.h5" }, { "process 4711 is writing to it", "choose another output" }, make_locked },
    { "dry run onto a text", 1, { "run", "@run.yaml", "--dry-run", "--set", "output=@text.h5" }, { "text.h5: a text file" }, make_outputs },
};

static void make_sealed(void)
{
    make_config();
    mkdir(scratch_path("sealed"), 0500);
}

static const BadInput sealed[] = {
    { "output in a sealed folder", 1, { "run", "@run.yaml", "--quiet", "--set", "output=@sealed/a.h5" }, { "sealed/a.h5: cannot be written", "Permission denied" }, make_sealed },
};

static void test_tables(void **state) { (void)state; BAD_CHECK_ALL(tables); }
static void test_results(void **state) { (void)state; BAD_CHECK_ALL(results); }

static void test_places(void **state)
{
    (void)state;
    BAD_CHECK_ALL(places);
    close(held);
}

static void test_sealed_folder(void **state)
{
    (void)state;
    if (geteuid() == 0) {
        print_message("SKIPPED: root may write anywhere\n");
        skip();
    }
    BAD_CHECK_ALL(sealed);
}

/* Results that do not reach the disk are a failure, not a success. */
static void check_full(const char *const *words)
{
    const char *said_path = scratch_path("full.err");
    int status = program_wait(program_start(words, "/dev/full", said_path));
    char *said = file_read(said_path, NULL);
    if (status != 1) print_error("%s: %d, %s\n", words[0], status, said);
    assert_int_equal(status, 1);
    assert_non_null(strstr(said, "cannot be written"));
    assert_non_null(strstr(said, "No space left"));
    free(said);
}

static void test_full_disk(void **state)
{
    (void)state;
    make_results();
    scratch_text("a.ids", "1 2 3\n4 5 6\n");
    check_full((const char *const[]){ "export", scratch_path("good.h5"), "responses", NULL });
    check_full((const char *const[]){ "export", scratch_path("good.h5"), "responses", "--format", "md", NULL });
    check_full((const char *const[]){ "ppl", TINY, scratch_path("a.ids"), "--json", "--quiet", NULL });
    check_full((const char *const[]){ "--help", NULL });
    check_full((const char *const[]){ "--version", NULL });
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tables), cmocka_unit_test(test_results), cmocka_unit_test(test_places), cmocka_unit_test(test_sealed_folder),
        cmocka_unit_test(test_full_disk),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    scratch_remove();
    return failed;
}
