/*
 * study.h - the one act of this program: replace some layers' weights, run the clean text through,
 * compare the losses
 *
 *     NLL = mean over scored tokens of -log q(token)                        [nats/token]
 *     KL  = mean over scored positions of sum_i p_i (expm1(d_i) - d_i),  d = log q - log p   [nats/token]
 *
 * p is the clean model, q the perturbed one.  A study is a model, a corpus and a store.  The
 * first measurement that has to run runs the clean pass and keeps what memory allows: residual streams
 * at block boundaries (so that a perturbation in block b starts there), and the clean logits (so that the
 * head runs once).  What is not kept is computed again, to the same bits.
 */
#ifndef CORE_MEASURE_STUDY_H
#define CORE_MEASURE_STUDY_H

#include "core/measure/evidence.h"
#include "core/network/backward.h"
#include "core/network/network.h"
#include "core/perturb/perturbation.h"
#include "core/store/store.h"

typedef struct {
    int n;
    const MapEntry *entry;          /* by ascending layer, each layer at most once */
    int draw;                       /* which independent draw of random perturbations */
    bool mirrored;                  /* every error with the opposite sign: W - (W^ - W) */
    double scale;                   /* every error times this, > 0: W + scale (W^ - W), t^2 times scale^2; 0 stands for 1 */
    bool null_run;                  /* nothing replaced, every product rounded another legitimate way */
    const char *label;              /* for people */
} LayerMap;

/* What the memory is used for; what is printed by --dry-run. */
typedef struct {
    NetworkPlan network;
    bool keep_logits;               /* clean logits of all scored positions             */
    int boundary_stride;            /* a residual stream is kept every so many blocks; 0: none */
    BackwardPlan backward;
    int64_t bytes, least;           /* this plan's total, and the least that any plan needs */
} StudyPlan;

typedef struct Study Study;

/* ERR_MEMORY where even the leanest plan does not fit; says what would. */
int study_plan(StudyPlan *out, const ModelShape *shape, const Corpus *corpus, const Kernels *kernels, int64_t memory);

/* The model, the corpus and the store (NULL: nothing is kept) must outlive the study.  Runs nothing yet. */
int  study_open(Study **out, const Model *model, const Corpus *corpus, const Kernels *kernels, const StudyPlan *plan,
                uint64_t seed, Store *store);
void study_close(Study **study);

/* Plans of two studies of one model that share its network, and the study that uses the other's: before either runs anything, closed before
 * its lender.  plan[0] is the lender's, with the bytes of both; those of plan[1] are 0. */
int  study_plan_two(StudyPlan plan[2], const ModelShape *shape, const Corpus *const corpus[2], const Kernels *kernels, int64_t memory);
void study_share(Study *study, Study *lender);

/* Where perturbations that need evidence get it from; borrowed, before the first of them is measured. */
void study_calibrate(Study *study, EvidenceSource *source);

/* One perturbation of one layer, weights read from the model: what came out (out NULL: not wanted) and its error.  Its inputs are the
 * clean model's, those of a sequential one too: alone no layer before it is quantized. */
int study_apply(float *out, PerturbationError *error, Study *study, const MapEntry *entry, Draw draw);

/* The clean losses (KL is NaN).  The clean pass itself runs when something first needs it, so a run
 * that finds everything in the store costs nothing. */
int study_clean(Measurement *out, Study *study);

/* The only way anything is measured: looks the key up in the store, otherwise runs and journals the
 * result before it returns.  The caller frees with measurement_free. */
int measure(Measurement *out, Study *study, const LayerMap *map);

/* The key and its canonical text (the caller frees *text; NULL: not wanted). */
int measure_key(char key[HASH_TEXT], char **text, Study *study, const LayerMap *map);
bool measure_known(Study *study, const LayerMap *map);

/* Shows the clean residual stream x [rows][width], in the back end's memory: before block 0 as block -1, then after each block.  Whatever is
 * kept of it is the visitor's.  One forward pass; ends with the visitor's first failure. */
typedef int (*StreamVisitor)(void *context, Network *network, const Layout *layout, int block, const float *x);
int study_streams(Study *study, StreamVisitor visit, void *context);

/* Cost in forward passes of the whole model over the corpus, by FLOPs, prefix re-use counted. */
double measure_cost(const Study *study, const LayerMap *map);

const Model *study_model(const Study *study);
const Corpus *study_corpus(const Study *study);
Store *study_store(const Study *study);                 /* NULL: nothing is kept */
const Kernels *study_kernels(const Study *study);
EvidenceSource *study_source(const Study *study);       /* NULL: there is none */
uint64_t study_seed(const Study *study);
int study_executed(const Study *study);                 /* measurements run, not found */

#endif
