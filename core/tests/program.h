/*
 * program.h - runs the program as a user does: arguments in; exit status, stdout and stderr out
 *
 * LINEARITY_BINARY names the binary (build/linearity by default).  All files of a test lie in its
 * scratch folder.
 */
#ifndef CORE_TESTS_PROGRAM_H
#define CORE_TESTS_PROGRAM_H

#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "core/base/err.h"
#include "core/tests/scratch.h"

enum { MOST_WORDS = 24 };
#define TINY "core/tests/golden/tiny/llama-mha-untied"

typedef struct { int status; char *out, *err; } Ran;        /* status: exit code, or 1000 + signal */

/* ---- files ---- */

/* A whole file with a zero behind it; NULL where there is none. */
static inline char *file_read(const char *path, size_t *n)
{
    FILE *file = fopen(path, "rb");
    if (!file) return NULL;
    char *text = NULL, buffer[4096];
    size_t length = 0, got;
    while ((got = fread(buffer, 1, sizeof buffer, file)) > 0) {
        text = xrealloc(text, length + got + 1);
        memcpy(text + length, buffer, got);
        length += got;
    }
    fclose(file);
    text = xrealloc(text, length + 1);
    text[length] = 0;
    if (n) *n = length;
    return text;
}

static inline bool file_there(const char *path) { return access(path, F_OK) == 0; }

static inline const char *file_copy(const char *name, const char *from)
{
    size_t n;
    char *bytes = file_read(from, &n);
    assert(bytes);
    const char *path = scratch_bytes(name, bytes, n);
    free(bytes);
    return path;
}

/* scratch/NAME: a copy of a golden model with config.json and one safetensors file. */
static inline const char *model_copy(const char *name, const char *golden)
{
    static const char *const parts[] = { "config.json", "model.safetensors" };
    mkdir(scratch_path(name), 0777);
    for (int i = 0; i < 2; i++) {
        char *from = xformat("%s/%s", golden, parts[i]), *to = xformat("%s/%s", name, parts[i]);
        file_copy(to, from);
        free(from);
        free(to);
    }
    return scratch_path(name);
}

/* ---- the program ---- */

static inline const char *program_path(void)
{
    const char *path = getenv("LINEARITY_BINARY");
    return path ? path : "build/linearity";
}

static inline void redirect(int descriptor, const char *path)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0666);
    if (fd < 0 || dup2(fd, descriptor) < 0) _exit(126);
    close(fd);
}

/* Starts the program; words end with NULL.  Its threads sleep when they wait, since tests run beside
 * other work. */
static inline pid_t program_start(const char *const *words, const char *out, const char *err)
{
    char *argv[MOST_WORDS + 2] = { (char *)program_path() };
    for (int i = 0; words[i]; i++) {
        assert(i < MOST_WORDS);
        argv[i + 1] = (char *)words[i];
    }
    pid_t pid = fork();
    assert(pid >= 0);
    if (pid) return pid;
    redirect(STDOUT_FILENO, out);
    redirect(STDERR_FILENO, err);
    setenv("OMP_WAIT_POLICY", "passive", 0);
    execv(argv[0], argv);
    _exit(127);
}

static inline int program_wait(pid_t pid)
{
    int status;
    pid_t ended = waitpid(pid, &status, 0);
    assert(ended == pid);
    (void)ended;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}

static inline Ran program_words(const char *const *words)
{
    static char *out, *err;
    if (!out) out = xstrdup(scratch_path("stdout")), err = xstrdup(scratch_path("stderr"));
    Ran ran = { .status = program_wait(program_start(words, out, err)) };
    ran.out = file_read(out, NULL);
    ran.err = file_read(err, NULL);
    remove(out);
    remove(err);
    return ran;
}

/* The words of one run, up to NULL. */
static inline Ran program(const char *word, ...)
{
    const char *words[MOST_WORDS + 1] = { 0 };
    va_list args;
    va_start(args, word);
    for (int n = 0; word; word = va_arg(args, const char *)) {
        assert(n < MOST_WORDS);
        words[n++] = word;
    }
    va_end(args);
    return program_words(words);
}

static inline void ran_free(Ran *ran)
{
    free(ran->out);
    free(ran->err);
    *ran = (Ran){ 0 };
}

static inline const char *last_line(const char *text)
{
    const char *last = text;
    for (const char *c = text; *c; c++)
        if (*c == '\n' && c[1]) last = c + 1;
    return last;
}

#endif
