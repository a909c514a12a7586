/*
 * plot_pictures.h - what came out of drawing: the files, whether they are whole, and what the pictures say
 */
#ifndef CORE_TESTS_PLOT_PICTURES_H
#define CORE_TESTS_PLOT_PICTURES_H

#include <ctype.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "core/base/err.h"
#include "core/report/plot.h"

static inline char *read_whole(const char *path)
{
    FILE *file = fopen(path, "rb");
    if (!file) return NULL;
    fseek(file, 0, SEEK_END);
    size_t n = (size_t)ftell(file);
    rewind(file);
    char *text = xcalloc(n + 1, 1);
    assert_int_equal(fread(text, 1, n, file), n);
    fclose(file);
    return text;
}

static inline bool exists(const char *folder, const char *name)
{
    char *path = xformat("%s/%s", folder, name);
    bool found = access(path, F_OK) == 0;
    free(path);
    return found;
}

/* Every element that is opened is closed by its own name, in order, and there is one at the top. */
static inline bool is_well_formed(const char *text)
{
    enum { DEEPEST = 64 };
    const char *open[DEEPEST];
    int depth = 0, n_top = 0;
    for (const char *at = strchr(text, '<'), *end; at; at = strchr(end, '<')) {
        bool is_comment = strncmp(at, "<!--", 4) == 0;
        end = is_comment ? strstr(at, "-->") : strchr(at, '>');
        if (!end) return false;
        if (is_comment || at[1] == '?' || at[1] == '!') continue;
        if (at[1] == '/') {
            if (depth-- == 0) return false;
            size_t n = (size_t)(end - at) - 2;
            while (n > 0 && isspace((unsigned char)at[1 + n])) n--;
            if (strncmp(open[depth], at + 2, n) != 0 || isalnum((unsigned char)open[depth][n])) return false;
        } else {
            n_top += depth == 0;
            if (end[-1] == '/') continue;
            if (depth == DEEPEST) return false;
            open[depth++] = at + 1;
        }
    }
    return depth == 0 && n_top == 1;
}

static inline void check_file(const char *path)
{
    char *text = read_whole(path);
    assert_non_null(text);
    const char *ending = strrchr(path, '.');
    if (strcmp(ending, ".svg") == 0) assert_true(is_well_formed(text));
    else if (strcmp(ending, ".png") == 0) assert_memory_equal(text, "\211PNG\r\n\032\n", 8);
    else assert_non_null(strchr(text, ','));
    free(text);
}

/* Draws into the folder, checks each file, and returns how many there are. */
static inline int plot(const Store *store, const char *folder)
{
    char **files = NULL;
    int n = 0;
    if (plot_run(store, "plots", folder, &files, &n) != OK) fail_msg("%s", err_last());
    for (int i = 0; i < n; i++) {
        check_file(files[i]);
        free(files[i]);
    }
    free(files);
    assert_false(exists(folder, "response.tmp.svg"));
    assert_false(exists(folder, "response.tmp.png"));
    return n;
}

static inline bool picture_says(const char *folder, const char *name, const char *words)
{
    char *path = xformat("%s/%s", folder, name), *text = read_whole(path);
    assert_non_null(text);
    bool found = strstr(text, words) != NULL;
    free(path);
    free(text);
    return found;
}

static inline void need_gnuplot(void)
{
    char *path = xstrdup(getenv("PATH") ? getenv("PATH") : ""), *rest = path;
    bool found = false;
    for (char *folder = strtok_r(rest, ":", &rest); folder; folder = strtok_r(NULL, ":", &rest)) found = found || exists(folder, "gnuplot");
    free(path);
    if (found) return;
    printf("SKIPPED: gnuplot is not installed\n");
    skip();
}

static inline void expect_left_out(const Store *store, const char *sentence)
{
    char *said = plot_left_out(store);
    assert_non_null(said);
    assert_string_equal(said, sentence);
    free(said);
}

#endif
