/*
 * block_order.h - blocks by importance, from what an earlier run stored
 *
 * A results file or a CSV with the columns block, rule, importance, rank (1: the most important) and, where it is known, importance_se.  Where
 * no importance has the rule `alpha`, the table coefficients (columns block, alpha, alpha_se) gives it: the sum of alpha over the layers of a
 * block, its error the sum of theirs, as if all moved together.  Without a file `first-to-last`: the first block matters most.  Rules have
 * the names of core/importance.
 */
#ifndef EXPERIMENTS_PLAN_BLOCK_ORDER_H
#define EXPERIMENTS_PLAN_BLOCK_ORDER_H

typedef struct {
    char *rule, *source;            /* source: the file and table, NULL: none was read                */
    int n_blocks, *order;           /* [n_blocks] the most important first                           */
    double *value, *se;             /* [n_blocks] importance, larger is more; NaN where it is not known */
} BlockOrder;

/* rule NULL: the only one of the file, alpha where it has coefficients alone.  ERR_ARGUMENT where the file has others or several; ERR_FORMAT with the row where a block is missing,
 * there twice or not in the model, where ranks are no permutation or contradict the importances, and where a number is not finite. */
int  block_order_read(BlockOrder *out, const char *path, const char *rule, int n_blocks);
void block_order_first_to_last(BlockOrder *out, int n_blocks);
void block_order_free(BlockOrder *order);

#endif
