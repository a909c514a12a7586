/* tokenizer_json_steps.c - normalizer, pre_tokenizer and post_processor of tokenizer.json */
#include <string.h>

#include "core/base/err.h"
#include "core/text/tokenizer_json.h"

static bool is_absent(const json_t *value) { return !value || json_is_null(value); }

/* Runs read over the elements of a "Sequence". */
static int read_each(Tokenizer *t, const json_t *sequence, const char *key, int (*read)(Tokenizer *, const json_t *))
{
    const json_t *elements = json_object_get(sequence, key);
    if (!json_is_array(elements)) FAIL(ERR_FORMAT, "\"%s\" of a Sequence is missing or not an array", key);
    size_t i;
    json_t *element;
    json_array_foreach(elements, i, element) TRY(read(t, element));
    return OK;
}

/* "pattern": {"String": ..} or {"Regex": ..} */
static int read_pattern(const json_t **out, bool *literal, const json_t *step)
{
    const json_t *pattern = json_object_get(step, "pattern");
    const json_t *string = json_object_get(pattern, "String"), *regex = json_object_get(pattern, "Regex");
    *literal = string != NULL;
    *out = string ? string : regex;
    if (!json_is_string(*out)) FAIL(ERR_FORMAT, "\"pattern\" of a %s is neither {\"String\": ..} nor {\"Regex\": ..}", json_type_name(step));
    return OK;
}

static int read_prepend(Tokenizer *t, const json_t *step)
{
    const json_t *prefix;
    TRY(json_want_string(&prefix, step, "prepend"));
    normalizer_add(&t->normalizer, NORMALIZE_PREPEND, NULL, 0, json_string_value(prefix), json_string_length(prefix));
    return OK;
}

static int read_replace(Tokenizer *t, const json_t *step)
{
    const json_t *from, *to;
    bool literal;
    TRY(read_pattern(&from, &literal, step));
    TRY(json_want_string(&to, step, "content"));
    if (!literal || json_string_length(from) == 0)
        FAIL(ERR_UNSUPPORTED, "the normalizer replaces '%s', a regular expression or nothing; we replace plain text only", json_string_value(from));
    normalizer_add(&t->normalizer, NORMALIZE_REPLACE, json_string_value(from), json_string_length(from), json_string_value(to), json_string_length(to));
    if (strcmp(json_string_value(from), " ") == 0 && strcmp(json_string_value(to), BLANK_MARK) == 0) t->blank_is_mark = true;
    return OK;
}

int json_read_normalizer(Tokenizer *t, const json_t *step)
{
    if (is_absent(step)) return OK;
    const char *type = json_type_name(step);
    if (strcmp(type, "Sequence") == 0) return read_each(t, step, "normalizers", json_read_normalizer);
    if (strcmp(type, "Prepend") == 0) return read_prepend(t, step);
    if (strcmp(type, "Replace") == 0) return read_replace(t, step);
    if (strcmp(type, "NFC") != 0) FAIL(ERR_UNSUPPORTED, "the tokenizer's normalizer is of type '%s'; we know NFC, Prepend, Replace and Sequence", type);
    normalizer_add(&t->normalizer, NORMALIZE_NFC, NULL, 0, NULL, 0);
    return OK;
}

static int read_split(Tokenizer *t, const json_t *step)
{
    const json_t *pattern, *behavior;
    bool literal, invert;
    TRY(read_pattern(&pattern, &literal, step));
    TRY(json_want_string(&behavior, step, "behavior"));
    TRY(json_want_bool(&invert, step, "invert"));
    SplitKind kind = invert ? SPLIT_KEEP_MATCHES : SPLIT_DROP_MATCHES;
    if (strcmp(json_string_value(behavior), "Isolated") == 0) kind = SPLIT_ISOLATED;
    else if (strcmp(json_string_value(behavior), "Removed") != 0)
        FAIL(ERR_UNSUPPORTED, "the pre-tokenizer's Split has the behavior '%s'; we know Isolated and Removed", json_string_value(behavior));
    return pretokenizer_add(&t->pretokenizer, kind, json_string_value(pattern), json_string_length(pattern), literal);
}

static int read_digits(Tokenizer *t, const json_t *step)
{
    bool single;
    TRY(json_want_bool(&single, step, "individual_digits"));
    const char *pattern = single ? "\\p{N}" : "\\p{N}+";
    return pretokenizer_add(&t->pretokenizer, SPLIT_ISOLATED, pattern, strlen(pattern), false);
}

static int read_byte_level(Tokenizer *t, const json_t *step)
{
    bool prefix, splits = true;
    TRY(json_want_bool(&prefix, step, "add_prefix_space"));
    if (json_object_get(step, "use_regex")) TRY(json_want_bool(&splits, step, "use_regex"));
    if (prefix) TRY(pretokenizer_add(&t->pretokenizer, SPLIT_PREFIX_SPACE, NULL, 0, false));
    if (splits) TRY(pretokenizer_add(&t->pretokenizer, SPLIT_ISOLATED, GPT2_PATTERN, strlen(GPT2_PATTERN), false));
    t->byte_level = true;
    return OK;
}

int json_read_pretokenizer(Tokenizer *t, const json_t *step)
{
    if (is_absent(step)) return OK;
    const char *type = json_type_name(step);
    if (t->byte_level) FAIL(ERR_UNSUPPORTED, "the pre-tokenizer has a step '%s' after ByteLevel, which must be the last", type);
    if (strcmp(type, "Sequence") == 0) return read_each(t, step, "pretokenizers", json_read_pretokenizer);
    if (strcmp(type, "Split") == 0) return read_split(t, step);
    if (strcmp(type, "Digits") == 0) return read_digits(t, step);
    if (strcmp(type, "ByteLevel") == 0) return read_byte_level(t, step);
    FAIL(ERR_UNSUPPORTED, "the tokenizer's pre-tokenizer is of type '%s'; we know Split, Digits, ByteLevel and Sequence", type);
}

/* {"SpecialToken": {"id": text}} in front, or nothing, and then {"Sequence": ..}: the text with or without BOS. */
static int read_template(Tokenizer *t, const json_t *step)
{
    const json_t *single = json_object_get(step, "single"), *name;
    size_t n = json_array_size(single);
    if (n == 0) FAIL(ERR_FORMAT, "\"single\" of the TemplateProcessing is missing or empty");
    if (n > 2 || !json_object_get(json_array_get(single, n - 1), "Sequence"))
        FAIL(ERR_UNSUPPORTED, "the tokenizer's TemplateProcessing adds more than one token in front of the text");
    if (n == 1) return OK;
    TRY(json_want_string(&name, json_object_get(json_array_get(single, 0), "SpecialToken"), "id"));
    t->bos = vocabulary_find(&t->vocabulary, json_string_value(name), json_string_length(name));
    if (t->bos < 0) FAIL(ERR_FORMAT, "TemplateProcessing adds '%s', which is not in the vocabulary", json_string_value(name));
    t->adds_bos = true;
    return OK;
}

int json_read_postprocessor(Tokenizer *t, const json_t *step)
{
    if (is_absent(step)) return OK;
    const char *type = json_type_name(step);
    if (strcmp(type, "Sequence") == 0) return read_each(t, step, "processors", json_read_postprocessor);
    if (strcmp(type, "TemplateProcessing") == 0) return read_template(t, step);
    if (strcmp(type, "ByteLevel") == 0) return OK;
    FAIL(ERR_UNSUPPORTED, "the tokenizer's post-processor is of type '%s'; we know TemplateProcessing, ByteLevel and Sequence", type);
}
