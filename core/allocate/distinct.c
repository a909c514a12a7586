#include "core/allocate/distinct.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/allocate/allocation.h"
#include "core/allocate/distinct_search.h"
#include "core/base/err.h"

/* Why there is none: the least size with so few choices, or the number of choices that is enough for all layers. */
static int explain(const Classes *classes, const Budget *budget)
{
    double least = INFINITY;
    const int asked = classes->distinct < classes->n_names ? classes->distinct : classes->n_names;
    int most = asked;
    while (!distinct_least_size(&least, classes, most)) most++;             /* all names are enough */
    if (most > asked) FAIL(ERR_ARGUMENT, "%d distinct choices are not enough for every layer to have one; %d are", asked, most);
    char *with = xformat(" with at most %d distinct choice%s", most, most == 1 ? "" : "s");
    const int status = budget_too_small(budget, (int64_t)least, classes, with);
    free(with);
    return status;
}

int allocate_distinct(Allocation *out, const Classes *classes, const Budget *budget, int64_t capacity)
{
    if (classes->least > capacity) return explain(classes, budget);
    DistinctAnswer answer;
    distinct_search(&answer, classes, classes->distinct, capacity);
    if (!answer.option) return explain(classes, budget);
    const Knapsack all = { classes->n_classes, classes->first, classes->option, capacity };
    allocation_fill(out, classes, budget, &all, answer.option, answer.proven, &answer.bound);
    if (answer.proven) out->lower_bound = out->cost;
    free(answer.option);
    return OK;
}
