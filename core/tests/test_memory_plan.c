/*
 * test_memory_plan.c - plans of memory: against exhaustive search, the closed formula, packed buffers, and sizes of published models
 */
#include "core/tests/quantizer_calls.h"
#include "core/tests/program_models.h"

#include "core/allocate/memory_plan.h"
#include "core/model/model_build.h"

static const int ladder[] = { 16, 8, 4, 2 };
enum { LADDER = 4, MOST_L = 12 };

/* ---- random cases ---- */

typedef struct { uint64_t at; } Numbers;
static int64_t below(Numbers *s, int64_t n) { return (int64_t)(rng_integer(11, rng_stream(RNG_TEST, 1, 0, 0), s->at++) % (uint64_t)n); }

typedef struct { BlockCounts counts; int order[MOST_L]; int64_t fixed; MemoryLimit limit; bool equal; } Case;

/* Bytes that fall with the width, sometimes not at all from one to the next. */
static void random_block(BlockBytes *out, Numbers *s, int n_widths)
{
    int64_t bytes = below(s, 50);
    for (int k = n_widths - 1; k >= 0; k--) {
        out[k] = (BlockBytes){ bytes / 2, bytes - bytes / 2 - bytes / 5, bytes / 5, 0 };
        bytes += below(s, 4) ? 1 + below(s, 1000) : 0;
    }
}

static Case random_case(Numbers *s)
{
    Case c = { .equal = below(s, 3) == 0 };
    BlockCounts *counts = &c.counts;
    *counts = (BlockCounts){ .n_blocks = 1 + (int)below(s, MOST_L), .n_widths = 1 + (int)below(s, LADDER) };
    memcpy(counts->width, ladder, sizeof ladder);
    counts->block = xcalloc((size_t)(counts->n_blocks * counts->n_widths), sizeof *counts->block);
    for (int b = 0; b < counts->n_blocks; b++) {
        if (b == 0 || !c.equal) random_block(counts->block + b * counts->n_widths, s, counts->n_widths);
        else memcpy(counts->block + b * counts->n_widths, counts->block, sizeof *counts->block * (size_t)counts->n_widths);
        const int at = (int)below(s, b + 1);                    /* a random order */
        c.order[b] = c.order[at];
        c.order[at] = b;
    }
    int64_t least = 0, most = 0;
    for (int b = 0; b < counts->n_blocks; b++) least += block_bytes(counts, b, counts->n_widths - 1), most += block_bytes(counts, b, 0);
    c.fixed = below(s, 300);
    c.limit = (MemoryLimit){ c.fixed + least - 60 + below(s, most - least + 200), below(s, 2) ? 0 : (double)below(s, 200) / 1000 };
    if (c.limit.usable < 0) c.limit.usable = 0;
    c.limit.usable = (int64_t)((double)c.limit.usable / (1 - c.limit.slack));
    return c;
}

/* ---- the exhaustive search: all subsets of blocks at the higher width, of every pair ---- */

static int64_t subset_bytes(const Case *c, unsigned subset, int high, int low)
{
    int64_t bytes = c->fixed + (int64_t)ceil((double)c->limit.usable * c->limit.slack);
    for (int b = 0; b < c->counts.n_blocks; b++) bytes += block_bytes(&c->counts, b, subset >> b & 1 ? high : low);
    return bytes;
}

static bool is_prefix(const Case *c, unsigned subset)
{
    bool ended = false;
    for (int i = 0; i < c->counts.n_blocks; i++) {
        const bool in = subset >> c->order[i] & 1;
        if (in && ended) return false;
        ended |= !in;
    }
    return true;
}

/* Most blocks at the higher width of a pair: of prefixes, and of any subset; -1 where nothing fits. */
typedef struct { int prefix, any; } Most;

static Most search(const Case *c, int high, int low)
{
    Most most = { -1, -1 };
    for (unsigned subset = 0; subset < 1u << c->counts.n_blocks; subset++) {
        if (subset_bytes(c, subset, high, low) > c->limit.usable) continue;
        const int n = __builtin_popcount(subset);
        if (n > most.any) most.any = n;
        if (n > most.prefix && is_prefix(c, subset)) most.prefix = n;
    }
    return most;
}

/* The highest pair of neighbours in which anything fits. */
static Most search_pairs(int *high, int *low, const Case *c)
{
    Most most = { -1, -1 };
    const int pairs = c->counts.n_widths > 1 ? c->counts.n_widths - 1 : 1;
    for (int k = 0; k < pairs && most.any < 0; k++) {
        *high = k, *low = c->counts.n_widths > 1 ? k + 1 : k;
        most = search(c, *high, *low);
    }
    return most;
}

static void check_plan(const Case *c, const MemoryPlan *plan)
{
    int high, low, n = 0;
    const Most most = search_pairs(&high, &low, c);
    assert_true(most.any >= 0);
    assert_true(plan->total <= c->limit.usable);
    unsigned subset = 0;
    for (int b = 0; b < plan->n_blocks; b++) {
        assert_true(plan->width[b] == plan->high || plan->width[b] == plan->low);
        if (plan->width[b] == plan->high) subset |= 1u << b, n++;
    }
    assert_true(plan->high == high && plan->low == low);
    assert_int_equal(plan->n_high, n);
    assert_int_equal(n, c->counts.n_widths > 1 ? most.prefix : c->counts.n_blocks);
    assert_true(is_prefix(c, subset));
    assert_true(plan->total == subset_bytes(c, subset, high, low));
    if (c->equal) assert_int_equal(n, most.any);
}

/* n = clamp(floor((M - M0 - L m(low)) / (m(high) - m(low))), 0, L) */
static void check_formula(const Case *c, const MemoryPlan *plan)
{
    const double L = c->counts.n_blocks, low = (double)block_bytes(&c->counts, 0, plan->low), high = (double)block_bytes(&c->counts, 0, plan->high);
    if (!c->equal || high == low) return;
    const double room = (double)(c->limit.usable - plan->slack - plan->fixed);
    assert_true(plan->n_high == (int)fmin(fmax(floor((room - L * low) / (high - low)), 0), L));
}

/* Where nothing fits, what is said to suffice does, and a byte less does not. */
static void check_least(Case *c)
{
    int64_t least = c->fixed;
    for (int b = 0; b < c->counts.n_blocks; b++) least += block_bytes(&c->counts, b, c->counts.n_widths - 1);
    char words[64];
    const int64_t usable = memory_least(least, c->limit.slack);
    snprintf(words, sizeof words, "it takes %lld", (long long)usable);
    assert_non_null(strstr(err_last(), words));
    MemoryPlan plan;
    c->limit.usable = usable;
    assert_int_equal(memory_plan(&plan, &c->counts, c->order, c->fixed, &c->limit), OK);
    assert_true(plan.total <= usable);
    memory_plan_free(&plan);
    c->limit.usable = usable - 1;
    if (usable > 0) assert_int_equal(memory_plan(&plan, &c->counts, c->order, c->fixed, &c->limit), ERR_BUDGET);
}

static void test_exhaustive(void **state)
{
    (void)state;
    enum { CASES = 1000 };
    Numbers s = { 0 };
    int refused = 0, between = 0, equal = 0;
    for (int i = 0; i < CASES; i++) {
        Case c = random_case(&s);
        MemoryPlan plan;
        const int status = memory_plan(&plan, &c.counts, c.order, c.fixed, &c.limit);
        if (status == OK) {
            check_plan(&c, &plan);
            check_formula(&c, &plan);
            between += plan.n_high > 0 && plan.n_high < plan.n_blocks;
            equal += c.equal && plan.n_high > 0 && plan.n_high < plan.n_blocks;
            memory_plan_free(&plan);
        } else {
            int high, low;
            assert_int_equal(status, ERR_BUDGET);
            assert_int_equal(search_pairs(&high, &low, &c).any, -1);
            check_least(&c);
            refused++;
        }
        block_counts_free(&c.counts);
    }
    print_message("%d cases: %d where nothing fits, %d between all low and all high, %d of these with equal blocks\n", CASES, refused, between, equal);
    assert_true(refused > 50 && between > 300 && equal > 50);
}

static void test_more_bytes_at_fewer_bits(void **state)
{
    (void)state;
    BlockBytes bytes[] = { { 10, 0, 0, 0 }, { 5, 0, 0, 0 }, { 10, 0, 0, 0 }, { 5, 3, 3, 0 } };
    const BlockCounts counts = { 2, 2, { 16, 8 }, bytes };
    MemoryPlan plan;
    assert_int_equal(memory_plan(&plan, &counts, (const int[]){ 0, 1 }, 0, &(MemoryLimit){ 1000, 0 }), ERR_ARGUMENT);
    assert_non_null(strstr(err_last(), "block 1 takes 11 bytes at 8 bits and 10 at 16"));
}

/* ---- bytes of packed buffers ---- */

/* Adds what the stored form of a layer takes, plane by plane. */
static void add_packed(BlockBytes *out, const Model *model, const Layer *layer, int bits)
{
    const int64_t n = layer->rows * layer->cols;
    float *w = xmalloc(sizeof *w * (size_t)n);
    Packed packed = { 0 };
    assert_int_equal(model_read(w, model, layer->type, layer->block, 0, layer->rows), OK);
    if (bits == HALF_FLOATS) {
        double *half = xmalloc(sizeof *half * (size_t)n);
        for (int64_t i = 0; i < n; i++) half[i] = w[i];
        packed_add_reals(&packed, half, n, 16);
        free(half);
    } else {
        char text[8];
        snprintf(text, sizeof text, "%d", bits);
        Options *options = settings("rtn", "bits", text, "group", "0", NULL);
        assert_int_equal(perturbation_find("rtn")->encode(&packed, &(LayerWeights){ w, layer->rows, layer->cols, 0 }, options, NULL, (Draw){ 0 }), OK);
        options_free(options);
        assert_int_equal(packed.n, 3);
    }
    int64_t plane[3] = { 0 }, sum = 0;
    for (int i = 0; i < packed.n; i++) sum += plane[i] = (packed.plane[i].bits + 7) / 8;
    assert_true(sum == packed_bytes(&packed));
    out->codes += plane[0], out->scales += plane[1], out->zeros += plane[2];
    packed_free(&packed);
    free(w);
}

/* counts of the model = its packed buffers; those of the shape are at most `more` below. */
static void check_packed(const char *path, const int *width, int n_widths, bool both_signs)
{
    Model *model;
    BlockCounts read, shape;
    assert_int_equal(model_open(&model, path), OK);
    assert_int_equal(block_counts_of_model(&read, model, width, n_widths), OK);
    block_counts_of_shape(&shape, model_shape(model), width, n_widths);
    for (int k = 0; k < n_widths; k++) {
        int64_t by_shape = 0, by_weights = 0, more = 0;
        for (int b = 0; b < model_shape(model)->n_blocks; b++) {
            BlockBytes packed = { 0 };
            for (int t = 0; t < LAYER_TYPES; t++) add_packed(&packed, model, model_layer(model, model_layer_index(b, (WeightKind)t)), width[k]);
            assert_memory_equal(&packed, &read.block[b * n_widths + k], sizeof packed);
            by_weights += block_bytes(&read, b, k), by_shape += block_bytes(&shape, b, k), more += shape.block[b * n_widths + k].more;
        }
        assert_true(by_weights >= by_shape && by_weights <= by_shape + more && (more > 0) == (width[k] < HALF_FLOATS));
        assert_true(both_signs || width[k] == HALF_FLOATS ? by_weights == by_shape : by_weights > by_shape);
    }
    block_counts_free(&read), block_counts_free(&shape);
    model_close(&model);
}

static void test_packed_bytes(void **state)
{
    (void)state;
    static const int all[] = { 16, 8, 7, 6, 5, 4, 3, 2 };
    check_packed("random:tiny", all, 8, true);
    check_packed(TINY, all, 8, true);
}

/* Sizes that fill no whole byte: each buffer of each layer is rounded up by itself. */
static void test_odd_sizes(void **state)
{
    (void)state;
    static const int widths[] = { 7, 5, 3, 2 };
    const ModelShape shape = { "llama", 1, 7, 3, 1, 3, 11, 13, 64, 1e-5f, true, NULL, 0 };
    BlockCounts counts;
    block_counts_of_shape(&counts, &shape, widths, 4);
    for (int k = 0; k < 4; k++) {
        int64_t bytes = 0;
        for (WeightKind type = 0; type <= WEIGHT_DOWN; type++) {
            int64_t rows, cols;
            float w[128];
            char text[8];
            Packed packed = { 0 };
            model_weight_size(&rows, &cols, type, &shape);
            rng_normals(w, rows * cols, 3, rng_stream(RNG_TEST, 2, (int)type, 0), 0);
            for (int64_t r = 0; r < rows; r++) w[r * cols] = -1, w[r * cols + 1] = 1;
            snprintf(text, sizeof text, "%d", widths[k]);
            Options *options = settings("rtn", "bits", text, "group", "0", NULL);
            assert_int_equal(perturbation_find("rtn")->encode(&packed, &(LayerWeights){ w, rows, cols, 0 }, options, NULL, (Draw){ 0 }), OK);
            bytes += packed_bytes(&packed);
            assert_true(8 * packed_bytes(&packed) > packed_bits(&packed));
            options_free(options);
            packed_free(&packed);
        }
        assert_true(block_bytes(&counts, 0, k) == bytes);
    }
    block_counts_free(&counts);
}

/* One row on one side of zero: the zero points of its whole matrix take 8 bits, or 16, and not b. */
static void test_row_on_one_side(void **state)
{
    (void)state;
    model_copy("one-sided", TINY);
    char *path = xstrdup(scratch_path("one-sided/model.safetensors"));
    size_t n;
    int64_t count;
    char *bytes = file_read(path, &n), *data = tensor_find(&count, bytes, "model.layers.0.self_attn.q_proj.weight");
    Model *model;
    assert_int_equal(model_open(&model, TINY), OK);
    const int64_t cols = model_layer(model, 0)->cols;
    model_close(&model);
    for (int64_t c = 0; c < cols; c++) {
        const float w = 3.0f + 0.1f * (float)c;
        memcpy(data + 4 * (2 * cols + c), &w, 4);
    }
    scratch_bytes("one-sided/model.safetensors", bytes, n);
    check_packed(scratch_path("one-sided"), ladder, LADDER, false);
    free(bytes);
    free(path);
}

/* Weights that no half float can scale are refused as rtn refuses them. */
static void test_scale_too_large(void **state)
{
    (void)state;
    double norm;
    BlockCounts counts;
    Model *model;
    model_copy("large", TINY);
    tensor_poke(&norm, "large", "model.layers.1.mlp.down_proj.weight", 3e38f);
    assert_int_equal(model_open(&model, scratch_path("large")), OK);
    assert_int_equal(block_counts_of_model(&counts, model, ladder, LADDER), ERR_ARGUMENT);
    assert_non_null(strstr(err_last(), "blocks.1.down has a row whose scale does not fit into 16 bits"));
    model_close(&model);
}

/* ---- published models ---- */

static int64_t parameters(const ModelShape *s)
{
    int64_t n = 0;
    for (WeightKind kind = 0; kind < WEIGHT_COUNT; kind++) {
        int64_t rows, cols;
        const bool there = kind <= WEIGHT_DOWN || kind == WEIGHT_ATTENTION_NORM || kind == WEIGHT_FEED_FORWARD_NORM || kind == WEIGHT_EMBEDDING ||
                           kind == WEIGHT_FINAL_NORM || (kind == WEIGHT_HEAD && !s->tied);
        if (!there) continue;
        model_weight_size(&rows, &cols, kind, s);
        n += rows * (cols ? cols : 1) * (weight_has_block(kind) ? s->n_blocks : 1);
    }
    return n;
}

/* Codes of a block in MiB as published sizes give them, scales and zero points exactly as rows have them. */
static void check_published(ModelShape s, int64_t weights, const double *mebibytes, double tables, double parameters_expected)
{
    BlockCounts counts;
    s.n_parameters = parameters(&s);
    assert_true(fabs((double)s.n_parameters / parameters_expected - 1) < 1e-3);
    block_counts_of_shape(&counts, &s, ladder, LADDER);
    const int64_t rows = 2 * s.width + s.n_heads * s.head_dim + 2 * s.n_kv_heads * s.head_dim + 2 * s.feed_forward;
    for (int k = 0; k < LADDER; k++) {
        const BlockBytes *b = &counts.block[k];
        assert_true(b->codes == weights * ladder[k] / 8);
        assert_true(fabs((double)b->codes / 1048576 - mebibytes[k]) <= 0.05);
        assert_true(b->scales == (k == 0 ? 0 : 2 * rows) && b->zeros == (k == 0 ? 0 : rows * ladder[k] / 8));
        assert_memory_equal(b, &counts.block[(s.n_blocks - 1) * LADDER + k], sizeof *b);
    }
    const FixedBytes fixed = fixed_bytes(&s, &(MemoryUse){ 4096, 1, 0, 16, 16 });
    assert_true(fabs((double)(fixed.embedding + fixed.head) / 1048576 - tables) <= 0.5);
    assert_true(fixed.norms == 2 * s.width * (2 * s.n_blocks + 1));
    block_counts_free(&counts);
}

static const ModelShape llama2_7b = { "llama", 32, 4096, 32, 32, 128, 11008, 32000, 4096, 1e-5f, false, NULL, 0 };

static void test_published_sizes(void **state)
{
    (void)state;
    const ModelShape llama2_13b = { "llama", 40, 5120, 40, 40, 128, 13824, 32000, 4096, 1e-5f, false, NULL, 0 };
    const ModelShape llama3_8b = { "llama", 32, 4096, 32, 8, 128, 14336, 128256, 8192, 1e-5f, false, NULL, 0 };
    check_published(llama2_7b, 202375168, (const double[]){ 386.0, 193.0, 96.5, 48.25 }, 500, 6738415616.0);
    check_published(llama2_13b, 317194240, (const double[]){ 605.0, 302.5, 151.25, 75.6 }, 625, 13015864320.0);
    check_published(llama3_8b, 218103808, (const double[]){ 416.0, 208.0, 104.0, 52.0 }, 2004, 8030261248.0);
}

/* 2 GiB of keys and values at 4,096 tokens, twice that for two sequences, half at 8 bits; activations as the header has them. */
static void test_what_every_plan_needs(void **state)
{
    (void)state;
    ModelShape s = llama2_7b;
    s.n_parameters = parameters(&s);
    const int64_t gib = (int64_t)1 << 30, row = 2 * (3 * 4096 + 4 * 4096 + 2 * 11008);
    FixedBytes f = fixed_bytes(&s, &(MemoryUse){ 4096, 1, 0, 16, 16 });
    assert_true(f.kv_cache == 2 * gib && f.activations == 4096 * row + 4 * 32000 && f.embedding == f.head && f.embedding == 2 * 32000 * 4096);
    assert_true(fixed_bytes_sum(&f) == f.embedding + f.head + f.norms + f.kv_cache + f.activations);
    f = fixed_bytes(&s, &(MemoryUse){ 4096, 2, 512, 16, 32 });
    assert_true(f.kv_cache == 4 * gib && f.activations == 512 * row + 8 * 32000 && f.embedding == 4 * 32000 * 4096 && f.norms == 4 * 4096 * 65);
    assert_true(fixed_bytes(&s, &(MemoryUse){ 4096, 1, 0, 8, 16 }).kv_cache == gib);
    s.tied = true, s.n_parameters -= 32000 * 4096;
    f = fixed_bytes(&s, &(MemoryUse){ 1, 1, 0, 16, 16 });
    assert_true(f.head == 0 && f.norms == 2 * 4096 * 65);
    f = fixed_bytes(&s, &(MemoryUse){ 10000000, 1000000, 0, 16, 16 });
    assert_true(f.kv_cache == MEMORY_ENDLESS && fixed_bytes_sum(&f) == MEMORY_ENDLESS);
}

/* The longest context fits and one token more does not; where none does it is 0. */
static void test_longest_context(void **state)
{
    (void)state;
    ModelShape s = llama2_7b;
    s.n_parameters = parameters(&s);
    BlockCounts counts;
    block_counts_of_shape(&counts, &s, ladder, LADDER);
    int order[32];
    for (int b = 0; b < 32; b++) order[b] = b;
    MemoryUse use = { 0, 1, 0, 16, 16 };
    const MemoryLimit limit = { (int64_t)4 << 30, 0.05 };
    const int64_t longest = memory_longest_context(&s, &use, &counts, &limit, 4096);
    assert_true(longest > 1000 && longest < 4096);
    for (use.context = longest; use.context <= longest + 1; use.context++) {
        MemoryPlan plan;
        const FixedBytes fixed = fixed_bytes(&s, &use);
        assert_int_equal(memory_plan(&plan, &counts, order, fixed_bytes_sum(&fixed), &limit), use.context == longest ? OK : ERR_BUDGET);
        if (use.context == longest) memory_plan_free(&plan);
    }
    assert_int_equal(memory_longest_context(&s, &use, &counts, &limit, 100), 100);
    assert_int_equal(memory_longest_context(&s, &use, &counts, &(MemoryLimit){ (int64_t)1 << 30, 0.05 }, 4096), 0);
    block_counts_free(&counts);
}

static int remove_files(void **state)
{
    (void)state;
    scratch_remove();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_exhaustive), cmocka_unit_test(test_more_bytes_at_fewer_bits), cmocka_unit_test(test_packed_bytes), cmocka_unit_test(test_odd_sizes),
        cmocka_unit_test(test_row_on_one_side), cmocka_unit_test(test_scale_too_large), cmocka_unit_test(test_published_sizes),
        cmocka_unit_test(test_what_every_plan_needs), cmocka_unit_test(test_longest_context),
    };
    return cmocka_run_group_tests(tests, NULL, remove_files);
}
