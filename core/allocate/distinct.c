#include "core/allocate/distinct.h"

#include "core/base/err.h"

int allocate_distinct(Allocation *out, const Classes *classes, const Budget *budget, int64_t capacity)
{
    (void)out, (void)classes, (void)budget, (void)capacity;
    FAIL(ERR_ARGUMENT, "not yet");
}
