/* Files that no store wrote, or that were damaged since: one sentence for each. */
#include <hdf5.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <unistd.h>
#include <cmocka.h>

#include "core/base/err.h"
#include "core/store/store.h"
#include "core/tests/store_files.h"

static void test_other_files(void **state)
{
    (void)state;
    Store *store = NULL;
    size_t n;
    refused(store_open(&store, folder, false), ERR_FORMAT, "a folder");
    write_file(path, "", 0);
    refused(store_open(&store, path, false), ERR_FORMAT, "an empty file");
    write_file(path, "layer,bits\n", 11);
    refused(store_open(&store, path, false), ERR_FORMAT, "a text file");
    write_file(path, "\0\1\2\3\377", 5);
    refused(store_open(&store, path, true), ERR_FORMAT, "not an HDF5 file");
    assert_int_equal(unlink(path), 0);
    refused(store_open(&store, path, true), ERR_FILE, "No such file");
    refused(store_open(&store, "", false), ERR_ARGUMENT, "not the name of a file");
    refused(store_open(&store, "/tmp/", true), ERR_FORMAT, "a folder");

    make_file(12);
    char *bytes = file_bytes(path, &n);
    for (size_t size = 1; size < n - 16; size += n / 40) {
        write_file(path, bytes, size);
        assert_int_equal(store_open(&store, path, false), ERR_FORMAT);
    }
    refused(store_open(&store, path, false), ERR_FORMAT, "truncated HDF5");
    free(bytes);
    assert_null(store);
    assert_false(exists(lock_path));
}

/* A flipped byte anywhere is found, and cutting the checksum off leaves a readable file. */
static void test_damaged_file(void **state)
{
    (void)state;
    make_file(6);
    size_t n;
    char *bytes = file_bytes(path, &n);
    for (size_t at = 0; at < n - 16; at += 97) {
        bytes[at] = (char)~bytes[at];
        write_file(path, bytes, n);
        bytes[at] = (char)~bytes[at];
        Store *store = NULL;
        refused(store_open(&store, path, true), ERR_FORMAT, "does not fit its checksum");
    }
    for (size_t cut = 1; cut <= 16; cut += 5) {
        write_file(path, bytes, n - cut);
        Store *store = opened(true);
        check_records(store, 6);
        closed(store);
    }
    free(bytes);
}

static void changed_hdf5(long version, bool with_format)
{
    make_file(1);
    hid_t file = H5Fopen(path, H5F_ACC_RDWR, H5P_DEFAULT), attribute;
    attribute = H5Aopen(file, "version", H5P_DEFAULT);
    assert_true(H5Awrite(attribute, H5T_NATIVE_LONG, &version) >= 0);
    H5Aclose(attribute);
    if (!with_format) assert_true(H5Adelete(file, "format") >= 0);
    H5Fclose(file);
}

static void test_other_hdf5(void **state)
{
    (void)state;
    Store *store = NULL;
    changed_hdf5(2, true);
    refused(store_open(&store, path, false), ERR_FORMAT, "newer version");
    assert_int_equal(unlink(path), 0);
    changed_hdf5(1, false);
    refused(store_open(&store, path, false), ERR_FORMAT, "another program");
    assert_int_equal(unlink(path), 0);
    make_file(1);
    hid_t file = H5Fopen(path, H5F_ACC_RDWR, H5P_DEFAULT);
    assert_true(H5Ldelete(file, "/measurement_windows/kl", H5P_DEFAULT) >= 0);
    H5Fclose(file);
    refused(store_open(&store, path, false), ERR_FORMAT, "the column measurement_windows/kl is missing");
    assert_null(store);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_other_files),
        TEST(test_damaged_file),
        TEST(test_other_hdf5),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
