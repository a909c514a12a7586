/*
 * python_text.h - strings cut, counted and cased as Python does it
 *
 * The definitions of tasks are Python programs, so what "strip", "capitalize" and the length of a text mean is what they mean there.
 * Text is UTF-8 ended by 0; a byte that is no part of a character counts as one.  New strings are the caller's to free.
 */
#ifndef CORE_TEXT_PYTHON_TEXT_H
#define CORE_TEXT_PYTHON_TEXT_H

#include <stddef.h>

/* len(s): code points. */
int python_length(const char *s);

/* Bytes of white space (str.isspace: Unicode's) at the start of s, and at its end. */
size_t python_white_start(const char *s);
size_t python_white_end(const char *s);

char *python_strip(const char *s);

/* s.capitalize(): the first letter in title case, ALL others lower-cased (by Unicode's simple mappings: one letter for one). */
char *python_capitalize(const char *s);

/* s.replace(from, to), from not empty. */
char *python_replace(const char *s, const char *from, const char *to);

#endif
