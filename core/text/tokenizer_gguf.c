/* tokenizer_gguf.c - the vocabulary inside a GGUF file, keys "tokenizer.ggml.*" */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/err.h"
#include "core/model/gguf.h"
#include "core/text/tokenizer_parts.h"

enum { TYPE_NORMAL = 1, TYPE_UNKNOWN, TYPE_CONTROL, TYPE_USER_DEFINED, TYPE_UNUSED, TYPE_BYTE };

/* What tokenizer.ggml.pre names.  The expressions are the publishers' own, so is NFC, which
 * llama.cpp leaves out; "default" exists in llama.cpp only. */
enum { STEPS = 4 };
typedef struct {
    const char *name;
    bool nfc, ignore_merges, adds_bos;
    const char *step[STEPS];
} PreTokenizer;

#define LLAMA3_SPLIT(digits) "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|" digits \
                             "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"

static const PreTokenizer known[] = {
    { .name = "smollm", .step = { "\\p{N}", GPT2_PATTERN } },
    { .name = "gpt-2", .step = { GPT2_PATTERN } },
    { .name = "llama-bpe", .ignore_merges = true, .adds_bos = true, .step = { LLAMA3_SPLIT("\\p{N}{1,3}") } },
    { .name = "qwen2", .nfc = true, .step = { LLAMA3_SPLIT("\\p{N}") } },
    { .name = "default", .step = { "[\\p{P}\\$\\+<=>\\^~\\|]+", GPT2_PATTERN, "\\p{N}+", "[0-9][0-9][0-9]" } },
};

static const PreTokenizer *find_pretokenizer(GgufString name)
{
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (strlen(known[i].name) == name.length && memcmp(known[i].name, name.data, name.length) == 0) return &known[i];
    return NULL;
}

static int read_pretokenizer(Tokenizer *t, const Gguf *gguf)
{
    GgufString name = { "default", strlen("default") };
    gguf_string(gguf, "tokenizer.ggml.pre", &name);
    const PreTokenizer *pre = find_pretokenizer(name);
    if (!pre)
        FAIL(ERR_UNSUPPORTED, "the pre-tokenizer '%.*s' is not one we know (smollm, gpt-2, llama-bpe, qwen2, default)",
             (int)(name.length < 64 ? name.length : 64), name.data);
    if (pre->nfc) normalizer_add(&t->normalizer, NORMALIZE_NFC, NULL, 0, NULL, 0);
    t->ignore_merges = pre->ignore_merges;
    t->adds_bos = pre->adds_bos;
    for (int i = 0; i < STEPS && pre->step[i]; i++)
        TRY(pretokenizer_add(&t->pretokenizer, SPLIT_ISOLATED, pre->step[i], strlen(pre->step[i]), false));
    return OK;
}

static int read_tokens(Tokenizer *t, const Gguf *gguf)
{
    int64_t n = gguf_array_length(gguf, "tokenizer.ggml.tokens");
    if (n < 1) FAIL(ERR_FORMAT, "there is no vocabulary (tokenizer.ggml.tokens)");
    for (int64_t id = 0; id < n; id++) {
        GgufString text;
        if (!gguf_array_string(gguf, "tokenizer.ggml.tokens", id, &text)) FAIL(ERR_FORMAT, "tokenizer.ggml.tokens is not an array of strings");
        TRY(vocabulary_put(&t->vocabulary, id, text.data, text.length));
    }
    return OK;
}

/* All tokens are normal where the file does not tell. */
static int token_type(int *out, const Gguf *gguf, int32_t id)
{
    double type = TYPE_NORMAL;
    if (gguf_array_length(gguf, "tokenizer.ggml.token_type") >= 0 && !gguf_array_number(gguf, "tokenizer.ggml.token_type", id, &type))
        FAIL(ERR_FORMAT, "tokenizer.ggml.token_type has no number for token %d", id);
    if (!(type >= TYPE_NORMAL && type <= TYPE_BYTE)) FAIL(ERR_UNSUPPORTED, "token %d is of type %g, which we do not know", id, type);
    *out = (int)type;
    return OK;
}

static int read_types(Tokenizer *t, const Gguf *gguf)
{
    for (int32_t id = 0; id < t->vocabulary.n; id++) {
        int type = TYPE_NORMAL;
        TRY(token_type(&type, gguf, id));
        AddedToken flags = { .special = type == TYPE_UNKNOWN || type == TYPE_CONTROL };
        size_t n;
        const char *text = vocabulary_text(&t->vocabulary, id, &n);
        if (flags.special || type == TYPE_USER_DEFINED) TRY(tokenizer_add(t, id, text, n, &flags, false));
    }
    return OK;
}

static int read_merges(Tokenizer *t, const Gguf *gguf)
{
    int64_t n = gguf_array_length(gguf, "tokenizer.ggml.merges");
    if (n < 0) FAIL(ERR_FORMAT, "there are no merges (tokenizer.ggml.merges)");
    for (int64_t i = 0; i < n; i++) {
        GgufString line;
        if (!gguf_array_string(gguf, "tokenizer.ggml.merges", i, &line)) FAIL(ERR_FORMAT, "tokenizer.ggml.merges is not an array of strings");
        TRY(tokenizer_add_merge_line(t, (size_t)i, line.data, line.length));
    }
    return OK;
}

static int fill_scores(double *score, bool *mergeable, const Tokenizer *t, const Gguf *gguf)
{
    for (int32_t id = 0; id < t->vocabulary.n; id++) {
        if (!gguf_array_number(gguf, "tokenizer.ggml.scores", id, &score[id]) || isnan(score[id]))
            FAIL(ERR_FORMAT, "tokenizer.ggml.scores has no number for token %d", id);
        int type = TYPE_NORMAL;
        TRY(token_type(&type, gguf, id));
        mergeable[id] = type == TYPE_NORMAL || type == TYPE_USER_DEFINED || type == TYPE_UNUSED;
    }
    return OK;
}

static int read_scores(Tokenizer *t, const Gguf *gguf)
{
    double *score = xmalloc((size_t)t->vocabulary.n * sizeof *score);
    bool *mergeable = xmalloc((size_t)t->vocabulary.n * sizeof *mergeable);
    int status = fill_scores(score, mergeable, t, gguf);
    if (status == OK) status = tokenizer_add_scores(t, score, mergeable);
    free(score);
    free(mergeable);
    return status;
}

/* Keeps *out where the file has no such key. */
static int read_id(int32_t *out, const Tokenizer *t, const Gguf *gguf, const char *key)
{
    int64_t id;
    if (!gguf_integer(gguf, key, &id)) return OK;
    if (id < 0 || id >= t->vocabulary.n) FAIL(ERR_FORMAT, "%s is %lld, outside the vocabulary of %d", key, (long long)id, t->vocabulary.n);
    *out = (int32_t)id;
    return OK;
}

static int read_byte_level(Tokenizer *t, const Gguf *gguf)
{
    t->byte_level = true;
    TRY(read_pretokenizer(t, gguf));
    return read_merges(t, gguf);
}

/* The defaults are llama.cpp's: <unk> 0, <s> 1, </s> 2, BOS and a leading blank added. */
static int read_sentencepiece(Tokenizer *t, const Gguf *gguf)
{
    int64_t prefix = 1;
    gguf_integer(gguf, "tokenizer.ggml.add_space_prefix", &prefix);
    if (prefix) normalizer_add(&t->normalizer, NORMALIZE_PREPEND, NULL, 0, " ", 1);
    normalizer_add(&t->normalizer, NORMALIZE_REPLACE, " ", 1, BLANK_MARK, strlen(BLANK_MARK));
    t->blank_is_mark = t->byte_fallback = t->fuse_unknown = t->adds_bos = true;
    if (t->vocabulary.n > 2) t->unknown = 0, t->bos = 1, t->eos = 2;
    TRY(read_id(&t->unknown, t, gguf, "tokenizer.ggml.unknown_token_id"));
    return read_scores(t, gguf);
}

static int read_gguf(Tokenizer *t, const Gguf *gguf)
{
    GgufString model;
    if (!gguf_string(gguf, "tokenizer.ggml.model", &model)) FAIL(ERR_FORMAT, "there is no tokenizer (tokenizer.ggml.model)");
    bool byte_level = model.length == 4 && memcmp(model.data, "gpt2", 4) == 0;
    bool sentencepiece = model.length == 5 && memcmp(model.data, "llama", 5) == 0;
    if (!byte_level && !sentencepiece)
        FAIL(ERR_UNSUPPORTED, "the tokenizer model '%.*s' is not one we know (gpt2, llama)", (int)(model.length < 64 ? model.length : 64), model.data);
    TRY(read_tokens(t, gguf));
    TRY(byte_level ? read_byte_level(t, gguf) : read_sentencepiece(t, gguf));
    TRY(read_types(t, gguf));
    TRY(read_id(&t->bos, t, gguf, "tokenizer.ggml.bos_token_id"));
    TRY(read_id(&t->eos, t, gguf, "tokenizer.ggml.eos_token_id"));
    int64_t adds = t->adds_bos;
    gguf_integer(gguf, "tokenizer.ggml.add_bos_token", &adds);
    t->adds_bos = adds != 0;
    if (t->adds_bos && t->bos < 0) FAIL(ERR_FORMAT, "tokenizer.ggml.add_bos_token is true, but there is no tokenizer.ggml.bos_token_id");
    return OK;
}

int tokenizer_read_gguf(Tokenizer *t, const char *path)
{
    Gguf *gguf = NULL;
    TRY(gguf_open(&gguf, path));
    int status = read_gguf(t, gguf);
    gguf_close(&gguf);
    return status == OK ? OK : err_context(status, "%s", path);
}
