/* size.h - a number of bytes for people */
#ifndef CORE_BASE_SIZE_H
#define CORE_BASE_SIZE_H

#include <stdint.h>

enum { SIZE_TEXT = 24 };

/* "640 KiB", "3277 MiB", "15 GiB": whole, as the setting `memory` takes it (without the blank), and
 * rounded up, so that what is said to suffice does. */
char *size_text(char out[SIZE_TEXT], int64_t bytes);

#endif
