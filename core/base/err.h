/*
 * err.h - how every function that the outside world can break reports it
 *
 * Such a function returns OK or one of the negative codes below, and records one sentence for the
 * user with FAIL.  Library code never prints and never exits; experiments/main.c does both.  What
 * only a programmer can break is an assert.
 */
#ifndef CORE_BASE_ERR_H
#define CORE_BASE_ERR_H

#define ERR_LIST(X)                                                                  \
    X(ERR_ARGUMENT,    "a value that a caller or the command line gave is wrong")    \
    X(ERR_FILE,        "a file cannot be opened, read, written or renamed")          \
    X(ERR_FORMAT,      "a file is damaged or not what it should be")                 \
    X(ERR_UNSUPPORTED, "a file is sound but asks for something we do not do")        \
    X(ERR_MEMORY,      "memory is short")                                            \
    X(ERR_DEVICE,      "something went wrong on the device that computes")          \
    X(ERR_BUDGET,      "no allocation fits the budget")                              \
    X(ERR_INTERRUPTED, "the user asked to stop")

enum {
    OK = 0, ERR_FIRST = -100,
#define X(name, meaning) name,
    ERR_LIST(X)
#undef X
};

/* Records one sentence (no newline, no trailing dot needed) for this thread and returns code. */
int err_set(int code, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Puts "context: " before the recorded sentence and returns code. */
int err_context(int code, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The sentence that the last failure of this thread recorded; "" where there was none. */
const char *err_last(void);

/* Writes to *out (static storage) the entry of names[n] nearest to word by edit distance, or NULL
 * where none is near enough to be meant.  For "unknown key 'modle'; did you mean 'model'?". */
const char *err_nearest(const char *word, const char *const *names, int n);

/* "a, b, c", for "there is no x; there are a, b, c".  The caller frees. */
char *err_list(const char *const *names, int n);

/* Every failure on one line: FAIL(ERR_FILE, "%s: %s", path, strerror(errno)); */
#define FAIL(code, ...) return err_set((code), __VA_ARGS__)

/* Passes a failure up.  A function that holds something uses its own `status` and `goto done`. */
#define TRY(call)                              \
    do {                                       \
        int try_status_ = (call);              \
        if (try_status_ != OK) return try_status_; \
    } while (0)

/* Memory: never NULL; a machine out of memory ends with one sentence and exit status 1.  There is
 * nothing that a measurement could do about it that the journal does not already do. */
void *xmalloc(unsigned long n_bytes);
void *xcalloc(unsigned long n, unsigned long size);
void *xrealloc(void *p, unsigned long n_bytes);
char *xstrdup(const char *s);
char *xformat(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
