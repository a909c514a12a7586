#include "core/base/hash.h"

#include <errno.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/err.h"

struct Hash { EVP_MD_CTX *context; };

Hash *hash_begin(void)
{
    Hash *hash = xmalloc(sizeof *hash);
    hash->context = EVP_MD_CTX_new();
    EVP_DigestInit_ex(hash->context, EVP_sha256(), NULL);
    return hash;
}

void hash_add(Hash *hash, const void *data, size_t n_bytes)
{
    EVP_DigestUpdate(hash->context, data, n_bytes);
}

void hash_end(Hash *hash, char out[HASH_TEXT])
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned n = 0;
    EVP_DigestFinal_ex(hash->context, digest, &n);
    EVP_MD_CTX_free(hash->context);
    free(hash);
    for (unsigned i = 0; i < 32; i++) snprintf(out + 2 * i, 3, "%02x", digest[i]);
}

void hash_bytes(char out[HASH_TEXT], const void *data, size_t n_bytes)
{
    Hash *hash = hash_begin();
    hash_add(hash, data, n_bytes);
    hash_end(hash, out);
}

int hash_file(char out[HASH_TEXT], const char *path)
{
    FILE *file = fopen(path, "rb");
    if (!file) FAIL(ERR_FILE, "%s: %s", path, strerror(errno));
    Hash *hash = hash_begin();
    enum { CHUNK = 1 << 20 };
    unsigned char *buffer = xmalloc(CHUNK);
    size_t n;
    while ((n = fread(buffer, 1, CHUNK, file)) > 0) hash_add(hash, buffer, n);
    int failed = ferror(file);
    free(buffer);
    fclose(file);
    hash_end(hash, out);
    if (failed) FAIL(ERR_FILE, "%s: cannot be read", path);
    return OK;
}
