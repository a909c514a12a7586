/*
 * text_file.h - files of text: as one piece, as documents, or as lines of token ids
 *
 * gzip is recognised by its first bytes whatever the name; every other file is read as it is.  The
 * name (a .gz at its end put aside) says how the bytes are to be understood.  All functions leave
 * their output untouched on failure; errors name the file, and the line where there is one.
 */
#ifndef CORE_TEXT_TEXT_FILE_H
#define CORE_TEXT_TEXT_FILE_H

#include <stddef.h>
#include <stdint.h>

#include "core/text/tokenizer.h"

typedef enum {
    TEXT_PLAIN,
    TEXT_JSONL,                     /* .jsonl, .ndjson, .json: one JSON object a line, its "text" a document (C4 comes as .json.gz) */
    TEXT_IDS                        /* .ids */
} TextKind;

TextKind text_kind(const char *path);

typedef struct { char *bytes; size_t n; } Text;

/* Documents are pieces of one text, in order. */
typedef struct { size_t start, n; } Span;
typedef struct { Text text; int n; Span *span; } Documents;

/* Lists of token ids back to back: list i is ids.id[start[i] .. start[i + 1]). */
typedef struct { Ids ids; int n; int64_t *start; } IdLists;

/* The whole file, unpacked: at most 2 GiB, and not white space alone. */
int text_read(Text *out, const char *path);

/* Bytes of the byte-order mark that some programs write at the beginning of UTF-8: 3 or 0.  Text keeps it, records begin behind it. */
size_t text_mark(const Text *text);

/* The "text" of each line of JSON; lines of white space are skipped. */
int documents_read_jsonl(Documents *out, const char *path);

/* Splits the text, which passes to *out, at every occurrence of mark. */
void documents_split(Documents *out, Text *text, const char *mark);

/* Takes the white space (ASCII) off both ends of each document and drops those that are empty. */
void documents_strip(Documents *documents);

/* All documents in one text, glue between them. */
void documents_join(Text *out, const Documents *documents, const char *glue);

/* Ids separated by blanks or commas, one list a line, empty lines skipped; stops after max_lists (0:
 * all).  ERR_FORMAT: a word that is no id, an id not below vocabulary (0: any), a list shorter than
 * shortest, a file without ids. */
int id_lists_read(IdLists *out, const char *path, int vocabulary, int shortest, int max_lists);

/* What was pushed to lists->ids since the last call becomes the next list. */
void id_lists_end(IdLists *lists);

void text_free(Text *text);
void documents_free(Documents *documents);
void id_lists_free(IdLists *lists);

#endif
