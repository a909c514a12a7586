/* temporary.h - where the files of tests belong: TMPDIR, as everywhere */
#ifndef CORE_TESTS_TEMPORARY_H
#define CORE_TESTS_TEMPORARY_H

#include <stdlib.h>

static inline const char *temporary_place(void)
{
    const char *place = getenv("TMPDIR");
    return place && *place ? place : "/tmp";
}

#endif
