/*
 * test_program_alpha.c - `linearity alpha`: its numbers against exact Fisher traces, its stop rule, and what it says
 */
#include <glob.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <time.h>

#include "core/tests/bad_input.h"
#include "core/tests/program_models.h"
#include "core/tests/program_tokenizer.h"

enum { LAYERS = 14, SCORED = 11 };
static const double LARGEST_Z = 4.5;

/* ---- texts and answers ---- */

/* A golden sequence as many times over: each window has a probe of its own. */
static const char *copies(const char *name, int windows)
{
    json_t *root = json_load_file(TINY "/golden.json", 0, NULL), *ids = json_object_get(json_object_get(root, "fisher"), "ids");
    char *text = NULL;
    size_t n;
    FILE *out = open_memstream(&text, &n);
    assert_int_equal(json_array_size(ids), SCORED + 1);
    for (int w = 0; w < windows; w++)
        for (size_t i = 0; i <= SCORED; i++) fprintf(out, "%d%c", (int)json_integer_value(json_array_get(ids, i)), i < SCORED ? ' ' : '\n');
    fclose(out);
    const char *path = scratch_text(name, text);
    free(text);
    json_decref(root);
    return path;
}

/* Windows of three ids each: two scored tokens, so heavy tails. */
static const char *triples(const char *name, int windows)
{
    char *text = NULL;
    size_t n;
    FILE *out = open_memstream(&text, &n);
    for (int w = 0; w < windows; w++) fprintf(out, "%d %d %d\n", 37 * w % 97, 11 * w % 89, 53 * w % 83);
    fclose(out);
    const char *path = scratch_text(name, text);
    free(text);
    return path;
}

static json_t *parse(const char *out)
{
    json_error_t error;
    json_t *root = json_loads(out, 0, &error);
    if (!root) print_error("%s in: %.300s\n", error.text, out);
    assert_non_null(root);
    return root;
}

/* alpha --json --quiet with further words. */
static json_t *alpha(const char *model, ...)
{
    const char *words[MOST_WORDS + 1] = { "alpha", model, "--json", "--quiet", "--group=16" };
    va_list args;
    va_start(args, model);
    for (int n = 5; (words[n] = va_arg(args, const char *)); n++) assert_true(n < MOST_WORDS);
    va_end(args);
    Ran ran = program_words(words);
    if (ran.status) print_error("%s", ran.err);
    assert_int_equal(ran.status, 0);
    assert_null(strstr(ran.out, "nan"));
    json_t *root = parse(ran.out);
    ran_free(&ran);
    return root;
}

static double number(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);
    if (!json_is_number(value)) print_error("%s is no number\n", key);
    assert_true(json_is_number(value));
    return json_number_value(value);
}

static bool is_null(const json_t *object, const char *key) { return json_is_null(json_object_get(object, key)); }
static const char *text_of(const json_t *object, const char *key) { return json_string_value(json_object_get(object, key)); }

static void assert_keys(const json_t *object, const char *keys)
{
    char *list = xstrdup(keys);
    for (char *key = strtok(list, " "); key; key = strtok(NULL, " ")) {
        if (!json_object_get(object, key)) print_error("no key %s\n", key);
        assert_non_null(json_object_get(object, key));
    }
    free(list);
}

static const json_t *layer(const json_t *root, int i) { return json_array_get(json_object_get(root, "layers"), (size_t)i); }

static void assert_z(const json_t *l, const char *key, double expected)
{
    char *se = xformat("%s_se", key);
    double z = (number(l, key) - expected) / number(l, se);
    if (!(fabs(z) <= LARGEST_Z)) print_error("%s of %s: %g, not %g, z = %g\n", key, text_of(l, "name"), number(l, key), expected, z);
    assert_true(fabs(z) <= LARGEST_Z);
    free(se);
}

/* ---- numbers ---- */

static void fisher_is_the_trace(void **state)
{
    (void)state;
    enum { WINDOWS = 1024 };
    static const char *const type[] = { "self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj", "mlp.gate_proj", "mlp.up_proj", "mlp.down_proj" };
    json_t *golden = json_load_file(TINY "/golden.json", 0, NULL), *matrices = json_object_get(json_object_get(golden, "fisher"), "matrices");
    json_t *root = alpha(TINY, copies("a.ids", WINDOWS), "--regret=0", NULL);
    assert_keys(root, "estimator metric group windows layers forward_equivalents seconds tokens first_token regret regret_target windows_needed");
    assert_string_equal(text_of(root, "estimator"), "fisher");
    assert_string_equal(text_of(root, "metric"), "nats/token");
    assert_true(number(root, "group") == 16 && number(root, "windows") == WINDOWS && number(root, "tokens") == WINDOWS * SCORED);
    assert_true(number(root, "forward_equivalents") > 2 && number(root, "forward_equivalents") < 5);
    assert_int_equal(json_array_size(json_object_get(root, "layers")), LAYERS);
    double sum = 0;
    for (int i = 0; i < LAYERS; i++) {
        char key[64];
        const json_t *l = layer(root, i);
        assert_keys(l, "name alpha alpha_se alpha_sigma alpha_sigma_se rho contrast_se alpha_robust");
        snprintf(key, sizeof key, "layers.%d.%s", i / 7, type[i % 7]);
        const json_t *exact = json_object_get(matrices, key);
        assert_z(l, "alpha", number(exact, "group_scaled") / (2 * SCORED));
        assert_z(l, "alpha_sigma", number(exact, "mean_w2_trF") / (2 * SCORED));
        assert_z(l, "rho", number(exact, "rho") / (2 * SCORED));
        sum += number(l, "alpha");
    }
    assert_true(fabs(sum - number(root, "alpha_sum")) <= 1e-12 * sum);
    json_decref(root);
    json_decref(golden);
}

/* Noise in one layer at a time: another estimator of the same numbers. */
static void injection_agrees(void **state)
{
    (void)state;
    const char *text = copies("a.ids", 512);
    json_t *fisher = alpha(TINY, text, "--regret=0", NULL), *inject = alpha(TINY, text, "--estimator=inject", "--t2=0.0001", NULL);
    assert_string_equal(text_of(inject, "estimator"), "inject");
    assert_string_equal(text_of(inject, "metric"), "nats/token");
    for (int i = 0; i < LAYERS; i++) {
        const json_t *a = layer(inject, i), *b = layer(fisher, i);
        double z = (number(a, "alpha") - number(b, "alpha")) / hypot(number(a, "alpha_se"), number(b, "alpha_se"));
        if (!(fabs(z) <= LARGEST_Z)) print_error("%s: %g by noise, %g by gradients, z = %g\n", text_of(a, "name"), number(a, "alpha"), number(b, "alpha"), z);
        assert_true(fabs(z) <= LARGEST_Z);
        assert_true(is_null(a, "alpha_sigma") && is_null(a, "alpha_sigma_se") && is_null(a, "rho"));
    }
    assert_true(number(inject, "forward_equivalents") > 7);
    json_decref(fisher);
    json_decref(inject);
}

static void paper_is_in_ppl(void **state)
{
    (void)state;
    json_t *root = alpha(TINY, copies("a.ids", 4), "--estimator=paper", "--draws=3", NULL);
    assert_string_equal(text_of(root, "metric"), "PPL");
    assert_string_equal(text_of(root, "scale"), "matrix");
    assert_true(is_null(root, "regret") && is_null(root, "regret_target"));
    for (int i = 0; i < LAYERS; i++) {
        const json_t *l = layer(root, i);
        assert_true(number(l, "alpha") == number(l, "alpha_sigma") && number(l, "alpha_se") > 0 && is_null(l, "rho") && is_null(l, "contrast_se"));
    }
    assert_true(number(root, "forward_equivalents") > 3 * 15 * LAYERS * .4);
    json_decref(root);
}

static void robust_means_are_capped_ones(void **state)
{
    (void)state;
    const char *text = triples("triples.ids", 64);
    json_t *plain = alpha(TINY, text, "--regret=0", NULL), *robust = alpha(TINY, text, "--regret=0", "--robust", NULL);
    int changed = 0;
    assert_true(is_null(plain, "robust_cap") && number(robust, "robust_cap") == 5);
    for (int i = 0; i < LAYERS; i++) {
        const json_t *a = layer(plain, i), *b = layer(robust, i);
        assert_true(number(a, "alpha_robust") == number(b, "alpha") && number(b, "alpha_plain") == number(a, "alpha"));
        assert_true(number(a, "windows_capped") == number(b, "windows_capped"));
        changed += number(a, "windows_capped") > 0 && number(b, "alpha") < number(a, "alpha");
    }
    assert_true(changed > 0);
    json_decref(plain);
    json_decref(robust);
}

/* ---- how much text ---- */

/* The first n windows are the same, to the last bit. */
static void assert_begins(const json_t *longer, const json_t *shorter, size_t n)
{
    const json_t *a = json_object_get(longer, "window_alpha"), *b = json_object_get(shorter, "window_alpha");
    assert_true(json_array_size(a) >= n && json_array_size(b) == n);
    for (size_t w = 0; w < n; w++) assert_true(json_number_value(json_array_get(a, w)) == json_number_value(json_array_get(b, w)));
}

static void stop_rule(void **state)
{
    (void)state;
    const char *text = copies("a.ids", 50);
    json_t *all = alpha(TINY, text, "--regret=0", NULL), *loose = alpha(TINY, text, "--regret=0.5", NULL), *strict = alpha(TINY, text, "--regret=1e-9", NULL);
    assert_true(number(all, "windows") == 50 && is_null(all, "regret_met") && is_null(all, "windows_needed"));
    assert_true(number(loose, "windows") == 8 && number(loose, "windows_most") == 50 && json_is_true(json_object_get(loose, "regret_met")));
    assert_true(number(loose, "regret") > 0 && number(loose, "regret") <= .5);
    assert_true(number(strict, "windows") == 50 && json_is_false(json_object_get(strict, "regret_met")) && number(strict, "windows_needed") > 1000);
    assert_begins(all, loose, 8);
    assert_begins(strict, all, 50);
    for (int i = 0; i < LAYERS; i++) assert_true(json_equal((json_t *)layer(all, i), (json_t *)layer(strict, i)));
    assert_true(number(strict, "regret") == number(all, "regret"));
    char *between = xformat("--regret=%.17g", number(all, "regret") * 2);       /* falls as 1 / windows: reached at about 25 of 50 */
    json_t *half = alpha(TINY, text, between, NULL);
    assert_true(number(half, "windows") == 16 || number(half, "windows") == 32);
    assert_true(number(half, "regret") <= 2 * number(all, "regret") && number(half, "regret") > 0);
    assert_begins(all, half, (size_t)number(half, "windows"));
    free(between);
    json_decref(all), json_decref(loose), json_decref(strict), json_decref(half);
    json_t *one = alpha(TINY, text, "--windows=1", NULL);
    assert_true(is_null(one, "regret") && is_null(one, "regret_met") && is_null(layer(one, 0), "alpha_se") && number(layer(one, 0), "alpha") > 0);
    json_decref(one);
}

/* The text of `run` with the same seed, sampled at once; here it comes in rounds. */
static void sampled_text(void **state)
{
    (void)state;
    const char *model = model_copy("singer", TINY);
    tokenizer_write("singer", true);
    char *config = xformat("experiment: sensitivity\nmodel: %s\ntext: {sample: {windows: 20, length: 24, seed: 7}}\nlayers: blocks.0.q\noutput: %s\n", model, scratch_path("run.h5"));
    Ran ran = program("run", scratch_text("run.yaml", config), "--quiet", NULL);
    assert_int_equal(ran.status, 0);
    ran_free(&ran);
    glob_t found;
    assert_int_equal(glob(scratch_path("run/sampled-*.ids"), 0, NULL, &found), 0);
    json_t *kept = alpha(model, found.gl_pathv[0], "--seed=7", "--regret=0", NULL);
    json_t *own = alpha(model, "--seed=7", "--length=24", "--windows=20", "--regret=1e-9", NULL), *few = alpha(model, "--seed=7", "--length=24", "--regret=1", NULL);
    assert_true(number(own, "windows") == 20 && number(own, "tokens") == 20 * 23 && number(few, "windows") == 8 && number(few, "windows_most") == 128);
    assert_string_equal(text_of(own, "first_token"), "ordinary");
    assert_string_equal(text_of(own, "protocol"), "sampled");
    assert_begins(own, kept, 20);
    assert_begins(own, few, 8);
    json_decref(kept), json_decref(own), json_decref(few);
    globfree(&found);
    free(config);
}

/* ---- what is kept ---- */

static void kept_windows_are_not_measured_again(void **state)
{
    (void)state;
    const char *text = copies("a.ids", 24);
    char *out = xformat("--out=%s", scratch_path("kept.h5"));
    json_t *first = alpha(TINY, text, "--regret=0", "--windows=8", out, NULL), *all = alpha(TINY, text, "--regret=0", out, NULL), *again = alpha(TINY, text, "--regret=0", out, NULL);
    json_t *fresh = alpha(TINY, text, "--regret=0", NULL);
    assert_begins(all, first, 8);
    assert_true(json_equal(all, again));                        /* seconds too: those of the windows when they were measured */
    assert_true(json_equal(json_object_get(all, "layers"), json_object_get(fresh, "layers")));
    Ran timings = program("export", scratch_path("kept.h5"), "timings", NULL);
    int rows = 0;
    for (const char *c = timings.out; *c; c++) rows += *c == '\n';
    assert_int_equal(rows, 1 + 24);
    ran_free(&timings);
    Ran other = program("alpha", TINY, text, "--backend=ref", out, NULL);
    assert_int_equal(other.status, 1);
    assert_non_null(strstr(other.err, "one file does not mix them"));
    ran_free(&other);
    free(out);
    json_decref(first), json_decref(all), json_decref(again), json_decref(fresh);
}

static void interrupt(void **state)
{
    (void)state;
    const struct timespec pause = { 0, 1000000 };
    char *out = xformat("--out=%s", scratch_path("stopped.h5")), *journal = xstrdup(scratch_path("stopped.h5.journal")), *err = xstrdup(scratch_path("stopped.err"));
    const char *words[] = { "alpha", TINY, copies("long.ids", 20000), "--regret=0", "--quiet", out, NULL };
    pid_t pid = program_start(words, scratch_path("stopped.out"), err);
    for (int i = 0; i < 20000 && !file_there(journal); i++) nanosleep(&pause, NULL);
    kill(pid, SIGINT);
    assert_int_equal(program_wait(pid), 130);
    char *said = file_read(err, NULL);
    assert_non_null(strstr(said, "linearity: interrupted; what is measured is kept in "));
    assert_true(file_there(scratch_path("stopped.h5")) && !file_there(journal));
    free(said), free(out), free(journal), free(err);
}

/* ---- what people see ---- */

static void same_bytes_for_any_threads(void **state)
{
    (void)state;
    const char *text = copies("a.ids", 16);
    static const char *const estimator[] = { "--estimator=fisher", "--estimator=inject" };
    for (int i = 0; i < 2; i++) {
        Ran one = program("alpha", TINY, text, estimator[i], "--json", "--threads=1", NULL), two = program("alpha", TINY, text, estimator[i], "--json", "--threads=2", NULL);
        char *end = strstr(one.out, "\"seconds\":");
        assert_non_null(end);
        assert_int_equal(strncmp(one.out, two.out, (size_t)(end - one.out)), 0);
        assert_int_equal(one.status, 0);
        ran_free(&one);
        ran_free(&two);
    }
}

static Ran said(const char *model, const char *text, const char *word)
{
    Ran ran = program("alpha", model, text, word, NULL);
    int lines = 0;
    assert_int_equal(ran.status, 0);
    assert_null(strstr(ran.out, "nan"));
    for (const char *line = ran.out; *line; line += strcspn(line, "\n") + 1, lines++) assert_true(strcspn(line, "\n") <= 140);
    assert_true(lines > 15 && lines <= 26);
    return ran;
}

static void text_output(void **state)
{
    (void)state;
    static const struct { const char *model, *word, *parts[4]; } seen[] = {
        { TINY, "--regret=1", { "enough after 8 of at most 24 windows", "blocks.1.down", "ordinary token", "24 windows" } },
        { TINY, "--regret=1e-9", { "(asked: 1e-07 %)", "windows would do it", "264 tokens scored", "forward passes" } },
        { TINY, "--windows=1", { "one window has no error", "protocol documents", "linearity run", "all " } },
        { TINY, "--estimator=paper", { "[PPL]", "alike in a matrix", "over windows and draws", "of the PPL" } },
        { "start", "--bos=yes", { "WARNING", "begin with a special token", "block 0", "with BOS" } },
    };
    const char *text = copies("a.ids", 24), *start = model_copy("start", TINY);
    tokenizer_write("start", true);
    for (size_t i = 0; i < sizeof seen / sizeof *seen; i++) {
        Ran ran = said(!strcmp(seen[i].model, "start") ? start : TINY, text, seen[i].word);
        for (int p = 0; p < 4; p++) {
            if (!strstr(ran.out, seen[i].parts[p])) print_error("%s: '%s' is not in\n%s\n", seen[i].word, seen[i].parts[p], ran.out);
            assert_non_null(strstr(ran.out, seen[i].parts[p]));
        }
        assert_true(i > 0 || strstr(ran.err, "8/8 windows  100%"));
        ran_free(&ran);
    }
}

/* What is measured counts, even where memory has no room for the windows that the target asks for. */
static void short_of_memory(void **state)
{
    (void)state;
    json_t *root = alpha(TINY, copies("long.ids", 5000), "--regret=1e-9", "--memory=2MB", NULL), *all = alpha(TINY, scratch_path("long.ids"), "--regret=1e-9", "--windows=64", NULL);
    const double n = number(root, "windows");
    assert_true(n >= 64 && n < 5000 && json_is_false(json_object_get(root, "regret_met")));
    assert_begins(root, all, 64);
    json_decref(root), json_decref(all);
    Ran ran = program("alpha", TINY, scratch_path("long.ids"), "--regret=1e-9", "--memory=2MB", "--quiet", NULL);
    assert_non_null(strstr(ran.out, "memory is short: --memory, or shorter windows"));
    ran_free(&ran);
}

static void make_short(void) { scratch_text("short.txt", "a tale"); }
static void make_singer(void) { model_copy("reader", TINY), tokenizer_write("reader", false), make_short(); }
static void make_ids(void) { copies("a.ids", 4); }

static void make_long(void) { copies("long.ids", 5000); }

static const BadInput usage[] = {
    { "estimator with a slip", 2, { "alpha", TINY, "--estimator", "fischer" }, { "--estimator must be fisher, inject or paper", "'fischer'" }, NULL },
    { "group of nothing", 2, { "alpha", TINY, "--group", "0" }, { "--group", "from 1 to 1000000" }, NULL },
    { "no windows", 2, { "alpha", TINY, "--windows=0" }, { "--windows", "from 1 to" }, NULL },
    { "negative regret", 2, { "alpha", TINY, "--regret=-1" }, { "--regret", "from 0 to 1" }, NULL },
    { "no model", 2, { "alpha" }, { "too few arguments", "linearity alpha MODEL [TEXT]" }, NULL },
    { "two texts", 2, { "alpha", TINY, "a.ids", "b.ids" }, { "one argument too many" }, NULL },
    { "level where nothing is injected", 1, { "alpha", TINY, "@a.ids", "--t2=0.1" }, { "--t2 is of --estimator inject; fisher does without" }, make_ids },
    { "stop rule where there is none", 1, { "alpha", TINY, "@a.ids", "--estimator=paper", "--regret=0.1" }, { "--regret is of --estimator fisher" }, make_ids },
    { "context of sampled text", 1, { "alpha", TINY, "--context=8" }, { "--context is of a TEXT", "--length" }, NULL },
    { "length of a file's windows", 1, { "alpha", TINY, "@a.ids", "--length=8" }, { "--length is of sampled text", "--context" }, make_ids },
    { "length beyond the model", 1, { "alpha", TINY, "--length=513" }, { "--length 513", "context of 512" }, NULL },
    { "no tokenizer to sample with", 1, { "alpha", TINY, "--quiet" }, { "tokenizer.json", "needs the tokenizer", "a TEXT of token ids" }, NULL },
    { "no tokenizer for the text", 1, { "alpha", TINY, "@short.txt" }, { "tokenizer.json", ".ids file need no tokenizer" }, make_short },
    { "text too short", 1, { "alpha", "@reader", "@short.txt", "--context=64" }, { "short.txt", "64" }, make_singer },
    { "no such text", 1, { "alpha", TINY, "@there-is-none.ids" }, { "there-is-none.ids" }, NULL },
    { "hardly any memory", 1, { "alpha", TINY, "@long.ids", "--memory=1000000", "--regret=0" }, { "need at least", "memory" }, make_long },
    { "results file that is none", 1, { "alpha", TINY, "@a.ids", "--out", "@a.ids" }, { "a.ids" }, make_ids },
};

static void bad_usage(void **state)
{
    (void)state;
    BAD_CHECK_ALL(usage);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fisher_is_the_trace), cmocka_unit_test(injection_agrees), cmocka_unit_test(paper_is_in_ppl), cmocka_unit_test(robust_means_are_capped_ones),
        cmocka_unit_test(stop_rule), cmocka_unit_test(sampled_text), cmocka_unit_test(kept_windows_are_not_measured_again), cmocka_unit_test(interrupt),
        cmocka_unit_test(same_bytes_for_any_threads), cmocka_unit_test(text_output), cmocka_unit_test(short_of_memory),
        cmocka_unit_test(bad_usage),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    scratch_remove();
    return failed;
}
