/* test_safetensors_write.c - float32 to narrower formats; a written file read back, and by its definition */
#include <math.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/resource.h>

#include <cmocka.h>
#include <jansson.h>

#include "core/model/safetensors.h"
#include "core/model/safetensors_write.h"
#include "core/tests/file_folder.h"
#include "core/tests/model_files.h"

/* ---- rounding ---- */

static uint16_t image_of(float value, Dtype dtype, bool *finite)
{
    uint16_t image;
    *finite = dtype_from_float((unsigned char *)&image, &value, 1, dtype);
    return image;
}

static float value_of(uint16_t image, Dtype dtype)
{
    float value;
    dtype_to_float(&value, (unsigned char *)&image, 1, dtype);
    return value;
}

static const struct { Dtype dtype; uint16_t infinite; } narrow[] = { { DTYPE_F16, 0x7c00 }, { DTYPE_BF16, 0x7f80 } };

/* Every number of the format is itself. */
static void narrow_numbers_stay(void **state)
{
    (void)state;
    for (int f = 0; f < 2; f++)
        for (int image = 0; image < 0x10000; image++) {
            bool finite, is_finite = (image & narrow[f].infinite) != narrow[f].infinite;
            float value = value_of((uint16_t)image, narrow[f].dtype);
            uint16_t got = image_of(value, narrow[f].dtype, &finite);
            assert_int_equal(finite, is_finite);
            if (is_finite) assert_int_equal(got, image);
        }
}

/* Between two neighbours a < b the middle goes to the even one, and what is nearer to one goes there. */
static void ties_go_to_even(void **state)
{
    (void)state;
    for (int f = 0; f < 2; f++)
        for (int low = 0; low + 1 < narrow[f].infinite; low++) {
            const Dtype dtype = narrow[f].dtype;
            const float a = value_of((uint16_t)low, dtype), b = value_of((uint16_t)(low + 1), dtype), middle = a + (b - a) / 2;
            bool finite;
            if ((double)middle != ((double)a + (double)b) / 2) continue;        /* not a float32: the least bfloat16 */
            assert_int_equal(image_of(middle, dtype, &finite), low + (low & 1));
            assert_int_equal(image_of(nextafterf(middle, a), dtype, &finite), low);
            assert_int_equal(image_of(nextafterf(middle, b), dtype, &finite), low + 1);
            assert_int_equal(image_of(-nextafterf(middle, b), dtype, &finite), 0x8000 | (low + 1));
        }
}

static void too_large_is_told(void **state)
{
    (void)state;
    bool finite;
    assert_int_equal(image_of(nextafterf(65520, 0), DTYPE_F16, &finite), 0x7bff);
    assert_true(finite);
    static const float bad[] = { 65520, -65520, 1e30f, INFINITY, -INFINITY, NAN };
    for (int i = 0; i < 6; i++) {
        image_of(bad[i], DTYPE_F16, &finite);
        assert_false(finite);
    }
    image_of(3.4e38f, DTYPE_BF16, &finite);
    assert_false(finite);
    uint32_t all_ones = 0x7fffffff;                     /* a NaN whose rounding would carry into the sign */
    float odd;
    memcpy(&odd, &all_ones, sizeof odd);
    for (int f = 0; f < 2; f++) {
        image_of(odd, narrow[f].dtype, &finite);
        assert_false(finite);
    }
    float pair[2] = { 1, NAN }, out[2];
    assert_false(dtype_from_float((unsigned char *)out, pair, 2, DTYPE_F32));
    assert_true(dtype_from_float((unsigned char *)out, pair, 1, DTYPE_F32));
}

/* ---- files ---- */

static int make_folder(void **state) { return folder_with(state, "model.safetensors"); }

enum { N = 3 };

/* Three tensors whose bytes are no multiple of 8 together. */
static void make_tensors(Tensor tensors[N], Dtype dtype)
{
    static const char *const name[N] = { "model.embed.weight", "a \"quoted\" one", "scalar-like" };
    static const int64_t shape[N][2] = { { 7, 5 }, { 3, 1000 }, { 1, 0 } };
    static const int rank[N] = { 2, 2, 1 };
    for (int i = 0; i < N; i++) {
        tensors[i] = (Tensor){ .name = name[i], .dtype = dtype, .rank = rank[i], .shape = { shape[i][0], shape[i][1] } };
        assert_int_equal(tensor_measure(&tensors[i]), OK);
    }
}

static int64_t count(const Tensor *tensor) { return tensor->shape[0] * (tensor->rank == 2 ? tensor->shape[1] : 1); }
static float value_at(int tensor, int64_t i) { return (float)(tensor + 1) + (float)(i % 32) / 32; }       /* in every format */

/* In pieces of 1, 2, 3 .. values. */
static int write_file(const Tensor tensors[N])
{
    SafetensorsFile *file = NULL;
    int status = safetensors_create(&file, path, tensors, N);
    for (int t = 0; t < N && status == OK; t++)
        for (int64_t at = 0, piece = 1; at < count(&tensors[t]) && status == OK; at += piece++) {
            float values[128];
            if (piece > count(&tensors[t]) - at) piece = count(&tensors[t]) - at;
            for (int64_t i = 0; i < piece; i++) values[i] = value_at(t, at + i);
            status = safetensors_put(file, values, piece);
        }
    if (status == OK) status = safetensors_finish(&file);
    safetensors_abandon(&file);
    return status;
}

static void what_is_written_is_read(void **state)
{
    (void)state;
    for (Dtype dtype = DTYPE_F32; dtype <= DTYPE_BF16; dtype++) {
        Tensor tensors[N];
        Safetensors files;
        make_tensors(tensors, dtype);
        if (write_file(tensors) != OK || safetensors_open(&files, path) != OK) fail_msg("%s", err_last());
        assert_int_equal(files.tensors.n, N);
        for (int t = 0; t < N; t++) {
            const Tensor *got = tensor_set_find(&files.tensors, tensors[t].name);
            assert_non_null(got);
            assert_int_equal(got->dtype, dtype);
            assert_int_equal(got->rank, tensors[t].rank);
            for (int64_t i = 0; i < count(&tensors[t]); i++) {
                float value;
                dtype_to_float(&value, got->data + (size_t)i * dtype_block_bytes(dtype), 1, dtype);
                assert_true(value == value_at(t, i));
            }
        }
        safetensors_close(&files);
    }
}

/* The format's definition, without our reader: length, JSON, metadata that transformers asks for, alignment, no gap. */
static void the_header_is_the_definition(void **state)
{
    (void)state;
    Tensor tensors[N];
    make_tensors(tensors, DTYPE_F16);
    assert_int_equal(write_file(tensors), OK);
    Bytes bytes = bytes_read(path);
    uint64_t length;
    memcpy(&length, bytes.data, sizeof length);
    assert_int_equal(length % 8, 0);
    json_t *header = json_loadb((const char *)bytes.data + 8, length, JSON_REJECT_DUPLICATES, NULL);
    assert_non_null(header);
    assert_int_equal(json_object_size(header), N + 1);
    assert_string_equal(json_string_value(json_object_get(json_object_get(header, "__metadata__"), "format")), "pt");
    json_int_t end = 0;
    for (int t = 0; t < N; t++) {
        json_t *entry = json_object_get(header, tensors[t].name), *offsets = json_object_get(entry, "data_offsets");
        assert_string_equal(json_string_value(json_object_get(entry, "dtype")), "F16");
        assert_int_equal(json_array_size(json_object_get(entry, "shape")), tensors[t].rank);
        assert_int_equal(json_integer_value(json_array_get(offsets, 0)), end);
        end = json_integer_value(json_array_get(offsets, 1));
        assert_int_equal(end - json_integer_value(json_array_get(offsets, 0)), 2 * count(&tensors[t]));
    }
    assert_int_equal(bytes.n, 8 + length + (uint64_t)end);
    json_decref(header);
    bytes_free(&bytes);
}

static void a_value_that_does_not_fit_is_refused(void **state)
{
    (void)state;
    Tensor tensors[N];
    SafetensorsFile *file = NULL;
    make_tensors(tensors, DTYPE_F16);
    assert_int_equal(safetensors_create(&file, path, tensors, N), OK);
    float values[35] = { [34] = 70000 };
    assert_int_equal(safetensors_put(file, values, 35), ERR_ARGUMENT);
    assert_string_equal(err_last(), "tensor 'model.embed.weight' has a value that F16 cannot hold");
    safetensors_abandon(&file);
    assert_null(file);
}

static void a_full_disk_is_told(void **state)
{
    (void)state;
    struct rlimit limit, small;
    Tensor tensors[N];
    make_tensors(tensors, DTYPE_F32);
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
    small = limit;
    small.rlim_cur = 8000;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    int status = write_file(tensors);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
    assert_int_equal(status, ERR_FILE);
    assert_non_null(strstr(err_last(), path));
    assert_non_null(strstr(err_last(), "File too large"));
    char *nowhere = xformat("%s/no/model.safetensors", folder);
    SafetensorsFile *file = NULL;
    assert_int_equal(safetensors_create(&file, nowhere, tensors, N), ERR_FILE);
    assert_null(file);
    free(nowhere);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(narrow_numbers_stay), cmocka_unit_test(ties_go_to_even), cmocka_unit_test(too_large_is_told),
        cmocka_unit_test(what_is_written_is_read), cmocka_unit_test(the_header_is_the_definition),
        cmocka_unit_test(a_value_that_does_not_fit_is_refused), cmocka_unit_test(a_full_disk_is_told),
    };
    return cmocka_run_group_tests_name("safetensors_write", tests, make_folder, remove_folder);
}
