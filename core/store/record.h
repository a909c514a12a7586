/*
 * record.h - measurements and provenance as bytes (in the journal) and as tables (in the results file)
 *
 * Both ways are exact: every double comes back with its bits, NaN included.
 */
#ifndef CORE_STORE_RECORD_H
#define CORE_STORE_RECORD_H

#include <stddef.h>
#include <stdint.h>

#include "core/store/store.h"

typedef struct { uint8_t *data; size_t n, capacity; } Bytes;        /* zeroed: empty; free data */

/* A payload is one of these; the first byte says which.  OLDER: a measurement without code_bits, as a version before them may
 * have left in a journal; only read. */
typedef enum { RECORD_MEASUREMENT = 'M', RECORD_OLDER = 'm', RECORD_RUN = 'r' } RecordKind;

void measurement_encode(Bytes *out, const Measurement *measurement);
void run_encode(Bytes *out, int64_t run, const Provenance *provenance);

/* ERR_FORMAT where the bytes are not a record of that kind, whole and nothing more. */
int measurement_decode(Measurement *out, const uint8_t *data, size_t n);
int run_decode(int64_t *run, Provenance *out, const uint8_t *data, size_t n);

/* [n] NaN, for what an older record or file lacks; the caller frees. */
double *undefined_numbers(int n);

/* The tables that the records make; the caller frees them. */
enum { RECORD_TABLES = 5 };
extern const char *const record_table_names[RECORD_TABLES];
Table *record_table(int which, Measurement *const *measurement, int n);

/* Back from those tables (tables[RECORD_TABLES]): *out points to *n measurements, freed by the caller.
 * The table of forms may be NULL, as in files from before there were forms. */
int records_from_tables(Measurement ***out, int *n, const Table *const *tables);

/* /measurement_forms: a row per layer and window of each measurement that has forms, a column per name
 * in the order in which they first appear, NaN where a measurement lacks the form. */
Table *forms_table(const char *name, Measurement *const *measurement, int n);

/* Can the table hold these forms?  Names that HDF5 takes, none twice, none of the other columns', and
 * at least one layer and window. */
bool forms_fit(const Measurement *measurement);
/* ERR_ARGUMENT where a form is not finite. */
int forms_check_finite(const Measurement *measurement);

/* Back: the columns first, then each measurement in turn (its layers and windows are read), *row being
 * the next one to read, then that there are no rows left.  Forms come back in the order of the columns. */
int forms_check_columns(const Table *table);
int forms_read(Measurement *measurement, int64_t *row, const Table *table, int64_t index);
int forms_check_end(int64_t row, const Table *table, int64_t n_measurements);

void provenance_copy(Provenance *out, const Provenance *from);      /* frees what *out held */

/* /runs: one row per run, one column per name. */
Table *runs_table(const Provenance *runs, int n);
int runs_from_table(Provenance **out, int *n, const Table *table);

#endif
