/*
 * test_program_recipe.c - linearity recipe: the exact text of every format, from the JSON of allocate and from a results file
 */
#include "core/tests/hugging_face_copies.h"

#include "core/store/store.h"
#include "core/tests/model_files.h"
#include "core/tests/program.h"

/* What comes out on stdout; `warns`: a word of stderr, NULL: it is empty. */
static void expect(const char *const *words, const char *text, const char *warns)
{
    Ran ran = program_words(words);
    if (ran.status) print_error("%s", ran.err);
    assert_int_equal(ran.status, 0);
    assert_string_equal(ran.out, text);
    if (warns) assert_non_null(strstr(ran.err, warns));
    else assert_string_equal(ran.err, "");
    ran_free(&ran);
}

#define EXPECT(text, warns, ...) expect((const char *const[]){ "recipe", __VA_ARGS__, NULL }, text, warns)

/* Keys that we do not know, two budgets, a layer before those that come before it, and two blocks of which most is left alone. */
static const char allocations[] =
    "{\"model\":\"m.gguf\",\"allocations\":[{\"budget\":3,\"bits\":3,\"choices\":{\"blocks.0.q\":\"rtn-bits2\"}},"
    "{\"budget\":4.5,\"bits\":4.25,\"size\":7,\"rule\":\"x\",\"choices\":{\"blocks.1.down\":\"gptq-bits4-group0-symmetric_yes-act_order_yes\","
    "\"blocks.1.q\":\"rtn-bits3-group64-clip_mse\",\"blocks.0.q\":\"rtn-bits3-group64\",\"blocks.0.k\":\"rtn-bits3\",\"blocks.0.v\":\"awq-group32-scales_no\"}}]}";

static const char *some(void) { return scratch_text("a.json", allocations); }

static void test_gptqmodel(void **state)
{
    (void)state;
    static const char text[] =
        "{\n  \"bits\": 3,\n  \"group_size\": 64,\n  \"sym\": false,\n  \"desc_act\": false,\n  \"static_groups\": false,\n  \"dynamic\": {\n"
        "    \"-:^model\\\\.layers\\\\.1\\\\.(self_attn\\\\.k_proj|self_attn\\\\.v_proj)$\": {},\n"
        "    \"-:^model\\\\.layers\\\\.(0|1)\\\\.(self_attn\\\\.o_proj|mlp\\\\.gate_proj|mlp\\\\.up_proj)$\": {},\n"
        "    \"-:^model\\\\.layers\\\\.0\\\\.mlp\\\\.down_proj$\": {},\n"
        "    \"+:^model\\\\.layers\\\\.0\\\\.self_attn\\\\.v_proj$\": {\n"
        "      \"bits\": 4,\n      \"group_size\": 32,\n      \"sym\": false,\n      \"desc_act\": false,\n      \"static_groups\": false\n    },\n"
        "    \"+:^model\\\\.layers\\\\.1\\\\.mlp\\\\.down_proj$\": {\n"
        "      \"bits\": 4,\n      \"group_size\": -1,\n      \"sym\": true,\n      \"desc_act\": true,\n      \"static_groups\": true\n    }\n  }\n}\n";
    EXPECT(text, "gptqmodel: in 2 of 2 blocks q, k and v", some(), "--format", "gptqmodel", "--budget", "4.5");
    EXPECT(text, NULL, some(), "--format", "gptqmodel", "--budget", "4.5", "--quiet");
    const char *out = scratch_path("recipe.json");
    EXPECT("", NULL, some(), "--format", "gptqmodel", "--budget", "4.5", "--quiet", "--out", out);
    char *written = file_read(out, NULL);
    assert_string_equal(written, text);
    free(written);
}

static void test_compressed_tensors(void **state)
{
    (void)state;
    static const char text[] =
        "{\n  \"quant_method\": \"compressed-tensors\",\n  \"format\": \"pack-quantized\",\n  \"config_groups\": {\n"
        "    \"group_0\": {\n      \"targets\": [\n        \"re:^model\\\\.layers\\\\.(0|1)\\\\.self_attn\\\\.q_proj$\",\n"
        "        \"re:^model\\\\.layers\\\\.0\\\\.self_attn\\\\.k_proj$\"\n      ],\n      \"weights\": {\n        \"num_bits\": 3,\n"
        "        \"type\": \"int\",\n        \"symmetric\": false,\n        \"strategy\": \"group\",\n        \"group_size\": 64\n      }\n    },\n"
        "    \"group_1\": {\n      \"targets\": [\n        \"re:^model\\\\.layers\\\\.0\\\\.self_attn\\\\.v_proj$\"\n      ],\n"
        "      \"weights\": {\n        \"num_bits\": 4,\n        \"type\": \"int\",\n        \"symmetric\": false,\n"
        "        \"strategy\": \"group\",\n        \"group_size\": 32\n      }\n    },\n"
        "    \"group_2\": {\n      \"targets\": [\n        \"re:^model\\\\.layers\\\\.1\\\\.mlp\\\\.down_proj$\"\n      ],\n"
        "      \"weights\": {\n        \"num_bits\": 4,\n        \"type\": \"int\",\n        \"symmetric\": true,\n"
        "        \"strategy\": \"channel\",\n        \"actorder\": \"weight\"\n      }\n    }\n  },\n"
        "  \"ignore\": [\n    \"lm_head\",\n"
        "    \"re:^model\\\\.layers\\\\.1\\\\.(self_attn\\\\.k_proj|self_attn\\\\.v_proj)$\",\n"
        "    \"re:^model\\\\.layers\\\\.(0|1)\\\\.(self_attn\\\\.o_proj|mlp\\\\.gate_proj|mlp\\\\.up_proj)$\",\n"
        "    \"re:^model\\\\.layers\\\\.0\\\\.mlp\\\\.down_proj$\"\n  ]\n}\n";
    EXPECT(text, "vLLM", some(), "--format", "compressed-tensors", "--budget", "4.500001");
}

/* The base is the setting that most layers have, not the first; the others keep their order. */
static void test_base(void **state)
{
    (void)state;
    const char *path = scratch_text("base.json", "{\"allocations\":[{\"choices\":{\"blocks.0.q\":\"rtn-bits2\",\"blocks.0.k\":\"rtn-bits3\",\"blocks.0.v\":"
                                    "\"rtn-bits4\",\"blocks.0.o\":\"rtn-bits4\",\"blocks.0.gate\":\"rtn-bits8\"}}]}");
    Ran ran = program("recipe", path, "--format", "gptqmodel", NULL);
    assert_int_equal(ran.status, 0);
    const char *base = strstr(ran.out, "{\n  \"bits\": 4,"), *q = strstr(ran.out, "self_attn\\\\.q_proj$\": {\n      \"bits\": 2,");
    const char *k = strstr(ran.out, "self_attn\\\\.k_proj$\": {\n      \"bits\": 3,"), *gate = strstr(ran.out, "mlp\\\\.gate_proj$\": {\n      \"bits\": 8,");
    assert_true(base && q && k && gate && base < q && q < k && k < gate);
    assert_null(strstr(ran.out, "v_proj"));
    assert_null(strstr(ran.out, "o_proj"));
    ran_free(&ran);
}

#define LEFT "{\n    \"bits\": 16,\n    \"data_type\": \"float\"\n  }"
#define GRID(bits, group, sym) "{\n    \"bits\": " bits ",\n    \"group_size\": " group ",\n    \"sym\": " sym ",\n    \"data_type\": \"int\"\n  }"
#define ROUND(block, module) "  \"model.layers." block "." module "\": "

static void test_auto_round(void **state)
{
    (void)state;
    EXPECT("{\n" ROUND("0", "self_attn.q_proj") GRID("3", "64", "false") ",\n" ROUND("0", "self_attn.k_proj") GRID("3", "64", "false") ",\n"
           ROUND("0", "self_attn.v_proj") GRID("4", "32", "false") ",\n" ROUND("0", "self_attn.o_proj") LEFT ",\n" ROUND("0", "mlp.gate_proj") LEFT ",\n"
           ROUND("0", "mlp.up_proj") LEFT ",\n" ROUND("0", "mlp.down_proj") LEFT ",\n" ROUND("1", "self_attn.q_proj") GRID("3", "64", "false") ",\n"
           ROUND("1", "self_attn.k_proj") LEFT ",\n" ROUND("1", "self_attn.v_proj") LEFT ",\n" ROUND("1", "self_attn.o_proj") LEFT ",\n"
           ROUND("1", "mlp.gate_proj") LEFT ",\n" ROUND("1", "mlp.up_proj") LEFT ",\n" ROUND("1", "mlp.down_proj") GRID("4", "-1", "true") "\n}\n",
           "auto-round: in 2 of 2 blocks", some(), "--format", "auto-round", "--budget", "4.5");
}

static void test_plain(void **state)
{
    (void)state;
    const char *path = scratch_text("plain.json", "{\"allocations\":[{\"budget\":3,\"bits\":2.5,\"choices\":{"
                                    "\"blocks.2.up\":\"higgs-n16\",\"blocks.0.q\":\"hqq-bits2-p0.5\"}}]}");
    EXPECT("{\n  \"budget\": 3.0,\n  \"bits\": 2.5,\n  \"layers\": [\n    {\n      \"layer\": \"blocks.0.q\",\n      \"choice\": \"hqq-bits2-p0.5\",\n"
           "      \"method\": \"hqq\",\n      \"options\": {\n        \"bits\": 2,\n        \"group\": 64,\n        \"scale_bits\": \"16\",\n"
           "        \"iterations\": 20,\n        \"p\": 0.5,\n        \"beta\": 10.0\n      },\n      \"bits\": null\n    },\n"
           "    {\n      \"layer\": \"blocks.2.up\",\n      \"choice\": \"higgs-n16\",\n      \"method\": \"higgs\",\n      \"options\": {\n"
           "        \"p\": 2,\n        \"n\": 16,\n        \"levels\": \"gaussian\",\n        \"hadamard\": 0,\n        \"signs\": false,\n"
           "        \"scale_bits\": \"16\",\n        \"unbiased\": false\n      },\n      \"bits\": null\n    }\n  ]\n}\n", NULL, path, "--format", "json");
    EXPECT("layer,choice,method,options,bits\n"
           "blocks.0.q,hqq-bits2-p0.5,hqq,\"bits=2,group=64,scale_bits=16,iterations=20,p=0.5,beta=10\",\n"
           "blocks.2.up,higgs-n16,higgs,\"p=2,n=16,levels=gaussian,hadamard=0,signs=no,scale_bits=16,unbiased=no\",\n", NULL, path, "--format", "csv");
}

/* ---- llama-quantize ---- */

static const char *tiny_gguf(void)
{
    Model *model = open_tiny("llama-v8");               /* a block with rows of 32, and of 48 in down; a head of its own */
    GgufWriter writer = gguf_from_model(model, "llama", 1e4);
    Bytes file = gguf_finish(&writer, 3);
    const char *path = scratch_path("a.gguf");
    bytes_write(&file, path);
    bytes_free(&file);
    model_close(&model);
    return path;
}

/* Types whose blocks do not fit are those that the method really uses, which is not what llama-quantize takes itself for q2_k and
 * q3_k; what the allocation leaves out keeps the type it has. */
static void test_llama_quantize(void **state)
{
    (void)state;
    const char *path = scratch_text("ggml.json", "{\"allocations\":[{\"choices\":{\"blocks.0.q\":\"ggml\",\"blocks.0.k\":\"ggml-type_q2_k\",\"blocks.0.v\":"
                                    "\"ggml-type_q6_k\",\"blocks.0.o\":\"ggml-type_q4_1\",\"blocks.0.gate\":\"ggml-type_q3_k\",\"blocks.0.up\":\"ggml-type_q5_k\"}}]}");
    EXPECT("^blk\\.0\\.attn_q\\.weight$=q5_0\n^blk\\.0\\.attn_k\\.weight$=iq4_nl\n^blk\\.0\\.attn_v\\.weight$=q8_0\n^blk\\.0\\.attn_output\\.weight$=q4_1\n"
           "^blk\\.0\\.ffn_gate\\.weight$=iq4_nl\n^blk\\.0\\.ffn_up\\.weight$=q5_1\n^blk\\.0\\.ffn_down\\.weight$=f32\n^token_embd\\.weight$=f32\n"
           "^output\\.weight$=f32\n", NULL, path, "--format", "llama-quantize", "--model", tiny_gguf());
    EXPECT("^blk\\.0\\.attn_q\\.weight$=q5_0\n^blk\\.0\\.attn_k\\.weight$=iq4_nl\n^blk\\.0\\.attn_v\\.weight$=q8_0\n^blk\\.0\\.attn_output\\.weight$=q4_1\n"
           "^blk\\.0\\.ffn_gate\\.weight$=iq4_nl\n^blk\\.0\\.ffn_up\\.weight$=q5_1\n", "llama-quantize's last argument", path, "--format", "llama-quantize",
           "--model", TINY "/../llama-v8");
    path = scratch_text("small.json", "{\"allocations\":[{\"choices\":{\"blocks.11.down\":\"ggml-type_iq4_nl\"}}]}");
    EXPECT("^blk\\.11\\.ffn_down\\.weight$=iq4_nl\n", "with --model MODEL.gguf", path, "--format", "llama-quantize");
}

/* With a model a group as long as a row is the row, and all its blocks are there. */
static void test_shapes(void **state)
{
    (void)state;
    const char *path = scratch_text("row.json", "{\"allocations\":[{\"choices\":{\"blocks.0.q\":\"rtn-group48\",\"blocks.0.down\":\"rtn-group48\"}}]}");
    Ran ran = program("recipe", path, "--format", "gptqmodel", "--model", TINY, NULL);
    assert_int_equal(ran.status, 0);
    assert_non_null(strstr(ran.out, "{\n  \"bits\": 4,\n  \"group_size\": -1,"));
    assert_non_null(strstr(ran.out, "\"+:^model\\\\.layers\\\\.0\\\\.mlp\\\\.down_proj$\": {\n      \"bits\": 4,\n      \"group_size\": 48,"));
    assert_non_null(strstr(ran.out, "\"-:^model\\\\.layers\\\\.1\\\\.(self_attn\\\\.q_proj|mlp\\\\.down_proj)$\""));
    ran_free(&ran);
}

/* ---- results files ---- */

static void add(Table *t, double budget, const char *rule, const char *layer, const char *choice, double bits)
{
    const int64_t row = table_add_row(t);
    table_set_number(t, row, "budget", budget);
    table_set_text(t, row, "rule", rule);
    table_set_text(t, row, "layer", layer);
    table_set_text(t, row, "choice", choice);
    table_set_number(t, row, "bits", bits);
}

static const char *results_file(void)
{
    const char *path = scratch_path("run.h5");
    Table *t = table_new("allocations", "");
    table_add_column(t, COLUMN_NUMBER, "budget", "", "");
    table_add_column(t, COLUMN_TEXT, "rule", "", "");
    table_add_column(t, COLUMN_TEXT, "layer", "", "");
    table_add_column(t, COLUMN_TEXT, "choice", "", "");
    table_add_column(t, COLUMN_NUMBER, "bits", "", "");
    add(t, 3, "plain", "blocks.0.q", "rtn-bits2", 2.5);
    add(t, 3, "plain", "blocks.0.k", "rtn-bits3", 3.5);
    add(t, 3, "bent", "blocks.0.q", "rtn-bits3", 3.5);
    add(t, 3, "bent", "blocks.0.k", "rtn-bits2", 2.5);
    add(t, 4, "plain", "blocks.0.q", "rtn-bits4", 4.5);
    Store *store;
    assert_int_equal(store_open(&store, path, false), OK);
    assert_int_equal(store_put_table(store, t), OK);
    assert_int_equal(store_close(&store), OK);
    table_free(t);
    return path;
}

static void refuse(const char *words, const char *const *argument)
{
    Ran ran = program_words(argument);
    assert_int_equal(ran.status, 1);
    assert_string_equal(ran.out, "");
    if (!strstr(ran.err, words)) print_error("'%s' is not in: %s\n", words, ran.err);
    assert_non_null(strstr(ran.err, words));
    ran_free(&ran);
}

#define REFUSE(words, ...) refuse(words, (const char *const[]){ "recipe", __VA_ARGS__, "--format", "csv", NULL })
#define ROW(layer, bits, real) "blocks.0." layer ",rtn-bits" bits ",rtn,\"bits=" bits ",group=64,symmetric=no,scale_bits=16,clip=minmax\"," real "\n"

static void test_results(void **state)
{
    (void)state;
    const char *run = results_file();
    EXPECT("layer,choice,method,options,bits\n" ROW("q", "4", "4.5"), NULL, run, "--format", "csv", "--budget", "4");
    EXPECT("layer,choice,method,options,bits\n" ROW("q", "3", "3.5") ROW("k", "2", "2.5"), NULL, run, "--format", "csv", "--budget", "3", "--where", "rule=bent");
    EXPECT("layer,choice,method,options,bits\n" ROW("q", "3", "3.5") ROW("k", "2", "2.5"), NULL, run, "--format", "csv", "--where", "rule=bent");
    EXPECT("layer,choice,method,options,bits\n" ROW("k", "2", "2.5"), NULL, run, "--format", "csv", "--where", "rule=bent", "--where", "layer=blocks.0.k");
    REFUSE("run.h5 has allocations for several budgets: choose one of 3 and 4 with --budget", run);
    REFUSE("run.h5 has several allocations for one budget: choose one with --where, for example --where rule=plain (another is bent)", run, "--budget", "3");
    REFUSE("run.h5 has no allocation for a budget of 5; it has 3 and 4", run, "--budget", "5");
    REFUSE("run.h5 is left", run, "--where", "rule=straight");
    REFUSE("run.h5 have no such key", run, "--where", "rulers=plain");
    REFUSE("write it as key=value", run, "--where", "plain");
}

/* The second best of a budget, by whatever key tells it. */
static void test_ranks(void **state)
{
    (void)state;
    const char *path = scratch_text("ranks.json", "{\"allocations\":[{\"budget\":3,\"rank\":1,\"note\":null,\"choices\":{\"blocks.0.q\":\"rtn-bits2\"}},"
                                    "{\"budget\":3,\"rank\":2,\"choices\":{\"blocks.0.q\":\"rtn-bits3\"}},{\"budget\":null,\"rank\":1,\"choices\":{\"blocks.0.q\":\"rtn-bits4\"}}]}");
    EXPECT("layer,choice,method,options,bits\n" ROW("q", "3", ""), NULL, path, "--format", "csv", "--budget", "3", "--where", "rank=2");
    REFUSE("ranks.json has several allocations for one budget: choose one with --where, for example --where rank=1 (another is 2)", path, "--budget", "3");
    REFUSE("ranks.json has allocations for several budgets: choose one of 3 with --budget", path);
    REFUSE("the allocations of", path, "--where", "note=1");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gptqmodel), cmocka_unit_test(test_base), cmocka_unit_test(test_compressed_tensors), cmocka_unit_test(test_auto_round), cmocka_unit_test(test_plain),
        cmocka_unit_test(test_llama_quantize), cmocka_unit_test(test_shapes), cmocka_unit_test(test_results), cmocka_unit_test(test_ranks),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    scratch_remove();
    return failed;
}
