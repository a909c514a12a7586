/*
 * bad_input.h - tables of what users get wrong, and what the program must then say
 *
 * Each case must end with the right exit status and exactly one line on stderr, "linearity: ...", that
 * holds the expected words; nothing on stdout; and no file made, changed in name or left behind.
 */
#ifndef CORE_TESTS_BAD_INPUT_H
#define CORE_TESTS_BAD_INPUT_H

#include <ftw.h>

#include "core/tests/program.h"

enum { BAD_WORDS = 12, BAD_PARTS = 4, LONGEST_SENTENCE = 420 };

typedef struct {
    const char *what;
    int status;                             /* 1 failed, 2 wrong usage */
    const char *words[BAD_WORDS];           /* "@" stands for the scratch folder and its slash */
    const char *parts[BAD_PARTS];           /* of the sentence, each must be in it */
    void (*make)(void);                     /* makes the files; NULL: nothing to make */
} BadInput;

/* "output=@a.h5" -> "output=/tmp/linearity-test-xyz/a.h5"; the caller frees. */
static inline char *bad_word(const char *word)
{
    const char *at = strchr(word, '@');
    return at ? xformat("%.*s%s", (int)(at - word), word, scratch_path(at + 1)) : xstrdup(word);
}

static int bad_files;
static inline int bad_count(const char *path, const struct stat *info, int type, struct FTW *walk)
{
    (void)path, (void)info, (void)type, (void)walk;
    bad_files++;
    return 0;
}

static inline int bad_count_files(void)
{
    bad_files = 0;
    nftw(scratch_folder, bad_count, 8, FTW_PHYS);
    return bad_files;
}

static inline bool bad_expect(const BadInput *bad, bool holds, const char *what, const Ran *ran)
{
    if (!holds) print_error("%s: %s\n  status %d, stdout '%.200s', stderr '%.800s'\n", bad->what, what, ran->status, ran->out, ran->err);
    return holds;
}

static inline bool bad_check(const BadInput *bad)
{
    const char *words[BAD_WORDS + 1] = { 0 };
    int n = 0;
    if (bad->make) bad->make();
    for (; n < BAD_WORDS && bad->words[n]; n++) words[n] = bad_word(bad->words[n]);
    scratch_path("");                       /* makes the folder */
    int before = bad_count_files();
    Ran ran = program_words(words);
    int after = bad_count_files();
    const char *end = strchr(ran.err, '\n');
    bool good = bad_expect(bad, ran.status == bad->status, "wrong exit status", &ran);
    good &= bad_expect(bad, !strncmp(ran.err, "linearity: ", 11) && end && !end[1], "not one line 'linearity: ...'", &ran);
    good &= bad_expect(bad, strlen(ran.err) <= LONGEST_SENTENCE, "too long a sentence", &ran);
    good &= bad_expect(bad, !*ran.out, "something on stdout", &ran);
    good &= bad_expect(bad, before == after, "a file came or went", &ran);
    for (int i = 0; i < BAD_PARTS && bad->parts[i]; i++) good &= bad_expect(bad, strstr(ran.err, bad->parts[i]) != NULL, bad->parts[i], &ran);
    if (getenv("SHOW_SENTENCES")) print_message("%-36s %s", bad->what, ran.err);
    for (int i = 0; i < n; i++) free((char *)words[i]);
    ran_free(&ran);
    return good;
}

/* All cases are tried; fails if one did. */
static inline void bad_check_all(const BadInput *table, size_t n)
{
    int failed = 0;
    for (size_t i = 0; i < n; i++) failed += !bad_check(&table[i]);
    assert_int_equal(failed, 0);
}

#define BAD_CHECK_ALL(table) bad_check_all(table, sizeof(table) / sizeof *(table))

#endif
