#include "core/importance/jaccard.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/err.h"
#include "core/importance/importance.h"

static int by_number(const void *a, const void *b)
{
    const int32_t x = *(const int32_t *)a, y = *(const int32_t *)b;
    return (x > y) - (x < y);
}

static int in_common(const int32_t *a, const int32_t *b, int k)
{
    int common = 0;
    for (int i = 0, j = 0; i < k && j < k;) {
        if (a[i] == b[j]) common++, i++, j++;
        else if (a[i] < b[j]) i++;
        else j++;
    }
    return common;
}

double jaccard(const int32_t *a, const int32_t *b, int k)
{
    int32_t *sorted = xmalloc(sizeof *sorted * 2 * (size_t)k);
    memcpy(sorted, a, sizeof *sorted * (size_t)k);
    memcpy(sorted + k, b, sizeof *sorted * (size_t)k);
    qsort(sorted, (size_t)k, sizeof *sorted, by_number);
    qsort(sorted + k, (size_t)k, sizeof *sorted, by_number);
    const int common = in_common(sorted, sorted + k, k);
    free(sorted);
    return (double)common / (2 * k - common);
}

static void mark(unsigned char *seen, const int32_t *id, int rows, int stride, int k, unsigned char bit)
{
    for (int r = 0; r < rows; r++)
        for (int i = 0; i < k; i++) seen[id[(int64_t)r * stride + i]] |= bit;
}

double jaccard_of_unions(const int32_t *a, const int32_t *b, int rows, int stride, int k, int vocabulary)
{
    unsigned char *seen = xcalloc((size_t)vocabulary, 1);
    int common = 0, either = 0;
    mark(seen, a, rows, stride, k, 1);
    mark(seen, b, rows, stride, k, 2);
    for (int i = 0; i < vocabulary; i++) common += seen[i] == 3, either += seen[i] != 0;
    free(seen);
    return (double)common / either;
}

static const Option jaccard_options[] = {
    { "k",          OPTION_INTEGER, false, "50",   1, 1e6, NULL, "tokens", "size of a set" },
    { "projection", OPTION_ONE_OF,  false, "head", 0, 0, "head|embedding", "", "the matrix that takes states to the vocabulary" },
    { "norm",       OPTION_ONE_OF,  false, "no",   0, 0, "no|yes", "", "the final norm before it" },
    { "positions",  OPTION_ONE_OF,  false, "last", 0, 0, "last|all", "", "of a sequence" },
    { "set",        OPTION_ONE_OF,  false, "position", 0, 0, "position|union", "", "a set for each position, or their union over the sequence" },
    { 0 },
};

static bool is(const Options *options, const char *name, const char *value) { return !strcmp(options_text(options, name), value); }

static void tokens(TokensWanted *out, const Options *options)
{
    *out = (TokensWanted){ { is(options, "projection", "embedding"), is(options, "norm", "no") }, (int)options_integer(options, "k"), is(options, "positions", "all") };
}

static double of_states(const BlockStates *s, const Options *options)
{
    const int k = (int)options_integer(options, "k"), rows = is(options, "positions", "all") ? s->token_rows : 1;
    const int64_t first = (int64_t)(s->token_rows - rows) * s->most;
    const int32_t *a = s->input_tokens + first, *b = s->output_tokens + first;
    if (is(options, "set", "union")) return 1 - jaccard_of_unions(a, b, rows, s->most, k, s->vocabulary);
    double sum = 0;
    for (int r = 0; r < rows; r++) sum += jaccard(a + (int64_t)r * s->most, b + (int64_t)r * s->most, k);
    return 1 - sum / rows;
}

const ImportanceRule importance_jaccard = {
    .name = "jaccard", .summary = "1 - Jaccard similarity of the likeliest tokens before and after a block (LSAQ, arXiv 2412.18135)", .version = 1,
    .options = jaccard_options, .of_states = of_states, .tokens = tokens,
};
