/*
 * config_files.h - configs written to one file, read, and the sentence of those that are refused
 */
#ifndef CORE_TESTS_CONFIG_FILES_H
#define CORE_TESTS_CONFIG_FILES_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "core/base/err.h"
#include "core/config/config.h"
#include "core/tests/temporary.h"

#define BASE "experiment: predict\nmodel: m.gguf\ntext: {file: t.txt}\n"

static char path[2048];

static inline void write_bytes(const char *bytes, size_t n)
{
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, n, file), n);
    fclose(file);
}

static inline int read_text(Config *out, const char *text, const char *override)
{
    write_bytes(text, strlen(text));
    return config_read(out, path, override ? 1 : 0, &override);
}

/* expected: the message, with @ for the path. */
static inline void expect_message(const char *text, const char *expected)
{
    const char *at = strchr(expected, '@');
    char *whole = at ? xformat("%.*s%s%s", (int)(at - expected), expected, path, at + 1) : xstrdup(expected);
    if (strcmp(err_last(), whole)) print_error("for:\n%s\n", text);
    assert_string_equal(err_last(), whole);
    free(whole);
}

static inline int make_path(void **state)
{
    (void)state;
    snprintf(path, sizeof path, "%s/linearity-config-XXXXXX.yaml", temporary_place());
    int descriptor = mkstemps(path, 5);
    return descriptor < 0 ? -1 : close(descriptor);
}

static inline int remove_path(void **state)
{
    (void)state;
    return unlink(path);
}

#endif
