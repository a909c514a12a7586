/*
 * file_map.h - a whole file mapped into memory for reading
 */
#ifndef CORE_MODEL_FILE_MAP_H
#define CORE_MODEL_FILE_MAP_H

#include <stddef.h>

typedef struct {
    const unsigned char *data;
    size_t n_bytes;
} FileMap;

/* ERR_FILE where path is not a readable regular file, ERR_FORMAT where it is empty. */
int  file_map_open(FileMap *out, const char *path);
void file_map_close(FileMap *map);

#endif
