/*
 * lsaq.h - what the files of the experiment `lsaq` share
 *
 * Choices, their errors, coefficients, costs and measured models are those of the experiment `dynamic` (dynamic.h), with which it has the
 * text of the coefficients in common: importances come from there too.
 */
#ifndef EXPERIMENTS_LSAQ_H
#define EXPERIMENTS_LSAQ_H

#include "core/importance/importance.h"
#include "experiments/dynamic/dynamic.h"

/* Two of the config's choices: every block has the one or the other. */
typedef struct { int high, low; char *name; } Pair;

/* An order of the blocks: a rule and its options. */
typedef struct {
    const ImportanceRule *rule;
    Options *options;
    char *name;                     /* unique: the rule's, and what of its options differs from the rule's first: "jaccard-k10-all" */
    bool measured;                  /* are plans by it measured, or is it only compared? */
    Importance importance;
} Order;

/* What an exact allocation chooses. */
typedef enum { PLAN_BY_ORDER, PLAN_LAYERS, PLAN_BLOCKS, PLAN_FREE } PlanKind;

typedef struct {
    PlanKind kind;
    int pair, high;                 /* blocks with the high choice; of an exact one those of the plan whose size it has */
    const Order *order;             /* of PLAN_BY_ORDER     */
    const CostKind *cost;           /* of the exact ones    */
    bool sloped;                    /* that cost weighed with slopes (dynamic_point.c) */
    int model;                      /* its place in dynamic.model */
    int64_t bits;                   /* whole bits of all layers under study */
    bool optimal;
} BlockPlan;

typedef struct { char *name; int count; double seconds; } Stage;

typedef struct {
    Run *run;
    Dynamic d;
    int n_blocks, n_pairs, n_orders, n_plans, n_stages;
    Pair *pair;
    Order *order;
    int n_high, *high;              /* numbers of high-precision blocks, ascending */
    BlockPlan *plan;
    Stage *stage;
} Lsaq;

/* A stage took so long once more. */
void add_stage(Lsaq *l, const char *name, double seconds);

/* lsaq_orders.c: the orders that the config asks for; their importances, on the coefficients' text. */
int  orders_init(Lsaq *l);
int  orders_cost(double *passes, Lsaq *l);              /* in passes over the run's text; 0: all is known */
int  orders_measure(Lsaq *l);
void orders_free(Lsaq *l);

/* lsaq_plans.c: pairs and numbers of blocks; all plans, and the exact allocations of their sizes; how many there will be at most. */
int  pairs_init(Lsaq *l);
int  plans_make(Lsaq *l);
int  plans_at_most(const Lsaq *l);
int  points_at_most(const Lsaq *l);                     /* of slopes */
const char *plan_rule(const BlockPlan *plan);           /* "jaccard", "exact layers" ... */
char *plan_cost(const BlockPlan *plan);                 /* "", "group", "group x slopes"; the caller frees */
const BlockPlan *exact_of_size(const Lsaq *l, const BlockPlan *plan, PlanKind kind);      /* by the first cost; NULL where there is none */
static inline const Whole *plan_model(const Lsaq *l, const BlockPlan *plan) { return &l->d.model[plan->model]; }
static inline int64_t plan_bytes(const BlockPlan *plan) { return (plan->bits + 7) / 8; }

/* Difference of the measured KL from that of another plan, window by window, and the ratio of both. */
Mean plan_difference(const Lsaq *l, const BlockPlan *plan, const BlockPlan *other);
Mean plan_ratio(const Lsaq *l, const BlockPlan *plan, const BlockPlan *other);

/* lsaq_compare.c: rank correlations of all pairs of orders, with their 95 % intervals over windows (NaN where no text was looked at). */
typedef struct { int a, b; Interval rho; } Correlation;
Correlation *correlations(const Lsaq *l, int *n);

/* lsaq_tables.c, lsaq_say.c */
void lsaq_tables(Lsaq *l);
void lsaq_say(Lsaq *l);

#endif
