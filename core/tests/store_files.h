/*
 * store_files.h - a results file in a folder of its own, and measurements whose numbers are known
 */
#ifndef CORE_TESTS_STORE_FILES_H
#define CORE_TESTS_STORE_FILES_H

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>
#include <cmocka.h>

#include "core/base/err.h"
#include "core/store/store.h"
#include "core/tests/temporary.h"

static char folder[2048], path[2100], journal_path[2120], temporary_path[2120], lock_path[2120];

static inline int setup(void **state)
{
    (void)state;
    bool in_memory = access("/dev/shm", W_OK) == 0;             /* where flushing costs nothing */
    snprintf(folder, sizeof folder, "%s/test_store.XXXXXX", in_memory ? "/dev/shm" : temporary_place());
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/run.h5", folder);
    snprintf(journal_path, sizeof journal_path, "%s.journal", path);
    snprintf(temporary_path, sizeof temporary_path, "%s.tmp", path);
    snprintf(lock_path, sizeof lock_path, "%s.lock", path);
    return 0;
}

static inline void limit_file_size(rlim_t bytes)
{
    struct rlimit limit;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
    limit.rlim_cur = bytes;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

static inline int teardown(void **state)
{
    (void)state;
    limit_file_size(RLIM_INFINITY);
    char *command = xformat("rm -rf %s", folder);
    int failed = system(command);
    free(command);
    return failed;
}

static inline void require(int status) { if (status != OK) fail_msg("%s", err_last()); }

/* The failure is this code and its sentence names these words. */
static inline void refused(int status, int code, const char *words)
{
    assert_int_equal(status, code);
    if (!strstr(err_last(), words)) fail_msg("'%s' is not in: %s", words, err_last());
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

/* ---- measurements ---- */

/* Some measurements with layers and windows have forms: some one, some two, in either order. */
static inline void add_forms(Measurement *m, int i)
{
    static const char *const names[][2] = { { "sigma", "rho" }, { "rho", "sigma" }, { "dot", "group" }, { "rho", "dot" }, { "g \"\xc3\xa9" } };
    static const double values[] = { -0.0, 5e-324, 1.7976931348623157e308, 1.0 / 3 };
    int n_cells = m->n_layers * m->n_windows;
    if (n_cells == 0 || i % 7 == 1) return;
    m->n_forms = names[i % 5][1] ? 2 : 1;
    m->form_name = xcalloc(2, sizeof *m->form_name);
    for (int f = 0; f < m->n_forms; f++) m->form_name[f] = xstrdup(names[i % 5][f]);
    m->form = xcalloc((unsigned long)(m->n_forms * n_cells), sizeof *m->form);
    for (int k = 0; k < m->n_forms * n_cells; k++) m->form[k] = (k + i) % 3 ? sin(i + 0.1 * k) : values[k % 4];
}

/* Measurement i: all its numbers are functions of i; some are NaN with a payload, infinite, denormal or -0. */
static inline Measurement made(int i)
{
    Measurement m = { .n_windows = i % 5, .n_layers = i % 4, .seconds = 0.1 * i };
    m.text = xformat("model=%d\ncorpus \"quoted\" \xc3\xa9, line\n", i);
    hash_bytes(m.key, m.text, strlen(m.text));
    m.label = i % 7 ? xformat("blocks.%d.q gaussian", i) : xstrdup("");
    m.tokens = xcalloc(5, sizeof *m.tokens);
    m.nll = xcalloc(5, sizeof *m.nll);
    m.kl = xcalloc(5, sizeof *m.kl);
    m.same_top = xcalloc(5, sizeof *m.same_top);
    m.layer = xcalloc(4, sizeof *m.layer);
    m.layer_name = xcalloc(4, sizeof *m.layer_name);
    m.t2 = xcalloc(4, sizeof *m.t2);
    m.kappa = xcalloc(4, sizeof *m.kappa);
    m.bits = xcalloc(4, sizeof *m.bits);
    m.code_bits = xcalloc(4, sizeof *m.code_bits);
    m.t2_asked = xcalloc(4, sizeof *m.t2_asked);
    for (int w = 0; w < m.n_windows; w++) {
        m.tokens[w] = 100 + i + w;
        m.nll[w] = sin(i + 10.0 * w) + 3;
        m.kl[w] = i % 3 ? 5e-324 * i : nan("77");
        m.same_top[w] = w % 2 ? -0.0 : INFINITY;
    }
    for (int l = 0; l < m.n_layers; l++) {
        m.layer[l] = 7 * l + i;
        m.layer_name[l] = xformat("blocks.%d.q", l);
        m.t2[l] = cos(i * l);
        m.kappa[l] = 1.0 / (3 + i + l);
        m.bits[l] = NAN;
        m.code_bits[l] = -1.5 * l;
        m.t2_asked[l] = -NAN;
    }
    add_forms(&m, i);
    return m;
}

static inline void append(Store *store, int i)
{
    Measurement m = made(i);
    require(store_append(store, &m));
    measurement_free(&m);
}

static inline void same_bytes(const void *a, const void *b, size_t n) { if (n) assert_memory_equal(a, b, n); }

static inline void check_equal(const Measurement *a, const Measurement *b)
{
    size_t windows = (size_t)b->n_windows, layers = (size_t)b->n_layers;
    assert_string_equal(a->key, b->key);
    assert_string_equal(a->text, b->text);
    assert_string_equal(a->label, b->label);
    assert_int_equal(a->n_windows, b->n_windows);
    assert_int_equal(a->n_layers, b->n_layers);
    same_bytes(a->tokens, b->tokens, windows * 8);
    same_bytes(a->nll, b->nll, windows * 8);
    same_bytes(a->kl, b->kl, windows * 8);
    same_bytes(a->same_top, b->same_top, windows * 8);
    same_bytes(a->layer, b->layer, layers * sizeof *a->layer);
    same_bytes(a->t2, b->t2, layers * 8);
    same_bytes(a->kappa, b->kappa, layers * 8);
    same_bytes(a->bits, b->bits, layers * 8);
    same_bytes(a->code_bits, b->code_bits, layers * 8);
    same_bytes(a->t2_asked, b->t2_asked, layers * 8);
    same_bytes(&a->seconds, &b->seconds, 8);
    for (size_t l = 0; l < layers; l++) assert_string_equal(a->layer_name[l], b->layer_name[l]);
    assert_int_equal(a->n_forms, b->n_forms);
    for (int f = 0; f < b->n_forms; f++) {
        const double *form = measurement_form(a, b->form_name[f]);
        assert_non_null(form);
        same_bytes(form, b->form + (size_t)f * layers * windows, layers * windows * 8);
    }
    if (b->n_forms == 0) assert_true(!a->form && !a->form_name);
}

/* The store holds measurements 0 .. n-1, each once, bit for bit. */
static inline void check_records(const Store *store, int n)
{
    assert_int_equal(store_count(store), n);
    for (int i = 0; i < n; i++) {
        Measurement m = made(i);
        check_equal(store_record(store, i), &m);
        assert_ptr_equal(store_find(store, m.key), store_record(store, i));
        measurement_free(&m);
    }
}

/* ---- stores and files ---- */

static inline Store *opened(bool read_only)
{
    Store *store = NULL;
    require(store_open(&store, path, read_only));
    return store;
}

static inline void closed(Store *store)
{
    require(store_close(&store));
    assert_null(store);
}

static inline void make_file(int n)
{
    Store *store = opened(false);
    for (int i = 0; i < n; i++) append(store, i);
    closed(store);
}

static inline void write_file(const char *name, const void *data, size_t n)
{
    FILE *file = fopen(name, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(data, 1, n, file), n);
    assert_int_equal(fclose(file), 0);
}

static inline char *file_bytes(const char *name, size_t *n)
{
    FILE *file = fopen(name, "rb");
    assert_non_null(file);
    char *data = xmalloc(1 << 22);
    *n = fread(data, 1, 1 << 22, file);
    fclose(file);
    return data;
}

static inline bool exists(const char *name) { return access(name, F_OK) == 0; }

#endif
