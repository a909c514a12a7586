/*
 * progress.h - how far a long run is, on stderr
 *
 *     23/210 measurements  11% |##------------------|  0:42, 5:50 left  blocks.3.down
 *
 * On a terminal that one line is redrawn, at most ten times a second; elsewhere (a log) it is a plain
 * line at most every ten seconds, plus the first and the last.  The percentage and the time left
 * follow from the work done, since steps differ in cost.  Progress is the one thing in core/ that
 * prints; only experiments use it.
 */
#ifndef CORE_BASE_PROGRESS_H
#define CORE_BASE_PROGRESS_H

#include <stdbool.h>

typedef struct Progress Progress;

/* steps and their work in all, in any unit that is proportional to time; unit names the steps:
 * "measurements" (borrowed).  quiet: nothing is printed. */
Progress *progress_begin(int steps, double work, const char *unit, bool quiet);

/* One step more is done; label, which may be NULL, says which. */
void progress_step(Progress *progress, double work, const char *label);

/* One step more was done already, in an earlier run: its work is taken off, lest the time left look
 * too short. */
void progress_skip(Progress *progress, double work);

/* The last line, with the time it took; frees.  NULL is fine. */
void progress_end(Progress *progress);

#endif
