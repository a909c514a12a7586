#include "core/base/err.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MESSAGE_BYTES = 2048 };
static _Thread_local char message[MESSAGE_BYTES];

int err_set(int code, const char *format, ...)
{
    char text[MESSAGE_BYTES];       /* arguments may point into message */
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    for (char *c = text; *c; c++)
        if ((unsigned char)*c < ' ' || *c == 0x7f) *c = '?';        /* quoted input must not reach the terminal's controls */
    memcpy(message, text, sizeof message);
    return code;
}

int err_context(int code, const char *format, ...)
{
    char context[MESSAGE_BYTES / 2], text[2 * MESSAGE_BYTES];
    va_list args;
    va_start(args, format);
    vsnprintf(context, sizeof context, format, args);
    va_end(args);
    snprintf(text, sizeof text, "%s: %s", context, message);
    return err_set(code, "%s", text);
}

const char *err_last(void) { return message; }

/* Levenshtein distance of two short words; anything longer than a row of 64 is far from anything. */
static int edit_distance(const char *a, const char *b)
{
    enum { LONGEST = 64 };
    size_t m = strlen(a), n = strlen(b);
    if (m >= LONGEST || n >= LONGEST) return LONGEST;
    int row[LONGEST + 1];
    for (size_t j = 0; j <= n; j++) row[j] = (int)j;
    for (size_t i = 1; i <= m; i++) {
        int diagonal = row[0];
        row[0] = (int)i;
        for (size_t j = 1; j <= n; j++) {
            int substitute = diagonal + (a[i - 1] != b[j - 1]);
            diagonal = row[j];
            int insert = row[j] + 1, erase = row[j - 1] + 1;
            row[j] = insert < erase ? insert : erase;
            if (substitute < row[j]) row[j] = substitute;
        }
    }
    return row[n];
}

const char *err_nearest(const char *word, const char *const *names, int n)
{
    const char *best = NULL;
    int best_distance = 1 + (int)strlen(word) / 3;      /* one slip in three letters, plus one */
    for (int i = 0; i < n; i++) {
        int distance = edit_distance(word, names[i]);
        if (distance <= best_distance && (!best || distance < best_distance)) {
            best = names[i];
            best_distance = distance;
        }
    }
    return best;
}

char *err_list(const char *const *names, int n)
{
    char *list = xstrdup("");
    for (int i = 0; i < n; i++) {
        char *longer = xformat("%s%s%s", list, i ? ", " : "", names[i]);
        free(list);
        list = longer;
    }
    return list;
}

static void *checked(void *p, unsigned long n_bytes)
{
    if (p || n_bytes == 0) return p;
    fprintf(stderr, "linearity: out of memory (asked for %lu bytes)\n", n_bytes);
    exit(1);
}

void *xmalloc(unsigned long n_bytes) { return checked(malloc(n_bytes ? n_bytes : 1), n_bytes); }
void *xcalloc(unsigned long n, unsigned long size)
{
    return checked(calloc(n ? n : 1, size ? size : 1), n * size);
}
void *xrealloc(void *p, unsigned long n_bytes) { return checked(realloc(p, n_bytes ? n_bytes : 1), n_bytes); }

char *xstrdup(const char *s)
{
    size_t n = strlen(s) + 1;
    return memcpy(xmalloc(n), s, n);
}

char *xformat(const char *format, ...)
{
    char *text = NULL;
    va_list args;
    va_start(args, format);
    int n = vasprintf(&text, format, args);
    va_end(args);
    return checked(n < 0 ? NULL : text, 1);
}
