/* Damaged models: files cut, flipped, lost; the headers and shards of safetensors (run under the sanitizers too). */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

#include <cmocka.h>
#include <jansson.h>

#include "core/tests/model_damage.h"

#define SHARDED "core/tests/golden/tiny/llama-sharded"

static void sound_files_are_read(void **state)
{
    (void)state;
    assert_int_equal(try_model(folder), OK);
    assert_int_equal(try_model(gguf_path), OK);
}

static void truncated_files_are_refused(void **state)
{
    (void)state;
    for (size_t n = 1; n < gguf.n; n += n < 2048 ? 13 : 1999) {
        Bytes part = { gguf.data, n };
        bytes_write(&part, gguf_path);
        assert_refused(gguf_path, ERR_FORMAT, "");
    }
    for (size_t n = 1; n < weights.n; n += n < 2048 ? 13 : 1999) {
        Bytes part = { weights.data, n };
        bytes_write(&part, weights_path);
        assert_refused(folder, ERR_FORMAT, "");
    }
    bytes_write(&weights, weights_path);
    for (size_t n = 1; n < config.n - 2; n += 7) {
        Bytes part = { config.data, n };
        bytes_write(&part, config_path);
        assert_refused(folder, ERR_FORMAT, "bad JSON in line");
    }
}

/* Reproducible, and no better randomness is needed. */
static uint32_t next_random(uint32_t *seed) { return (*seed = *seed * 1664525u + 1013904223u) >> 8; }

static void flipped_bytes_never_crash(void **state)
{
    (void)state;
    enum { ROUNDS = 400, DIRECTORY = 2048 };
    uint32_t seed = 1;
    int refused = 0;
    for (int round = 0; round < ROUNDS; round++) {
        const Bytes *sound = round % 2 ? &gguf : &weights;
        const char *file = round % 2 ? gguf_path : weights_path;
        Bytes bad = { 0 };
        bytes_add(&bad, sound->data, sound->n);
        for (uint32_t flips = 1 + next_random(&seed) % 3; flips > 0; flips--)
            bad.data[next_random(&seed) % DIRECTORY] ^= (unsigned char)(1 + next_random(&seed) % 255);
        bytes_write(&bad, file);
        bytes_free(&bad);
        refused += try_model(round % 2 ? gguf_path : folder) != OK;
    }
    assert_true(refused > ROUNDS / 2);
}

static void places_without_a_model_are_refused(void **state)
{
    (void)state;
    char *missing = xformat("%s/none", folder), *empty = xformat("%s/empty", folder);
    assert_refused(missing, ERR_FILE, "No such file");
    assert_int_equal(mkdir(empty, 0700), 0);
    assert_refused(empty, ERR_FILE, "there is no config.json");
    assert_refused(config_path, ERR_FORMAT, "not a GGUF file");
    unlink(weights_path);
    assert_refused(folder, ERR_FILE, "neither model.safetensors nor model.safetensors.index.json");
    bytes_write(&(Bytes){ 0 }, weights_path);
    assert_refused(folder, ERR_FORMAT, "the file is empty");
    bytes_write(&(Bytes){ 0 }, config_path);
    assert_refused(folder, ERR_FORMAT, "the file is empty");
    bytes_write(&(Bytes){ (unsigned char *)"[1, 2]", 6 }, config_path);
    assert_refused(folder, ERR_FORMAT, "not an object");
    free(missing);
    free(empty);
}

/* ---- the header of a safetensors file, changed ---- */

/* Replaces `from` in the header by `to`, of any length; the data stay as they are. */
static void change_header(const char *from, const char *to)
{
    uint64_t length;
    memcpy(&length, weights.data, 8);
    char *header = xformat("%.*s", (int)length, (const char *)weights.data + 8), *place = strstr(header, from);
    assert_non_null(place);
    char *changed = xformat("%.*s%s%s", (int)(place - header), header, to, place + strlen(from));
    Bytes file = { 0 };
    bytes_u64(&file, strlen(changed));
    bytes_add(&file, changed, strlen(changed));
    bytes_add(&file, weights.data + 8 + length, weights.n - 8 - length);
    bytes_write(&file, weights_path);
    bytes_free(&file);
    free(header);
    free(changed);
}

static void damaged_headers_are_named(void **state)
{
    (void)state;
    static const struct { const char *from, *to; int code; const char *says; } changes[] = {
        { "\"shape\":[8,32]", "\"shape\":[8,33]", ERR_FORMAT, "its shape and dtype need 1056" },
        { "\"shape\":[8,32]", "\"shape\":[32,8]", ERR_FORMAT, "'lm_head.weight' is 32 x 8, the model's settings need 8 x 32" },
        { "\"dtype\":\"F32\",\"shape\":[8,32]", "\"dtype\":\"F16\",\"shape\":[8,64]", ERR_FORMAT, "is 8 x 64, the model's settings need 8 x 32" },
        { "\"shape\":[8,32]", "\"shape\":[256]", ERR_FORMAT, "is 256, the model's settings need 8 x 32" },
        { "\"shape\":[8,32]", "\"shape\":[2,2,2,2,16]", ERR_FORMAT, "at most 4" },
        { "\"shape\":[8,32]", "\"shape\":[-8,-32]", ERR_FORMAT, "its shape is impossible" },
        { "\"shape\":[8,32]", "\"shape\":[4294967296,4294967296]", ERR_FORMAT, "its shape is impossible" },
        { "\"shape\":[8,32]", "\"shape\":[8,32.5]", ERR_FORMAT, "its shape is not a list" },
        { "\"shape\":[8,32],", "", ERR_FORMAT, "its shape is not a list" },
        { "\"dtype\":\"F32\"", "\"dtype\":\"F64\"", ERR_UNSUPPORTED, "its dtype is F64; we read F32, F16 and BF16" },
        { "\"dtype\":\"F32\"", "\"dtype\":1", ERR_FORMAT, "it has no dtype" },
        { "\"data_offsets\":[0,1024]", "\"data_offsets\":[0,1000]", ERR_FORMAT, "it has 1000 bytes" },
        { "\"data_offsets\":[0,1024]", "\"data_offsets\":[1024,2048]", ERR_FORMAT, "share bytes" },
        { "\"data_offsets\":[0,1024]", "\"data_offsets\":[1024,0]", ERR_FORMAT, "lie outside" },
        { "\"data_offsets\":[0,1024]", "\"data_offsets\":[-1024,0]", ERR_FORMAT, "lie outside" },
        { "\"data_offsets\":[0,1024]", "\"data_offsets\":[9000000000000000000,9000000000000001024]", ERR_FORMAT, "lie outside" },
        { "\"data_offsets\":[0,1024]", "\"data_offsets\":[0]", ERR_FORMAT, "not two numbers" },
        { "lm_head.weight", "model.embed_tokens.weight", ERR_FORMAT, "duplicate" },
        { "lm_head.weight", "lm_head.bias", ERR_FORMAT, "'lm_head.weight' is missing" },
        { "layers.0.self_attn.k_proj.weight", "layers.0.self_attn.k_proj.bias", ERR_FORMAT, "'model.layers.0.self_attn.k_proj.weight' is missing" },
        { "\"lm_head.weight\":", "\"extra.weight\":{\"dtype\":\"F32\",\"shape\":[0],\"data_offsets\":[0,0]},\"lm_head.weight\":",
          ERR_UNSUPPORTED, "'extra.weight' has no place in a llama model of 1 blocks" },
        { "\"lm_head.weight\":", "\"model.layers.1.mlp.up_proj.weight\":{\"dtype\":\"F32\",\"shape\":[0],\"data_offsets\":[0,0]},\"lm_head.weight\":",
          ERR_UNSUPPORTED, "'model.layers.1.mlp.up_proj.weight' has no place" },
        { "\"lm_head.weight\":", "\"model.layers.0.self_attn.rotary_emb.inv_freq\":{\"dtype\":\"F32\",\"shape\":[0],\"data_offsets\":[0,0]},\"lm_head.weight\":",
          OK, "" },
    };
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
        change_header(changes[i].from, changes[i].to);
        assert_refused(folder, changes[i].code, changes[i].says);
    }
    Bytes longer = { 0 };
    bytes_add(&longer, weights.data, weights.n);
    bytes_u64(&longer, 0);
    bytes_write(&longer, weights_path);
    bytes_free(&longer);
    assert_refused(folder, ERR_FORMAT, "8 bytes of the data belong to no tensor");
}

static void values_that_are_not_finite_are_refused(void **state)
{
    (void)state;
    static const float bad[] = { NAN, INFINITY, -INFINITY };
    for (int i = 0; i < 3; i++) {
        Bytes file = { 0 };
        bytes_add(&file, weights.data, weights.n);
        memcpy(file.data + file.n - 4, &bad[i], 4);
        bytes_write(&file, weights_path);
        bytes_free(&file);
        assert_refused(folder, ERR_FORMAT, "tensor 'model.norm.weight' holds a value that is not finite (row 31)");
    }
    Bytes file = { 0 };
    bytes_add(&file, gguf.data, gguf.n);
    memcpy(file.data + file.n - 4, &bad[0], 4);
    bytes_write(&file, gguf_path);
    bytes_free(&file);
    assert_refused(gguf_path, ERR_FORMAT, "not finite (row 7)");
}

/* A tied model may keep its head twice, but not two heads. */
static void a_second_head_must_be_the_embedding(void **state)
{
    (void)state;
    Bytes tied = { 0 };
    bytes_add(&tied, config.data, config.n);
    char *setting = memmem(tied.data, tied.n, "\"tie_word_embeddings\": false", 28);
    assert_non_null(setting);
    memcpy(setting, "\"tie_word_embeddings\":  true", 28);
    bytes_write(&tied, config_path);
    bytes_free(&tied);
    assert_refused(folder, ERR_UNSUPPORTED, "'lm_head.weight' differs from the embedding");
    uint64_t length;
    memcpy(&length, weights.data, 8);
    Bytes equal = { 0 };
    bytes_add(&equal, weights.data, weights.n);
    memcpy(equal.data + 8 + length, equal.data + 8 + length + 1024, 1024);      /* the head is first, then the embedding */
    bytes_write(&equal, weights_path);
    bytes_free(&equal);
    assert_int_equal(try_model(folder), OK);
}

/* ---- shards ---- */

static void index_is_checked(void **state)
{
    (void)state;
    static const struct { const char *tensor, *shard; int code; const char *says; } changes[] = {
        { "lm_head.weight", "../model.safetensors", ERR_FORMAT, "not the name of a file beside the index" },
        { "lm_head.weight", "", ERR_FORMAT, "not the name of a file beside the index" },
        { "lm_head.weight", "model-00003-of-00002.safetensors", ERR_FILE, "model-00003-of-00002.safetensors: No such file" },
        { "lm_head.weight", "model-00002-of-00002.safetensors", ERR_FORMAT, "'lm_head.weight' is not in model-00002-of-00002.safetensors" },
        { "another.weight", "model-00002-of-00002.safetensors", ERR_FORMAT, "'another.weight' is not in" },
        { "lm_head.weight", NULL, ERR_FORMAT, "'lm_head.weight' of a shard is not in the index" },
    };
    char *place = xformat("%s/sharded", folder);
    assert_int_equal(mkdir(place, 0700), 0);
    static const char *const files[] = { "config.json", "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors" };
    for (int i = 0; i < 3; i++) {
        char *from = xformat(SHARDED "/%s", files[i]), *to = xformat("%s/%s", place, files[i]);
        Bytes bytes = bytes_read(from);
        bytes_write(&bytes, to);
        bytes_free(&bytes);
        free(from);
        free(to);
    }
    char *index_path = xformat("%s/model.safetensors.index.json", place);
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
        json_t *index = json_load_file(SHARDED "/model.safetensors.index.json", 0, NULL), *map = json_object_get(index, "weight_map");
        if (changes[i].shard) json_object_set_new(map, changes[i].tensor, json_string(changes[i].shard));
        else json_object_del(map, changes[i].tensor);
        assert_int_equal(json_dump_file(index, index_path, 0), 0);
        json_decref(index);
        assert_refused(place, changes[i].code, changes[i].says);
    }
    bytes_write(&(Bytes){ (unsigned char *)"{}", 2 }, index_path);
    assert_refused(place, ERR_FORMAT, "no weight_map");
    free(index_path);
    free(place);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(sound_files_are_read, restore),
        cmocka_unit_test_setup(truncated_files_are_refused, restore),
        cmocka_unit_test_setup(flipped_bytes_never_crash, restore),
        cmocka_unit_test_setup(places_without_a_model_are_refused, restore),
        cmocka_unit_test_setup(damaged_headers_are_named, restore),
        cmocka_unit_test_setup(values_that_are_not_finite_are_refused, restore),
        cmocka_unit_test_setup(a_second_head_must_be_the_embedding, restore),
        cmocka_unit_test_setup(index_is_checked, restore),
    };
    return cmocka_run_group_tests_name("model_damage", tests, make_files, remove_files);
}
