#include "core/report/gnuplot.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/base/err.h"

enum { MOST_VARIABLES = 8, HEARD_BYTES = 4096 };

/* name='value', a quote in the value doubled. */
static int assignment(char **out, const GnuplotVariable *variable)
{
    for (const char *c = variable->value; *c; c++)
        if ((unsigned char)*c < ' ') FAIL(ERR_ARGUMENT, "a control character in '%s' cannot be handed to gnuplot", variable->value);
    char *text = xmalloc(strlen(variable->name) + 2 * strlen(variable->value) + sizeof "=''"), *put = text;
    put = stpcpy(stpcpy(put, variable->name), "='");
    for (const char *c = variable->value; *c; c++) {
        if (*c == '\'') *put++ = '\'';
        *put++ = *c;
    }
    stpcpy(put, "'");
    *out = text;
    return OK;
}

/* Starts gnuplot with both of its outputs in the pipe `hear`. */
static int start(pid_t *pid, const int hear[2], char *const *argument)
{
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&actions, hear[1], STDOUT_FILENO);
    posix_spawn_file_actions_adddup2(&actions, hear[1], STDERR_FILENO);
    int error = posix_spawnp(pid, "gnuplot", &actions, NULL, argument, environ);
    posix_spawn_file_actions_destroy(&actions);
    if (error == ENOENT) FAIL(ERR_FILE, "gnuplot is not installed");
    if (error) FAIL(ERR_FILE, "gnuplot cannot be started (%s)", strerror(error));
    return OK;
}

/* Reads to the end, so that the child never waits for us, and keeps the last bytes. */
static void listen_to_end(char heard[HEARD_BYTES], int fd)
{
    size_t n = 0;
    for (;;) {
        if (n == HEARD_BYTES - 1) memmove(heard, heard + HEARD_BYTES / 2, n -= HEARD_BYTES / 2);
        ssize_t more = read(fd, heard + n, HEARD_BYTES - 1 - n);
        if (more < 0 && errno == EINTR) continue;
        if (more <= 0) break;
        n += (size_t)more;
    }
    heard[n] = '\0';
}

/* gnuplot ends with its complaint; before it stand the line it means and a caret. */
static const char *last_line(char *heard)
{
    for (size_t n = strlen(heard); n > 0 && strchr(" \n", heard[n - 1]); n--) heard[n - 1] = '\0';
    const char *start_of_last = strrchr(heard, '\n');
    return start_of_last ? start_of_last + 1 : heard;
}

static int outcome(pid_t pid, char *heard)
{
    int status = 0;
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR) FAIL(ERR_FILE, "gnuplot was started and cannot be waited for (%s)", strerror(errno));
    if (WIFSIGNALED(status)) FAIL(ERR_FILE, "gnuplot was ended by signal %d", WTERMSIG(status));
    if (WEXITSTATUS(status) == 0) return OK;
    const char *line = last_line(heard);
    FAIL(ERR_FILE, "gnuplot failed: %s", *line ? line : "it did not say why");
}

static int run(char *const *argument)
{
    int hear[2];
    if (pipe2(hear, O_CLOEXEC) != 0) FAIL(ERR_FILE, "no pipe to gnuplot (%s)", strerror(errno));
    pid_t pid;
    int status = start(&pid, hear, argument);
    close(hear[1]);
    if (status == OK) {
        char heard[HEARD_BYTES];
        listen_to_end(heard, hear[0]);
        status = outcome(pid, heard);
    }
    close(hear[0]);
    return status;
}

int gnuplot_run(const char *script, const GnuplotVariable *variables, int n)
{
    assert(n <= MOST_VARIABLES);
    char *argument[2 + 2 * MOST_VARIABLES + 2] = { "gnuplot", "-d" }, *assigned[MOST_VARIABLES] = { 0 };
    int status = OK, n_arguments = 2;
    for (int i = 0; i < n && status == OK; i++) {
        status = assignment(&assigned[i], &variables[i]);
        argument[n_arguments++] = "-e";
        argument[n_arguments++] = assigned[i];
    }
    char *path = xstrdup(script);
    argument[n_arguments] = path;
    if (status == OK) status = run(argument);
    free(path);
    for (int i = 0; i < n; i++) free(assigned[i]);
    return status;
}
