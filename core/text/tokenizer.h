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
 * tokenizer.json itself.  ERR_UNSUPPORTED names the pre-tokenizer or model type that we do not know. */
int  tokenizer_open(Tokenizer **out, const char *path);
void tokenizer_close(Tokenizer **tokenizer);

/* Appends the ids of text[0..n) to *ids, without BOS.  parse_special: special-token text becomes its
 * id, as transformers does; otherwise it is ordinary text.  Invalid UTF-8 is encoded byte by byte
 * where the vocabulary can (byte-level), otherwise ERR_FORMAT with the byte's offset. */
int tokenizer_encode(Ids *ids, const Tokenizer *tokenizer, const char *text, size_t n, bool parse_special);

/* The text of one id (bytes, not terminated by a zero inside *n); "" for an id that has none.
 * Borrowed until the next call with this tokenizer. */
const char *tokenizer_decode(Tokenizer *tokenizer, int32_t id, size_t *n);

int32_t tokenizer_bos(const Tokenizer *tokenizer);              /* -1 where there is none            */
int32_t tokenizer_eos(const Tokenizer *tokenizer);              /* -1 where there is none            */
bool tokenizer_adds_bos(const Tokenizer *tokenizer);            /* does it add BOS by itself?        */
int  tokenizer_vocabulary(const Tokenizer *tokenizer);          /* largest id + 1                    */
bool tokenizer_is_special(const Tokenizer *tokenizer, int32_t id);

#endif
