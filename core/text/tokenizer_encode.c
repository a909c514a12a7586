/* tokenizer_encode.c - text to ids; see tokenizer_parts.h for the order of the stages */
#include <string.h>

#include "core/base/err.h"
#include "core/text/byte_alphabet.h"
#include "core/text/tokenizer.h"
#include "core/text/tokenizer_parts.h"

typedef struct {
    const Tokenizer *tokenizer;
    Ids *ids;
    bool specials;
    SplitScratch *scratch;
    Word word;
    Bytes spelling;                 /* a word in the byte alphabet           */
    Bytes normalized;               /* the fragment between two added tokens */
} Encoding;

/* The tokens of a character's bytes, where all of them are there. */
static bool push_bytes(Word *word, const Tokenizer *t, const char *text, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (t->byte_id[(unsigned char)text[i]] < 0) return false;
    for (size_t i = 0; i < n; i++) word_push(word, t->byte_id[(unsigned char)text[i]]);
    return true;
}

/* The letters of a word as the tokenizers library finds them; a letter that has no token, no bytes
 * and no unknown token is dropped there, so here too. */
static void push_letters(Word *word, const Tokenizer *t, const char *text, size_t n)
{
    bool unknown = false;
    for (size_t i = 0, length; i < n; i += length) {
        length = t->byte_level ? 1 : utf8_character(text + i, n - i, NULL);
        int32_t id = t->byte_level ? t->byte_id[(unsigned char)text[i]] : vocabulary_find(&t->vocabulary, text + i, length);
        if (id < 0 && t->byte_fallback && push_bytes(word, t, text + i, length)) continue;
        if (id < 0 && t->unknown < 0) continue;
        if (unknown && (id >= 0 || !t->fuse_unknown)) word_push(word, t->unknown);
        unknown = id < 0;
        if (id >= 0) word_push(word, id);
    }
    if (unknown) word_push(word, t->unknown);
}

static int32_t whole_word(Encoding *e, const char *text, size_t n)
{
    const Tokenizer *t = e->tokenizer;
    if (!t->byte_level) return vocabulary_find(&t->vocabulary, text, n);
    e->spelling.n = 0;
    byte_alphabet_write(&e->spelling, text, n);
    return vocabulary_find(&t->vocabulary, e->spelling.data, e->spelling.n);
}

static void merge_letters(Encoding *e, const char *text, size_t n)
{
    word_clear(&e->word);
    push_letters(&e->word, e->tokenizer, text, n);
    word_merge(&e->word, &e->tokenizer->merges);
    for (int64_t i = 0; i < e->word.n; i++) ids_push(e->ids, e->word.symbol[i].id);
}

/* The end of text's first run of marks and the letters after it. */
static size_t end_at_mark(const char *text, size_t n)
{
    const size_t n_mark = strlen(BLANK_MARK);
    size_t i = 0;
    while (n - i >= n_mark && memcmp(text + i, BLANK_MARK, n_mark) == 0) i += n_mark;
    const char *next = memmem(text + i, n - i, BLANK_MARK, n_mark);
    return next ? (size_t)(next - text) : n;
}

static int encode_word(void *context, const char *text, size_t n)
{
    Encoding *e = context;
    const Tokenizer *t = e->tokenizer;
    int32_t whole = t->ignore_merges ? whole_word(e, text, n) : -1;
    if (whole >= 0) ids_push(e->ids, whole);
    else if (!t->cut_at_marks) merge_letters(e, text, n);
    else for (size_t from = 0, length; from < n; from += length) merge_letters(e, text + from, length = end_at_mark(text + from, n - from));
    return OK;
}

/* text is UTF-8 and holds no added token as written. */
static int encode_fragment(Encoding *e, const char *text, size_t n)
{
    const Tokenizer *t = e->tokenizer;
    if (t->normalizer.n) {
        normalizer_apply(&e->normalized, &t->normalizer, text, n);
        text = e->normalized.data;
        n = e->normalized.n;
    }
    AddedMatch match;
    size_t from = 0;
    for (; added_tokens_next(&match, &t->added_normalized, text, n, from, e->specials); from = match.end) {
        TRY(pretokenizer_split(&t->pretokenizer, e->scratch, text + from, match.start - from, encode_word, e));
        ids_push(e->ids, match.id);
    }
    return pretokenizer_split(&t->pretokenizer, e->scratch, text + from, n - from, encode_word, e);
}

/* Bytes that are not UTF-8 cut the text; `offset` is where text lies in the caller's, for the message. */
static int encode_stretch(Encoding *e, const char *text, size_t n, size_t offset)
{
    const Tokenizer *t = e->tokenizer;
    while (n) {
        size_t valid = utf8_valid_prefix(text, n);
        if (valid) TRY(encode_fragment(e, text, valid));
        if (valid == n) break;
        unsigned char byte = (unsigned char)text[valid];
        if (!t->byte_level || t->byte_id[byte] < 0)
            FAIL(ERR_FORMAT, "the text is not UTF-8 at its byte %zu (0x%02x), and the vocabulary has no token for that byte",
                 offset + valid, byte);
        ids_push(e->ids, t->byte_id[byte]);
        text += valid + 1;
        n -= valid + 1;
        offset += valid + 1;
    }
    return OK;
}

static int encode_all(Encoding *e, const char *text, size_t n)
{
    AddedMatch match;
    size_t from = 0;
    for (; added_tokens_next(&match, &e->tokenizer->added, text, n, from, e->specials); from = match.end) {
        TRY(encode_stretch(e, text + from, match.start - from, from));
        ids_push(e->ids, match.id);
    }
    return encode_stretch(e, text + from, n - from, from);
}

int tokenizer_encode(Ids *ids, const Tokenizer *tokenizer, const char *text, size_t n, bool parse_special)
{
    enum { LONGEST = INT32_MAX / 4 };           /* positions in a Word are 31 bits; normalizing may make three bytes of one */
    if (n > LONGEST) FAIL(ERR_UNSUPPORTED, "a text of %zu bytes is too long to tokenize at once (at most %d)", n, LONGEST);
    Encoding e = { .tokenizer = tokenizer, .ids = ids, .specials = parse_special, .scratch = split_scratch_open() };
    int64_t n_before = ids->n;
    int status = encode_all(&e, text, n);
    if (status != OK) ids->n = n_before;
    split_scratch_close(&e.scratch);
    word_free(&e.word);
    bytes_free(&e.spelling);
    bytes_free(&e.normalized);
    return status;
}
