#include "core/base/progress.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "core/base/err.h"

enum { BAR_WIDTH = 20, LINE_BYTES = 512, USUAL_COLUMNS = 80 };
static const double REDRAW_SECONDS = 0.1, LOG_SECONDS = 10;

struct Progress {
    int steps, steps_done;
    double work, work_done;
    double start, shown;            /* [s] of the clock; when it began, when the last line was shown */
    const char *unit;
    bool quiet, terminal;
};

static double clock_seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static void duration_text(char out[24], double seconds)
{
    long s = seconds < 1e9 ? lround(seconds) : 1000000000;
    if (s < 3600) snprintf(out, 24, "%ld:%02ld", s / 60, s % 60);
    else snprintf(out, 24, "%ld:%02ld:%02ld", s / 3600, s / 60 % 60, s % 60);
}

static double fraction_done(const Progress *progress)
{
    if (progress->steps_done >= progress->steps) return 1;
    double fraction = progress->work > 0 ? progress->work_done / progress->work : 0;
    return fraction >= 0 ? fmin(fraction, 1) : 0;
}

static void bar_text(char out[BAR_WIDTH + 4], double fraction)
{
    int full = (int)(fraction * BAR_WIDTH);
    memset(out, '-', BAR_WIDTH + 3);
    memset(out + 2, '#', (size_t)full);
    out[0] = ' ';
    out[1] = out[BAR_WIDTH + 2] = '|';
    out[BAR_WIDTH + 3] = 0;
}

/* "0:42", or "0:42, 5:50 left" once there is something to judge by. */
static void time_text(char out[64], const Progress *progress)
{
    char elapsed[24], left[24];
    double seconds = clock_seconds() - progress->start, fraction = fraction_done(progress);
    duration_text(elapsed, seconds);
    duration_text(left, seconds * (1 - fraction) / fraction);
    if (fraction > 0 && fraction < 1) snprintf(out, 64, "%s, %s left", elapsed, left);
    else snprintf(out, 64, "%s", elapsed);
}

static int terminal_columns(void)
{
    struct winsize size;
    return ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : USUAL_COLUMNS;
}

static void show(Progress *progress, const char *label)
{
    char line[LINE_BYTES], bar[BAR_WIDTH + 4] = "", time[64];
    if (progress->terminal) bar_text(bar, fraction_done(progress));
    time_text(time, progress);
    snprintf(line, sizeof line, "%d/%d %s  %d%%%s  %s%s%s", progress->steps_done, progress->steps, progress->unit,
             (int)(100 * fraction_done(progress)), bar, time, label ? "  " : "", label ? label : "");
    if (progress->terminal) fprintf(stderr, "\r%.*s\033[K", terminal_columns() - 1, line);     /* \033[K clears the rest of an older line */
    else fprintf(stderr, "%s\n", line);
    fflush(stderr);
    progress->shown = clock_seconds();
}

Progress *progress_begin(int steps, double work, const char *unit, bool quiet)
{
    Progress *progress = xmalloc(sizeof *progress);
    *progress = (Progress){ .steps = steps, .work = work, .unit = unit, .quiet = quiet, .start = clock_seconds() };
    progress->terminal = isatty(STDERR_FILENO);
    if (!quiet) show(progress, NULL);
    return progress;
}

static void advance(Progress *progress, const char *label)
{
    progress->steps_done++;
    double wait = progress->terminal ? REDRAW_SECONDS : LOG_SECONDS;
    bool last = progress->steps_done == progress->steps;       /* which progress_end shows */
    if (!progress->quiet && !last && clock_seconds() - progress->shown >= wait) show(progress, label);
}

void progress_step(Progress *progress, double work, const char *label)
{
    progress->work_done += work;
    advance(progress, label);
}

void progress_skip(Progress *progress, double work)
{
    progress->work -= work;
    advance(progress, NULL);
}

void progress_end(Progress *progress)
{
    if (!progress) return;
    if (!progress->quiet) {
        show(progress, NULL);
        if (progress->terminal) fputc('\n', stderr);
    }
    free(progress);
}
