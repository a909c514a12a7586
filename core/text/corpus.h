/*
 * corpus.h - the fixed text that every loss is measured on, cut by a named protocol
 *
 * A segment is what attention sees at once: inputs[t] predicts targets[t] from inputs[0..t].  A
 * window is the unit of statistics: one segment (hf, llama.cpp, gptq, sampled, random) or all the
 * segments of one document (documents).  target -1 = not scored.  Inputs whose successors are not
 * scored are not kept, so a segment of a 512-token window has 511 inputs.
 *
 * Protocols (the same model scores 5.12, 5.47 or 8.79 by protocol, so each result carries its own):
 *   hf         the whole text tokenized at once; windows of `context` tokens without overlap, the
 *              tail dropped, context-1 predictions a window; with BOS: one, at the very start of the
 *              text
 *   llama.cpp  one trailing newline of a plain text file dropped, special-token text not parsed;
 *              chunks of `context`; with BOS: written over the first token of each chunk, none put
 *              before the text; scored are targets at positions context/2+1 .. context-1
 *   documents  documents separated by the mark (default <|endoftext|>), by JSONL lines or by .ids
 *              lines, stripped of (ASCII) white space; with BOS: in front of each; inputs cut into
 *              segments of `context` with attention restarted; every position predicts the next
 *              token of its document, across the cut too.  Documents that are empty or have nothing
 *              to predict are dropped; on an .ids line that is an error
 *   gptq       C4 as GPTQ-style scripts draw it: `windows` (256) draws of a JSONL document (again
 *              while it is not longer than the context) and of a start, Python's random.seed(seed);
 *              documents as they are, each with BOS in front where the tokenizer adds it
 *   choices    questions with choices (task_file.h has the formats): a window is one choice behind its context,
 *              tokens = encode(context + choice), of which those beyond the number of encode(context) are the
 *              choice's and scored, so that - NLL x tokens of a window is the log-likelihood of the choice as
 *              lm-evaluation-harness has it; what is longer than the context loses its beginning.  The choices
 *              of one item are windows side by side (`task` tells which), and `windows` and `skip` count items
 *   answers    the same files as text: a window is an item with its right (or only) answer, every token scored
 * A window of choices is no independent sample: those of one item share its question, so that errors over such
 * windows are somewhat too small where the question matters; accuracies (core/estimate/accuracy.h) are over items.
 * Special-token text becomes its id in all but llama.cpp, as transformers has it.  The documents of a
 * JSONL file are joined with an empty line ("\n\n") under hf and llama.cpp.  BOS_AUTO does as the
 * tokenizer does with text, and leaves the lines of an .ids file alone.
 */
#ifndef CORE_TEXT_CORPUS_H
#define CORE_TEXT_CORPUS_H

#include <stdint.h>

#include "core/base/hash.h"
#include "core/text/tokenizer.h"

typedef struct {
    int window;                     /* the window this segment belongs to             */
    int length;                     /* inputs                                         */
    int first_scored;               /* targets[first_scored .. length) hold all that are scored */
    const int32_t *inputs, *targets;
} Segment;

/* What the windows of protocol choices stand for. */
typedef struct {
    const char *format;             /* "HellaSwag" ..: as task_file.h names them; static */
    int n_items;
    int *first;                     /* [n_items + 1] windows first[i] .. first[i + 1] - 1 are the choices of item i */
    int *label;                     /* [n_items] which of them is right, from 0       */
    int *length;                    /* [n_windows] of the choice in characters, without the blank before it */
} CorpusTask;

typedef struct {
    int n_segments, n_windows;
    Segment *segment;               /* [n_segments], grouped by window                */
    int64_t *tokens;                /* [n_windows] scored targets of each window      */
    int64_t n_scored, n_inputs;     /* sums                                           */
    int longest;                    /* longest segment                                */
    CorpusTask *task;               /* protocol choices; NULL: another one            */
    int shortened;                  /* windows of choices or answers that lost their beginning */
    char protocol[16];              /* "hf", "llama.cpp", "documents", "gptq", "choices", "answers", "sampled", "random" */
    int context;
    int bos;                        /* 1 where BOS tokens were put in, otherwise 0    */
    char first_token[16];           /* "ordinary", "bos" or "mixed": what windows start with; part of a coefficient's definition */
    char hash[HASH_TEXT];           /* of protocol, context, bos, and each segment's window, length, inputs and targets */
    int32_t *storage;               /* owns all ids                                   */
} Corpus;

typedef enum { BOS_AUTO, BOS_YES, BOS_NO } BosRule;

typedef struct {
    const char *protocol;           /* one of the six names, or NULL : hf, and documents for .ids     */
    int context;                    /* tokens; 0: 512, or model_context where that is smaller; choices and answers: model_context */
    int model_context;              /* the model's own limit; larger contexts are refused; 0: none    */
    int vocabulary;                 /* of the model: ids outside it are refused; 0: none are           */
    int windows;                    /* at most the first N windows; 0: all (gptq: N draws, 256); choices and answers: items */
    int skip;                       /* leave out so many before those                                   */
    BosRule bos;
    const char *separator;          /* documents: NULL means <|endoftext|>                             */
    uint64_t seed;                  /* gptq draws, random ids                                          */
} CorpusOptions;

/* Reads path (.ids; .jsonl, .ndjson or .json, an object a line; otherwise plain text; gzip is known
 * by its first bytes, and a .gz at the end of the name put aside) and cuts it.  tokenizer may be NULL
 * for .ids.  Errors name the file, the line where there is one, and what would do: empty text, text
 * shorter than one context (says how many tokens there are), invalid JSON, no "text" field, an id
 * that is no number or not below the vocabulary ... */
int corpus_open(Corpus *out, const char *path, const Tokenizer *tokenizer, const CorpusOptions *options);

/* windows x length ids, row-major: windows of the given protocol name ("sampled", "random"), each
 * predicting its ids 1..length-1. */
int corpus_from_ids(Corpus *out, const int32_t *ids, int windows, int length, const char *protocol, int32_t bos_id);

/* Uniform random ids below `below` (Philox; the same for every back end). */
int corpus_random(Corpus *out, int windows, int length, int below, uint64_t seed);

void corpus_free(Corpus *corpus);

#endif
