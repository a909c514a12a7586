/* tokenizer_json.c - tokenizer.json (the tokenizers library's file) and tokenizer_config.json (transformers') */
#include "core/text/tokenizer_json.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/err.h"

int json_want_string(const json_t **out, const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);
    if (!json_is_string(value)) FAIL(ERR_FORMAT, "\"%s\" is missing or not a string", key);
    *out = value;
    return OK;
}

int json_want_bool(bool *out, const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);
    if (!json_is_boolean(value)) FAIL(ERR_FORMAT, "\"%s\" is missing or neither true nor false", key);
    *out = json_is_true(value);
    return OK;
}

const char *json_type_name(const json_t *object)
{
    const char *name = json_string_value(json_object_get(object, "type"));
    return name ? name : "";
}

int json_only_keys(const json_t *object, const char *where, const char *const *names)
{
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)object, key, value) {
        int i = 0;
        while (names[i] && strcmp(names[i], key) != 0) i++;
        if (!names[i]) FAIL(ERR_UNSUPPORTED, "%s has an entry \"%s\" that we do not know", where, key);
    }
    return OK;
}

static int read_vocabulary(Tokenizer *t, const json_t *vocabulary)
{
    if (!json_is_object(vocabulary)) FAIL(ERR_FORMAT, "\"vocab\" of the model is missing or not an object");
    const char *text;
    json_t *id;
    json_object_foreach((json_t *)vocabulary, text, id) {
        if (!json_is_integer(id)) FAIL(ERR_FORMAT, "the id of token '%s' is not a whole number", text);
        TRY(vocabulary_put(&t->vocabulary, json_integer_value(id), text, strlen(text)));
    }
    t->next_added = (int64_t)json_object_size(vocabulary);
    return OK;
}

/* ["a","b"], or the older "a b" */
static int read_merge(Tokenizer *t, const json_t *merge, size_t rank)
{
    if (json_is_string(merge)) return tokenizer_add_merge_line(t, rank, json_string_value(merge), json_string_length(merge));
    const json_t *left = json_array_get(merge, 0), *right = json_array_get(merge, 1);
    if (json_array_size(merge) != 2 || !json_is_string(left) || !json_is_string(right))
        FAIL(ERR_FORMAT, "merge %zu is neither [\"a\",\"b\"] nor \"a b\"", rank);
    return tokenizer_add_merge(t, rank, json_string_value(left), json_string_length(left), json_string_value(right), json_string_length(right));
}

static int read_merges(Tokenizer *t, const json_t *merges)
{
    if (!json_is_array(merges)) FAIL(ERR_FORMAT, "\"merges\" of the model is missing or not an array");
    size_t i;
    json_t *merge;
    json_array_foreach(merges, i, merge) TRY(read_merge(t, merge, i));
    return OK;
}

static int read_flag(bool *out, const json_t *object, const char *key)
{
    return json_object_get(object, key) ? json_want_bool(out, object, key) : OK;
}

/* Numbers, texts and objects that may be there only in the form that changes nothing. */
static bool is_neutral(const json_t *value)
{
    return !value || json_is_null(value) || (json_is_string(value) && json_string_length(value) == 0) ||
           (json_is_number(value) && json_number_value(value) == 0);
}

static int read_model(Tokenizer *t, const json_t *model)
{
    static const char *const known[] = { "type", "dropout", "unk_token", "continuing_subword_prefix", "end_of_word_suffix",
                                         "fuse_unk", "byte_fallback", "ignore_merges", "vocab", "merges", NULL };
    static const char *const refused[] = { "dropout", "continuing_subword_prefix", "end_of_word_suffix" };
    if (!json_is_object(model)) FAIL(ERR_FORMAT, "\"model\" is missing or not an object");
    const char *type = json_type_name(model);
    if (json_object_get(model, "type") && strcmp(type, "BPE") != 0)
        FAIL(ERR_UNSUPPORTED, "the tokenizer's model is of type '%s'; we know BPE only", type);
    TRY(json_only_keys(model, "the tokenizer's model", known));
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++)
        if (!is_neutral(json_object_get(model, refused[i])))
            FAIL(ERR_UNSUPPORTED, "the tokenizer's model uses \"%s\", which we do not do", refused[i]);
    TRY(read_flag(&t->fuse_unknown, model, "fuse_unk"));
    TRY(read_flag(&t->byte_fallback, model, "byte_fallback"));
    TRY(read_flag(&t->ignore_merges, model, "ignore_merges"));
    TRY(read_vocabulary(t, json_object_get(model, "vocab")));
    return read_merges(t, json_object_get(model, "merges"));
}

static int read_unknown(Tokenizer *t, const json_t *model)
{
    const json_t *unknown = json_object_get(model, "unk_token");
    if (!unknown || json_is_null(unknown)) return OK;
    if (!json_is_string(unknown)) FAIL(ERR_FORMAT, "\"unk_token\" of the model is not a string");
    t->unknown = vocabulary_find(&t->vocabulary, json_string_value(unknown), json_string_length(unknown));
    if (t->unknown < 0) FAIL(ERR_FORMAT, "the unknown token '%s' is not in the vocabulary", json_string_value(unknown));
    return OK;
}

static int read_added_token(Tokenizer *t, const json_t *token, long long id)
{
    AddedToken flags = { 0 };
    bool normalized = false, whole_words = false;
    const json_t *content = NULL;
    TRY(json_want_string(&content, token, "content"));
    TRY(json_want_bool(&flags.special, token, "special"));
    TRY(json_want_bool(&flags.strip_left, token, "lstrip"));
    TRY(json_want_bool(&flags.strip_right, token, "rstrip"));
    TRY(json_want_bool(&normalized, token, "normalized"));
    TRY(json_want_bool(&whole_words, token, "single_word"));
    if (whole_words) FAIL(ERR_UNSUPPORTED, "added token '%s' asks for single_word, which we do not do", json_string_value(content));

    const char *text = json_string_value(content);
    size_t n = json_string_length(content);
    int32_t known = vocabulary_find(&t->vocabulary, text, n);
    if (known >= 0 && known != id) FAIL(ERR_FORMAT, "added token '%s' has id %lld, but the vocabulary gives it %d", text, id, known);
    if (known < 0 && id != t->next_added)       /* the library numbers new tokens itself */
        FAIL(ERR_UNSUPPORTED, "added token '%s' has id %lld, but the tokenizers library would give it %lld", text, id, (long long)t->next_added);
    if (id >= t->next_added) t->next_added = id + 1;
    return tokenizer_add(t, id, text, n, &flags, normalized);
}

static int read_added_tokens(Tokenizer *t, const json_t *tokens)
{
    if (!tokens || json_is_null(tokens)) return OK;
    if (!json_is_array(tokens)) FAIL(ERR_FORMAT, "\"added_tokens\" is not an array");
    size_t i;
    json_t *token;
    json_array_foreach(tokens, i, token) {
        const json_t *id = json_object_get(token, "id");
        if (!json_is_integer(id)) FAIL(ERR_FORMAT, "\"id\" of an added token is missing or not a whole number");
        TRY(read_added_token(t, token, json_integer_value(id)));
    }
    return OK;
}

static int read_root(Tokenizer *t, const json_t *root)
{
    static const char *const known[] = { "version", "truncation", "padding", "added_tokens", "normalizer", "pre_tokenizer",
                                         "post_processor", "decoder", "model", NULL };
    if (!json_is_object(root)) FAIL(ERR_FORMAT, "not a JSON object");
    TRY(json_only_keys(root, "the file", known));
    const json_t *model = json_object_get(root, "model");
    TRY(read_model(t, model));
    TRY(json_read_normalizer(t, json_object_get(root, "normalizer")));
    TRY(json_read_pretokenizer(t, json_object_get(root, "pre_tokenizer")));
    TRY(read_added_tokens(t, json_object_get(root, "added_tokens")));
    TRY(read_unknown(t, model));
    return json_read_postprocessor(t, json_object_get(root, "post_processor"));
}

static int load(json_t **out, const char *path, size_t flags)
{
    json_error_t error;
    json_t *root = json_load_file(path, JSON_ALLOW_NUL | flags, &error);
    if (!root && json_error_code(&error) == json_error_cannot_open_file) FAIL(ERR_FILE, "%s: cannot be opened", path);
    if (!root) FAIL(ERR_FORMAT, "%s:%d:%d: %s", path, error.line, error.column, error.text);
    *out = root;
    return OK;
}

int tokenizer_read_json(Tokenizer *t, const char *path)
{
    json_t *root;
    TRY(load(&root, path, 0));
    int status = read_root(t, root);
    json_decref(root);
    return status == OK ? OK : err_context(status, "%s", path);
}

/* A special token in tokenizer_config.json: its text, an object with its text, or null. */
static int config_token(int32_t *out, const Tokenizer *t, const json_t *config, const char *key)
{
    const json_t *token = json_object_get(config, key);
    if (!token || json_is_null(token)) return OK;
    if (json_is_object(token)) token = json_object_get(token, "content");
    if (!json_is_string(token)) FAIL(ERR_FORMAT, "\"%s\" is neither a string, nor null, nor an object with \"content\"", key);
    *out = vocabulary_find(&t->vocabulary, json_string_value(token), json_string_length(token));
    if (*out < 0) FAIL(ERR_FORMAT, "the \"%s\" '%s' is not in the vocabulary", key, json_string_value(token));
    return OK;
}

/* transformers adds what tokenizer.json lacks, and believes these flags more than tokenizer.json's. */
static int config_added_tokens(Tokenizer *t, const json_t *tokens)
{
    if (!tokens || json_is_null(tokens)) return OK;
    if (!json_is_object(tokens)) FAIL(ERR_FORMAT, "\"added_tokens_decoder\" is not an object");
    const char *key;
    json_t *token;
    json_object_foreach((json_t *)tokens, key, token) {
        char *end;
        errno = 0;
        long long id = strtoll(key, &end, 10);
        if (end == key || *end || errno) FAIL(ERR_FORMAT, "\"added_tokens_decoder\" has the key '%s', which is not an id", key);
        TRY(read_added_token(t, token, id));
    }
    return OK;
}

/* Whether BOS is added is the post-processor's word: with a tokenizer.json present, transformers 5
 * does not look at "add_bos_token". */
static int read_config(Tokenizer *t, const json_t *config)
{
    if (!json_is_object(config)) FAIL(ERR_FORMAT, "not a JSON object");
    TRY(config_added_tokens(t, json_object_get(config, "added_tokens_decoder")));
    if (!t->adds_bos) TRY(config_token(&t->bos, t, config, "bos_token"));
    return config_token(&t->eos, t, config, "eos_token");
}

int tokenizer_read_config(Tokenizer *t, const char *path)
{
    if (access(path, F_OK) != 0) return OK;
    json_t *config;
    TRY(load(&config, path, JSON_DECODE_INT_AS_REAL));    /* model_max_length is often 10^30 */
    int status = read_config(t, config);
    json_decref(config);
    return status == OK ? OK : err_context(status, "%s", path);
}
