/*
 * asked.h - the constraints of an allocation as the user wrote them: from the command line, into and out of JSON
 */
#ifndef EXPERIMENTS_ALLOCATE_ASKED_H
#define EXPERIMENTS_ALLOCATE_ASKED_H

#include <jansson.h>

#include "core/allocate/constraints.h"
#include "core/base/options.h"
#include "experiments/allocate/choice_rows.h"

enum { ASKED_LISTS = 4 };
extern const char *const asked_list[ASKED_LISTS];       /* "exclude" "together" "forbid" "pin", in the order they are applied */

typedef struct {
    int n[ASKED_LISTS];
    const char **text[ASKED_LISTS];     /* borrowed texts, owned lists */
    int distinct;                       /* 0: any number */
} Asked;

void asked_of_options(Asked *out, const Options *options);
int  asked_of_json(Asked *out, const json_t *object);           /* NULL: none at all */
void asked_free(Asked *asked);

bool asked_anything(const Asked *asked);
void asked_print_json(const Asked *asked);

/* The constraints of the table's groups and of what was asked; the caller frees. */
int asked_constraints(Constraints *out, const Asked *asked, const ChoiceRows *rows);

#endif
