#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <zlib.h>

#include "core/base/err.h"
#include "core/store/durable.h"
#include "core/store/hdf5_table.h"

static const char format_name[] = "linearity results";
enum { FORMAT_VERSION = 1, IMAGE_INCREMENT = 1 << 20 };

/* Behind the end that HDF5 knows of: HDF5 has no checksum over columns, and its reader of text can
 * crash on damage.  A program that changes the file cuts the trailer off; then nothing is checked. */
typedef struct { char mark[12]; uint32_t crc; } Trailer;
static const char trailer_mark[12] = "end, CRC-32:";

static bool is_intact(const uint8_t *data, size_t n)
{
    Trailer trailer;
    if (n < sizeof trailer) return true;
    size_t end = n - sizeof trailer;
    memcpy(&trailer, data + end, sizeof trailer);
    if (memcmp(trailer.mark, trailer_mark, sizeof trailer_mark) != 0) return true;
    return trailer.crc == (uint32_t)crc32_z(0, data, end);
}

/* HDF5 prints its own error stack unless told otherwise; we say one sentence instead. */
static void silence(void) { H5Eset_auto2(H5E_DEFAULT, NULL, NULL); }

/* ---- writing ---- */

static int write_version(hid_t file)
{
    int64_t version = FORMAT_VERSION;
    hid_t space = H5Screate(H5S_SCALAR);
    hid_t attribute = H5Acreate2(file, "version", H5T_STD_I64LE, space, H5P_DEFAULT, H5P_DEFAULT);
    herr_t failed = attribute < 0 ? -1 : H5Awrite(attribute, H5T_NATIVE_INT64, &version);
    if (attribute >= 0) H5Aclose(attribute);
    H5Sclose(space);
    if (failed < 0) FAIL(ERR_FILE, "HDF5 cannot write the attribute version");
    return OK;
}

static int write_contents(hid_t file, Table *const *tables, int n_tables)
{
    TRY(hdf5_write_text(file, "format", format_name));
    TRY(write_version(file));
    TRY(hdf5_write_text(file, "created_by", "linearity"));
    for (int t = 0; t < n_tables; t++) TRY(hdf5_write_table(file, tables[t]));
    if (H5Fflush(file, H5F_SCOPE_GLOBAL) < 0) FAIL(ERR_FILE, "HDF5 cannot finish the file");
    return OK;
}

static int take_image(uint8_t **out, size_t *n, hid_t file)
{
    ssize_t size = H5Fget_file_image(file, NULL, 0);
    if (size <= 0) FAIL(ERR_FILE, "HDF5 cannot hand out the file");
    uint8_t *image = xmalloc((size_t)size + sizeof(Trailer));
    if (H5Fget_file_image(file, image, (size_t)size) != size) {
        free(image);
        FAIL(ERR_FILE, "HDF5 cannot hand out the file");
    }
    Trailer trailer = { .crc = (uint32_t)crc32_z(0, image, (size_t)size) };
    memcpy(trailer.mark, trailer_mark, sizeof trailer_mark);
    memcpy(image + size, &trailer, sizeof trailer);
    *out = image;
    *n = (size_t)size + sizeof trailer;
    return OK;
}

int hdf5_image(uint8_t **out, size_t *n, Table *const *tables, int n_tables)
{
    silence();
    hid_t access = H5Pcreate(H5P_FILE_ACCESS), creation = H5Pcreate(H5P_FILE_CREATE);
    H5Pset_fapl_core(access, IMAGE_INCREMENT, false);
    H5Pset_fclose_degree(access, H5F_CLOSE_STRONG);
    H5Pset_link_creation_order(creation, H5P_CRT_ORDER_TRACKED | H5P_CRT_ORDER_INDEXED);
    H5Pset_obj_track_times(creation, false);
    hid_t file = H5Fcreate("image", H5F_ACC_TRUNC, creation, access);      /* a name only: nothing of it reaches the disk */
    H5Pclose(creation);
    H5Pclose(access);
    if (file < 0) FAIL(ERR_FILE, "HDF5 cannot build a file in memory");
    int status = write_contents(file, tables, n_tables);
    if (status == OK) status = take_image(out, n, file);
    H5Fclose(file);
    return status;
}

/* ---- reading ---- */

/* Says what the file is, from its first bytes, where HDF5 cannot open it. */
static int not_hdf5(const uint8_t *data, size_t n)
{
    static const uint8_t signature[8] = "\211HDF\r\n\032\n";
    if (n == 0) FAIL(ERR_FORMAT, "an empty file, not the results of a run");
    if (n >= sizeof signature && memcmp(data, signature, sizeof signature) == 0)
        FAIL(ERR_FORMAT, "a damaged or truncated HDF5 file");
    size_t start = n < 64 ? n : 64, printable = 0;
    while (printable < start && (isprint(data[printable]) || isspace(data[printable]))) printable++;
    if (printable == start) FAIL(ERR_FORMAT, "a text file, not the results of a run (HDF5)");
    FAIL(ERR_FORMAT, "not an HDF5 file, so not the results of a run");
}

static int check_format(hid_t file)
{
    char *format = hdf5_read_text(file, "format");
    int ours = strcmp(format, format_name) == 0;
    free(format);
    if (!ours) FAIL(ERR_FORMAT, "an HDF5 file of another program (its attribute 'format' is not '%s')", format_name);
    int64_t version = 0;
    hid_t attribute = H5Aexists(file, "version") > 0 ? H5Aopen(file, "version", H5P_DEFAULT) : -1;
    if (attribute < 0) FAIL(ERR_FORMAT, "it has no format version");
    hid_t space = H5Aget_space(attribute);
    herr_t failed = H5Sget_simple_extent_npoints(space) == 1 ? H5Aread(attribute, H5T_NATIVE_INT64, &version) : -1;
    H5Sclose(space);
    H5Aclose(attribute);
    if (failed < 0 || version < 1) FAIL(ERR_FORMAT, "its format version cannot be read");
    if (version > FORMAT_VERSION) FAIL(ERR_FORMAT, "written by a newer version of linearity (format %lld; this one reads %d)", (long long)version, FORMAT_VERSION);
    return OK;
}

static int name_at(char **out, hid_t group, H5_index_t order, hsize_t index)
{
    ssize_t n = H5Lget_name_by_idx(group, ".", order, H5_ITER_INC, index, NULL, 0, H5P_DEFAULT);
    if (n < 0) FAIL(ERR_FORMAT, "the names in a group cannot be read");
    *out = xcalloc((unsigned long)n + 1, 1);
    H5Lget_name_by_idx(group, ".", order, H5_ITER_INC, index, *out, (size_t)n + 1, H5P_DEFAULT);
    return OK;
}

/* By creation, or by name where a program that rewrote the file did not keep the order. */
static H5_index_t group_order(hid_t group)
{
    unsigned flags = 0;
    hid_t properties = H5Iget_type(group) == H5I_FILE ? H5Fget_create_plist(group) : H5Gget_create_plist(group);
    H5Pget_link_creation_order(properties, &flags);
    H5Pclose(properties);
    return flags & H5P_CRT_ORDER_TRACKED ? H5_INDEX_CRT_ORDER : H5_INDEX_NAME;
}

int hdf5_names(char ***out, int *n, hid_t group)
{
    H5G_info_t info;
    if (H5Gget_info(group, &info) < 0 || info.nlinks > INT_MAX) FAIL(ERR_FORMAT, "a group cannot be read");
    char **name = xcalloc(info.nlinks, sizeof *name);
    int status = OK, done = 0;
    H5_index_t order = group_order(group);
    while (done < (int)info.nlinks && (status = name_at(&name[done], group, order, (hsize_t)done)) == OK) done++;
    if (status == OK) {
        *out = name;
        *n = done;
    } else {
        hdf5_names_free(name, done);
    }
    return status;
}

void hdf5_names_free(char **name, int n)
{
    for (int i = 0; i < n; i++) free(name[i]);
    free(name);
}

/* All tables, or of the name `only` alone. */
static int read_tables(Table ***out, int *n_tables, hid_t file, const char *only)
{
    char **name;
    int n, done = 0, status = OK;
    TRY(check_format(file));
    TRY(hdf5_names(&name, &n, file));
    Table **table = xcalloc((unsigned long)n, sizeof *table);
    for (int i = 0; i < n && status == OK; i++)
        if (!only || !strcmp(only, name[i])) done += (status = hdf5_read_table(&table[done], file, name[i])) == OK;
    hdf5_names_free(name, n);
    if (status == OK) {
        *out = table;
        *n_tables = done;
        return OK;
    }
    while (done > 0) table_free(table[--done]);
    free(table);
    return status;
}

/* From memory: what is checked is what is read, whoever replaces the file meanwhile. */
static int read_image(Table ***out, int *n_tables, uint8_t *data, size_t n, const char *only)
{
    if (!is_intact(data, n)) FAIL(ERR_FORMAT, "damaged: its content does not fit its checksum");
    if (n == 0) return not_hdf5(data, n);
    hid_t access = H5Pcreate(H5P_FILE_ACCESS);
    H5Pset_fapl_core(access, IMAGE_INCREMENT, false);
    H5Pset_fclose_degree(access, H5F_CLOSE_STRONG);
    H5Pset_file_image(access, data, n);
    hid_t file = H5Fopen("image", H5F_ACC_RDONLY, access);
    H5Pclose(access);
    if (file < 0) return not_hdf5(data, n);
    int status = read_tables(out, n_tables, file, only);
    H5Fclose(file);
    return status;
}

static int read_file(Table ***out, int *n_tables, const char *path, const char *only)
{
    struct stat info;
    if (stat(path, &info) != 0) FAIL(ERR_FILE, "%s: %s", path, strerror(errno));
    if (S_ISDIR(info.st_mode)) FAIL(ERR_FORMAT, "%s: a folder, not the results of a run; name a file in it", path);
    if (!S_ISREG(info.st_mode)) FAIL(ERR_FORMAT, "%s: not a regular file", path);
    uint8_t *data = NULL;
    size_t n = 0;
    TRY(durable_read(&data, &n, path));
    silence();
    int status = read_image(out, n_tables, data, n, only);
    free(data);
    return status == OK ? OK : err_context(status, "%s", path);
}

int hdf5_read(Table ***out, int *n_tables, const char *path) { return read_file(out, n_tables, path, NULL); }

int hdf5_read_one(Table **out, const char *path, const char *name)
{
    Table **table;
    int n;
    TRY(read_file(&table, &n, path, name));
    *out = n ? table[0] : NULL;
    free(table);
    return OK;
}
