/*
 * contents.h - what a store holds, in memory: measurements by key, provenance of runs, tables
 */
#ifndef CORE_STORE_CONTENTS_H
#define CORE_STORE_CONTENTS_H

#include "core/store/record.h"

typedef struct {
    Measurement **record;           /* in the order they were appended; each stays where it is     */
    int n_records, capacity;
    void *by_key;                   /* tsearch tree of the records                                 */
    Provenance *run;
    int n_runs;
    Table **table;                  /* those that experiments put, in the order they first were    */
    int n_tables;
} Contents;                         /* zeroed: empty */

void contents_free(Contents *contents);

const Measurement *contents_find(const Contents *contents, const char key[HASH_TEXT]);

/* Takes over what measurement points to; one whose key is known is dropped. */
void contents_add(Contents *contents, Measurement *measurement);

/* Sets the provenance of run 0 .. n_runs (copied); n_runs adds one. */
void contents_set_run(Contents *contents, int run, const Provenance *provenance);

/* Takes over the table, in the place of one of this name. */
void contents_put_table(Contents *contents, Table *table);

void contents_clear_tables(Contents *contents);

/* Is this one of the tables made from records and runs? */
bool contents_is_made(const char *name);

/* All tables: those made from records and runs come first.  Names, the caller frees each and the
 * list; a table by name, the caller frees, NULL where there is none. */
int    contents_table_names(char ***out, const Contents *contents);
Table *contents_table(const Contents *contents, const char *name);

/* To and from the bytes, or the path, of a results file.  contents_read: into empty contents. */
int contents_image(uint8_t **out, size_t *n, const Contents *contents);
int contents_read(Contents *out, const char *path);

#endif
