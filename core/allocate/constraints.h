/*
 * constraints.h - what an allocation must keep to beside the budget
 *
 * Layers left out, choices pinned or forbidden by patterns, layers that share one choice (a server that fuses
 * q, k and v into one matrix has one quantizer for them), and a limit to the number of distinct choices.  Choices
 * are compared by name.  classes.h turns table and constraints into the problem that is solved.
 */
#ifndef CORE_ALLOCATE_CONSTRAINTS_H
#define CORE_ALLOCATE_CONSTRAINTS_H

#include <stdbool.h>

#include "core/allocate/allocate.h"

typedef struct Constraints {
    int n_layers, n_choices;
    int *group;                     /* [n_layers] layers with the same number share a choice; first layer of the group */
    bool *excluded;                 /* [n_layers] takes no part                                     */
    int *pinned;                    /* [n_layers] row that the layer is pinned to, -1: none         */
    bool *forbidden;                /* [n_choices] row that must not be chosen                      */
    int distinct;                   /* at most so many distinct choices over the model; 0: any number */
    bool any;                       /* is anything asked for?                                       */
} Constraints;

/* None at all. */
void constraints_init(Constraints *out, const ChoiceTable *table);
void constraints_free(Constraints *constraints);

/* Each takes the text of its option and returns OK or ERR_ARGUMENT with one sentence that names the nearest right
 * name; all may be repeated.  pin: "GLOB=CHOICE", forbid: "GLOB=CHOICEGLOB" (split at the first =), exclude: "GLOB". */
int constraints_pin(Constraints *constraints, const ChoiceTable *table, const char *text);
int constraints_forbid(Constraints *constraints, const ChoiceTable *table, const char *text);
int constraints_exclude(Constraints *constraints, const ChoiceTable *table, const char *glob);

/* "q,k,v": the layers of these types inside one block (names are blocks.B.TYPE) share a choice; "block": all of a
 * block do.  Layers shared by two such calls join both groups to one. */
int constraints_together(Constraints *constraints, const ChoiceTable *table, const char *types);

/* group_name[n_layers]: layers with the same text share a choice; "" or NULL: no group. */
void constraints_group(Constraints *constraints, const char *const *group_name);

#endif
