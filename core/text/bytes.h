/*
 * bytes.h - a growing run of bytes, and what the tokenizer asks of single UTF-8 characters
 */
#ifndef CORE_TEXT_BYTES_H
#define CORE_TEXT_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct { char *data; size_t n, capacity; } Bytes;         /* zero-initialise; bytes_free when done */
void bytes_append(Bytes *bytes, const char *data, size_t n);
void bytes_free(Bytes *bytes);

/* Length in bytes of the character that text[0..n) opens with, its code point to *point (may be
 * NULL); 0 where these bytes are not UTF-8.  n > 0. */
size_t utf8_character(const char *text, size_t n, int32_t *point);

/* How many of the bytes text[0..n) form valid UTF-8 from the start. */
size_t utf8_valid_prefix(const char *text, size_t n);

/* Unicode's White_Space property. */
bool point_is_space(int32_t point);

#endif
