/*
 * main.c - the command line of linearity: finds the command, runs it, turns its status into an exit code
 *
 * Exit 0: done; 1: failed; 2: wrong usage; 130: interrupted.  Results go to stdout, everything else
 * to stderr.
 */
#include <errno.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/err.h"
#include "core/base/interrupt.h"
#include "core/base/version.h"
#include "experiments/command.h"

#define X(name) &command_##name,
static const Command *const commands[] = { COMMAND_LIST(X) };
#undef X
enum { N_COMMANDS = sizeof commands / sizeof *commands };

static void print_help(FILE *out)
{
    fputs("linearity: how does the loss of a language model respond to error in each of its weight matrices?\n\n"
          "  linearity run configs/quickstart.yaml     the main job: measure, fit, predict, allocate, check\n\n"
          "Commands (linearity COMMAND --help tells more):\n", out);
    for (int i = 0; i < N_COMMANDS; i++) fprintf(out, "  %-9s %-43s %s\n", commands[i]->name, commands[i]->arguments, commands[i]->summary);
    fputs("\nA MODEL is a Hugging Face directory or a .gguf file; a TEXT is plain text, .jsonl, .jsonl.gz or .ids.\n"
          "linearity --version tells the version.  Exit status: 0 done, 1 failed, 2 wrong usage, 130 interrupted.\n", out);
}

static const Command *find_command(const char *name)
{
    for (int i = 0; i < N_COMMANDS; i++)
        if (!strcmp(commands[i]->name, name)) return commands[i];
    return NULL;
}

static int usage_error(const char *name)
{
    const char *names[N_COMMANDS];
    for (int i = 0; i < N_COMMANDS; i++) names[i] = commands[i]->name;
    const char *near = err_nearest(name, names, N_COMMANDS);
    if (near) fprintf(stderr, "linearity: unknown command '%s'; did you mean '%s'?\n", name, near);
    else fprintf(stderr, "linearity: unknown command '%s'; linearity --help lists them\n", name);
    return 2;
}

/* A full disk is a failure even where all that was asked for is --help. */
static int finish_output(void)
{
    if (fflush(stdout) != 0 || ferror(stdout)) FAIL(ERR_FILE, "the output cannot be written (%s)", strerror(errno));
    return OK;
}

static int exit_status(int status)
{
    if (status == OK) return 0;
    fprintf(stderr, "linearity: %s\n", err_last());
    return status == ERR_INTERRUPTED ? 130 : 1;
}

static int run_command(const Command *command, int argc, char **argv)
{
    Arguments arguments;
    int help = 0, status = arguments_parse(&arguments, &help, command, argc, argv);
    if (status != OK) {
        fprintf(stderr, "linearity: %s\n", err_last());
        return 2;
    }
    if (help) {
        char *text = command_help(command);
        fputs(text, stdout);
        free(text);
    } else {
        status = command->run(&arguments);
    }
    arguments_free(&arguments);
    if (status == OK) status = finish_output();
    return exit_status(status);
}

/* Threads that spin while they wait for one another lose to anything else that runs on their cores;
 * the OpenMP library reads its wish before main, so the program starts itself once more. */
static void let_threads_sleep(char **argv)
{
    char path[4096];
    if (getenv("OMP_WAIT_POLICY") || setenv("OMP_WAIT_POLICY", "passive", 1) != 0) return;
    ssize_t n = readlink("/proc/self/exe", path, sizeof path - 1);
    if (n <= 0) return;
    path[n] = '\0';
    execv(path, argv);
}

int main(int argc, char **argv)
{
    let_threads_sleep(argv);
    setlocale(LC_ALL, "C");
    if (argc < 2) {
        print_help(stderr);
        return 2;
    }
    if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h") || !strcmp(argv[1], "help")) {
        print_help(stdout);
        return exit_status(finish_output());
    }
    if (!strcmp(argv[1], "--version")) {
        puts("linearity " LINEARITY_VERSION);
        return exit_status(finish_output());
    }
    const Command *command = find_command(argv[1]);
    if (!command) return usage_error(argv[1]);
    interrupt_install();
    return run_command(command, argc - 2, argv + 2);
}
