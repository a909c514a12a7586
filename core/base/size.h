/* size.h - a number of bytes for people */
#ifndef CORE_BASE_SIZE_H
#define CORE_BASE_SIZE_H

#include <stdint.h>

enum { SIZE_TEXT = 24 };

/* "3.2 GiB", "17 MiB", "640 KiB"; rounded up, so that what is said to suffice does, and in a form that the
 * setting memory takes (without the blank too). */
char *size_text(char out[SIZE_TEXT], int64_t bytes);

#endif
