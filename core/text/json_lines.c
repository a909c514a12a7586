#include "core/text/json_lines.h"

#include <string.h>

#include "core/base/err.h"

/* Without what jansson quotes from the line: the column says where, and the bytes may be anything. */
static int refuse_json(const json_error_t *error, const char *path, int number)
{
    const char *quoted = strstr(error->text, " near ");
    int n = (int)(quoted ? (size_t)(quoted - error->text) : strlen(error->text));
    FAIL(ERR_FORMAT, "%s:%d: invalid JSON at column %d: %.*s", path, number, error->column, n, error->text);
}

static bool all_white(const char *bytes, size_t n)
{
    while (n && bytes[n - 1] && strchr(" \t\n\v\f\r", bytes[n - 1])) n--;
    return n == 0;
}

int json_lines(const Text *text, const char *path, bool nul, JsonLine each, void *context)
{
    int status = OK, number = 1;
    for (size_t at = text_mark(text); at < text->n && status == OK; number++) {
        const char *line = text->bytes + at, *end = memchr(line, '\n', text->n - at);
        const Span span = { at, end ? (size_t)(end - line) : text->n - at };
        at += span.n + 1;
        if (all_white(line, span.n)) continue;
        json_error_t error;
        json_t *value = json_loadb(line, span.n, JSON_DECODE_ANY | (nul ? JSON_ALLOW_NUL : 0), &error);
        if (!value) return refuse_json(&error, path, number);
        status = each(context, value, span, number);
        json_decref(value);
    }
    return status;
}
