#include "core/text/pretokenize.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/err.h"
#include "core/text/bytes.h"
#include "core/text/onig_pattern.h"

struct Splitter {
    SplitKind kind;
    pcre2_code *code;               /* NULL for SPLIT_PREFIX_SPACE */
};

static int compile(pcre2_code **out, const char *pattern, size_t n, bool literal)
{
    int error;
    PCRE2_SIZE place;
    uint32_t options = PCRE2_UTF | (literal ? PCRE2_LITERAL : PCRE2_UCP);
    pcre2_code *code = pcre2_compile((PCRE2_SPTR)pattern, n, options, &error, &place, NULL);
    if (!code) {
        PCRE2_UCHAR message[256];
        pcre2_get_error_message(error, message, sizeof message);
        FAIL(ERR_FORMAT, "the pre-tokenizer's regular expression '%.*s' is wrong at its character %zu: %s", (int)n, pattern,
             (size_t)place, (const char *)message);
    }
    uint32_t matches_empty;
    pcre2_pattern_info(code, PCRE2_INFO_MATCHEMPTY, &matches_empty);
    if (matches_empty) {
        pcre2_code_free(code);
        FAIL(ERR_UNSUPPORTED, "the pre-tokenizer's regular expression '%.*s' can match nothing at all", (int)n, pattern);
    }
    pcre2_jit_compile(code, PCRE2_JIT_COMPLETE);        /* where there is no JIT, the interpreter serves */
    *out = code;
    return OK;
}

int pretokenizer_add(Pretokenizer *p, SplitKind kind, const char *pattern, size_t n, bool literal)
{
    Splitter step = { .kind = kind };
    if (kind != SPLIT_PREFIX_SPACE) {
        Bytes translated = { 0 };
        int status = OK;
        if (literal) bytes_append(&translated, pattern, n);
        else status = onig_translate(&translated, pattern, n);
        if (status == OK) status = compile(&step.code, translated.data ? translated.data : "", translated.n, literal);
        bytes_free(&translated);
        TRY(status);
    }
    p->step = xrealloc(p->step, (size_t)(p->n + 1) * sizeof *p->step);
    p->step[p->n++] = step;
    return OK;
}

void pretokenizer_free(Pretokenizer *p)
{
    for (int i = 0; i < p->n; i++) pcre2_code_free(p->step[i].code);
    free(p->step);
    *p = (Pretokenizer){ 0 };
}

struct SplitScratch {
    pcre2_match_data *match;
    pcre2_match_context *limits;
    pcre2_jit_stack *stack;
};

SplitScratch *split_scratch_open(void)
{
    enum { STACK_FIRST = 32 << 10, STACK_MOST = 64 << 20 };
    SplitScratch *scratch = xmalloc(sizeof *scratch);
    scratch->match = pcre2_match_data_create(1, NULL);
    scratch->limits = pcre2_match_context_create(NULL);
    scratch->stack = pcre2_jit_stack_create(STACK_FIRST, STACK_MOST, NULL);
    pcre2_jit_stack_assign(scratch->limits, NULL, scratch->stack);
    return scratch;
}

void split_scratch_close(SplitScratch **scratch)
{
    if (!*scratch) return;
    pcre2_match_data_free((*scratch)->match);
    pcre2_match_context_free((*scratch)->limits);
    pcre2_jit_stack_free((*scratch)->stack);
    free(*scratch);
    *scratch = NULL;
}

typedef struct {
    const Pretokenizer *pretokenizer;
    SplitScratch *scratch;
    WordSink word;
    void *context;
} Run;

static int split_from(Run *run, int step, const char *text, size_t n);

static int split_prefixed(Run *run, int step, const char *text, size_t n)
{
    if (text[0] == ' ') return split_from(run, step + 1, text, n);
    Bytes prefixed = { 0 };
    bytes_append(&prefixed, " ", 1);
    bytes_append(&prefixed, text, n);
    int status = split_from(run, step + 1, prefixed.data, prefixed.n);
    bytes_free(&prefixed);
    return status;
}

/* The next match in text[from..n) to *start and *end; both n where there is none. */
static int next_match(Run *run, const pcre2_code *code, const char *text, size_t n, size_t from, size_t *start, size_t *end)
{
    *start = *end = n;
    if (from >= n) return OK;
    int found = pcre2_match(code, (PCRE2_SPTR)text, n, from, PCRE2_NO_UTF_CHECK, run->scratch->match, run->scratch->limits);
    if (found == PCRE2_ERROR_NOMATCH) return OK;
    if (found < 0) {
        PCRE2_UCHAR message[256];
        pcre2_get_error_message(found, message, sizeof message);
        FAIL(ERR_UNSUPPORTED, "the pre-tokenizer gives up on %zu bytes of text: %s", n - from, (const char *)message);
    }
    const PCRE2_SIZE *span = pcre2_get_ovector_pointer(run->scratch->match);
    *start = span[0];
    *end = span[1];
    return OK;
}

static int split_from(Run *run, int step, const char *text, size_t n)
{
    if (n == 0) return OK;
    if (step == run->pretokenizer->n) return run->word(run->context, text, n);
    const Splitter *splitter = &run->pretokenizer->step[step];
    if (splitter->kind == SPLIT_PREFIX_SPACE) return split_prefixed(run, step, text, n);

    for (size_t from = 0, start, end; from < n; from = end) {
        TRY(next_match(run, splitter->code, text, n, from, &start, &end));
        if (splitter->kind != SPLIT_KEEP_MATCHES) TRY(split_from(run, step + 1, text + from, start - from));
        if (splitter->kind != SPLIT_DROP_MATCHES) TRY(split_from(run, step + 1, text + start, end - start));
    }
    return OK;
}

int pretokenizer_split(const Pretokenizer *p, SplitScratch *scratch, const char *text, size_t n, WordSink word, void *context)
{
    Run run = { p, scratch, word, context };
    return split_from(&run, 0, text, n);
}
