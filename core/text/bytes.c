#include "core/text/bytes.h"

#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

#include "core/base/err.h"

void bytes_append(Bytes *bytes, const char *data, size_t n)
{
    if (n == 0) return;
    if (bytes->n + n > bytes->capacity) {
        bytes->capacity = 2 * (bytes->n + n);
        bytes->data = xrealloc(bytes->data, bytes->capacity);
    }
    memcpy(bytes->data + bytes->n, data, n);
    bytes->n += n;
}

void bytes_free(Bytes *bytes)
{
    free(bytes->data);
    *bytes = (Bytes){ 0 };
}

size_t utf8_character(const char *text, size_t n, int32_t *point)
{
    utf8proc_int32_t found = (unsigned char)text[0];
    utf8proc_ssize_t length = 1;
    if (found >= 0x80)
        length = utf8proc_iterate((const utf8proc_uint8_t *)text, n < 4 ? (utf8proc_ssize_t)n : 4, &found);
    if (length <= 0) return 0;
    if (point) *point = found;
    return (size_t)length;
}

size_t utf8_valid_prefix(const char *text, size_t n)
{
    size_t i = 0;
    while (i < n) {
        size_t length = utf8_character(text + i, n - i, NULL);
        if (length == 0) break;
        i += length;
    }
    return i;
}

bool point_is_space(int32_t point)
{
    return (point >= 9 && point <= 13) || point == ' ' || point == 0x85 || point == 0xa0 || point == 0x1680 ||
           (point >= 0x2000 && point <= 0x200a) || point == 0x2028 || point == 0x2029 || point == 0x202f ||
           point == 0x205f || point == 0x3000;
}
