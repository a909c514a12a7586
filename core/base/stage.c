#include "core/base/stage.h"

#include <stdio.h>
#include <sys/resource.h>

#include "core/base/clock.h"

/* The largest that was seen since the innermost stage began, when the mark was last set back. */
static int64_t seen;

static int64_t larger(int64_t a, int64_t b) { return a > b ? a : b; }

static int64_t mark_of_program(void)
{
    struct rusage usage;
    return getrusage(RUSAGE_SELF, &usage) == 0 ? 1024 * (int64_t)usage.ru_maxrss : 0;
}

/* VmHWM is what clear_refs sets back; ru_maxrss need not follow it. */
static int64_t high_water(void)
{
    FILE *status = fopen("/proc/self/status", "re");
    char line[256];
    long long kibibytes = -1;
    while (status && kibibytes < 0 && fgets(line, sizeof line, status))
        if (sscanf(line, "VmHWM: %lld kB", &kibibytes) != 1) kibibytes = -1;
    if (status) fclose(status);
    return kibibytes < 0 ? mark_of_program() : 1024 * (int64_t)kibibytes;
}

static void set_back(void)
{
    FILE *file = fopen("/proc/self/clear_refs", "we");
    if (!file) return;
    fputs("5", file);
    fclose(file);
}

StageBegun stage_begin(void)
{
    const StageBegun stage = { clock_seconds(), larger(seen, high_water()) };
    set_back();
    seen = 0;
    return stage;
}

void stage_end(StageCost *cost, const StageBegun *stage)
{
    const int64_t peak = larger(seen, high_water());
    stage_cost_add(cost, &(StageCost){ clock_seconds() - stage->start, peak });
    seen = larger(stage->around, peak);
}

void stage_cost_add(StageCost *cost, const StageCost *other)
{
    cost->seconds += other->seconds;
    cost->peak = larger(cost->peak, other->peak);
}
