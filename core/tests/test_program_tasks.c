/* test_program_tasks.c - questions with choices through the command `tasks`: log-likelihoods, accuracies, those of quantized models */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "core/tests/program_task.h"

static int put_ids(FILE *out, const char *text)
{
    json_t *root = printed("tokenize", scratch_path("m"), scratch_text("piece.txt", text), NULL, NULL, NULL);
    const json_t *ids = json_object_get(root, "ids");
    const int n = (int)json_array_size(ids);
    for (int i = 0; i < n; i++) fprintf(out, "%lld ", (long long)json_integer_value(json_array_get(ids, (size_t)i)));
    fputc('\n', out);
    json_decref(root);
    return n;
}

/* log p(choice | context) = log p(context choice) - log p(context), each a text of its own for `ppl`. */
static void test_log_likelihoods(void **state)
{
    (void)state;
    enum { SOME = 3 };
    int n[SOME * (CHOICES + 1)], k = 0;
    FILE *out = fopen(scratch_path("pieces.ids"), "w");
    for (int i = 0; i < SOME; i++) {
        n[k++] = put_ids(out, context(i));
        for (int c = 0; c < CHOICES; c++) {
            char *whole = xformat("%s%s", context(i), choice(i, c));
            n[k++] = put_ids(out, whole);
            free(whole);
        }
    }
    fclose(out);
    json_t *pieces = printed("ppl", scratch_path("m"), scratch_path("pieces.ids"), NULL, NULL, NULL), *task = printed("tasks", scratch_path("m"), scratch_path("task.jsonl"), "--windows", "3", NULL);
    const json_t *nll = json_object_get(pieces, "window_nll"), *rows = json_object_get(task, "rows");
    assert_int_equal(json_array_size(rows), SOME);
    for (int i = 0; i < SOME; i++)
        for (int c = 0; c < CHOICES; c++) {
            const int before = i * (CHOICES + 1), at = before + 1 + c;
            const double all = json_number_value(json_array_get(nll, (size_t)at)) * (n[at] - 1), first = json_number_value(json_array_get(nll, (size_t)before)) * (n[before] - 1);
            const json_t *row = json_array_get(rows, (size_t)i);
            const double got = json_number_value(json_array_get(json_object_get(row, "loglikelihood"), (size_t)c));
            assert_int_equal(json_integer_value(json_array_get(json_object_get(row, "tokens"), (size_t)c)), n[at] - n[before]);
            assert_true(fabs(got - (first - all)) <= 1e-4);
            assert_true(value(row, "label") == label_of(i));
        }
    json_decref(pieces);
    json_decref(task);
}

/* The largest of a row's log-likelihoods, divided by length or not. */
static int best_of(const json_t *row, const char *key, int item, bool by_length)
{
    int best = 0;
    double most = -INFINITY;
    for (int c = 0; c < CHOICES; c++) {
        const double x = json_number_value(json_array_get(json_object_get(row, key), (size_t)c)) / (by_length ? (double)strlen(choice(item, c)) - 1 : 1);
        if (x > most) most = x, best = c;
    }
    return best;
}

/* Shares and changes from the rows that are printed beside them; a quantized model against its original. */
static void test_accuracies(void **state)
{
    (void)state;
    quantize_model();
    json_t *r = printed("tasks", scratch_path("m"), scratch_path("task.jsonl"), scratch_path("q"), NULL, NULL);
    const json_t *rows = json_object_get(r, "rows");
    const char *const rule[] = { "acc", "acc_norm" };
    for (int norm = 0; norm < 2; norm++) {
        int right = 0, right_other = 0, gained = 0, lost = 0;
        for (int i = 0; i < ITEMS; i++) {
            const json_t *row = json_array_get(rows, (size_t)i);
            const bool a = best_of(row, "loglikelihood", i, norm) == label_of(i), b = best_of(row, "loglikelihood_other", i, norm) == label_of(i);
            right += a, right_other += b, gained += b && !a, lost += a && !b;
        }
        char key[8][64];
        static const char *const ending[] = { "", "_se", "_other", "_change", "_gained", "_lost", "_change_se", "_below_error" };
        for (int k = 0; k < 8; k++) snprintf(key[k], sizeof key[k], "%s%s", rule[norm], ending[k]);
        const double p = (double)right / ITEMS;
        assert_true(near(value(r, key[0]), p, 1e-12) && near(value(r, key[1]), sqrt(p * (1 - p) / (ITEMS - 1)), 1e-12));
        assert_true(near(value(r, key[2]), (double)right_other / ITEMS, 1e-12) && near(value(r, key[3]), (double)(right_other - right) / ITEMS, 1e-12));
        assert_true(value(r, key[4]) == gained && value(r, key[5]) == lost && gained + lost > 0);
        assert_int_equal(json_is_true(json_object_get(r, key[7])), fabs(value(r, key[3])) <= value(r, key[6]) * (1 + 1e-9));
    }
    double change = 0;
    for (int i = 0; i < ITEMS; i++) {
        const json_t *row = json_array_get(rows, (size_t)i);
        const size_t c = (size_t)label_of(i);
        change += (json_number_value(json_array_get(json_object_get(row, "loglikelihood_other"), c)) - json_number_value(json_array_get(json_object_get(row, "loglikelihood"), c))) / ITEMS;
    }
    assert_true(near(value(r, "loglikelihood_change"), change, 1e-9) && near(value(r, "loglikelihood_other") - value(r, "loglikelihood"), change, 1e-9));
    assert_true(value(r, "loglikelihood_change_se") > 0 && value(r, "loglikelihood_change_se") < value(r, "loglikelihood_se"));
    assert_true(near(value(r, "chance"), 1. / 3, 1e-12) && value(r, "items") == ITEMS && value(r, "kl") > 0 && value(r, "shortened") == 0);
    assert_string_equal(json_string_value(json_object_get(r, "format")), "context and choices");
    json_decref(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_log_likelihoods), cmocka_unit_test(test_accuracies),
    };
    return cmocka_run_group_tests(tests, make, clean);
}
