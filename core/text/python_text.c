#include "core/text/python_text.h"

#include <stdbool.h>
#include <string.h>
#include <utf8proc.h>

#include "core/base/err.h"

/* The character at s and its bytes; a byte that starts none stands for itself. */
static size_t next_character(int32_t *out, const char *s)
{
    utf8proc_int32_t character;
    utf8proc_ssize_t n = utf8proc_iterate((const utf8proc_uint8_t *)s, -1, &character);
    *out = n > 0 ? character : (unsigned char)*s;
    return n > 0 ? (size_t)n : 1;
}

static bool is_space(int32_t c)
{
    return (c >= 9 && c <= 13) || (c >= 28 && c <= 32) || c == 0x85 || c == 0xa0 || c == 0x1680 || (c >= 0x2000 && c <= 0x200a) || c == 0x2028 ||
           c == 0x2029 || c == 0x202f || c == 0x205f || c == 0x3000;
}

int python_length(const char *s)
{
    int n = 0;
    int32_t c;
    for (; *s; n++) s += next_character(&c, s);
    return n;
}

size_t python_white_start(const char *s)
{
    size_t at = 0;
    int32_t c;
    while (s[at]) {
        size_t n = next_character(&c, s + at);
        if (!is_space(c)) break;
        at += n;
    }
    return at;
}

size_t python_white_end(const char *s)
{
    size_t at = 0, end = 0;         /* end: behind the last character that is not white */
    int32_t c;
    while (s[at]) {
        at += next_character(&c, s + at);
        if (!is_space(c)) end = at;
    }
    return at - end;
}

char *python_strip(const char *s)
{
    s += python_white_start(s);
    return xformat("%.*s", (int)(strlen(s) - python_white_end(s)), s);
}

char *python_capitalize(const char *s)
{
    char *out = xmalloc(4 * strlen(s) + 1), *end = out;
    for (bool first = true; *s; first = false) {
        int32_t c;
        size_t n = next_character(&c, s);
        if (n == 1 && (unsigned char)*s >= 0x80) *end++ = *s;
        else end += utf8proc_encode_char(first ? utf8proc_totitle(c) : utf8proc_tolower(c), (utf8proc_uint8_t *)end);
        s += n;
    }
    *end = 0;
    return out;
}

char *python_replace(const char *s, const char *from, const char *to)
{
    const size_t n_from = strlen(from), n_to = strlen(to);
    size_t found = 0;
    for (const char *at = s; (at = strstr(at, from)); at += n_from) found++;
    char *out = xmalloc(strlen(s) + found * n_to + 1), *end = out;
    for (const char *at; (at = strstr(s, from)); s = at + n_from) {
        end = (char *)mempcpy(end, s, (size_t)(at - s));
        end = (char *)mempcpy(end, to, n_to);
    }
    strcpy(end, s);
    return out;
}
