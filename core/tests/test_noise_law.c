/*
 * The law that the program is about, in the small: random noise of relative error t^2 in one matrix costs
 *
 *     E KL = t^2 sum_g mean(w_g^2) tr F_g / (2 * positions) + O(t^4)      [nats/token]
 *
 * with one group per matrix or groups of 16 inputs, F summed over the positions and over all labels by enumeration.
 */
#include "core/tests/tiny_golden.h"

#define T2 1e-4
#ifdef __SANITIZE_ADDRESS__
enum { WINDOWS = 32, DRAWS = 8, GROUP = 16 };           /* ten times slower there, and still sharp enough */
#else
enum { WINDOWS = 32, DRAWS = 24, GROUP = 16 };
#endif
static const double LIMIT = 4.5;        /* standard errors: 84 comparisons with fixed seeds, 3e-4 that one of them fails by chance */

/* ---- means with their errors ---- */

typedef struct { int n; double sum, squares; } Sample;

static void sample_add(Sample *s, double x)
{
    s->n++;
    s->sum += x;
    s->squares += x * x;
}

static double mean(const Sample *s) { return s->sum / s->n; }
static double error(const Sample *s) { return sqrt((s->squares / s->n - mean(s) * mean(s)) / (s->n - 1)); }
static double z(const Sample *s, double want) { return (mean(s) - want) / error(s); }

/* ---- draws ---- */

/* The ids of the reference, WINDOWS times: each window has noise of its own. */
static void fisher_corpus(Corpus *out, const json_t *fisher)
{
    int n;
    int32_t *ids = golden_ids(json_object_get(fisher, "ids"), &n), *all = xmalloc(sizeof *all * (size_t)(n * WINDOWS));
    for (int w = 0; w < WINDOWS; w++) memcpy(all + w * n, ids, sizeof *ids * (size_t)n);
    WORKS(corpus_from_ids(out, all, WINDOWS, n, "random", -1));
    free(ids);
    free(all);
}

typedef struct { Sample kl, t2; double kl_of[DRAWS * WINDOWS]; } Draws;

static void take_draws(Draws *out, Study *study, int layer, const char *law, const char *scale)
{
    const Perturbation *noise = perturbation_find(law);
    char t2[32], group[32];
    snprintf(t2, sizeof t2, "%.17g", T2);
    snprintf(group, sizeof group, "%d", GROUP);
    Options *options = options_of(noise, "t2", t2, "scale", scale, "group", group, NULL);
    MapEntry entry = { layer, noise, options };
    *out = (Draws){ 0 };
    for (int draw = 0; draw < DRAWS; draw++) {
        Measurement m = measured(study, &(LayerMap){ .n = 1, .entry = &entry, .draw = draw });
        for (int w = 0; w < WINDOWS; w++) {
            out->kl_of[draw * WINDOWS + w] = m.kl[w];
            sample_add(&out->kl, m.kl[w]);
        }
        sample_add(&out->t2, m.t2[0]);
        assert_true(m.t2_asked[0] == T2);
        /* Signs miss t^2 by float32 rounding alone: 2^-24 w of an error of .01 w, squared, and all one way within a binade. */
        if (!strcmp(law, "sign")) NEAR(m.t2[0], T2, 1.2e-5 * T2, "layer %d, draw %d, t^2", layer, draw);
        measurement_free(&m);
    }
    options_free(options);
}

/* ---- comparisons ---- */

/* Relative deviations of all matrices, weighted by their errors: what no single matrix would show. */
typedef struct { double weight, sum; } Pool;

static void pool_add(Pool *pool, const Sample *kl, double want)
{
    double relative = error(kl) / want;
    pool->weight += 1 / (relative * relative);
    pool->sum += (mean(kl) / want - 1) / (relative * relative);
}

static double pool_z(const Pool *pool, double off) { return (pool->sum / pool->weight - off) * sqrt(pool->weight); }

static void check_mean(const Sample *kl, double want, const char *what)
{
    if (!(fabs(z(kl, want)) <= LIMIT)) fail_msg("%s: KL %g +- %g, the law says %g: z = %.1f", what, mean(kl), error(kl), want, z(kl, want));
}

/* The same normals or signs are scaled both ways, so their difference is sharp where both means are not. */
static int check_difference(const Draws *group, const Draws *matrix, double want, const char *what)
{
    Sample difference = { 0 };
    for (int i = 0; i < DRAWS * WINDOWS; i++) sample_add(&difference, group->kl_of[i] - matrix->kl_of[i]);
    check_mean(&difference, want, what);
    return fabs(z(&difference, 0)) > LIMIT;
}

static void check_law(const char *name, const char *law)
{
    static const char *const scale[] = { "matrix", "group" }, *const value[] = { "mean_w2_trF", "group_scaled" };
    static const char *const matrix[LAYER_TYPES] = { "self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj",
                                                     "mlp.gate_proj", "mlp.up_proj", "mlp.down_proj" };
    Tiny tiny = tiny_open(name);
    const json_t *fisher = json_object_get(tiny.json, "fisher");
    assert_int_equal(json_integer_value(json_object_get(fisher, "group")), GROUP);
    Corpus corpus;
    fisher_corpus(&corpus, fisher);
    Study *study = study_of(tiny.model, &corpus, "cpu");
    static Draws draws[2];
    Pool pool[2] = { { 0 } };
    int told_apart = 0;
    for (int l = 0; l < model_layer_count(tiny.model); l++) {
        char key[64], what[128];
        double want[2];
        snprintf(key, sizeof key, "layers.%d.%s", model_layer(tiny.model, l)->block, matrix[l % LAYER_TYPES]);
        for (int s = 0; s < 2; s++) {
            want[s] = T2 * number(json_object_get(json_object_get(fisher, "matrices"), key), value[s]) / (2.0 * (double)corpus.tokens[0]);
            assert_true(want[s] > 0);
            snprintf(what, sizeof what, "%s, %s, %s, scale %s", name, key, law, scale[s]);
            take_draws(&draws[s], study, l, law, scale[s]);
            check_mean(&draws[s].kl, want[s], what);
            if (!strcmp(law, "gaussian") && !(fabs(z(&draws[s].t2, T2)) <= LIMIT && error(&draws[s].t2) < 0.01 * T2))
                fail_msg("%s: t^2 %g +- %g", what, mean(&draws[s].t2), error(&draws[s].t2));
            pool_add(&pool[s], &draws[s].kl, want[s]);
        }
        told_apart += check_difference(&draws[1], &draws[0], want[1] - want[0], what);
    }
    for (int s = 0; s < 2; s++) {
        print_message("%s, %s, scale %s: all matrices %+.2f %% off (error %.2f %%)\n", name, law, scale[s], 100 * pool[s].sum / pool[s].weight, 100 / sqrt(pool[s].weight));
        assert_true(fabs(pool_z(&pool[s], 0)) <= LIMIT);
        /* The comparison has teeth: a sigma 5 % off would not pass. */
        assert_true(fabs(pool_z(&pool[s], 1.05 * 1.05 - 1)) > LIMIT && fabs(pool_z(&pool[s], 0.95 * 0.95 - 1)) > LIMIT);
    }
    print_message("%d matrices tell the scales apart\n", told_apart);
    assert_true(told_apart >= 1);
    study_close(&study);
    corpus_free(&corpus);
    tiny_close(&tiny);
}

static void gaussian_noise(void **state)
{
    (void)state;
    check_law("llama-mha-untied", "gaussian");
    check_law("llama-v8", "gaussian");
}

static void sign_noise(void **state)
{
    (void)state;
    check_law("llama-mha-untied", "sign");
    check_law("llama-v8", "sign");
}

int main(int argc, char **argv)
{
    (void)argc;
    const struct CMUnitTest tests[] = { cmocka_unit_test(gaussian_noise), cmocka_unit_test(sign_noise) };
    start_with(1, argv);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
