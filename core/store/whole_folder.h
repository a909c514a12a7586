/*
 * whole_folder.h - a folder of files that is there in full or not at all
 *
 * Files are written into PATH.linearity-tmp, which gets the name PATH when all of them are on the disk.  What a killed
 * process has left there goes when the next one begins.  Whatever is deleted, here or in a folder that is replaced,
 * consists of files whose names the caller says are its own: anything else is refused.
 */
#ifndef CORE_STORE_WHOLE_FOLDER_H
#define CORE_STORE_WHOLE_FOLDER_H

#include <stdbool.h>

#define WHOLE_FOLDER_ENDING ".linearity-tmp"

/* Is a file of this name one that may be deleted? */
typedef bool (*FolderOwns)(const char *name);

typedef struct {
    char *path, *temporary;         /* write into the second one */
    int fd;                         /* of the second one, locked  */
    bool replace;
    FolderOwns owns;
} WholeFolder;

/* path: not there yet, an empty folder, or, with replace, a folder that holds nothing but files of such names.  ERR_FILE:
 * it is none of these, cannot be made, or another process is at it. */
int whole_folder_begin(WholeFolder *out, const char *path, bool replace, FolderOwns owns);

/* Gives the folder its name (an old one is exchanged for it in one step where the file system can) and frees; after a
 * failure PATH is as it was. */
int whole_folder_commit(WholeFolder *folder);

/* Removes what was written and frees.  The recorded failure stays. */
void whole_folder_abandon(WholeFolder *folder);

#endif
