/*
 * estimates.c - values with their standard errors: as two columns of a table, and for people
 */
#include <math.h>
#include <stdlib.h>

#include "core/base/err.h"
#include "experiments/experiment.h"

void add_estimate(Table *t, const char *name, const char *unit, const char *meaning)
{
    char *se = xformat("%s_se", name);
    table_add_column(t, COLUMN_NUMBER, name, unit, meaning);
    table_add_column(t, COLUMN_NUMBER, se, unit, "its standard error over windows");
    free(se);
}

void set_estimate(Table *t, int64_t row, const char *name, Mean mean)
{
    char *se = xformat("%s_se", name);
    table_set_number(t, row, name, mean.value);
    table_set_number(t, row, se, mean.se);
    free(se);
}

char *with_error(double value, double se)
{
    if (!isfinite(value)) return xstrdup("unknown");
    return isfinite(se) ? xformat("%.3g +- %.2g", value, se) : xformat("%.3g", value);
}
