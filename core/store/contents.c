#include "core/store/contents.h"

#include <search.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/err.h"
#include "core/store/hdf5_table.h"

enum { MADE_TABLES = RECORD_TABLES + 1 };       /* and runs */

static void keep_node(void *record) { (void)record; }

void contents_free(Contents *contents)
{
    tdestroy(contents->by_key, keep_node);
    for (int i = 0; i < contents->n_records; i++) {
        measurement_free(contents->record[i]);
        free(contents->record[i]);
    }
    for (int r = 0; r < contents->n_runs; r++) provenance_free(&contents->run[r]);
    for (int t = 0; t < contents->n_tables; t++) table_free(contents->table[t]);
    free(contents->record);
    free(contents->run);
    free(contents->table);
    *contents = (Contents){ 0 };
}

/* ---- records and runs ---- */

static int compare_keys(const void *a, const void *b)
{
    return strcmp(((const Measurement *)a)->key, ((const Measurement *)b)->key);
}

const Measurement *contents_find(const Contents *contents, const char key[HASH_TEXT])
{
    Measurement wanted;
    memcpy(wanted.key, key, HASH_TEXT);
    void *found = tfind(&wanted, &contents->by_key, compare_keys);
    return found ? *(Measurement **)found : NULL;
}

void contents_add(Contents *contents, Measurement *measurement)
{
    if (contents_find(contents, measurement->key)) {
        measurement_free(measurement);
        return;
    }
    if (contents->n_records == contents->capacity) {
        contents->capacity = 2 * contents->capacity + 16;
        contents->record = xrealloc(contents->record, (unsigned long)contents->capacity * sizeof *contents->record);
    }
    Measurement *record = xmalloc(sizeof *record);
    *record = *measurement;
    contents->record[contents->n_records++] = record;
    if (!tsearch(record, &contents->by_key, compare_keys)) abort();         /* out of memory */
}

void contents_set_run(Contents *contents, int run, const Provenance *provenance)
{
    if (run == contents->n_runs) {
        contents->run = xrealloc(contents->run, (unsigned long)(run + 1) * sizeof *contents->run);
        contents->run[contents->n_runs++] = (Provenance){ 0 };
    }
    provenance_copy(&contents->run[run], provenance);
}

/* ---- tables ---- */

void contents_put_table(Contents *contents, Table *table)
{
    for (int t = 0; t < contents->n_tables; t++)
        if (strcmp(contents->table[t]->name, table->name) == 0) {
            table_free(contents->table[t]);
            contents->table[t] = table;
            return;
        }
    contents->table = xrealloc(contents->table, (unsigned long)(contents->n_tables + 1) * sizeof *contents->table);
    contents->table[contents->n_tables++] = table;
}

void contents_clear_tables(Contents *contents)
{
    for (int t = 0; t < contents->n_tables; t++) table_free(contents->table[t]);
    contents->n_tables = 0;
}

static const char *made_name(int t) { return t < RECORD_TABLES ? record_table_names[t] : "runs"; }

static Table *make_table(const Contents *contents, int t)
{
    return t < RECORD_TABLES ? record_table(t, contents->record, contents->n_records) : runs_table(contents->run, contents->n_runs);
}

static int made_index(const char *name)
{
    int t = 0;
    while (t < MADE_TABLES && strcmp(name, made_name(t)) != 0) t++;
    return t;
}

bool contents_is_made(const char *name) { return made_index(name) < MADE_TABLES; }

int contents_table_names(char ***out, const Contents *contents)
{
    int n = 0;
    char **name = xcalloc((unsigned long)(MADE_TABLES + contents->n_tables), sizeof *name);
    while (n < MADE_TABLES) {
        name[n] = xstrdup(made_name(n));
        n++;
    }
    for (int t = 0; t < contents->n_tables; t++) name[n++] = xstrdup(contents->table[t]->name);
    *out = name;
    return n;
}

Table *contents_table(const Contents *contents, const char *name)
{
    if (contents_is_made(name)) return make_table(contents, made_index(name));
    for (int t = 0; t < contents->n_tables; t++)
        if (strcmp(contents->table[t]->name, name) == 0) return table_copy(contents->table[t]);
    return NULL;
}

/* ---- the file ---- */

int contents_image(uint8_t **out, size_t *n, const Contents *contents)
{
    Table **table = xcalloc((unsigned long)(MADE_TABLES + contents->n_tables), sizeof *table);
    for (int t = 0; t < MADE_TABLES; t++) table[t] = make_table(contents, t);
    for (int t = 0; t < contents->n_tables; t++) table[MADE_TABLES + t] = contents->table[t];
    int status = hdf5_image(out, n, table, MADE_TABLES + contents->n_tables);
    for (int t = 0; t < MADE_TABLES; t++) table_free(table[t]);
    free(table);
    return status;
}

static int read_records(Contents *contents, Table *const *made)
{
    Measurement **record;
    int n = 0;
    TRY(records_from_tables(&record, &n, (const Table *const *)made));
    for (int i = 0; i < n; i++) {
        contents_add(contents, record[i]);
        free(record[i]);
    }
    free(record);
    if (!made[RECORD_TABLES]) FAIL(ERR_FORMAT, "the table runs is missing");
    return runs_from_table(&contents->run, &contents->n_runs, made[RECORD_TABLES]);
}

int contents_read(Contents *out, const char *path)
{
    Table **table, *made[MADE_TABLES] = { NULL };
    int n = 0;
    TRY(hdf5_read(&table, &n, path));
    for (int t = 0; t < n; t++) {
        if (contents_is_made(table[t]->name)) made[made_index(table[t]->name)] = table[t];
        else contents_put_table(out, table[t]);
    }
    int status = read_records(out, made);
    for (int t = 0; t < MADE_TABLES; t++) table_free(made[t]);
    free(table);
    return status == OK ? OK : err_context(status, "%s", path);
}
