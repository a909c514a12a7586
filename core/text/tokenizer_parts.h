/*
 * tokenizer_parts.h - what a Tokenizer is made of; only the files that read or run one include this
 *
 * Text goes through: added tokens as written -> normalizer -> added tokens as normalized ->
 * pre-tokenizer -> letters (bytes or characters) -> merges.
 */
#ifndef CORE_TEXT_TOKENIZER_PARTS_H
#define CORE_TEXT_TOKENIZER_PARTS_H

#include "core/text/added_tokens.h"
#include "core/text/bpe.h"
#include "core/text/bytes.h"
#include "core/text/normalize.h"
#include "core/text/pretokenize.h"
#include "core/text/tokenizer.h"
#include "core/text/vocabulary.h"

#define BLANK_MARK "\u2581"         /* SentencePiece's visible blank */

struct Tokenizer {
    Vocabulary vocabulary;          /* texts as the file writes them: in the byte alphabet where byte_level */
    Merges merges;
    AddedTokens added, added_normalized;
    Normalizer normalizer;
    Pretokenizer pretokenizer;
    bool byte_level;                /* letters are bytes, otherwise UTF-8 characters         */
    bool byte_fallback;             /* a character without a token becomes its bytes' tokens */
    bool blank_is_mark;             /* U+2581 in a token's text means a blank                */
    bool cut_at_marks;              /* no token has U+2581 after other text: words end there */
    bool ignore_merges;             /* a word that is a token is that token                  */
    bool fuse_unknown;              /* neighbouring unknown letters are one unknown token    */
    int32_t unknown, bos, eos;      /* -1 where there is none                                */
    bool adds_bos;
    int32_t byte_id[256];           /* the letter of a byte, or its <0x..> token; or -1      */
    int64_t next_added;             /* the id that the tokenizers library gives a new added token */
    Bytes decoded;                  /* what tokenizer_decode lends out                       */
};

/* Puts the token into the vocabulary and among those found first.  normalized: it is looked for in
 * normalized text, and normalized itself, so the normalizer must be there before.  Added again, it
 * takes the new flags. */
int tokenizer_add(Tokenizer *tokenizer, int64_t id, const char *text, size_t n, const AddedToken *flags, bool normalized);

/* left right -> leftright.  ERR_FORMAT where one of the three is not in the vocabulary. */
int tokenizer_add_merge(Tokenizer *tokenizer, size_t rank, const char *left, size_t n_left, const char *right, size_t n_right);
int tokenizer_add_merge_line(Tokenizer *tokenizer, size_t rank, const char *line, size_t n);      /* "left right" */

/* Makes the merges of a SentencePiece vocabulary, whose tokens have scores instead: score[id], and
 * which of them merging may make. */
int tokenizer_add_scores(Tokenizer *tokenizer, const double *score, const bool *mergeable);

/* The readers fill a Tokenizer; on failure it is half full and only good to be closed. */
int tokenizer_read_json(Tokenizer *tokenizer, const char *path);        /* tokenizer.json                    */
int tokenizer_read_config(Tokenizer *tokenizer, const char *path);      /* tokenizer_config.json, may be absent */
int tokenizer_read_gguf(Tokenizer *tokenizer, const char *path);

#endif
