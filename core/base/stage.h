/*
 * stage.h - what stages of work take: wall time, and the largest resident memory of the program while they ran
 *
 * Resident is all that the program holds in memory: what it allocated, pages of mapped files, libraries.  The system keeps a high-water
 * mark that a process may set back to what it holds now (/proc/self/clear_refs of Linux); where it may not, a peak is that of the program
 * since it began.  Others who ask the system afterwards (time -v) are told the peak since the last stage began.
 *
 * Stages may lie inside each other, an inner one's peak then counts for the outer; all are begun and ended by one thread.
 */
#ifndef CORE_BASE_STAGE_H
#define CORE_BASE_STAGE_H

#include <stdint.h>

typedef struct { double seconds; int64_t peak; } StageCost;     /* s, bytes; zeros: nothing was done */
typedef struct { double start; int64_t around; } StageBegun;    /* one that is at work */

StageBegun stage_begin(void);

/* Adds the time and raises the peak.  A stage that failed need not be ended: only peaks around it are lost. */
void stage_end(StageCost *cost, const StageBegun *stage);

/* Adds another's time and raises the peak to it. */
void stage_cost_add(StageCost *cost, const StageCost *other);

#endif
