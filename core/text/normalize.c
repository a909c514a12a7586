#include "core/text/normalize.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

#include "core/base/err.h"

void normalizer_add(Normalizer *z, NormalizeKind kind, const char *from, size_t n_from, const char *to, size_t n_to)
{
    z->step = xrealloc(z->step, (size_t)(z->n + 1) * sizeof *z->step);
    NormalizeStep *step = &z->step[z->n++];
    *step = (NormalizeStep){ .kind = kind };
    bytes_append(&step->from, from, n_from);
    bytes_append(&step->to, to, n_to);
}

void normalizer_free(Normalizer *z)
{
    for (int i = 0; i < z->n; i++) {
        bytes_free(&z->step[i].from);
        bytes_free(&z->step[i].to);
    }
    free(z->step);
    *z = (Normalizer){ 0 };
}

/* Code points below U+0300 (lead bytes below 0xcc) neither combine nor decompose under NFC. */
static bool is_plainly_composed(const char *text, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if ((unsigned char)text[i] >= 0xcc) return false;
    return true;
}

static void compose(Bytes *out, const char *text, size_t n)
{
    utf8proc_uint8_t *composed = NULL;
    utf8proc_ssize_t length = is_plainly_composed(text, n) ? -1 :
        utf8proc_map((const utf8proc_uint8_t *)text, (utf8proc_ssize_t)n, &composed, UTF8PROC_STABLE | UTF8PROC_COMPOSE);
    if (length < 0) bytes_append(out, text, n);
    else bytes_append(out, (const char *)composed, (size_t)length);
    free(composed);
}

static void replace(Bytes *out, const NormalizeStep *step, const char *text, size_t n)
{
    const char *end = text + n;
    for (const char *hit; (hit = memmem(text, (size_t)(end - text), step->from.data, step->from.n)); text = hit + step->from.n) {
        bytes_append(out, text, (size_t)(hit - text));
        bytes_append(out, step->to.data, step->to.n);
    }
    bytes_append(out, text, (size_t)(end - text));
}

static void apply_step(Bytes *out, const NormalizeStep *step, const char *text, size_t n)
{
    switch (step->kind) {
    case NORMALIZE_NFC: compose(out, text, n); break;
    case NORMALIZE_REPLACE: replace(out, step, text, n); break;
    case NORMALIZE_PREPEND:
        if (n) bytes_append(out, step->to.data, step->to.n);
        bytes_append(out, text, n);
        break;
    }
}

void normalizer_apply(Bytes *out, const Normalizer *z, const char *text, size_t n)
{
    assert(n == 0 || out->data != text);
    out->n = 0;
    if (z->n == 0) bytes_append(out, text, n);
    Bytes before = { 0 };
    for (int i = 0; i < z->n; i++) {
        if (i > 0) {
            Bytes swap = before;
            before = *out;
            *out = swap;
            out->n = 0;
        }
        apply_step(out, &z->step[i], i ? before.data : text, i ? before.n : n);
    }
    bytes_free(&before);
}
