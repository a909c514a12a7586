#include "core/store/store.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <search.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/err.h"
#include "core/store/durable.h"
#include "core/store/hdf5_table.h"
#include "core/store/journal.h"
#include "core/store/record.h"

struct Store {
    char *path;                     /* as the user wrote it, for messages                          */
    char *file, *lock_path;         /* absolute, links followed: one lock and journal per file     */
    bool read_only, changed;        /* changed: there is something that the file does not have     */
    int lock;
    Journal journal;
    Measurement **record;
    int n_records, capacity;
    void *by_key;                   /* tsearch tree of the records                                 */
    Table **table;                  /* those that experiments put                                  */
    int n_tables;
    Provenance *run;                /* of the runs before, and of this one once it has measured    */
    int n_runs, this_run;           /* this_run: -1 before the first append                        */
    Provenance provenance;          /* of this run                                                 */
    bool provenance_journaled;
};

/* ---- records, runs and tables in memory ---- */

static int compare_keys(const void *a, const void *b)
{
    return strcmp(((const Measurement *)a)->key, ((const Measurement *)b)->key);
}

const Measurement *store_find(const Store *store, const char key[HASH_TEXT])
{
    Measurement wanted;
    memcpy(wanted.key, key, HASH_TEXT);
    void *found = tfind(&wanted, &store->by_key, compare_keys);
    return found ? *(Measurement **)found : NULL;
}

int store_count(const Store *store) { return store->n_records; }

const Measurement *store_record(const Store *store, int index)
{
    assert(index >= 0 && index < store->n_records);
    return store->record[index];
}

/* Takes over what measurement points to; one whose key is known is dropped. */
static void add_record(Store *store, Measurement *measurement)
{
    if (store_find(store, measurement->key)) {
        measurement_free(measurement);
        return;
    }
    if (store->n_records == store->capacity) {
        store->capacity = 2 * store->capacity + 16;
        store->record = xrealloc(store->record, (unsigned long)store->capacity * sizeof *store->record);
    }
    Measurement *record = xmalloc(sizeof *record);
    *record = *measurement;
    store->record[store->n_records++] = record;
    if (!tsearch(record, &store->by_key, compare_keys)) abort();        /* no memory: nowhere to go on */
}

static void provenance_copy(Provenance *out, const Provenance *from)
{
    Provenance copy = { 0 };
    for (int i = 0; i < from->n; i++) provenance_add(&copy, from->name[i], "%s", from->value[i]);
    provenance_free(out);
    *out = copy;
}

static void set_run(Store *store, int run, const Provenance *provenance)
{
    if (run >= store->n_runs) {
        store->run = xrealloc(store->run, (unsigned long)(run + 1) * sizeof *store->run);
        while (store->n_runs <= run) store->run[store->n_runs++] = (Provenance){ 0 };
    }
    provenance_copy(&store->run[run], provenance);
}

static void put_table(Store *store, Table *table)
{
    store->changed = true;
    for (int t = 0; t < store->n_tables; t++)
        if (strcmp(store->table[t]->name, table->name) == 0) {
            table_free(store->table[t]);
            store->table[t] = table;
            return;
        }
    store->table = xrealloc(store->table, (unsigned long)(store->n_tables + 1) * sizeof *store->table);
    store->table[store->n_tables++] = table;
}

static int made_from_records(const char *name)
{
    for (int t = 0; t < RECORD_TABLES; t++)
        if (strcmp(name, record_table_names[t]) == 0) return 1;
    return strcmp(name, "runs") == 0;
}

/* ---- loading ---- */

static Table *take_table(Table **tables, int n, const char *name)
{
    for (int t = 0; t < n; t++)
        if (tables[t] && strcmp(tables[t]->name, name) == 0) {
            Table *table = tables[t];
            tables[t] = NULL;
            return table;
        }
    return NULL;
}

static int load_records(Store *store, Table *const *tables)
{
    Measurement **record;
    int n;
    TRY(records_from_tables(&record, &n, (const Table *const *)tables));
    for (int i = 0; i < n; i++) {
        add_record(store, record[i]);
        free(record[i]);
    }
    free(record);
    return OK;
}

static int load_file(Store *store)
{
    Table **tables, *of_records[RECORD_TABLES];
    int n;
    TRY(hdf5_read(&tables, &n, store->path));
    for (int t = 0; t < RECORD_TABLES; t++) of_records[t] = take_table(tables, n, record_table_names[t]);
    Table *runs = take_table(tables, n, "runs");
    int status = load_records(store, of_records);
    if (status == OK && !runs) status = err_set(ERR_FORMAT, "the table runs is missing");
    if (status == OK) status = runs_from_table(&store->run, &store->n_runs, runs);
    for (int t = 0; t < n; t++) {
        if (tables[t] && status == OK) put_table(store, tables[t]);
        else table_free(tables[t]);
    }
    for (int t = 0; t < RECORD_TABLES; t++) table_free(of_records[t]);
    table_free(runs);
    free(tables);
    store->changed = false;
    return status == OK ? OK : err_context(status, "%s", store->path);
}

/* What the journal holds, kept until the file has been read: its records come first. */
typedef struct { Measurement *measurement; int64_t *run_index; Provenance *run; int n_measurements, n_runs; } Pending;

static int visit_payload(void *context, const uint8_t *payload, size_t n)
{
    Pending *pending = context;
    if (n > 0 && payload[0] == RECORD_RUN) {
        unsigned long count = (unsigned long)pending->n_runs + 1;
        pending->run = xrealloc(pending->run, count * sizeof *pending->run);
        pending->run_index = xrealloc(pending->run_index, count * sizeof *pending->run_index);
        TRY(run_decode(&pending->run_index[pending->n_runs], &pending->run[pending->n_runs], payload, n));
        pending->n_runs++;
        return OK;
    }
    unsigned long count = (unsigned long)pending->n_measurements + 1;
    pending->measurement = xrealloc(pending->measurement, count * sizeof *pending->measurement);
    TRY(measurement_decode(&pending->measurement[pending->n_measurements], payload, n));
    pending->n_measurements++;
    return OK;
}

static void pending_free(Pending *pending)
{
    for (int i = 0; i < pending->n_measurements; i++) measurement_free(&pending->measurement[i]);
    for (int i = 0; i < pending->n_runs; i++) provenance_free(&pending->run[i]);
    free(pending->measurement);
    free(pending->run);
    free(pending->run_index);
}

static void apply_pending(Store *store, Pending *pending)
{
    for (int i = 0; i < pending->n_measurements; i++) {
        add_record(store, &pending->measurement[i]);
        pending->measurement[i] = (Measurement){ 0 };
    }
    for (int i = 0; i < pending->n_runs; i++)
        if (pending->run_index[i] <= store->n_runs) set_run(store, (int)pending->run_index[i], &pending->run[i]);
    store->changed = store->changed || pending->n_measurements > 0 || pending->n_runs > 0;
}

/* The journal is read before the file: a writer that merges in between puts its records into the
 * file that is read next, so a reader without a lock misses none. */
static int load(Store *store)
{
    char *journal = xformat("%s.journal", store->file);
    Pending pending = { 0 };
    int64_t length;
    int status = store->read_only ? journal_read(journal, visit_payload, &pending, &length)
                                  : journal_open(&store->journal, journal, visit_payload, &pending);
    bool exists = access(store->file, F_OK) == 0;
    if (status == OK && (exists || store->read_only)) status = load_file(store);
    if (status == OK) apply_pending(store, &pending);
    if (!exists) store->changed = true;
    pending_free(&pending);
    free(journal);
    return status;
}

/* ---- opening ---- */

/* Absolute, links followed, for a file that need not exist; creates its folder if only that is missing. */
static int resolve(char **out, const char *path, bool create)
{
    char *whole = realpath(path, NULL);
    if (whole) {
        *out = xstrdup(whole);
        free(whole);
        return OK;
    }
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    if (!*name) FAIL(ERR_ARGUMENT, "'%s' is not the name of a file", path);
    char *folder = slash ? xformat("%.*s", (int)(slash - path) + 1, path) : xstrdup("./");
    bool made = create && mkdir(folder, 0777) == 0;
    whole = realpath(folder, NULL);
    int status = OK;
    if (!whole) status = err_set(ERR_FILE, "%s: there is no folder %s (%s)", path, folder, strerror(errno));
    if (status == OK && made) status = durable_folder(whole);
    if (status == OK) *out = xformat("%s/%s", whole, name);
    free(whole);
    free(folder);
    return status;
}

static void free_node(void *record) { (void)record; }

static void store_free(Store *store)
{
    journal_close(&store->journal);
    if (store->lock >= 0) lock_release(store->lock, store->lock_path);
    tdestroy(store->by_key, free_node);
    for (int i = 0; i < store->n_records; i++) {
        measurement_free(store->record[i]);
        free(store->record[i]);
    }
    for (int t = 0; t < store->n_tables; t++) table_free(store->table[t]);
    for (int r = 0; r < store->n_runs; r++) provenance_free(&store->run[r]);
    provenance_free(&store->provenance);
    free(store->record);
    free(store->table);
    free(store->run);
    free(store->path);
    free(store->file);
    free(store->lock_path);
    free(store);
}

static int open_parts(Store *store)
{
    TRY(resolve(&store->file, store->path, !store->read_only));
    store->lock_path = xformat("%s.lock", store->file);
    if (!store->read_only) TRY(lock_take(&store->lock, store->lock_path, store->path));
    TRY(load(store));
    return store->read_only ? OK : store_flush(store);
}

int store_open(Store **out, const char *path, bool read_only)
{
    Store *store = xcalloc(1, sizeof *store);
    store->path = xstrdup(path);
    store->read_only = read_only;
    store->lock = store->journal.fd = store->this_run = -1;
    int status = open_parts(store);
    if (status == OK) *out = store;
    else store_free(store);
    return status;
}

/* ---- writing ---- */

static int refuse_read_only(const Store *store)
{
    if (store->read_only) FAIL(ERR_ARGUMENT, "%s: opened for reading only", store->path);
    return OK;
}

void store_set_provenance(Store *store, const Provenance *provenance)
{
    provenance_copy(&store->provenance, provenance);
    store->provenance_journaled = false;
    if (store->this_run < 0) return;
    set_run(store, store->this_run, provenance);
    store->changed = true;
}

static int journal_bytes(Store *store, Bytes *bytes)
{
    int status = journal_append(&store->journal, bytes->data, bytes->n);
    free(bytes->data);
    return status;
}

/* With the first measurement of a run, so that a killed run has its row in /runs too. */
static int journal_provenance(Store *store)
{
    int run = store->this_run >= 0 ? store->this_run : store->n_runs;
    Bytes bytes = { 0 };
    run_encode(&bytes, run, &store->provenance);
    TRY(journal_bytes(store, &bytes));
    set_run(store, run, &store->provenance);
    store->this_run = run;
    store->provenance_journaled = true;
    store->changed = true;
    return OK;
}

int store_append(Store *store, const Measurement *measurement)
{
    assert(strlen(measurement->key) == HASH_TEXT - 1);
    TRY(refuse_read_only(store));
    if (store_find(store, measurement->key)) return OK;
    if (!store->provenance_journaled) TRY(journal_provenance(store));
    Bytes bytes = { 0 };
    measurement_encode(&bytes, measurement);
    TRY(journal_bytes(store, &bytes));
    Measurement copy;
    measurement_copy(&copy, measurement);
    add_record(store, &copy);
    store->changed = true;
    return OK;
}

int store_put_table(Store *store, const Table *table)
{
    TRY(refuse_read_only(store));
    TRY(hdf5_check_names(table));
    if (made_from_records(table->name)) FAIL(ERR_ARGUMENT, "the table %s is made from the measurements and cannot be replaced", table->name);
    put_table(store, table_copy(table));
    return OK;
}

static int image(uint8_t **out, size_t *n, const Store *store)
{
    int n_tables = 0;
    Table **tables = xcalloc((unsigned long)(RECORD_TABLES + 1 + store->n_tables), sizeof *tables);
    for (int t = 0; t < RECORD_TABLES; t++) tables[n_tables++] = record_table(t, store->record, store->n_records);
    tables[n_tables++] = runs_table(store->run, store->n_runs);
    int n_made = n_tables;
    for (int t = 0; t < store->n_tables; t++) tables[n_tables++] = store->table[t];
    int status = hdf5_image(out, n, tables, n_tables);
    for (int t = 0; t < n_made; t++) table_free(tables[t]);
    free(tables);
    return status;
}

int store_flush(Store *store)
{
    TRY(refuse_read_only(store));
    if (!store->changed) return journal_remove(&store->journal);         /* it may hold a torn record */
    uint8_t *bytes;
    size_t n;
    TRY(image(&bytes, &n, store));
    int status = durable_replace(store->file, bytes, n);
    free(bytes);
    TRY(status);
    store->changed = false;
    return journal_remove(&store->journal);
}

int store_close(Store **store)
{
    if (!*store) return OK;
    int status = (*store)->read_only ? OK : store_flush(*store);
    store_free(*store);
    *store = NULL;
    return status;
}

/* ---- tables by name ---- */

int store_table_names(char ***out, const Store *store)
{
    int n = 0;
    char **name = xcalloc((unsigned long)(RECORD_TABLES + 1 + store->n_tables), sizeof *name);
    for (int t = 0; t < RECORD_TABLES; t++) name[n++] = xstrdup(record_table_names[t]);
    name[n++] = xstrdup("runs");
    for (int t = 0; t < store->n_tables; t++) name[n++] = xstrdup(store->table[t]->name);
    *out = name;
    return n;
}

static int no_such_table(const Store *store, const char *name)
{
    char **known, *list = xstrdup("");
    int n = store_table_names(&known, store);
    const char *nearest = err_nearest(name, (const char *const *)known, n);
    for (int i = 0; i < n; i++) {
        char *longer = xformat("%s%s%s", list, i ? ", " : "", known[i]);
        free(list);
        list = longer;
    }
    err_set(ERR_ARGUMENT, "%s: no table '%s'%s%s%s; there are %s", store->path, name, nearest ? "; did you mean '" : "",
            nearest ? nearest : "", nearest ? "'" : "", list);
    hdf5_names_free(known, n);
    free(list);
    return ERR_ARGUMENT;
}

int store_get_table(Table **out, const Store *store, const char *name)
{
    for (int t = 0; t < RECORD_TABLES; t++)
        if (strcmp(name, record_table_names[t]) == 0) {
            *out = record_table(t, store->record, store->n_records);
            return OK;
        }
    if (strcmp(name, "runs") == 0) {
        *out = runs_table(store->run, store->n_runs);
        return OK;
    }
    for (int t = 0; t < store->n_tables; t++)
        if (strcmp(name, store->table[t]->name) == 0) {
            *out = table_copy(store->table[t]);
            return OK;
        }
    return no_such_table(store, name);
}
