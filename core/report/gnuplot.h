/* gnuplot.h - run a gnuplot script as a child, without a shell, and say what went wrong in one sentence */
#ifndef CORE_REPORT_GNUPLOT_H
#define CORE_REPORT_GNUPLOT_H

typedef struct { const char *name, *value; } GnuplotVariable;       /* a string variable of the script */

/* The user's own gnuplot settings are not read.  ERR_FILE where gnuplot is not installed or fails (its
 * last line is quoted), ERR_ARGUMENT where a value holds control characters. */
int gnuplot_run(const char *script, const GnuplotVariable *variables, int n);

#endif
