#include "core/text/byte_alphabet.h"

static bool stands_for_itself(int byte)
{
    return (byte >= '!' && byte <= '~') || (byte >= 0xa1 && byte <= 0xff && byte != 0xad);
}

/* The bytes that do not stand for themselves are 0..0x20, 0x7f..0xa0 and 0xad. */
static int32_t point_of(int byte)
{
    if (stands_for_itself(byte)) return byte;
    if (byte <= 0x20) return 0x100 + byte;
    return byte == 0xad ? 0x143 : 0x121 + (byte - 0x7f);
}

static int byte_of(int32_t point)
{
    if (point < 0x100) return stands_for_itself(point) ? point : -1;
    if (point <= 0x120) return point - 0x100;
    if (point <= 0x142) return point - 0x121 + 0x7f;
    return point == 0x143 ? 0xad : -1;
}

void byte_alphabet_write(Bytes *out, const char *bytes, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        int32_t point = point_of((unsigned char)bytes[i]);
        char utf8[2] = { (char)(0xc0 | point >> 6), (char)(0x80 | (point & 0x3f)) };
        if (point < 0x80) bytes_append(out, &bytes[i], 1);
        else bytes_append(out, utf8, 2);
    }
}

bool byte_alphabet_read(Bytes *out, const char *text, size_t n)
{
    size_t before = out->n;
    for (size_t i = 0, length; i < n; i += length) {
        int32_t point;
        length = utf8_character(text + i, n - i, &point);
        int byte = length ? byte_of(point) : -1;
        if (byte < 0) {
            out->n = before;
            return false;
        }
        bytes_append(out, &(char){ (char)byte }, 1);
    }
    return true;
}
