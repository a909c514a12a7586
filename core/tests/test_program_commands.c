/*
 * test_program_commands.c - every command but `run`: what it prints, as text and as JSON, is what the
 * manual says
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <zlib.h>

#include "core/tests/program_models.h"
#include "core/tests/program_tokenizer.h"

static const char ids[] = "5 17 3 88 96 0 12 44\n1 2 3 4 5 6\n90 80 70 60 50 40 30\n";
static const char words[] = "the wind in the water, the words in a tale.\nand then it went on as it was told to win.\n";

static json_t *parse(const Ran *ran)
{
    json_error_t error;
    if (ran->status != 0) print_error("%s", ran->err);
    assert_int_equal(ran->status, 0);
    assert_null(strstr(ran->out, "nan"));
    assert_null(strstr(ran->out, "inf\""));
    json_t *root = json_loads(ran->out, 0, &error);
    if (!root) print_error("%s in: %.200s\n", error.text, ran->out);
    assert_non_null(root);
    return root;
}

/* The keys of object, no more and no fewer. */
static void assert_keys(const json_t *object, const char *keys)
{
    char *list = xstrdup(keys);
    size_t n = 0;
    for (char *key = strtok(list, " "); key; key = strtok(NULL, " "), n++) {
        if (!json_object_get(object, key)) print_error("no key %s\n", key);
        assert_non_null(json_object_get(object, key));
    }
    assert_int_equal(json_object_size(object), n);
    free(list);
}

static double number(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);
    assert_true(json_is_number(value));
    return json_number_value(value);
}

/* The text behind "key": reads back as the same double, so no digit is missing. */
static void assert_exact(const char *out, const char *key, double value)
{
    char *pattern = xformat("\"%s\":", key), shown[64], *end;
    const char *at = strstr(out, pattern);
    assert_non_null(at);
    at += strlen(pattern);
    assert_true(strtod(at, &end) == value);
    snprintf(shown, sizeof shown, "%.17g", value);
    assert_int_equal(end - at, strlen(shown));
    assert_memory_equal(at, shown, strlen(shown));
    free(pattern);
}

/* ---- ppl ---- */

static void test_ppl(void **state)
{
    (void)state;
    Ran ran = program("ppl", TINY, scratch_text("a.ids", ids), "--json", "--quiet", NULL);
    json_t *root = parse(&ran), *window = json_object_get(root, "window_nll");
    assert_string_equal(ran.err, "");
    assert_keys(root, "nll nll_se ppl tokens windows window_nll protocol context bos seconds tokens_per_second");
    assert_exact(ran.out, "nll", number(root, "nll"));
    assert_exact(ran.out, "ppl", exp(number(root, "nll")));
    assert_int_equal(number(root, "tokens"), 7 + 5 + 6);
    assert_int_equal(number(root, "windows"), 3);
    assert_string_equal(json_string_value(json_object_get(root, "protocol")), "documents");
    assert_true(json_is_false(json_object_get(root, "bos")));
    double sum = 0;
    const int tokens[] = { 7, 5, 6 };
    for (int w = 0; w < 3; w++) sum += tokens[w] * json_number_value(json_array_get(window, (size_t)w));
    assert_true(fabs(sum / 18 - number(root, "nll")) <= 1e-14);
    assert_true(number(root, "nll_se") > 0 && number(root, "nll_se") < 1);
    json_decref(root);
    ran_free(&ran);
}

static void test_one_window_has_no_error(void **state)
{
    (void)state;
    const char *text = scratch_text("a.ids", ids);
    Ran ran = program("ppl", TINY, text, "--windows", "1", "--json", NULL);
    json_t *root = parse(&ran);
    assert_true(json_is_null(json_object_get(root, "nll_se")));
    assert_int_equal(json_array_size(json_object_get(root, "window_nll")), 1);
    json_decref(root);
    ran_free(&ran);
    ran = program("ppl", TINY, text, "--windows=1", NULL);
    assert_int_equal(ran.status, 0);
    assert_non_null(strstr(ran.out, "no standard error"));
    assert_null(strstr(ran.out, "nan"));
    ran_free(&ran);
    ran = program("kl", TINY, TINY, text, "--windows=1", "--quiet", NULL);
    assert_int_equal(ran.status, 0);
    assert_null(strstr(ran.out, "nan"));
    ran_free(&ran);
}

static void test_text_output(void **state)
{
    (void)state;
    Ran ran = program("ppl", TINY, scratch_text("a.ids", ids), NULL);
    assert_int_equal(ran.status, 0);
    assert_non_null(strstr(ran.out, "nats/token"));
    assert_non_null(strstr(ran.out, "18 tokens scored in 3 windows; protocol documents"));
    assert_non_null(strstr(ran.err, "3/3 segments  100%"));
    ran_free(&ran);
}

/* ---- kinds of text ---- */

static double nll_of(const char *model, const char *text, const char *protocol, const char *context)
{
    Ran ran = program("ppl", model, text, "--protocol", protocol, "--context", context, "--json", "--quiet", NULL);
    json_t *root = parse(&ran);
    double nll = number(root, "nll");
    json_decref(root);
    ran_free(&ran);
    return nll;
}

static void gzip_copy(const char *name, const char *text)
{
    gzFile file = gzopen(scratch_path(name), "wb");
    assert_true(file && gzwrite(file, text, (unsigned)strlen(text)) == (int)strlen(text));
    assert_int_equal(gzclose(file), Z_OK);
}

/* The same two documents as .txt, .jsonl, .jsonl.gz and .ids give the same number. */
static void test_kinds_of_text(void **state)
{
    (void)state;
    static const char jsonl[] = "{\"text\": \"the wind\"}\n{\"url\": 1, \"text\": \"in a tale.\"}\n";
    const char *model = model_copy("kinds", TINY);
    tokenizer_write("kinds", false);
    gzip_copy("a.jsonl.gz", jsonl);
    double plain = nll_of(model, scratch_text("a.txt", "the wind\n<|endoftext|>\nin a tale.\n"), "documents", "16");
    assert_true(plain > 3 && plain < 7);
    assert_true(nll_of(model, scratch_text("a.jsonl", jsonl), "documents", "16") == plain);
    assert_true(nll_of(model, scratch_path("a.jsonl.gz"), "documents", "16") == plain);
    assert_true(nll_of(model, scratch_text("b.ids", "42 4 44 43 3\n43 41 40 0 11 4 38\n"), "documents", "16") == plain);
    const char *text = scratch_text("words.txt", words);
    double hf = nll_of(model, text, "hf", "16"), llama = nll_of(model, text, "llama.cpp", "16"), gptq = nll_of(model, scratch_text("c.jsonl", "{\"text\": \"the wind in a tale\"}\n"), "gptq", "8");
    assert_true(hf != llama && isfinite(hf) && isfinite(llama) && isfinite(gptq));
}

/* ---- tokenize ---- */

static void check_ids(const char *model, const char *bos, const int *expected, size_t n)
{
    Ran ran = program("tokenize", model, scratch_text("t.txt", "the in<s>1"), "--bos", bos, "--json", NULL);
    json_t *root = parse(&ran), *list = json_object_get(root, "ids");
    assert_keys(root, "ids");
    assert_int_equal(json_array_size(list), n);
    for (size_t i = 0; i < n; i++) assert_int_equal(json_integer_value(json_array_get(list, i)), expected[i]);
    json_decref(root);
    ran_free(&ran);
}

static void test_tokenize(void **state)
{
    (void)state;
    const char *model = model_copy("tokens", TINY);
    static const int with_bos[] = { SPECIAL_ID, TH_ID, 4, 36, 43, SPECIAL_ID, 27 };
    tokenizer_write("tokens", false);
    check_ids(model, "auto", with_bos + 1, 6);
    check_ids(model, "no", with_bos + 1, 6);
    tokenizer_write("tokens", true);
    check_ids(model, "auto", with_bos, 7);
    check_ids(model, "yes", with_bos, 7);
    check_ids(model, "no", with_bos + 1, 6);
    Ran ran = program("tokenize", model, scratch_text("t.txt", "the in<s>1"), "--bos", "no", NULL);
    assert_string_equal(ran.out, "42 4 36 43 45 27\n");
    ran_free(&ran);
}

/* ---- info ---- */

static void test_info(void **state)
{
    (void)state;
    Ran ran = program("info", TINY, "--json", NULL);
    json_t *root = parse(&ran), *layers = json_object_get(root, "layers"), *first = json_array_get(layers, 0);
    assert_keys(root, "architecture parameters vocabulary context layers");
    assert_string_equal(json_string_value(json_object_get(root, "architecture")), "llama");
    assert_int_equal(number(root, "vocabulary"), 97);
    assert_int_equal(number(root, "context"), 512);
    assert_int_equal(json_array_size(layers), 14);
    assert_keys(first, "name block type rows cols dtype norm");
    assert_string_equal(json_string_value(json_object_get(first, "name")), "blocks.0.q");
    assert_string_equal(json_string_value(json_object_get(first, "dtype")), "F32");
    assert_int_equal(number(first, "rows"), 48);
    assert_true(number(first, "norm") > 0);
    json_decref(root);
    ran_free(&ran);
    ran = program("info", TINY, NULL);
    assert_int_equal(ran.status, 0);
    assert_non_null(strstr(ran.out, "blocks.1.down"));
    ran_free(&ran);
}

/* ---- kl ---- */

static json_t *kl_of(const char *other, const char *text)
{
    Ran ran = program("kl", TINY, other, text, "--json", "--quiet", NULL);
    json_t *root = parse(&ran);
    assert_keys(root, "kl kl_se delta_nll delta_nll_se ppl ppl_other same_top tokens layers");
    assert_exact(ran.out, "ppl", number(root, "ppl"));
    ran_free(&ran);
    return root;
}

static void test_kl_with_itself(void **state)
{
    (void)state;
    json_t *root = kl_of(TINY, scratch_text("a.ids", ids)), *layer;
    size_t i;
    static const char *const zero[] = { "kl", "kl_se", "delta_nll", "delta_nll_se" };
    for (i = 0; i < 4; i++) assert_true(number(root, zero[i]) == 0);
    assert_true(number(root, "same_top") == 1 && number(root, "ppl") == number(root, "ppl_other"));
    json_array_foreach(json_object_get(root, "layers"), i, layer) assert_true(number(layer, "t2") == 0);
    assert_int_equal(i, 14);
    json_decref(root);
}

static void test_kl_with_a_changed_weight(void **state)
{
    (void)state;
    const char *other = model_copy("changed", TINY);
    double norm, change;
    change = .5 - (double)tensor_poke(&norm, "changed", "model.layers.1.mlp.up_proj.weight", .5f);
    json_t *root = kl_of(other, scratch_text("a.ids", ids)), *layer;
    assert_true(number(root, "kl") > 1e-9 && number(root, "ppl") != number(root, "ppl_other"));
    size_t i, changed = 0;
    json_array_foreach(json_object_get(root, "layers"), i, layer) {
        bool is_it = !strcmp(json_string_value(json_object_get(layer, "name")), "blocks.1.up");
        double t2 = number(layer, "t2"), expected = is_it ? change * change / norm : 0;
        if (!(fabs(t2 - expected) <= 1e-6 * expected)) print_error("%s t2 %g, not %g\n", json_string_value(json_object_get(layer, "name")), t2, expected);
        assert_true(fabs(t2 - expected) <= 1e-6 * expected);
        changed += is_it;
    }
    assert_int_equal(changed, 1);
    json_decref(root);
}

/* ---- allocate ---- */

static const char choices[] = "layer,weights,choice,bits,cost\na,100,low,2,8\na,100,high,4,1\nb,100,low,2,4\nb,100,high,4,-0.5\n";

static void test_allocate(void **state)
{
    (void)state;
    const char *table = scratch_text("choices.csv", choices);
    Ran ran = program("allocate", table, "--budget", "3", "--budget=4", "--json", NULL);
    json_t *root = parse(&ran), *list = json_object_get(root, "allocations"), *three = json_array_get(list, 0), *four = json_array_get(list, 1);
    assert_keys(root, "allocations");
    assert_int_equal(json_array_size(list), 2);
    assert_keys(three, "budget bits cost lower_bound optimal clamped choices certificate");
    assert_true(number(three, "budget") == 3 && number(three, "bits") == 3 && number(three, "cost") == 5 && number(three, "lower_bound") == 5);
    assert_true(json_is_true(json_object_get(three, "optimal")));
    assert_true(number(four, "cost") == 1 && number(four, "clamped") == 1);
    assert_keys(json_object_get(three, "choices"), "a b");
    assert_string_equal(json_string_value(json_object_get(json_object_get(three, "choices"), "a")), "high");
    assert_string_equal(json_string_value(json_object_get(json_object_get(three, "choices"), "b")), "low");
    json_decref(root);
    ran_free(&ran);
    ran = program("allocate", table, "--budget", "3", NULL);
    assert_int_equal(ran.status, 0);
    assert_non_null(strstr(ran.out, "optimal, proven"));
    ran_free(&ran);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ppl), cmocka_unit_test(test_one_window_has_no_error), cmocka_unit_test(test_text_output),
        cmocka_unit_test(test_kinds_of_text), cmocka_unit_test(test_tokenize), cmocka_unit_test(test_info),
        cmocka_unit_test(test_kl_with_itself), cmocka_unit_test(test_kl_with_a_changed_weight), cmocka_unit_test(test_allocate),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    scratch_remove();
    return failed;
}
