#include "core/base/hash.h"

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
