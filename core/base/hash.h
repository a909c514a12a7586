/*
 * hash.h - SHA-256 of bytes (libcrypto), as 64 lower-case hexadecimal digits
 *
 * Keys of measurements, models and corpora are such digests: content decides, names do not.
 */
#ifndef CORE_BASE_HASH_H
#define CORE_BASE_HASH_H

#include <stddef.h>

enum { HASH_TEXT = 65 };            /* 64 digits and the terminating zero */

typedef struct Hash Hash;

/* An incremental digest.  hash_end writes the digits and frees it. */
Hash *hash_begin(void);
void  hash_add(Hash *hash, const void *data, size_t n_bytes);
void  hash_end(Hash *hash, char out[HASH_TEXT]);

void hash_bytes(char out[HASH_TEXT], const void *data, size_t n_bytes);

#endif
