/* file_folder.h - a folder for a group of tests and the path of the one file that they write in it */
#ifndef CORE_TESTS_FILE_FOLDER_H
#define CORE_TESTS_FILE_FOLDER_H

#include "core/tests/model_files.h"

static char *folder, *path;

/* What a group's setup does for a file of this name; remove_folder is its teardown. */
static inline int folder_with(void **state, const char *name)
{
    (void)state;
    folder = folder_make();
    path = xformat("%s/%s", folder, name);
    return 0;
}

static inline int remove_folder(void **state)
{
    (void)state;
    free(path);
    folder_remove(folder);
    return 0;
}

#endif
