/* Names of choices: parsing is the inverse of naming, for every method of the registry and every key it has. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "core/base/err.h"
#include "core/config/choice_name.h"

/* A value of this row: its ends, or between them; small ones are written with a dash, 1e-06. */
static char *any_value(const Option *row, uint64_t draw)
{
    const double min = isfinite(row->min) ? row->min : -1e6, max = isfinite(row->max) ? row->max : 1e6;
    const double share[] = { 0, 1, 0.5, 1e-7, 0.3 };
    const double x = min + (max - min) * share[draw % 5];
    switch (row->type) {
    case OPTION_FLAG:   return xstrdup(draw % 2 ? "yes" : "no");
    case OPTION_NUMBER: return xformat("%.17g", x);
    case OPTION_ONE_OF: {
        int n = 1;
        for (const char *c = row->words; *c; c++) n += *c == '|';
        const char *word = row->words;
        for (uint64_t i = 0; i < draw % (uint64_t)n; i++) word = strchr(word, '|') + 1;
        return xformat("%.*s", (int)strcspn(word, "|"), word);
    }
    default:            return xformat("%.0f", floor(x));
    }
}

static void assert_inverse(const Perturbation *method, const Options *options)
{
    char *name = choice_name(method, options), *text = options_canonical(options);
    Choice choice;
    if (choice_parse(&choice, name) != OK) fail_msg("%s", err_last());
    char *parsed = options_canonical(choice.options);
    assert_ptr_equal(choice.perturbation, method);
    assert_string_equal(choice.name, name);
    assert_string_equal(parsed, text);
    for (const Option *row = method->options; row->name; row++)
        assert_int_equal(options_is_given(choice.options, row->name), options_is_given(options, row->name));
    choice_free(&choice);
    free(parsed);
    free(text);
    free(name);
}

/* Every set of keys that bits of `draw` choose, with values that depend on it too. */
static void test_inverse(void **state)
{
    (void)state;
    enum { DRAWS = 300 };
    int methods = 0;
    for (int m = 0; perturbations[m]; m++, methods++)
        for (uint64_t draw = 0; draw < DRAWS; draw++) {
            Options *options = options_new(perturbations[m]->options);
            int i = 0;
            for (const Option *row = perturbations[m]->options; row->name; row++, i++) {
                assert_false(row->list);
                const uint64_t bits = (draw + 1) * UINT64_C(0x9E3779B97F4A7C15) >> (2 * i + 7);
                if (draw && !(bits & 1)) continue;                  /* the first has all keys */
                char *value = any_value(row, bits >> 3);
                if (options_set(options, row->name, value, "test") != OK) fail_msg("%s", err_last());
                free(value);
            }
            assert_inverse(perturbations[m], options);
            options_free(options);
        }
    assert_true(methods >= 12);
}

static void test_known(void **state)
{
    (void)state;
    Choice choice;
    assert_int_equal(choice_parse(&choice, "rtn-bits3-clip_mse"), OK);
    assert_string_equal(choice.perturbation->name, "rtn");
    assert_int_equal(options_integer(choice.options, "bits"), 3);
    assert_int_equal(options_integer(choice.options, "group"), 64);                 /* the default */
    assert_string_equal(options_text(choice.options, "clip"), "mse");
    choice_free(&choice);
    choice_free(&choice);               /* safe twice */

    assert_int_equal(choice_parse(&choice, "gptq-higgs-p2-n16-percdamp1e-05"), OK);
    assert_string_equal(choice.perturbation->name, "gptq-higgs");
    assert_int_equal(options_integer(choice.options, "p"), 2);
    assert_true(options_number(choice.options, "percdamp") == 1e-5);
    choice_free(&choice);

    assert_int_equal(choice_parse(&choice, "ggml"), OK);
    assert_string_equal(options_text(choice.options, "type"), "q4_k");
    choice_free(&choice);
}

static void test_refused(void **state)
{
    (void)state;
    static const struct { const char *name, *words; } cases[] = {
        { "rtm-bits3", "choice 'rtm-bits3': unknown perturbation 'rtm'; did you mean 'rtn'?" },
        { "", "choice '': unknown perturbation ''" },
        { "rtn-", "choice 'rtn-': what follows rtn is no list of its keys, each with a value it can have; they are bits, group, symmetric, scale_bits, clip" },
        { "rtn-bits", "what follows rtn" }, { "rtn-bits9", "what follows rtn" }, { "rtn-bits3-", "what follows rtn" }, { "rtn-4", "what follows rtn" },
        { "rtn-group64-bits3", "what follows rtn" },                /* not in the table's order, so not a name we give */
        { "rtn-bits3-bits3", "what follows rtn" }, { "rtn-clipmse", "what follows rtn" }, { "rtn-bits_3", "what follows rtn" },
        { "rtn-bits3-n16", "what follows rtn" }, { "ggml-type_q9_k", "they are type" }, { "rtnbits3", "unknown perturbation" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        Choice choice = { .name = "untouched" };
        assert_int_equal(choice_parse(&choice, cases[i].name), ERR_ARGUMENT);
        assert_string_equal(choice.name, "untouched");
        if (!strstr(err_last(), cases[i].words)) fail_msg("'%s': '%s' is not in: %s", cases[i].name, cases[i].words, err_last());
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_inverse), cmocka_unit_test(test_known), cmocka_unit_test(test_refused) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
