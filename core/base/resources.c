#include "core/base/resources.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/err.h"

enum { MOST_PATH = 4096 };

/* ---- small files ---- */

/* Files of /proc and /sys have no size to ask for; what is longer than a megabyte is none of those that are read here. */
static char *read_whole(const char *path)
{
    enum { MOST = 1 << 20 };
    FILE *file = fopen(path, "re");
    if (!file) return NULL;
    char *text = xmalloc(MOST + 1);
    text[fread(text, 1, MOST, file)] = '\0';
    fclose(file);
    return text;
}

/* The whole number behind `key` at the start of a line; key "": the first line's.  -1 where there is none ("max"). */
static int64_t number_after(const char *text, const char *key)
{
    const size_t n = strlen(key);
    for (const char *line = text; line && *line; line = strchr(line, '\n'), line = line ? line + 1 : NULL) {
        if (strncmp(line, key, n)) continue;
        char *end;
        errno = 0;
        const long long value = strtoll(line + n, &end, 10);
        return end == line + n || errno || value < 0 ? -1 : value;
    }
    return -1;
}

static int64_t number_in(const char *folder, const char *file, const char *key)
{
    char *path = xformat("%s/%s", folder, file), *text = read_whole(path);
    const int64_t value = text ? number_after(text, key) : -1;
    free(path);
    free(text);
    return value;
}

/* ---- control groups ---- */

typedef struct { const char *mount, *limit, *usage, *inactive; } Hierarchy;
static const Hierarchy version1 = { "/sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file " };
static const Hierarchy version2 = { "/sys/fs/cgroup", "memory.max", "memory.current", "inactive_file " };

static void take_lower(FreeMemory *out, const Hierarchy *h, const char *root, const char *group)
{
    char *folder = xformat("%s%s%s", root, h->mount, group);
    const int64_t limit = number_in(folder, h->limit, ""), usage = number_in(folder, h->usage, "");
    if (limit >= 0 && usage >= 0) {
        int64_t inactive = number_in(folder, "memory.stat", h->inactive);
        inactive = inactive < 0 ? 0 : inactive > usage ? usage : inactive;
        const int64_t left = limit > usage - inactive ? limit - (usage - inactive) : 0;
        if (left < out->bytes) {
            out->bytes = left;
            snprintf(out->source, sizeof out->source, "limit of the control group %.160s (%s)", *group ? group : "/", h->limit);
        }
    }
    free(folder);
}

/* The group and all above it.  In a container the path may be the host's: then only its own part of the tree is to be seen, as the root. */
static void take_groups(FreeMemory *out, const Hierarchy *h, const char *root, const char *path)
{
    char group[MOST_PATH];
    snprintf(group, sizeof group, "%s", strstr(path, "/..") ? "" : path);
    for (size_t n = strlen(group); n && group[n - 1] == '/'; n--) group[n - 1] = '\0';
    for (char *slash; (slash = strrchr(group, '/')); *slash = '\0') take_lower(out, h, root, group);
    take_lower(out, h, root, "");
}

static bool has_word(const char *list, size_t n, const char *word)
{
    for (const char *end = list + n; list < end; list++) {
        const size_t length = strcspn(list, ",:");
        if (length == strlen(word) && !strncmp(list, word, length)) return true;
        list += length;
    }
    return false;
}

/* Lines of /proc/self/cgroup: "4:memory:/job" of version 1, "0::/job" of version 2. */
static void take_all_groups(FreeMemory *out, const char *root)
{
    char *path = xformat("%s/proc/self/cgroup", root), *text = read_whole(path), *rest = text;
    for (char *line; text && (line = strsep(&rest, "\n"));) {
        char *controllers = strchr(line, ':'), *group = controllers ? strchr(controllers + 1, ':') : NULL;
        if (!group) continue;
        controllers++, group++;
        if (*controllers == ':') take_groups(out, &version2, root, group);
        else if (has_word(controllers, (size_t)(group - 1 - controllers), "memory")) take_groups(out, &version1, root, group);
    }
    free(path);
    free(text);
}

/* ---- the whole ---- */

int free_memory_of_host(FreeMemory *out, const char *root)
{
    char *path = xformat("%s/proc/meminfo", root), *text = read_whole(path);
    const int64_t kibibytes = text ? number_after(text, "MemAvailable:") : -1;
    int status = OK;
    if (!text) status = err_set(ERR_FILE, "%s: %s: the free memory is not known; state it with --memory", path, strerror(errno));
    else if (kibibytes < 0 || kibibytes > INT64_MAX / 1024) status = err_set(ERR_FORMAT, "%s does not tell MemAvailable: state the memory with --memory", path);
    free(path);
    free(text);
    TRY(status);
    FreeMemory host = { kibibytes * 1024, "MemAvailable of /proc/meminfo" };
    take_all_groups(&host, root);
    *out = host;
    return OK;
}

int free_memory_of(FreeMemory *out, const Kernels *kernels)
{
    if (!kernels->free_memory) return free_memory_of_host(out, "");
    FreeMemory device = { .bytes = kernels->free_memory() };
    const char *failure = kernels->failure ? kernels->failure() : NULL;
    if (failure) FAIL(ERR_DEVICE, "%s", failure);
    snprintf(device.source, sizeof device.source, "free on %.200s", kernels->device ? kernels->device : kernels->name);
    *out = device;
    return OK;
}
