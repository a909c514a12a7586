/*
 * plot.h - the pictures of a run: its tables as CSV, and gnuplot's scripts drawn from them
 *
 * A figure is made where its table is in the store and holds something to draw:
 *   response       KL / t^2 of single layers against t^2    from responses (and coefficients)
 *   coefficients   alpha against block                      from coefficients
 *   predicted      measured against predicted KL            from predictions (and floor)
 *   frontier       KL against bits per weight               from predictions
 *   singles        KL of a layer alone over a t^2           from singles
 *   checks         injected / backward pass, layer by layer from checks
 *   estimators     cost of 5 %, and agreement               from estimators
 *   ladder         KL over sum a t^2 against t^2            from ladder
 *   additivity     KL over its predictions against bits     from additivity
 *   ppl_law        perplexity and its laws against bits     from additivity
 *   slopes         slopes of layers against block           from slopes
 *   quantizers     KL and KL over sum a t^2 against bits    from quantizers
 *   predictors     KL of a layer alone over predictions     from predictors
 * Of a sweep, the first combination is drawn, and the figure says so.
 */
#ifndef CORE_REPORT_PLOT_H
#define CORE_REPORT_PLOT_H

#include "core/store/store.h"

/* Writes out_dir/TABLE.csv, FIGURE.svg and FIGURE.png, each whole or not at all, and creates the
 * folder.  *files: the paths, tables first; the caller frees each and the list.  ERR_FILE where a file
 * cannot be written, or gnuplot is missing or fails: the tables are then there all the same. */
int plot_run(const Store *store, const char *scripts_dir, const char *out_dir, char ***files, int *n_files);

/* Which figures plot_run does not make of this store, and why, in one sentence; NULL where it makes
 * them all.  The caller frees. */
char *plot_left_out(const Store *store);

/* $LINEARITY_PLOTS, else ../plots beside the running program, else plots.  The caller frees. */
char *plot_scripts_dir(void);

#endif
