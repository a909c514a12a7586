#include "core/measure/masks.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/err.h"
#include "core/base/interrupt.h"
#include "core/base/rng.h"
#include "core/measure/gradient_sums.h"
#include "core/quantize/hessian.h"

/* A ranking holds at least this share of the weights: more than any mask that is worth its bits. */
static const double SHARE = .02;

void masks_free(Masks *m)
{
    for (int i = 0; i < MOST_RANKINGS; i++) {
        free(m->ranking[i].text);
        top_k_free(&m->ranking[i].top);
    }
    for (int i = 0; i < m->n_masks; i++) {
        free(m->mask[i].text);
        mask_free(&m->mask[i].mask);
    }
    free(m->mask);
    kept_free(&m->nothing);
    *m = (Masks){ 0 };
}

static int64_t ranked(int64_t weights, int64_t most)
{
    const int64_t share = mask_count(SHARE, weights);
    return most > share ? most : share;
}

int64_t masks_bytes(int64_t weights, int n_masks, int64_t kept, int64_t most)
{
    if (n_masks == 0) return 0;
    const int64_t k = ranked(weights, most), others = n_masks - 1 < MOST_RANKINGS ? n_masks - 1 : MOST_RANKINGS;
    return others * k * (int64_t)(sizeof(float) + sizeof(int64_t)) + top_k_bytes(k, weights) + kept * (int64_t)sizeof(uint32_t);
}

/* ---- ranking ---- */

/* One layer at work. */
typedef struct { float *w, *quantized, *score; double *diagonal; } Room;

static void room_init(Room *room, const Model *model)
{
    int64_t most = 0, cols = 0;
    for (int l = 0; l < LAYER_TYPES; l++) {
        const Layer *layer = model_layer(model, l);
        most = layer->rows * layer->cols > most ? layer->rows * layer->cols : most;
        cols = layer->cols > cols ? layer->cols : cols;
    }
    float **all[] = { &room->w, &room->quantized, &room->score };
    for (int i = 0; i < 3; i++) *all[i] = xmalloc(sizeof(float) * (size_t)most);
    room->diagonal = xmalloc(sizeof *room->diagonal * (size_t)cols);
}

static void room_free(Room *room)
{
    free(room->w), free(room->quantized), free(room->score), free(room->diagonal);
}

/* U_jj; infinite for inputs that were never there, whose diagonal hessian_factor makes up: without their weights nothing is lost. */
static int hessian_diagonal(double *out, const float *hessian, const MapEntry *entry, int64_t n)
{
    const double percdamp = options_has(entry->options, "percdamp") ? options_number(entry->options, "percdamp") : .01;
    double *u = xmalloc(sizeof *u * (size_t)(n * n));
    hessian_load(u, hessian, n, NULL);
    int status = hessian_factor(u, n, percdamp, entry->perturbation->name, entry->layer);
    for (int64_t j = 0; j < n && status == OK; j++) out[j] = hessian[j * n + j] > 0 ? u[j * n + j] : INFINITY;
    free(u);
    return status;
}

/* A walk through the model with an empty mask. */
typedef struct { Masks *masks; EvidenceSource *source; MaskRule rule; Calibration *sequential; Room room; TopK *top; int64_t place; } Walk;

static int quantize_layer(Walk *walk, const MapEntry *entry, const Layer *layer)
{
    const LayerWeights weights = { walk->room.w, layer->rows, layer->cols, entry->layer };
    PerturbationError error;
    const StageBegun stage = stage_begin();
    TRY(evidence_apply(walk->room.quantized, &error, walk->source, entry, &weights, (Draw){ 0 }, walk->sequential));
    stage_end(&walk->masks->quantizing, &stage);
    return walk->sequential ? calibration_replace(walk->sequential, entry->layer, walk->room.quantized) : OK;
}

static int rank_layer(Walk *walk, const MapEntry *entry, const Layer *layer)
{
    const Room *room = &walk->room;
    const Score score = walk->rule.score;
    const Model *model = evidence_model(walk->source);
    const Evidence *evidence = NULL;
    Evidence own;
    if (interrupt_requested()) FAIL(ERR_INTERRUPTED, "interrupted");
    TRY(model_read(room->w, model, layer->type, layer->block, 0, layer->rows));
    if (score_reads_hessian(score)) TRY(evidence_for(&evidence, &own, walk->source, entry, walk->sequential));
    if (score_reads_quantized(score)) TRY(quantize_layer(walk, entry, layer));
    const StageBegun stage = stage_begin();
    if (score_reads_hessian(score)) TRY(hessian_diagonal(room->diagonal, evidence->hessian, entry, layer->cols));
    SaliencyInput in = { .rows = layer->rows, .cols = layer->cols, .w = room->w, .quantized = room->quantized, .diagonal = room->diagonal,
                         .seed = walk->rule.seed, .stream = rng_stream(RNG_MASK, entry->layer, 0, 0) };
    TRY(evidence_sums(&in.gradient, &in.fisher, walk->source, score_reads_gradient(score), score_reads_fisher(score), entry->layer));
    saliency(room->score, score, &in);
    top_k_add(walk->top, room->score, layer->rows * layer->cols, walk->place);
    walk->place += layer->rows * layer->cols;
    stage_end(&walk->masks->ranking_cost, &stage);
    return OK;
}

static int rank_layers(Walk *walk, const MapEntry *entry, const Options *plain)
{
    const Model *model = evidence_model(walk->source);
    const Perturbation *p = entry->perturbation;
    if (score_reads_quantized(walk->rule.score) && p->sequential && p->sequential(plain)) TRY(evidence_sequential(&walk->sequential, walk->source));
    for (int l = 0; l < model_layer_count(model); l++) {
        const Layer *layer = model_layer(model, l);
        int status = rank_layer(walk, &(MapEntry){ l, p, plain }, layer);
        if (status != OK) return err_context(status, "scores of %s", layer->name);
    }
    return OK;
}

/* Q(W) is the same for all scores. */
static Options *plain_options(const Options *empty)
{
    static const char *const of_mask[] = { "score", "seed", "value_bits" };
    Options *plain = options_copy(empty);
    for (size_t i = 0; i < sizeof of_mask / sizeof *of_mask; i++)
        if (options_has(plain, of_mask[i])) options_unset(plain, of_mask[i]);
    return plain;
}

static int rank(Masks *m, TopK *top, EvidenceSource *source, const MapEntry *entry, const Options *empty, const MaskRule *rule)
{
    const int64_t weights = mask_weights(evidence_model(source));
    const float *unused;
    top_k_init(top, ranked(weights, mask_count(rule->ratio, weights)), weights);
    /* Before anything else takes memory for long. */
    TRY(evidence_sums(&unused, &unused, source, score_reads_gradient(rule->score), score_reads_fisher(rule->score), 0));
    Walk walk = { .masks = m, .source = source, .rule = *rule, .top = top };
    room_init(&walk.room, evidence_model(source));
    Options *plain = plain_options(empty);
    int status = rank_layers(&walk, entry, plain);
    options_free(plain);
    top_k_finish(top);
    calibration_close(&walk.sequential);
    room_free(&walk.room);
    return status;
}

/* The ranking that a mask of k weights is cut from. */
static int find_ranking(const TopK **out, Masks *m, EvidenceSource *source, const MapEntry *entry, const MaskRule *rule, int64_t k)
{
    Options *empty = options_copy(entry->options);
    int status = options_set(empty, "ratio", "0", "mask");
    char *values = options_canonical(empty), *text = xformat("%s{%s}", entry->perturbation->name, values);
    *out = NULL;
    for (int i = 0; i < MOST_RANKINGS; i++)
        if (m->ranking[i].text && !strcmp(m->ranking[i].text, text) && m->ranking[i].top.k >= k) *out = &m->ranking[i].top;
    if (status == OK && !*out) {
        TopK top = { 0 };
        status = rank(m, &top, source, entry, empty, rule);
        Ranking *place = &m->ranking[m->next_ranking++ % MOST_RANKINGS];
        free(place->text);
        top_k_free(&place->top);
        *place = (Ranking){ status == OK ? xstrdup(text) : NULL, top };
        *out = &place->top;
    }
    free(values);
    free(text);
    options_free(empty);
    return status;
}

/* ---- masks ---- */

static int find_mask(const Mask **out, Masks *m, EvidenceSource *source, const MapEntry *entry, const MaskRule *rule, int64_t k)
{
    char *values = options_canonical(entry->options), *text = xformat("%s{%s}", entry->perturbation->name, values);
    int status = OK;
    free(values);
    *out = NULL;
    for (int i = 0; i < m->n_masks; i++)
        if (!strcmp(m->mask[i].text, text)) *out = &m->mask[i].mask;
    if (!*out) {
        const TopK *ranking;
        status = find_ranking(&ranking, m, source, entry, rule, k);
        if (status == OK) {
            m->mask = xrealloc(m->mask, sizeof *m->mask * (size_t)(m->n_masks + 1));
            NamedMask *place = &m->mask[m->n_masks++];
            place->text = xstrdup(text);
            mask_make(&place->mask, evidence_model(source), ranking, k);
            *out = &place->mask;
        }
    }
    free(text);
    return status;
}

static const KeptWeights *empty_mask(Masks *m, const Model *model)
{
    int64_t rows = 0;
    for (int l = 0; l < LAYER_TYPES; l++) rows = model_layer(model, l)->rows > rows ? model_layer(model, l)->rows : rows;
    if (!m->nothing.first) m->nothing = (KeptWeights){ .first = xcalloc((size_t)rows + 1, sizeof *m->nothing.first) };
    return &m->nothing;
}

int masks_kept(const KeptWeights **out, Masks *m, EvidenceSource *source, const MapEntry *entry)
{
    const Model *model = evidence_model(source);
    MaskRule rule;
    const Mask *mask;
    entry->perturbation->mask(&rule, entry->options);
    const int64_t k = mask_count(rule.ratio, mask_weights(model));
    if (k == 0) {
        *out = empty_mask(m, model);
        return OK;
    }
    TRY(find_mask(&mask, m, source, entry, &rule, k));
    *out = &mask->layer[entry->layer];
    return OK;
}
