/*
 * byte_tokenizer.h - a byte-level tokenizer: the id of a byte is the byte
 */
#ifndef CORE_TESTS_BYTE_TOKENIZER_H
#define CORE_TESTS_BYTE_TOKENIZER_H

#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/stat.h>
#include <cmocka.h>

#include "core/base/err.h"
#include "core/tests/scratch.h"
#include "core/text/tokenizer.h"

enum { BOS = 256, MARK = 257, VOCABULARY = 258 };

/* GPT-2's letter for a byte: itself where it prints, otherwise the next one from 256 on. */
static inline int letter_of(int byte)
{
    int next = 256;
    for (int b = 0; b < 256; b++) {
        bool prints = (b >= 33 && b <= 126) || (b >= 161 && b <= 172) || b >= 174;
        if (b == byte) return prints ? b : next;
        next += !prints;
    }
    return -1;
}

static inline json_t *special_token(int id, const char *content)
{
    return json_pack("{s:i,s:s,s:b,s:b,s:b,s:b,s:b}", "id", id, "content", content, "single_word", 0, "lstrip", 0, "rstrip", 0,
                     "normalized", 0, "special", 1);
}

static inline void dump(json_t *object, const char *folder, const char *name)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    assert_int_equal(json_dump_file(object, path, 0), 0);
    json_decref(object);
}

static inline Tokenizer *byte_tokenizer(bool adds_bos)
{
    const char *folder = scratch_path(adds_bos ? "adds" : "plain");
    mkdir(folder, 0700);
    json_t *vocabulary = json_object();
    for (int b = 0; b < 256; b++) {
        int c = letter_of(b);
        char utf8[3] = { (char)c };
        if (c >= 128) utf8[0] = (char)(0xc0 | c >> 6), utf8[1] = (char)(0x80 | (c & 0x3f));
        json_object_set_new(vocabulary, utf8, json_integer(b));
    }
    json_t *byte_level = json_pack("{s:s,s:b,s:b,s:b}", "type", "ByteLevel", "add_prefix_space", 0, "trim_offsets", 1, "use_regex", 1);
    json_t *front = json_pack("{s:s,s:[{s:{s:s,s:i}},{s:{s:s,s:i}}],s:[],s:{s:{s:s,s:[i],s:[s]}}}", "type", "TemplateProcessing", "single",
                              "SpecialToken", "id", "<s>", "type_id", 0, "Sequence", "id", "A", "type_id", 0, "pair",
                              "special_tokens", "<s>", "id", "<s>", "ids", BOS, "tokens", "<s>");
    dump(json_pack("{s:s,s:[o,o],s:n,s:O,s:o,s:o,s:{s:s,s:n,s:n,s:n,s:n,s:b,s:b,s:o,s:[]}}", "version", "1.0",
                   "added_tokens", special_token(BOS, "<s>"), special_token(MARK, "<|endoftext|>"), "normalizer",
                   "pre_tokenizer", byte_level, "post_processor", adds_bos ? json_incref(front) : json_null(), "decoder", byte_level,
                   "model", "type", "BPE", "dropout", "unk_token", "continuing_subword_prefix", "end_of_word_suffix",
                   "fuse_unk", 0, "byte_fallback", 0, "vocab", vocabulary, "merges"), folder, "tokenizer.json");
    dump(json_pack("{s:s,s:b,s:s}", "bos_token", "<s>", "add_bos_token", adds_bos, "tokenizer_class", "PreTrainedTokenizerFast"),
         folder, "tokenizer_config.json");
    json_decref(front);
    Tokenizer *tokenizer = NULL;
    int status = tokenizer_open(&tokenizer, folder);
    if (status != OK) print_error("%s\n", err_last());
    assert_int_equal(status, OK);
    return tokenizer;
}

#endif
