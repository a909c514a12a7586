/*
 * allocate.c - one choice per layer from a table of bits and costs, exact, at each budget
 */
#include <stdio.h>
#include <stdlib.h>

#include "core/allocate/best.h"
#include "core/base/err.h"
#include "experiments/allocate/asked.h"
#include "experiments/allocate/elsewhere.h"
#include "experiments/allocate/show.h"
#include "experiments/allocate/trust.h"
#include "experiments/allocate/verify.h"
#include "experiments/command.h"
#include "kernels/kernels.h"

static const Option own[] = {
    { "budget",   OPTION_NUMBER,  true,  NULL, 0.01, 64,  NULL, "bits/weight",
      "average bits per weight of the layers that take part, all overhead included; may be repeated" },
    { "size",     OPTION_SIZE,    true,  NULL, 1, 1e15,   NULL, "bytes",
      "size of the table's layers, or with --model of the whole model; may be repeated" },
    { "model",    OPTION_TEXT,    false, NULL, 0, 0,      NULL, "",
      "of --size: the model; what no layer of the table covers counts as it is stored there" },
    { "together", OPTION_TEXT,    true,  NULL, 0, 0,      NULL, "",
      "q,k,v: these types share one choice inside each block; block: the whole block does" },
    { "pin",      OPTION_TEXT,    true,  NULL, 0, 0,      NULL, "", "'LAYERS=CHOICE': these layers get this choice" },
    { "forbid",   OPTION_TEXT,    true,  NULL, 0, 0,      NULL, "", "'LAYERS=CHOICES': these layers get none of these choices" },
    { "exclude",  OPTION_TEXT,    true,  NULL, 0, 0,      NULL, "", "'LAYERS': these layers take no part" },
    { "distinct", OPTION_INTEGER, false, NULL, 1, 1000,   NULL, "choices", "at most so many distinct choices over the model" },
    { "best",     OPTION_INTEGER, false, NULL, 1, 1000,   NULL, "allocations", "the so many best ones, all different, instead of the best alone" },
    { "resamples", OPTION_INTEGER, false, "200", 0, 1e6,  NULL, "resamples", "of the costs, where there is cost_se: which choices are sure (0: none; not with --best, --distinct)" },
    { "frontier", OPTION_FLAG,    false, "no", 0, 0,      NULL, "", "the best cost of every size: all breakpoints, and which lie on the convex hull" },
    { "csv",      OPTION_FLAG,    false, "no", 0, 0,      NULL, "", "of --frontier: print bits,size,cost,on_hull and nothing else" },
    { "verify",   OPTION_TEXT,    false, NULL, 0, 0,      NULL, "", "check every allocation of a file that --json printed, independently of the solver" },
    { 0 },
};

static bool given(const Arguments *a, const char *name) { return options_is_given(a->options, name); }

static int check(const Arguments *a)
{
    static const char *const others[] = { "budget", "size", "model", "together", "pin", "forbid", "exclude", "distinct", "best", "frontier", "csv", "resamples" };
    const bool frontier = options_flag(a->options, "frontier");
    for (int i = 0; given(a, "verify") && i < (int)(sizeof others / sizeof *others); i++)
        if (given(a, others[i])) FAIL(ERR_ARGUMENT, "--verify takes budgets and constraints from its file; leave out --%s", others[i]);
    if (!given(a, "verify") && !frontier && !given(a, "budget") && !given(a, "size"))
        FAIL(ERR_ARGUMENT, "--budget is missing: average bits per weight; or give --size, --frontier or --verify");
    if (given(a, "model") && !given(a, "size")) FAIL(ERR_ARGUMENT, "--model is of --size, which is not given");
    if (options_flag(a->options, "csv") && !frontier) FAIL(ERR_ARGUMENT, "--csv is of --frontier, which is not given");
    if (options_flag(a->options, "csv") && (given(a, "budget") || given(a, "size")))
        FAIL(ERR_ARGUMENT, "--csv prints a frontier alone; leave out --budget and --size");
    if (options_flag(a->options, "csv") && options_flag(a->options, "json")) FAIL(ERR_ARGUMENT, "--csv and --json exclude each other");
    if (given(a, "distinct") && frontier) FAIL(ERR_ARGUMENT, "--frontier does not take --distinct");
    if (given(a, "distinct") && given(a, "best")) FAIL(ERR_ARGUMENT, "--best does not take --distinct");
    return OK;
}

/* ---- solving ---- */

/* Everything that was asked for, solved before anything is printed. */
typedef struct {
    Allocation *allocation;
    Stability *stability;               /* n_resamples 0 where it is not asked for */
    int *rank, n;
    AllocationFrontier frontier;
    bool has_frontier;
} Solved;

static void solved_free(Solved *s)
{
    for (int i = 0; i < s->n; i++) {
        allocation_free(&s->allocation[i]);
        stability_free(&s->stability[i]);
    }
    free(s->allocation), free(s->stability), free(s->rank);
    frontier_free(&s->frontier);
}

/* What is solved. */
typedef struct { const ChoiceRows *rows; const Constraints *constraints; const Classes *classes; const Options *options; int64_t elsewhere; } Problem;

static int solve_best(Solved *s, const Problem *p, const Budget *budget)
{
    const int resamples = (int)options_integer(p->options, "resamples");
    Allocation *best = &s->allocation[s->n];
    TRY(allocate_classes(best, p->classes, budget));
    s->rank[s->n++] = 0;
    if (!p->rows->cost_se || !resamples || p->constraints->distinct) return OK;
    return trust_allocation(&s->stability[s->n - 1], p->rows, p->constraints, budget, best, resamples);
}

static int solve_budget(Solved *s, const Problem *p, const Budget *budget)
{
    if (!options_is_given(p->options, "best")) return solve_best(s, p, budget);
    int n;
    TRY(allocate_best(&s->allocation[s->n], &n, p->classes, budget, (int)options_integer(p->options, "best")));
    for (int i = 0; i < n; i++) s->rank[s->n++] = i + 1;
    return OK;
}

static int solve(Solved *s, const Problem *p)
{
    const Options *options = p->options;
    const int budgets = options_count(options, "budget"), sizes = options_count(options, "size");
    const size_t most = (size_t)(budgets + sizes) * (options_is_given(options, "best") ? (size_t)options_integer(options, "best") : 1);
    s->allocation = xcalloc(most, sizeof *s->allocation);
    s->stability = xcalloc(most, sizeof *s->stability);
    s->rank = xcalloc(most, sizeof *s->rank);
    for (int i = 0; i < budgets + sizes; i++) {
        Budget budget = { 0 };
        if (i < budgets) budget.average = options_number_at(options, "budget", i);
        else budget.bytes = options_integer_at(options, "size", i - budgets), budget.elsewhere = p->elsewhere;
        TRY(solve_budget(s, p, &budget));
    }
    if (!options_flag(options, "frontier")) return OK;
    TRY(frontier_init(&s->frontier, p->classes, options_integer(options, "memory")));
    s->has_frontier = true;
    return OK;
}

/* ---- printing ---- */

static void show_json(const Solved *s, const ChoiceTable *table, const Asked *asked)
{
    fputs("{\"allocations\":[", stdout);
    for (int i = 0; i < s->n; i++) {
        if (i) putchar(',');
        show_allocation_json(&s->allocation[i], table, s->rank[i], &s->stability[i]);
    }
    putchar(']');
    if (asked_anything(asked)) {
        fputs(",\"constraints\":", stdout);
        asked_print_json(asked);
    }
    if (s->has_frontier) {
        fputs(",\"frontier\":", stdout);
        show_frontier_json(&s->frontier);
    }
    puts("}");
}

static void show(const Solved *s, const ChoiceTable *table, const Asked *asked, const Options *options)
{
    if (options_flag(options, "json")) {
        show_json(s, table, asked);
        return;
    }
    for (int i = 0; i < s->n; i++) show_allocation(&s->allocation[i], table, s->rank[i], &s->stability[i]);
    if (s->has_frontier) (options_flag(options, "csv") ? show_frontier_csv : show_frontier)(&s->frontier);
}

/* ---- the command ---- */

static int run_classes(const Problem *problem, const Asked *asked)
{
    Solved solved = { 0 };
    const int status = solve(&solved, problem);
    if (status == OK) show(&solved, problem->classes->table, asked, problem->options);
    solved_free(&solved);
    return status;
}

static int run_rows(const ChoiceRows *rows, const Options *options)
{
    Asked asked;
    Constraints constraints;
    Classes classes;
    int64_t elsewhere = 0;
    asked_of_options(&asked, options);
    int status = asked_constraints(&constraints, &asked, rows);
    if (status == OK) {
        if (options_is_given(options, "model")) status = bytes_elsewhere(&elsewhere, options_text(options, "model"), &rows->choices, &constraints);
        if (status == OK) status = classes_init(&classes, &rows->choices, &constraints);
        if (status == OK) {
            status = run_classes(&(Problem){ rows, &constraints, &classes, options, elsewhere }, &asked);
            classes_free(&classes);
        }
        constraints_free(&constraints);
    }
    asked_free(&asked);
    return status;
}

static int run(const Arguments *a)
{
    const char *path = a->positional[0];
    ChoiceRows rows;
    if (options_is_given(a->options, "threads")) kernels_set_threads((int)options_integer(a->options, "threads"));
    TRY(choice_rows_read(&rows, path));
    int status;
    if (options_is_given(a->options, "verify")) {
        status = verify_file(options_text(a->options, "verify"), &rows, options_flag(a->options, "json"));
    } else {
        status = run_rows(&rows, a->options);
        if (status != OK) err_context(status, "%s", path);
    }
    choice_rows_free(&rows);
    return status;
}

const Command command_allocate = {
    .name = "allocate", .arguments = "TABLE.csv|RUN.h5 --budget B", .summary = "the best choice per layer under a size, exact",
    .details = "TABLE.csv has the columns layer, weights, choice, bits (per weight, all overhead included) and cost (predicted\n"
               "loss); layers with the same text in a column group share one choice; with the costs' standard errors in a\n"
               "column cost_se it is told how often each layer keeps its choice when costs are drawn again.  RUN.h5: its table\n"
               "choices.  LAYERS and CHOICES are patterns with * ? [..].  --json adds a certificate to each allocation, from\n"
               "which --verify FILE.json checks all of them again.\n",
    .own = own, .check = check, .least = 1, .most = 1, .json = true, .run = run,
};
