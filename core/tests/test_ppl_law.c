/* Perplexity that a predicted KL stands for: closed forms, and standard errors against the delta method. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "core/estimate/fit.h"
#include "core/estimate/ppl_law.h"

enum { N = 40 };

static void test_closed_forms(void **state)
{
    (void)state;
    const double clean[] = { 2, 3 }, kl[] = { 0.1, 0.3 }, delta[] = { 0.008, 0.008 }, small[] = { 0.01, 0.01 };
    const int64_t tokens[] = { 300, 100 };
    const PplLaw law = { 2, tokens, clean, kl, delta, small };
    double se;
    assert_true(fabs(ppl_law(&se, &law, PPL_LINEAR) - exp(2.25) * (1 + 0.8 * 0.15)) < 1e-12);
    assert_true(fabs(ppl_law(&se, &law, PPL_EXPONENTIAL) - exp(2.25 + 0.8 * 0.15)) < 1e-12);
    assert_true(se > 0);
    const PplLaw one = { 1, tokens, clean, kl, delta, small };
    assert_true(fabs(ppl_law(&se, &one, PPL_LINEAR) - exp(2) * 1.08) < 1e-12 && isnan(se));
}

/* The logarithm of the exponential law is linear in the windows but for c: its influence is known. */
static void test_standard_error(void **state)
{
    (void)state;
    double clean[N], kl[N], delta[N], small[N], influence[N], mean_kl = 0, mean_small = 0, mean_delta = 0, unused, se_log, se;
    int64_t tokens[N];
    for (int w = 0; w < N; w++) {
        const double wave = sin(1.7 * w);
        tokens[w] = 100;
        clean[w] = 3 + 0.3 * cos(2.3 * w), small[w] = 0.01 * (1 + 0.2 * wave), delta[w] = 0.8 * small[w] * (1 + 0.1 * cos(0.7 * w)), kl[w] = 20 * small[w] + 0.01 * sin(3.1 * w);
        mean_kl += kl[w] / N, mean_small += small[w] / N, mean_delta += delta[w] / N;
    }
    const double c = mean_delta / mean_small;
    for (int w = 0; w < N; w++) influence[w] = clean[w] + c * kl[w] + mean_kl * (delta[w] - c * small[w]) / mean_small;
    weighted_mean(&unused, &se_log, influence, tokens, N);
    const PplLaw law = { N, tokens, clean, kl, delta, small };
    const double ppl = ppl_law(&se, &law, PPL_EXPONENTIAL);
    assert_true(fabs(se / (ppl * se_log) - 1) < 0.02);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_closed_forms), cmocka_unit_test(test_standard_error) };
    return cmocka_run_group_tests_name("ppl_law", tests, NULL, NULL);
}
