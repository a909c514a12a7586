/* figure.h - the figures there are, and whether a table holds what one of them draws */
#ifndef CORE_REPORT_FIGURE_H
#define CORE_REPORT_FIGURE_H

#include <stdbool.h>

#include "core/store/table.h"

typedef struct {
    const char *name;               /* its script is NAME.gp                                       */
    const char *table;
    const char *columns[2];         /* both positive in a row that is drawn                        */
    const char *kind, *kinds;       /* column that tells the series apart, and the series, " a b "; NULL: any  */
    const char *also;               /* a further table that the script reads where it is there     */
    bool optional;                  /* a run may lack these columns: then it was not asked for          */
    const char *question;           /* NULL: the main one; a run that has no table for a question has left none of its figures out */
} Figure;

extern const Figure figures[];      /* ends with a row whose name is NULL */

/* table may be NULL.  *reason, where wanted: why not; the caller frees. */
bool figure_is_drawable(const Figure *figure, const Table *table, char **reason);

/* Columns that tell the combinations of a sweep apart: "noise.group text.context", "" where there
 * are none.  The caller frees. */
char *figure_swept(const Table *table);

#endif
