/*
 * states.h - the rules that look at the states of a text: one forward pass for all of them, a record in the store for each
 */
#ifndef CORE_IMPORTANCE_STATES_H
#define CORE_IMPORTANCE_STATES_H

#include "core/importance/importance.h"

/* Fills out[i] of those requests whose rules have of_states; the others are left alone. */
int importance_of_states(Importance *out, Study *study, const ImportanceRequest *request, int n);

#endif
