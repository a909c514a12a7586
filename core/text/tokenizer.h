/*
 * tokenizer.h - text to token ids and back, from tokenizer.json or the vocabulary inside a GGUF file
 *
 * Byte-level BPE (GPT-2, Llama-3, Qwen, SmolLM), Llama-2 style BPE with byte fallback, and GGUF's
 * "llama" SentencePiece vocabularies.  Results equal the publishers' tokenizers id for id.
 */
#ifndef CORE_TEXT_TOKENIZER_H
#define CORE_TEXT_TOKENIZER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct Tokenizer Tokenizer;

typedef struct { int32_t *id; int64_t n, capacity; } Ids;        /* zero-initialise; ids_free when done */
void ids_push(Ids *ids, int32_t id);
void ids_free(Ids *ids);

/* path: a model as model_open takes it (directory with tokenizer.json, or a .gguf file), or a
 * tokenizer.json itself; a tokenizer_config.json beside it is read for BOS, EOS and added tokens.
 * ERR_UNSUPPORTED names what we do not know and what would change ids: the model's type, a
 * normalizer, a pre-tokenizer, an expression that PCRE2 would read otherwise ... */
int  tokenizer_open(Tokenizer **out, const char *path);
void tokenizer_close(Tokenizer **tokenizer);

/* Appends the ids of text[0..n) to *ids, without BOS; *ids is as before on failure.  parse_special:
 * special-token text becomes its id, as transformers does; otherwise it is ordinary text (added tokens
 * that are not special are found either way).  Invalid UTF-8: byte-level vocabularies encode each such
 * byte as its own token (transformers never sees them, Python has put U+FFFD there), the text on
 * either side as if it stood alone; otherwise, or where that byte has no token, ERR_FORMAT with its offset.
 * Safe to call from several threads on one Tokenizer. */
int tokenizer_encode(Ids *ids, const Tokenizer *tokenizer, const char *text, size_t n, bool parse_special);

/* The bytes that one id stands for, their number to *n; "" for an id that has none.  A Llama-2
 * style text starts with a blank here that the publishers' decoders take away.
 * Borrowed until the next call with this tokenizer. */
const char *tokenizer_decode(Tokenizer *tokenizer, int32_t id, size_t *n);

int32_t tokenizer_bos(const Tokenizer *tokenizer);              /* -1 where there is none            */
int32_t tokenizer_eos(const Tokenizer *tokenizer);              /* -1 where there is none            */
bool tokenizer_adds_bos(const Tokenizer *tokenizer);            /* would the publisher's add it?     */
int  tokenizer_vocabulary(const Tokenizer *tokenizer);          /* largest id + 1                    */
bool tokenizer_is_special(const Tokenizer *tokenizer, int32_t id);

#endif
