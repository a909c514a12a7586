#include "core/store/hdf5_table.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/err.h"

static hid_t text_type(void)
{
    hid_t type = H5Tcopy(H5T_C_S1);
    H5Tset_size(type, H5T_VARIABLE);
    H5Tset_cset(type, H5T_CSET_UTF8);
    return type;
}

/* ---- writing ---- */

int hdf5_write_text(hid_t object, const char *name, const char *value)
{
    hid_t type = text_type(), space = H5Screate(H5S_SCALAR);
    hid_t attribute = H5Acreate2(object, name, type, space, H5P_DEFAULT, H5P_DEFAULT);
    herr_t failed = attribute < 0 ? -1 : H5Awrite(attribute, type, &value);
    if (attribute >= 0) H5Aclose(attribute);
    H5Sclose(space);
    H5Tclose(type);
    if (failed < 0) FAIL(ERR_FILE, "HDF5 cannot write the attribute %s", name);
    return OK;
}

static const void *column_data(const Column *column)
{
    switch (column->type) {
    case COLUMN_INTEGER: return column->integer;
    case COLUMN_NUMBER:  return column->number;
    case COLUMN_TEXT:    return column->text;
    }
    return NULL;
}

static hid_t file_type(ColumnType type)
{
    return type == COLUMN_INTEGER ? H5Tcopy(H5T_STD_I64LE) : type == COLUMN_NUMBER ? H5Tcopy(H5T_IEEE_F64LE) : text_type();
}

static hid_t memory_type(ColumnType type)
{
    return type == COLUMN_INTEGER ? H5Tcopy(H5T_NATIVE_INT64) : type == COLUMN_NUMBER ? H5Tcopy(H5T_NATIVE_DOUBLE) : text_type();
}

static int write_column(hid_t group, const Column *column, int64_t n_rows)
{
    hsize_t n = (hsize_t)n_rows;
    hid_t in_file = file_type(column->type), in_memory = memory_type(column->type);
    hid_t space = H5Screate_simple(1, &n, NULL), properties = H5Pcreate(H5P_DATASET_CREATE);
    H5Pset_obj_track_times(properties, false);
    hid_t dataset = H5Dcreate2(group, column->name, in_file, space, H5P_DEFAULT, properties, H5P_DEFAULT);
    int status = OK;
    if (dataset < 0 || (n > 0 && H5Dwrite(dataset, in_memory, H5S_ALL, H5S_ALL, H5P_DEFAULT, column_data(column)) < 0))
        status = err_set(ERR_FILE, "HDF5 cannot write the column %s", column->name);
    if (status == OK) status = hdf5_write_text(dataset, "unit", column->unit);
    if (status == OK) status = hdf5_write_text(dataset, "meaning", column->meaning);
    if (dataset >= 0) H5Dclose(dataset);
    H5Pclose(properties);
    H5Sclose(space);
    H5Tclose(in_memory);
    H5Tclose(in_file);
    return status;
}

int hdf5_write_table(hid_t file, const Table *table)
{
    hid_t properties = H5Pcreate(H5P_GROUP_CREATE);
    H5Pset_link_creation_order(properties, H5P_CRT_ORDER_TRACKED | H5P_CRT_ORDER_INDEXED);
    H5Pset_obj_track_times(properties, false);
    hid_t group = H5Gcreate2(file, table->name, H5P_DEFAULT, properties, H5P_DEFAULT);
    H5Pclose(properties);
    if (group < 0) FAIL(ERR_FILE, "HDF5 cannot create the group %s", table->name);
    int status = hdf5_write_text(group, "meaning", table->meaning);
    for (int c = 0; c < table->n_columns && status == OK; c++) status = write_column(group, &table->column[c], table->n_rows);
    H5Gclose(group);
    return status == OK ? OK : err_context(status, "/%s", table->name);
}

int hdf5_check_name(const char *what, const char *name)
{
    if (!*name || strchr(name, '/') || strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
        FAIL(ERR_ARGUMENT, "'%s' cannot be the name of a %s in a results file", name, what);
    return OK;
}

int hdf5_check_names(const Table *table)
{
    TRY(hdf5_check_name("table", table->name));
    for (int c = 0; c < table->n_columns; c++) TRY(hdf5_check_name("column", table->column[c].name));
    return OK;
}

/* ---- reading ---- */

char *hdf5_read_text(hid_t object, const char *name)
{
    char *value = NULL, *text = NULL;
    hid_t attribute = H5Aexists(object, name) > 0 ? H5Aopen(object, name, H5P_DEFAULT) : -1;
    if (attribute < 0) return xstrdup("");
    hid_t stored = H5Aget_type(attribute), space = H5Aget_space(attribute), type = text_type();
    if (H5Tis_variable_str(stored) > 0 && H5Sget_simple_extent_npoints(space) == 1 && H5Aread(attribute, type, &value) >= 0 && value) {
        text = xstrdup(value);
        H5Dvlen_reclaim(type, space, H5P_DEFAULT, &value);
    }
    H5Tclose(type);
    H5Sclose(space);
    H5Tclose(stored);
    H5Aclose(attribute);
    return text ? text : xstrdup("");
}

static int column_type(ColumnType *out, hid_t dataset)
{
    hid_t type = H5Dget_type(dataset);
    H5T_class_t class = H5Tget_class(type);
    int known = 1;
    if (class == H5T_INTEGER && H5Tget_size(type) <= sizeof(int64_t)) *out = COLUMN_INTEGER;
    else if (class == H5T_FLOAT && H5Tget_size(type) <= sizeof(double)) *out = COLUMN_NUMBER;
    else if (class == H5T_STRING && H5Tis_variable_str(type) > 0) *out = COLUMN_TEXT;
    else known = 0;
    H5Tclose(type);
    if (!known) FAIL(ERR_FORMAT, "neither integers nor numbers nor variable-length text");
    return OK;
}

/* Rows of a one-dimensional dataset.  What a damaged file claims must fit what it holds (deflate,
 * should somebody have repacked it, saves at most 1032 times). */
static int dataset_rows(int64_t *out, hid_t dataset)
{
    hid_t space = H5Dget_space(dataset), type = H5Dget_type(dataset);
    int rank = H5Sget_simple_extent_ndims(space);
    hssize_t n = H5Sget_simple_extent_npoints(space);
    size_t size = H5Tget_size(type);
    hsize_t stored = H5Dget_storage_size(dataset);
    H5Tclose(type);
    H5Sclose(space);
    if (rank != 1 || n < 0) FAIL(ERR_FORMAT, "not one-dimensional");
    if (size == 0 || (hsize_t)n / 1032 > stored / size) FAIL(ERR_FORMAT, "claims %lld rows but holds %llu bytes", (long long)n, (unsigned long long)stored);
    *out = (int64_t)n;
    return OK;
}

static int read_text(Column *column, hid_t dataset, int64_t n_rows)
{
    hid_t type = text_type(), space = H5Dget_space(dataset);
    char **value = xcalloc((unsigned long)n_rows, sizeof *value);
    herr_t failed = H5Dread(dataset, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, value);
    for (int64_t i = 0; i < n_rows && failed >= 0; i++) {
        if (!value[i]) continue;                /* how HDF5 hands back an empty text */
        free(column->text[i]);
        column->text[i] = xstrdup(value[i]);
    }
    H5Dvlen_reclaim(type, space, H5P_DEFAULT, value);
    free(value);
    H5Sclose(space);
    H5Tclose(type);
    if (failed < 0) FAIL(ERR_FORMAT, "cannot be read");
    return OK;
}

static int read_values(Column *column, hid_t dataset, int64_t n_rows)
{
    if (n_rows == 0) return OK;
    if (column->type == COLUMN_TEXT) return read_text(column, dataset, n_rows);
    hid_t type = memory_type(column->type);
    void *values = column->type == COLUMN_INTEGER ? (void *)column->integer : (void *)column->number;
    herr_t failed = H5Dread(dataset, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, values);
    H5Tclose(type);
    if (failed < 0) FAIL(ERR_FORMAT, "cannot be read");
    return OK;
}

/* Adds the column that this dataset is; *n_rows: -1 before the first. */
static int add_column(Table *table, hid_t dataset, const char *name, int64_t *n_rows)
{
    ColumnType type = COLUMN_INTEGER;
    int64_t n = 0;
    TRY(column_type(&type, dataset));
    TRY(dataset_rows(&n, dataset));
    if (*n_rows >= 0 && n != *n_rows) FAIL(ERR_FORMAT, "%lld rows where the columns before have %lld", (long long)n, (long long)*n_rows);
    *n_rows = n;
    char *unit = hdf5_read_text(dataset, "unit"), *meaning = hdf5_read_text(dataset, "meaning");
    table_add_column(table, type, name, unit, meaning);
    free(unit);
    free(meaning);
    return OK;
}

static int with_dataset(Table *table, hid_t group, const char *name, int64_t *n_rows, Column *values)
{
    H5O_info_t info;
    if (H5Oget_info_by_name2(group, name, &info, H5O_INFO_BASIC, H5P_DEFAULT) < 0 || info.type != H5O_TYPE_DATASET)
        FAIL(ERR_FORMAT, "/%s/%s: not a dataset", table->name, name);
    hid_t dataset = H5Dopen2(group, name, H5P_DEFAULT);
    if (dataset < 0) FAIL(ERR_FORMAT, "/%s/%s: cannot be opened", table->name, name);
    int status = values ? read_values(values, dataset, *n_rows) : add_column(table, dataset, name, n_rows);
    H5Dclose(dataset);
    return status == OK ? OK : err_context(status, "/%s/%s", table->name, name);
}

static int read_columns(Table *table, hid_t group)
{
    char **name;
    int n;
    int64_t n_rows = -1;
    TRY(hdf5_names(&name, &n, group));
    int status = OK;
    for (int c = 0; c < n && status == OK; c++) status = with_dataset(table, group, name[c], &n_rows, NULL);
    for (int64_t row = 0; row < n_rows && status == OK; row++) table_add_row(table);
    for (int c = 0; c < n && status == OK; c++) status = with_dataset(table, group, name[c], &n_rows, &table->column[c]);
    hdf5_names_free(name, n);
    return status;
}

int hdf5_read_table(Table **out, hid_t file, const char *name)
{
    H5O_info_t info;
    if (H5Oget_info_by_name2(file, name, &info, H5O_INFO_BASIC, H5P_DEFAULT) < 0 || info.type != H5O_TYPE_GROUP)
        FAIL(ERR_FORMAT, "/%s: not a group of columns", name);
    hid_t group = H5Gopen2(file, name, H5P_DEFAULT);
    if (group < 0) FAIL(ERR_FORMAT, "/%s: cannot be opened", name);
    char *meaning = hdf5_read_text(group, "meaning");
    Table *table = table_new(name, meaning);
    int status = read_columns(table, group);
    free(meaning);
    H5Gclose(group);
    if (status == OK) *out = table;
    else table_free(table);
    return status;
}
