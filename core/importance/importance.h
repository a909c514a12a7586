/*
 * importance.h - which blocks of a model matter most: rules that order them for mixed precision
 *
 * A rule gives every block (a "layer" of LSAQ and of LIM) a number, larger = more important, from the states that a text leaves before and
 * after the block, from the weights, from the linearity coefficients, or from nothing:
 *
 *     jaccard     1 - |A n B| / |A u B|,  A and B the k likeliest tokens of the states before and after     (LSAQ, arXiv 2412.18135)
 *     lim         - mean cos(x, y),  x and y those states                                                  (LIM, arXiv 2406.17415)
 *     zd          - share of the weights more than a standard deviation above the mean                    (ZD, the same paper)
 *     alpha       sum of the coefficients a_l of the block's layers
 *     random, first-to-last, last-to-first     controls
 *
 * What a rule says of a text is the mean over its windows, a window's the mean over its sequences.  Blocks are ranked from the most
 * important (1) on; equal ones by their index.  A new rule is one file that defines an ImportanceRule and one row in registry.c.
 */
#ifndef CORE_IMPORTANCE_IMPORTANCE_H
#define CORE_IMPORTANCE_IMPORTANCE_H

#include "core/measure/study.h"

/* The k likeliest tokens of a state, as a projection to the vocabulary has them. */
typedef struct { Projection projection; int k; bool all; } TokensWanted;      /* all: of every position; otherwise of the last of a sequence */

/* One sequence at one block. */
typedef struct {
    int rows, width, vocabulary;
    const float *input, *output;                    /* [rows][width] the residual stream before and after the block, on the host    */
    int most, token_rows;                           /* tokens of a state; rows that have them, the last ones                        */
    const int32_t *input_tokens, *output_tokens;    /* [token_rows][most] by descending logit, equal ones by id; NULL where not wanted */
} BlockStates;

/* What rules that look at no states may look at. */
typedef struct {
    const Model *model;
    int n_windows;
    const double *alpha;            /* [layers of the model][n_windows] coefficients by window; NULL: not known */
    uint64_t seed;
} ImportanceEvidence;

typedef struct ImportanceRule {
    const char *name, *summary;
    int version;                    /* part of the key: raised when results change */
    const Option *options;

    /* By states: the importance of a block as one sequence has it; and the tokens that this needs (NULL: none). */
    double (*of_states)(const BlockStates *states, const Options *options);
    void (*tokens)(TokensWanted *out, const Options *options);

    /* Otherwise: out [n_blocks], or [n_blocks][n_windows] where by_window. */
    bool by_window;
    int (*of_model)(double *out, const ImportanceEvidence *evidence, const Options *options);
} ImportanceRule;

extern const ImportanceRule *const importance_rules[];          /* ends with NULL */
extern const ImportanceRule importance_alpha, importance_first_to_last;
int importance_find(const ImportanceRule **out, const char *name);      /* ERR_ARGUMENT with the nearest name, or all of them */

typedef struct {
    int n_blocks, n_windows;        /* windows: 0 where no text was looked at        */
    double *by_window;              /* [n_blocks][n_windows]                         */
    double *value, *se;             /* [n_blocks]; se over windows, NaN without them */
    int *rank, *order;              /* [n_blocks] 1 = most important; the blocks by their rank */
    int ties;                       /* blocks that share their importance with one ranked before */
    double seconds;                 /* what it took, or had taken, by itself         */
} Importance;

typedef struct { const ImportanceRule *rule; const Options *options; const char *name; } ImportanceRequest;

/*
 * out[n]: the importances by n rules on the study's text, the caller's to free.  One forward pass serves all rules that look at states and
 * whose results the store lacks; each result becomes a record there.  Memory beyond the study's plan, on the host: a second stream, the tokens
 * wanted, and the logits of head_rows positions, there and on the back end; network_project_bytes for an embedding that is not the head.
 * alpha as in ImportanceEvidence.  ERR_ARGUMENT: k above the vocabulary, alpha missing; ERR_FORMAT: not finite; ERR_INTERRUPTED.
 */
int  importance_measure(Importance *out, Study *study, const ImportanceRequest *request, int n, const double *alpha);
void importance_free(Importance *importance);

/* *passes = what of this the store lacks, in forward passes of the model over the study's text: 0 where nothing is to be run. */
int importance_cost(double *passes, Study *study, const ImportanceRequest *request, int n);

/* Ranks and order of n values; what differs by rounding alone is equal.  Returns the ties. */
int importance_rank(int *rank, int *order, const double *value, int n);

/* Room for an importance; value, se and ranks from by_window [n_blocks][n_windows], or with n_windows = 0 from value.  ERR_FORMAT where a value is not finite. */
void importance_init(Importance *out, int n_blocks, int n_windows);
int  importance_finish(Importance *importance, const char *name);

#endif
