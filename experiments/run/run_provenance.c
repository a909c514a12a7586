/*
 * run_provenance.c - who measured, when, where and with what: everything about a run that is not a
 * result
 */
#include <cblas.h>
#include <hdf5.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <time.h>

#include "core/base/err.h"
#include "core/base/version.h"
#include "experiments/run/run.h"

char *openblas_get_config(void);

#ifndef LINEARITY_COMMIT
#define LINEARITY_COMMIT "unknown"
#endif

static void processor(char *out, size_t n)
{
    char line[256];
    snprintf(out, n, "unknown");
    FILE *file = fopen("/proc/cpuinfo", "r");
    while (file && fgets(line, sizeof line, file)) {
        char *colon = strchr(line, ':');
        if (strncmp(line, "model name", 10) || !colon) continue;
        colon[strcspn(colon, "\n")] = '\0';
        snprintf(out, n, "%s", colon + 2);
        break;
    }
    if (file) fclose(file);
}

void run_provenance(Provenance *out, const Config *config, const Options *options, const StudyPlan *plan, double seconds)
{
    struct utsname host;
    uname(&host);
    char date[32], cpu[128], *settings = options_canonical(options);
    time_t now = time(NULL);
    strftime(date, sizeof date, "%Y-%m-%dT%H:%M:%SZ", gmtime(&now));
    processor(cpu, sizeof cpu);
    unsigned major, minor, release;
    H5get_libversion(&major, &minor, &release);
    provenance_add(out, "version", "%s", LINEARITY_VERSION);
    provenance_add(out, "commit", "%s", LINEARITY_COMMIT);
    provenance_add(out, "config_file", "%s", config->path);
    provenance_add(out, "config", "%s", config->text);
    provenance_add(out, "settings", "%s", settings);
    provenance_add(out, "backend", "%s", options_text(options, "backend"));
    provenance_add(out, "precision", "%s", options_text(options, "precision"));
    const char *why;
    const Kernels *kernels = kernels_choose(options_text(options, "backend"), options_text(options, "precision"), &why);
    if (kernels && kernels->device) provenance_add(out, "device", "%s", kernels->device);
    provenance_add(out, "threads", "%d", kernels_threads());
    provenance_add(out, "memory_used", "%lld", (long long)plan->bytes);
    provenance_add(out, "host", "%s", host.nodename);
    provenance_add(out, "system", "%s %s %s", host.sysname, host.release, host.machine);
    provenance_add(out, "processor", "%s", cpu);
    provenance_add(out, "compiler", "%s", __VERSION__);
    provenance_add(out, "openblas", "%s", openblas_get_config());
    provenance_add(out, "hdf5", "%u.%u.%u", major, minor, release);
    provenance_add(out, "date", "%s", date);
    provenance_add(out, "wall_seconds", "%.1f", seconds);
    free(settings);
}

int run_check_backend(const Store *store, const char *output, const char *backend)
{
    Table *runs = NULL;
    if (store_count(store) == 0) return OK;
    TRY(store_get_table(&runs, store, "runs"));
    const char *other = NULL;
    for (int64_t r = 0; r < runs->n_rows && !other && table_column(runs, "backend"); r++)
        if (strcmp(table_text(runs, r, "backend"), backend)) other = table_text(runs, r, "backend");
    int status = other ? err_set(ERR_ARGUMENT, "%s holds measurements of the back end %s, and one file does not mix them; keep to it, or give this run another file: --set output=..", output, other) : OK;
    table_free(runs);
    return status;
}
