#include "core/store/whole_folder.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/err.h"
#include "core/store/durable.h"

/* ---- what is in a folder ---- */

static const char *next_name(DIR *folder)
{
    struct dirent *entry;
    while ((entry = readdir(folder)) != NULL)
        if (strcmp(entry->d_name, ".") && strcmp(entry->d_name, "..")) return entry->d_name;
    return NULL;
}

/* ERR_FILE where path holds a file of another name or a folder; *n = how many there are. */
static int look_into(int *n, const char *path, FolderOwns owns)
{
    DIR *folder = opendir(path);
    if (!folder) FAIL(ERR_FILE, "%s: cannot be looked into (%s)", path, strerror(errno));
    const char *name;
    int status = OK;
    for (*n = 0; status == OK && (name = next_name(folder)) != NULL; ++*n) {
        struct stat info;
        bool plain = fstatat(dirfd(folder), name, &info, AT_SYMLINK_NOFOLLOW) == 0 && !S_ISDIR(info.st_mode);
        if (!plain || !owns(name))
            status = err_set(ERR_FILE, "%s holds '%.100s', which is no part of what is written here and would be lost; move it, or choose another place", path, name);
    }
    closedir(folder);
    return status;
}

static int clear(const char *path, FolderOwns owns)
{
    int n;
    TRY(look_into(&n, path, owns));
    DIR *folder = opendir(path);
    const char *name;
    while (folder && (name = next_name(folder)) != NULL) unlinkat(dirfd(folder), name, 0);
    if (folder) closedir(folder);
    return OK;
}

static int remove_folder(const char *path, FolderOwns owns)
{
    TRY(clear(path, owns));
    if (rmdir(path) != 0) FAIL(ERR_FILE, "%s: cannot be removed (%s)", path, strerror(errno));
    return OK;
}

/* ---- begin ---- */

/* The folder itself where path leads to one through links; otherwise path without slashes at its end. */
static char *resolve(const char *path)
{
    char *real = realpath(path, NULL);
    if (real) return real;
    char *copy = xstrdup(path);
    for (size_t n = strlen(copy); n > 1 && copy[n - 1] == '/'; n--) copy[n - 1] = '\0';
    return copy;
}

static int check_target(const WholeFolder *folder)
{
    struct stat info;
    int n = 0;
    if (!*folder->path) FAIL(ERR_FILE, "the name of the folder to write is empty");
    if (lstat(folder->path, &info) != 0) return OK;                         /* mkdir will say why, if it is more than absence */
    if (!S_ISDIR(info.st_mode)) FAIL(ERR_FILE, "%s: there is a file of this name, not a folder", folder->path);
    TRY(look_into(&n, folder->path, folder->owns));
    if (n > 0 && !folder->replace) FAIL(ERR_FILE, "%s: the folder is not empty; --force writes it anew", folder->path);
    return OK;
}

/* A folder that its owner has renamed since we opened it is no longer the one at this path. */
static bool still_there(const WholeFolder *folder)
{
    struct stat ours, named;
    return fstat(folder->fd, &ours) == 0 && stat(folder->temporary, &named) == 0 && ours.st_ino == named.st_ino && ours.st_dev == named.st_dev;
}

/* Makes the folder to write into, or takes over the one that a killed process has left. */
static int take_temporary(WholeFolder *folder)
{
    if (mkdir(folder->temporary, 0777) != 0 && errno != EEXIST) FAIL(ERR_FILE, "%s: cannot be made (%s)", folder->path, strerror(errno));
    folder->fd = open(folder->temporary, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (folder->fd < 0) FAIL(ERR_FILE, "%s: cannot be opened (%s)", folder->temporary, strerror(errno));
    bool busy = flock(folder->fd, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK;      /* some file systems have no locks */
    if (busy || !still_there(folder)) FAIL(ERR_FILE, "%s: another process is writing it; wait for it, or choose another place", folder->path);
    return clear(folder->temporary, folder->owns);
}

static void folder_free(WholeFolder *folder)
{
    if (folder->fd >= 0) close(folder->fd);
    free(folder->path);
    free(folder->temporary);
    *folder = (WholeFolder){ .fd = -1 };
}

int whole_folder_begin(WholeFolder *out, const char *path, bool replace, FolderOwns owns)
{
    WholeFolder folder = { .path = resolve(path), .fd = -1, .replace = replace, .owns = owns };
    folder.temporary = xformat("%s" WHOLE_FOLDER_ENDING, folder.path);
    int status = check_target(&folder);
    if (status == OK) status = take_temporary(&folder);
    if (status != OK) folder_free(&folder);
    *out = folder;
    return status;
}

/* ---- end ---- */

/* Exchanges the two names; in three steps where the file system has no single one. */
static int exchange(const char *a, const char *b)
{
    if (renameat2(AT_FDCWD, a, AT_FDCWD, b, RENAME_EXCHANGE) == 0) return 0;
    if (errno != EINVAL && errno != ENOSYS) return -1;
    char *aside = xformat("%s.old", a);
    int failed = rename(b, aside);
    if (!failed && (failed = rename(a, b)) != 0) (void)!rename(aside, b);
    if (!failed) failed = rename(aside, a);
    free(aside);
    return failed;
}

static int give_name(const WholeFolder *folder)
{
    if (fsync(folder->fd) != 0 && errno != EINVAL) FAIL(ERR_FILE, "%s: cannot be flushed to disk (%s)", folder->temporary, strerror(errno));
    if (rename(folder->temporary, folder->path) == 0) return OK;
    if ((errno != ENOTEMPTY && errno != EEXIST) || !folder->replace || exchange(folder->temporary, folder->path) != 0)
        FAIL(ERR_FILE, "%s: cannot be renamed to %s (%s)", folder->temporary, folder->path, strerror(errno));
    return remove_folder(folder->temporary, folder->owns);      /* now the old one */
}

int whole_folder_commit(WholeFolder *folder)
{
    int status = give_name(folder);
    if (status == OK) status = durable_folder(folder->path);
    if (status == OK) folder_free(folder);
    else whole_folder_abandon(folder);
    return status;
}

void whole_folder_abandon(WholeFolder *folder)
{
    if (!folder->temporary) return;
    char *failure = xstrdup(err_last());
    remove_folder(folder->temporary, folder->owns);
    err_set(OK, "%s", failure);
    free(failure);
    folder_free(folder);
}
