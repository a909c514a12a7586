/*
 * byte_alphabet.h - GPT-2's alphabet: every byte as one printable character, so that vocabularies are text
 *
 * Printable bytes of Latin-1 stand for themselves; the other 68 are U+0100, U+0101, ... in order.
 */
#ifndef CORE_TEXT_BYTE_ALPHABET_H
#define CORE_TEXT_BYTE_ALPHABET_H

#include "core/text/bytes.h"

/* Appends the characters of bytes[0..n). */
void byte_alphabet_write(Bytes *out, const char *bytes, size_t n);

/* Appends the bytes that text[0..n) stands for; false, nothing appended, where a character is not of the alphabet. */
bool byte_alphabet_read(Bytes *out, const char *text, size_t n);

#endif
