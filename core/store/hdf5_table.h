/*
 * hdf5_table.h - tables in an HDF5 file: a group per table, a one-dimensional dataset per column
 *
 * int64, float64 and variable-length UTF-8 text, little-endian, in the order of the columns;
 * attributes `unit` and `meaning` on a dataset, `meaning` on a group.  No times are kept, so that
 * equal tables give equal bytes.  Root attributes: format, version, created_by.
 */
#ifndef CORE_STORE_HDF5_TABLE_H
#define CORE_STORE_HDF5_TABLE_H

#include <hdf5.h>
#include <stddef.h>
#include <stdint.h>

#include "core/store/table.h"

/* One table into, and out of, a group of this name; paths in messages begin with '/'. */
int hdf5_write_table(hid_t file, const Table *table);
int hdf5_read_table(Table **out, hid_t file, const char *name);

/* ERR_ARGUMENT where HDF5 cannot hold a table of these names, or what this is (a column, say) under
 * this name. */
int hdf5_check_names(const Table *table);
int hdf5_check_name(const char *what, const char *name);

/* An attribute's text; "" where it is missing or of another kind, the caller frees. */
int   hdf5_write_text(hid_t object, const char *attribute, const char *value);
char *hdf5_read_text(hid_t object, const char *attribute);

/* Names in a group in order of creation; the caller frees with hdf5_names_free. */
int  hdf5_names(char ***out, int *n, hid_t group);
void hdf5_names_free(char **name, int n);

/* A whole results file as bytes in memory; the caller frees.  The disk is not touched, so that a full
 * one is met by a plain write and not in the middle of HDF5.  A CRC-32 follows what HDF5 sees. */
int hdf5_image(uint8_t **out, size_t *n, Table *const *tables, int n_tables);

/* All tables of the results file at path; the caller frees each and the list.  ERR_FILE, or
 * ERR_FORMAT with what the file is instead. */
int hdf5_read(Table ***out, int *n_tables, const char *path);

/* The table of this name alone, which is all that is decoded; NULL where there is none. */
int hdf5_read_one(Table **out, const char *path, const char *name);

#endif
