/*
 * verify.h - every allocation that `linearity allocate --json` printed, checked again against the table
 */
#ifndef EXPERIMENTS_ALLOCATE_VERIFY_H
#define EXPERIMENTS_ALLOCATE_VERIFY_H

#include <stdbool.h>

#include "experiments/allocate/choice_rows.h"

/* Prints a verdict for each.  ERR_FORMAT where one does not hold: FILE, which one, and one sentence. */
int verify_file(const char *path, const ChoiceRows *rows, bool json);

#endif
