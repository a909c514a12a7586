#include "core/store/store.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/err.h"
#include "core/store/contents.h"
#include "core/store/durable.h"
#include "core/store/hdf5_table.h"
#include "core/store/journal.h"

struct Store {
    char *path;                     /* as the user wrote it, for messages                          */
    char *file, *lock_path;         /* absolute, links followed: one lock and journal per file; NULL: in memory */
    bool read_only;
    bool changed;                   /* there is something that the file does not have              */
    int lock;
    Journal journal;
    Contents contents;
    Provenance provenance;          /* of this run                                                 */
    int this_run;                   /* its number; -1 before it has measured anything              */
};

/* ---- opening ---- */

/* Absolute, links followed, for a file that need not exist; creates its folder if only that is missing. */
static int resolve(char **out, const char *path, bool create)
{
    if ((*out = realpath(path, NULL))) return OK;
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    if (!*name) FAIL(ERR_ARGUMENT, "'%s' is not the name of a file", path);
    char *folder = slash ? xformat("%.*s", (int)(slash - path) + 1, path) : xstrdup("./");
    bool made = create && mkdir(folder, 0777) == 0;
    char *absolute = realpath(folder, NULL);
    int status = OK;
    if (!absolute) status = err_set(ERR_FILE, "%s: there is no folder %s (%s)", path, folder, strerror(errno));
    if (status == OK && made) status = durable_folder(absolute);
    if (status == OK) *out = xformat("%s/%s", absolute, name);
    free(absolute);
    free(folder);
    return status;
}

/* What the journal holds, kept until the file has been read: its records come first. */
typedef struct { Measurement *measurement; int n_measurements; int64_t *run; Provenance *provenance; int n_runs; } Pending;

static int keep_run(Pending *pending, const uint8_t *payload, size_t n)
{
    unsigned long count = (unsigned long)pending->n_runs + 1;
    pending->run = xrealloc(pending->run, count * sizeof *pending->run);
    pending->provenance = xrealloc(pending->provenance, count * sizeof *pending->provenance);
    TRY(run_decode(&pending->run[count - 1], &pending->provenance[count - 1], payload, n));
    pending->n_runs++;
    return OK;
}

static int keep_measurement(Pending *pending, const uint8_t *payload, size_t n)
{
    unsigned long count = (unsigned long)pending->n_measurements + 1;
    pending->measurement = xrealloc(pending->measurement, count * sizeof *pending->measurement);
    TRY(measurement_decode(&pending->measurement[count - 1], payload, n));
    pending->n_measurements++;
    return OK;
}

static int keep_payload(void *pending, const uint8_t *payload, size_t n)
{
    return n > 0 && payload[0] == RECORD_RUN ? keep_run(pending, payload, n) : keep_measurement(pending, payload, n);
}

/* Empties pending into the contents, whose records are known to come first. */
static void apply(Contents *contents, Pending *pending)
{
    for (int i = 0; i < pending->n_measurements; i++) contents_add(contents, &pending->measurement[i]);
    for (int i = 0; i < pending->n_runs; i++)
        if (pending->run[i] <= contents->n_runs) contents_set_run(contents, (int)pending->run[i], &pending->provenance[i]);
    pending->n_measurements = 0;
}

static void pending_free(Pending *pending)
{
    for (int i = 0; i < pending->n_measurements; i++) measurement_free(&pending->measurement[i]);
    for (int i = 0; i < pending->n_runs; i++) provenance_free(&pending->provenance[i]);
    free(pending->measurement);
    free(pending->run);
    free(pending->provenance);
}

/* The journal is read before the file: a writer that merges in between puts its records into the
 * file that is read next, so a reader without a lock misses none. */
static int load(Store *store)
{
    char *journal = xformat("%s.journal", store->file);
    Pending pending = { 0 };
    int64_t length;
    int status = store->read_only ? journal_read(journal, keep_payload, &pending, &length)
                                  : journal_open(&store->journal, journal, keep_payload, &pending);
    bool is_new = !store->read_only && access(store->file, F_OK) != 0 && errno == ENOENT;
    if (status == OK && !is_new) status = contents_read(&store->contents, store->path);
    store->changed = is_new || pending.n_measurements > 0 || pending.n_runs > 0;
    if (status == OK) apply(&store->contents, &pending);
    pending_free(&pending);
    free(journal);
    return status;
}

static void store_free(Store *store)
{
    journal_close(&store->journal);
    if (store->lock >= 0) lock_release(store->lock, store->lock_path);
    contents_free(&store->contents);
    provenance_free(&store->provenance);
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

static Store *store_new(const char *path)
{
    Store *store = xcalloc(1, sizeof *store);
    store->path = xstrdup(path);
    store->lock = store->journal.fd = store->this_run = -1;
    return store;
}

bool store_is_file(const char *path)
{
    static const char signature[] = "\x89HDF\r\n\x1a\n";
    char begin[8] = { 0 };
    FILE *file = fopen(path, "rb");
    if (!file) return false;
    const size_t n = fread(begin, 1, sizeof begin, file);
    fclose(file);
    return n == sizeof begin && !memcmp(begin, signature, sizeof begin);
}

Store *store_in_memory(void) { return store_new("results in memory"); }

int store_open(Store **out, const char *path, bool read_only)
{
    Store *store = store_new(path);
    store->read_only = read_only;
    int status = open_parts(store);
    if (status == OK) *out = store;
    else store_free(store);
    return status;
}

/* ---- reading ---- */

const Measurement *store_find(const Store *store, const char key[HASH_TEXT]) { return contents_find(&store->contents, key); }

int store_count(const Store *store) { return store->contents.n_records; }

const Measurement *store_record(const Store *store, int index)
{
    assert(index >= 0 && index < store->contents.n_records);
    return store->contents.record[index];
}

int store_table_names(char ***out, const Store *store) { return contents_table_names(out, &store->contents); }

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
    if (nearest) err_set(ERR_ARGUMENT, "%s: no table '%s'; did you mean '%s'? There are %s", store->path, name, nearest, list);
    else err_set(ERR_ARGUMENT, "%s: no table '%s'; there are %s", store->path, name, list);
    hdf5_names_free(known, n);
    free(list);
    return ERR_ARGUMENT;
}

int store_get_table(Table **out, const Store *store, const char *name)
{
    Table *table = contents_table(&store->contents, name);
    if (!table) return no_such_table(store, name);
    *out = table;
    return OK;
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
    if (store->this_run < 0) return;
    contents_set_run(&store->contents, store->this_run, provenance);
    store->changed = true;
}

static int append_bytes(Store *store, Bytes *bytes)
{
    int status = store->file ? journal_append(&store->journal, bytes->data, bytes->n) : OK;
    free(bytes->data);
    return status;
}

/* Journaled before the first measurement of a run, so that a killed run has its row in /runs too. */
static int append_run(Store *store)
{
    int run = store->contents.n_runs;
    Bytes bytes = { 0 };
    run_encode(&bytes, run, &store->provenance);
    TRY(append_bytes(store, &bytes));
    contents_set_run(&store->contents, run, &store->provenance);
    store->this_run = run;
    store->changed = true;
    return OK;
}

int store_append(Store *store, const Measurement *measurement)
{
    assert(strlen(measurement->key) == HASH_TEXT - 1);
    TRY(refuse_read_only(store));
    if (store_find(store, measurement->key)) return OK;
    assert(forms_fit(measurement) && "names of forms become columns of /measurement_forms");
    TRY(forms_check_finite(measurement));
    if (store->this_run < 0) TRY(append_run(store));
    Bytes bytes = { 0 };
    measurement_encode(&bytes, measurement);
    TRY(append_bytes(store, &bytes));
    Measurement copy;
    measurement_copy(&copy, measurement);
    contents_add(&store->contents, &copy);
    store->changed = true;
    return OK;
}

int store_put_table(Store *store, const Table *table)
{
    TRY(refuse_read_only(store));
    TRY(hdf5_check_names(table));
    if (contents_is_made(table->name)) FAIL(ERR_ARGUMENT, "the table %s is made from the measurements and cannot be replaced", table->name);
    contents_put_table(&store->contents, table_copy(table));
    store->changed = true;
    return OK;
}

int store_clear_tables(Store *store)
{
    TRY(refuse_read_only(store));
    contents_clear_tables(&store->contents);
    store->changed = true;
    return OK;
}

int store_flush(Store *store)
{
    TRY(refuse_read_only(store));
    if (!store->file) return OK;
    if (!store->changed) return journal_remove(&store->journal);            /* it may hold a torn record */
    uint8_t *bytes = NULL;
    size_t n = 0;
    TRY(contents_image(&bytes, &n, &store->contents));
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
