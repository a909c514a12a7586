/* GGUF directories: values of the default model, every kind of value, damage of every sort. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/model/gguf.h"
#include "core/tests/file_folder.h"
#include "core/tests/model_files.h"

static int make_folder(void **state) { return folder_with(state, "file.gguf"); }

static void default_model_has_its_keys(void **state)
{
    (void)state;
    const char *model = getenv("LINEARITY_MODEL");
    Gguf *gguf = NULL;
    if (!model || access(model, R_OK) != 0) {
        print_message("SKIPPED: LINEARITY_MODEL does not name a file\n");
        skip();
    }
    assert_int_equal(gguf_open(&gguf, model), OK);
    int64_t integer;
    double number;
    GgufString text;
    assert_true(gguf_integer(gguf, "llama.block_count", &integer));
    assert_int_equal(integer, 30);
    assert_true(gguf_number(gguf, "llama.rope.freq_base", &number));
    assert_true(number == 100000.0);
    assert_true(gguf_integer(gguf, "tokenizer.ggml.add_bos_token", &integer));
    assert_int_equal(integer, 0);
    assert_true(gguf_string(gguf, "tokenizer.ggml.pre", &text));
    assert_int_equal(text.length, 6);
    assert_memory_equal(text.data, "smollm", 6);
    assert_int_equal(gguf_array_length(gguf, "tokenizer.ggml.tokens"), 49152);
    assert_true(gguf_array_string(gguf, "tokenizer.ggml.tokens", 2, &text));
    assert_memory_equal(text.data, "<|im_end|>", text.length);
    assert_true(gguf_array_number(gguf, "tokenizer.ggml.token_type", 0, &number));
    assert_true(number == 3);
    assert_int_equal(gguf_tensor_count(gguf), 272);
    const Tensor *tensor = gguf_find(gguf, "blk.29.ffn_down.weight");
    assert_non_null(tensor);
    assert_int_equal(tensor->shape[0], 576);
    assert_int_equal(tensor->shape[1], 1536);
    assert_null(gguf_find(gguf, "blk.30.ffn_down.weight"));
    gguf_close(&gguf);
    assert_null(gguf);
    gguf_close(&gguf);
}

/* ---- kinds of values ---- */

static Gguf *open_written(GgufWriter *writer)
{
    Gguf *gguf = NULL;
    Bytes file = gguf_finish(writer, 3);
    bytes_write(&file, path);
    bytes_free(&file);
    if (gguf_open(&gguf, path) != OK) fail_msg("%s", err_last());
    return gguf;
}

static void every_number_is_read(void **state)
{
    (void)state;
    GgufWriter writer = { 0 };
    gguf_put(&writer, "u8", 0, &(uint8_t){ 200 }, 1);
    gguf_put(&writer, "i8", 1, &(int8_t){ -100 }, 1);
    gguf_put(&writer, "u16", 2, &(uint16_t){ 60000 }, 2);
    gguf_put(&writer, "i16", 3, &(int16_t){ -30000 }, 2);
    gguf_put(&writer, "u32", 4, &(uint32_t){ 4000000000u }, 4);
    gguf_put(&writer, "i32", 5, &(int32_t){ -2000000000 }, 4);
    gguf_put(&writer, "f32", 6, &(float){ 0.25f }, 4);
    gguf_put(&writer, "bool", 7, &(uint8_t){ 1 }, 1);
    gguf_put(&writer, "u64", 10, &(uint64_t){ 1ull << 62 }, 8);
    gguf_put(&writer, "huge", 10, &(uint64_t){ 1ull << 63 }, 8);
    gguf_put(&writer, "i64", 11, &(int64_t){ -(1ll << 62) }, 8);
    gguf_put(&writer, "f64", 12, &(double){ 1e300 }, 8);
    Gguf *gguf = open_written(&writer);

    static const struct { const char *key; int64_t value; } integers[] = {
        { "u8", 200 }, { "i8", -100 }, { "u16", 60000 }, { "i16", -30000 }, { "u32", 4000000000 }, { "i32", -2000000000 },
        { "bool", 1 }, { "u64", 1ll << 62 }, { "i64", -(1ll << 62) },
    };
    for (size_t i = 0; i < sizeof integers / sizeof *integers; i++) {
        int64_t integer = 0;
        double number = 0;
        assert_true(gguf_integer(gguf, integers[i].key, &integer));
        assert_int_equal(integer, integers[i].value);
        assert_true(gguf_number(gguf, integers[i].key, &number));
        assert_true(number == (double)integers[i].value);
    }
    double number = 0;
    int64_t integer = 77;
    assert_true(gguf_number(gguf, "f32", &number) && number == 0.25);
    assert_true(gguf_number(gguf, "f64", &number) && number == 1e300);
    assert_false(gguf_integer(gguf, "f32", &integer));
    assert_false(gguf_integer(gguf, "huge", &integer));
    assert_false(gguf_integer(gguf, "absent", &integer));
    assert_int_equal(integer, 77);
    gguf_close(&gguf);
}

static void put_array(GgufWriter *writer, const char *key, uint32_t element, uint64_t n)
{
    gguf_put(writer, key, 9, NULL, 0);
    bytes_u32(&writer->pairs, element);
    bytes_u64(&writer->pairs, n);
}

static void arrays_are_read_by_index(void **state)
{
    (void)state;
    GgufWriter writer = { 0 };
    GgufString text;
    double number;
    put_array(&writer, "nested", 9, 2);             /* [["x"], [7, 8, 9]]: skipped */
    bytes_u32(&writer.pairs, 8);
    bytes_u64(&writer.pairs, 1);
    gguf_put_text(&writer.pairs, "x");
    bytes_u32(&writer.pairs, 0);
    bytes_u64(&writer.pairs, 3);
    bytes_add(&writer.pairs, "\7\10\11", 3);
    put_array(&writer, "words", 8, 3);
    gguf_put_text(&writer.pairs, "one");
    gguf_put_text(&writer.pairs, "");
    gguf_put_text(&writer.pairs, "three");
    put_array(&writer, "scores", 6, 2);
    bytes_add(&writer.pairs, (float[]){ 1.5f, -2.0f }, 8);
    put_array(&writer, "none", 8, 0);
    gguf_put_string(&writer, "text", "words");
    Gguf *gguf = open_written(&writer);

    assert_int_equal(gguf_array_length(gguf, "nested"), 2);
    assert_false(gguf_array_string(gguf, "nested", 0, &text));
    assert_false(gguf_array_number(gguf, "nested", 1, &number));
    assert_int_equal(gguf_array_length(gguf, "words"), 3);
    assert_true(gguf_array_string(gguf, "words", 2, &text));
    assert_int_equal(text.length, 5);
    assert_memory_equal(text.data, "three", 5);
    assert_true(gguf_array_string(gguf, "words", 1, &text));
    assert_int_equal(text.length, 0);
    assert_false(gguf_array_string(gguf, "words", 3, &text));
    assert_false(gguf_array_string(gguf, "words", -1, &text));
    assert_false(gguf_array_number(gguf, "words", 0, &number));
    assert_true(gguf_array_number(gguf, "scores", 1, &number) && number == -2);
    assert_false(gguf_array_number(gguf, "scores", 2, &number));
    assert_false(gguf_array_string(gguf, "scores", 0, &text));
    assert_int_equal(gguf_array_length(gguf, "none"), 0);
    assert_int_equal(gguf_array_length(gguf, "text"), -1);
    assert_int_equal(gguf_array_length(gguf, "absent"), -1);
    assert_true(gguf_string(gguf, "text", &text));
    assert_memory_equal(text.data, "words", 5);
    gguf_close(&gguf);
}

/* ---- damage ---- */

static void assert_refused(const Bytes *file, int code, const char *says)
{
    Gguf *gguf = NULL;
    bytes_write(file, path);
    assert_int_equal(gguf_open(&gguf, path), code);
    assert_null(gguf);
    if (!strstr(err_last(), says) || !strstr(err_last(), path)) fail_msg("said: %s", err_last());
}

/* One key, two tensors of 8 weights: the places of its fields are the constants below. */
enum {
    AT_VERSION = 4, AT_TENSORS = 8, AT_PAIRS = 16, AT_KEY = 24, AT_KIND = 24 + 8 + 1, AT_VALUE = AT_KIND + 4,
    AT_ENTRY = AT_VALUE + 4, AT_RANK = AT_ENTRY + 8 + 1, AT_SIZE = AT_RANK + 4, AT_DTYPE = AT_SIZE + 8, AT_OFFSET = AT_DTYPE + 4,
    AT_SECOND = AT_OFFSET + 8, SECOND = AT_SECOND - AT_ENTRY
};

static Bytes small_file(void)
{
    GgufWriter writer = { 0 };
    gguf_put_u32(&writer, "k", 1);
    for (int i = 0; i < 2; i++) gguf_put_tensor(&writer, i ? "b" : "a", (float[8]){ 1, 2, 3 }, 1, (int64_t[]){ 8 });
    return gguf_finish(&writer, 3);
}

static void damage_is_named(void **state)
{
    (void)state;
    static const struct { size_t at; uint64_t value; size_t n_bytes; int code; const char *says; } damages[] = {
        { 0, 'X', 1, ERR_FORMAT, "not a GGUF file" },
        { AT_VERSION, 1, 4, ERR_UNSUPPORTED, "version 1" },
        { AT_VERSION, 3 << 24, 4, ERR_UNSUPPORTED, "big-endian" },
        { AT_TENSORS, UINT64_MAX, 8, ERR_FORMAT, "tensors are not credible" },
        { AT_TENSORS, 100, 8, ERR_FORMAT, "100 tensors do not fit" },
        { AT_PAIRS, 1ull << 60, 8, ERR_FORMAT, "key-value pairs are not credible" },
        { AT_PAIRS, 100, 8, ERR_FORMAT, "100 key-value pairs do not fit" },
        { AT_KEY, UINT64_MAX - 7, 8, ERR_FORMAT, "past the end" },
        { AT_KIND, 13, 4, ERR_FORMAT, "value type 13" },
        { AT_KIND, 9, 4, ERR_FORMAT, "past the end" },
        { AT_ENTRY, 1ull << 63, 8, ERR_FORMAT, "past the end" },
        { AT_ENTRY + 8, 0, 1, ERR_FORMAT, "zero byte" },
        { AT_ENTRY + 8, 'b', 1, ERR_FORMAT, "two tensors are named 'b'" },
        { AT_RANK, 0, 4, ERR_FORMAT, "0 dimensions" },
        { AT_RANK, 5, 4, ERR_FORMAT, "5 dimensions" },
        { AT_SIZE, 0, 8, ERR_FORMAT, "tensor 'a': its shape is impossible" },
        { AT_SIZE, 1ull << 63, 8, ERR_FORMAT, "its shape is impossible" },
        { AT_SIZE, 1ull << 62, 8, ERR_FORMAT, "its shape is impossible" },
        { AT_SIZE, 1000, 8, ERR_FORMAT, "tensor 'a' reaches past the end" },
        { AT_SIZE, 9, 8, ERR_FORMAT, "share bytes" },
        { AT_DTYPE, 3, 4, ERR_FORMAT, "whole number of Q4_1 blocks" },
        { AT_DTYPE, 23, 4, ERR_UNSUPPORTED, "tensor 'a': its ggml type is number 23" },
        { AT_OFFSET, 4, 8, ERR_FORMAT, "not aligned" },
        { AT_OFFSET, 128, 8, ERR_FORMAT, "tensor 'a' reaches past the end" },
        { AT_OFFSET, 1ull << 40, 8, ERR_FORMAT, "past the end" },
        { AT_OFFSET, UINT64_MAX - 31, 8, ERR_FORMAT, "past the end" },
        { AT_OFFSET + SECOND, 0, 8, ERR_FORMAT, "share bytes" },
    };
    for (size_t i = 0; i < sizeof damages / sizeof *damages; i++) {
        Bytes file = small_file();
        assert_true(damages[i].at + damages[i].n_bytes <= file.n);
        memcpy(file.data + damages[i].at, &damages[i].value, damages[i].n_bytes);
        assert_refused(&file, damages[i].code, damages[i].says);
        bytes_free(&file);
    }
}

static void bad_keys_are_refused(void **state)
{
    (void)state;
    for (int which = 0; which < 3; which++) {
        GgufWriter writer = { 0 };
        if (which == 0) {
            gguf_put_u32(&writer, "general.alignment", 24);
        } else if (which == 1) {
            gguf_put_u32(&writer, "twice", 1);
            gguf_put_string(&writer, "twice", "");
        } else {
            put_array(&writer, "deep", 9, 1);
            for (int depth = 0; depth < 1000; depth++) {
                bytes_u32(&writer.pairs, 9);
                bytes_u64(&writer.pairs, 1);
            }
        }
        Bytes file = gguf_finish(&writer, 3);
        assert_refused(&file, ERR_FORMAT, which == 0 ? "general.alignment is 24" : which == 1 ? "'twice' occurs twice" : "too deeply");
        bytes_free(&file);
    }
}

static void every_truncation_is_refused(void **state)
{
    (void)state;
    Bytes file = small_file();
    for (size_t n = file.n; n-- > 1;) {
        Bytes part = { file.data, n };
        assert_refused(&part, ERR_FORMAT, "");
    }
    Bytes nothing = { 0 };
    assert_refused(&nothing, ERR_FORMAT, "empty");
    bytes_free(&file);
}

static void what_is_no_file_is_refused(void **state)
{
    (void)state;
    Gguf *gguf = NULL;
    assert_int_equal(gguf_open(&gguf, "/nonexistent/model.gguf"), ERR_FILE);
    assert_int_equal(gguf_open(&gguf, folder), ERR_FILE);
    assert_int_equal(gguf_open(&gguf, "/dev/null"), ERR_FILE);
    assert_null(gguf);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(default_model_has_its_keys),
        cmocka_unit_test(every_number_is_read),
        cmocka_unit_test(arrays_are_read_by_index),
        cmocka_unit_test(damage_is_named),
        cmocka_unit_test(bad_keys_are_refused),
        cmocka_unit_test(every_truncation_is_refused),
        cmocka_unit_test(what_is_no_file_is_refused),
    };
    return cmocka_run_group_tests_name("gguf", tests, make_folder, remove_folder);
}
