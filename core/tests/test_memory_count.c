/*
 * test_memory_count.c - bytes of a model's parts: against packed buffers, and sizes of published models
 */
#include "core/tests/quantizer_calls.h"
#include "core/tests/program_models.h"

#include "core/allocate/memory_count.h"
#include "core/model/model_build.h"
#include "core/tests/model_shapes.h"

static const int ladder[] = { 16, 8, 4, 2 };
enum { LADDER = 4 };

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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_packed_bytes), cmocka_unit_test(test_odd_sizes), cmocka_unit_test(test_row_on_one_side), cmocka_unit_test(test_scale_too_large),
        cmocka_unit_test(test_published_sizes), cmocka_unit_test(test_what_every_plan_needs),
    };
    return cmocka_run_group_tests(tests, NULL, scratch_teardown);
}
