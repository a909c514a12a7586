/*
 * store.h - finished measurements and result tables in one HDF5 file, safe against kill -9
 *
 * A measurement is appended to a journal beside the file (RUN.h5.journal: length, CRC-32, payload;
 * flushed to disk) before store_append returns.  The journal is merged into the HDF5 file on the next
 * open and on close: a whole new file is written beside the old one, flushed and renamed over it, and
 * only then is the journal removed, so that a kill at any moment loses nothing; a record met twice
 * counts once; a torn last record is dropped.  A lock (RUN.h5.lock, flock) keeps two writers apart.
 *
 * In the file: one group per table, one dataset per column, attributes `unit` and `meaning`; groups
 * /measurements, /measurement_layers, /measurement_windows and /measurement_forms (a column per form;
 * older files lack the table) for the records (in the order they were appended), /timings for their
 * wall times (kept apart: everything else is the same bytes whoever runs it), /runs with one row of
 * provenance per opening that measured something (a column per name).  A CRC-32 of it all follows
 * behind the end that HDF5 knows; damage is refused.
 */
#ifndef CORE_STORE_STORE_H
#define CORE_STORE_STORE_H

#include <stdbool.h>
#include <stdint.h>

#include "core/base/hash.h"
#include "core/store/table.h"

/* What one measurement is: losses per window, error and rate per perturbed layer, and, where a
 * backward pass was made, its forms: named numbers per layer and window. */
typedef struct {
    char key[HASH_TEXT];            /* SHA-256 of text                                             */
    char *text;                     /* canonical: model, corpus, protocol, precision, seed, "layer=perturbation{options}" lines */
    char *label;                    /* short, for people: "blocks.3.q gaussian t2=0.01 draw 0"     */
    int n_windows;
    int64_t *tokens;                /* [n_windows] scored                                          */
    double *nll, *kl;               /* [n_windows] nats/token, means of the window; kl to the clean model (NaN in the clean one) */
    double *same_top;               /* [n_windows] share of positions whose most likely token is the clean model's */
    int n_layers;                   /* perturbed ones                                              */
    int *layer;                     /* [n_layers] model layer index                                */
    char **layer_name;              /* [n_layers] "blocks.3.q"                                     */
    double *t2, *kappa;             /* [n_layers] mean over sequences                              */
    double *bits, *code_bits;       /* [n_layers] per weight, in all and of the codes alone; NaN for noise, and code_bits in older files */
    double *t2_asked;               /* [n_layers] NaN where the perturbation was not asked for a t2 */
    int n_forms;                    /* 0 where there are none; else n_layers and n_windows are not 0 */
    char **form_name;               /* [n_forms] "sigma": each once, no '/', not "measurement", "layer" or "window" */
    double *form;                   /* [n_forms][n_layers][n_windows] finite; NULL where n_forms = 0 */
    double seconds;
} Measurement;

void measurement_free(Measurement *measurement);        /* what it points to, not itself */
void measurement_copy(Measurement *out, const Measurement *measurement);

/* The form of this name, [n_layers][n_windows], borrowed; NULL where the measurement has none. */
const double *measurement_form(const Measurement *measurement, const char *name);

typedef struct Store Store;

/* Provenance of a run, stored in /runs: name-value pairs (commit, dirty, config, host, threads,
 * back end, library versions, command line, date, wall time ...). */
typedef struct { int n; char **name, **value; } Provenance;
void provenance_add(Provenance *provenance, const char *name, const char *format, ...) __attribute__((format(printf, 3, 4)));
void provenance_free(Provenance *provenance);

/* Opens or creates, the folder too where only that is missing.  Merges a journal that a killed run
 * left.  ERR_FORMAT where the file is not one of ours (says what it is), ERR_FILE where it cannot be
 * written, or where another process holds it (says which pid).  read_only: no lock; the journal is
 * read but not merged. */
int store_open(Store **out, const char *path, bool read_only);

/* Does the file begin as HDF5 files do? */
bool store_is_file(const char *path);

/* A store of this process alone: nothing is written anywhere. */
Store *store_in_memory(void);

/* The record of this key; borrowed until the store changes.  NULL where there is none. */
const Measurement *store_find(const Store *store, const char key[HASH_TEXT]);
int store_count(const Store *store);
const Measurement *store_record(const Store *store, int index);

/* Copied, and on the disk when this returns; a key that the store has changes nothing.  On failure
 * (ERR_FILE: a full disk, say; ERR_ARGUMENT: a form that is not finite) the store is as it was, and a
 * later append may succeed.  Forms are known by name: in what is read back from the file they stand in
 * the order in which their names first appeared in it. */
int store_append(Store *store, const Measurement *measurement);

/* Replaces the table of this name (copied; kept in memory, written at the next merge).  ERR_ARGUMENT
 * for the names of the tables above, and for names that HDF5 cannot hold (empty, with a '/'). */
int store_put_table(Store *store, const Table *table);
/* Forgets all tables that were put: they belong to settings that are no longer those of the run. */
int store_clear_tables(Store *store);
/* Any table, those made from the records included; the caller frees.  ERR_ARGUMENT where there is
 * none of this name, with the nearest and the list. */
int store_get_table(Table **out, const Store *store, const char *name);

/* The same from a file that is not opened otherwise, without decoding its other tables: for those that were put. */
int store_read_table(Table **out, const char *path, const char *name);

int store_table_names(char ***out, const Store *store);       /* count; caller frees each and the list */

void store_set_provenance(Store *store, const Provenance *provenance);      /* copied; the row of this run */

int store_flush(Store *store);                 /* merge now */
int store_close(Store **store);                /* merge and close; *store = NULL even on failure, the journal then stays */

#endif
