/* GGUF directories: values of the default model, every kind of value, damage of every sort. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/base/err.h"
#include "core/model/gguf.h"

static void default_model_has_its_keys(void **state)
{
    (void)state;
    const char *path = getenv("LINEARITY_MODEL");
    Gguf *gguf = NULL;
    if (!path || access(path, R_OK) != 0) {
        print_message("SKIPPED: LINEARITY_MODEL does not name a file\n");
        skip();
    }
    assert_int_equal(gguf_open(&gguf, path), OK);
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
    assert_false(gguf_array_string(gguf, "tokenizer.ggml.tokens", 49152, &text));
    assert_true(gguf_array_number(gguf, "tokenizer.ggml.token_type", 0, &number));
    assert_true(number == 3);
    assert_false(gguf_integer(gguf, "tokenizer.ggml.pre", &integer));
    assert_int_equal(gguf_array_length(gguf, "llama.block_count"), -1);
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(default_model_has_its_keys),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
