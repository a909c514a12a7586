#include "core/base/size.h"

#include <math.h>
#include <stdio.h>

char *size_text(char out[SIZE_TEXT], int64_t bytes)
{
    static const char *const units[] = { "KiB", "MiB", "GiB", "TiB" };
    int unit = 0;
    double value = (double)bytes / 1024;
    for (; value > 9999 && unit < 3; unit++) value /= 1024;
    snprintf(out, SIZE_TEXT, "%.0f %s", ceil(value), units[unit]);
    return out;
}
