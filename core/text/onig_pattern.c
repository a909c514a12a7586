#include "core/text/onig_pattern.h"

#include <ctype.h>
#include <string.h>

#include "core/base/err.h"

/* Both read general categories alike (\p{L}, \p{Nd}); scripts and other names they do not. */
static bool is_general_category(const char *at, size_t n)
{
    if (n < 3 || at[0] != '{') return false;
    size_t i = at[1] == '^' ? 2 : 1;
    size_t letters = 0;
    while (i < n && isalpha((unsigned char)at[i])) i++, letters++;
    return letters >= 1 && letters <= 2 && i < n && at[i] == '}';
}

/* One escape: at[0] is the character after the backslash. */
static int translate_escape(Bytes *out, const char *at, size_t n)
{
    if (n == 0) FAIL(ERR_FORMAT, "the pre-tokenizer's regular expression ends in a backslash");
    char escape[2] = { '\\', at[0] };
    if (at[0] == 's' || at[0] == 'S') {         /* PCRE2's own \s counts U+180E too */
        bytes_append(out, at[0] == 's' ? "\\p{wspace}" : "\\P{wspace}", strlen("\\p{wspace}"));
        return OK;
    }
    bool category = (at[0] == 'p' || at[0] == 'P') && is_general_category(at + 1, n - 1);
    if (!category && !strchr("dDrntxu", at[0]) && isalnum((unsigned char)at[0]))
        FAIL(ERR_UNSUPPORTED, "the pre-tokenizer's regular expression uses \\%.*s, which we cannot run", (int)(n < 12 ? n : 12), at);
    if (at[0] == 'u') escape[1] = 'x';          /* \uHHHH */
    bytes_append(out, escape, 2);
    return OK;
}

int onig_translate(Bytes *out, const char *pattern, size_t n)
{
    int depth = 0;                              /* of [ ]: Oniguruma nests them */
    for (size_t i = 0; i < n; i++) {
        char c = pattern[i];
        if (c == '\\') {
            TRY(translate_escape(out, pattern + i + 1, n - i - 1));
            if (pattern[i + 1] == 'u') {
                if (n - i < 6) FAIL(ERR_FORMAT, "the pre-tokenizer's regular expression ends within \\u");
                bytes_append(out, "{", 1);
                bytes_append(out, pattern + i + 2, 4);
                bytes_append(out, "}", 1);
                i += 4;
            }
            i++;
            continue;
        }
        bool opens = c == '[';
        if ((opens && depth) || (depth && c == '&' && i + 1 < n && pattern[i + 1] == '&'))
            FAIL(ERR_UNSUPPORTED, "the pre-tokenizer's regular expression '%.*s' combines character classes, which we cannot run", (int)n, pattern);
        if (!depth && (c == '^' || c == '$'))
            FAIL(ERR_UNSUPPORTED, "the pre-tokenizer's regular expression '%.*s' uses the anchor %c, which we cannot run", (int)n, pattern, c);
        if (opens) depth++;
        if (c == ']' && depth) depth--;
        bytes_append(out, &c, 1);
        if (opens && i + 1 < n && pattern[i + 1] == '^') bytes_append(out, &pattern[++i], 1);
    }
    return OK;
}
