#include "core/text/corpus_gptq.h"

#include <stdbool.h>

#include "core/base/err.h"
#include "core/text/python_random.h"

/* Without one long document the draws would never end. */
static int check_lengths(int n_documents, int context, DocumentLength length, void *documents, const char *path)
{
    int64_t longest = 0;
    for (int i = 0; i < n_documents && longest <= context; i++) {
        int64_t n;
        TRY(length(&n, documents, i));
        if (n > longest) longest = n;
    }
    if (longest <= context)
        FAIL(ERR_FORMAT, "%s: none of %d documents is longer than the context of %d tokens, the longest has %lld; give a smaller context or longer documents",
             path, n_documents, context, (long long)longest);
    return OK;
}

int gptq_draw(Draw *out, int windows, int n_documents, int context, uint64_t seed,
              DocumentLength length, void *documents, const char *path)
{
    TRY(check_lengths(n_documents, context, length, documents, path));
    PythonRandom random;
    python_random_seed(&random, seed);
    for (int w = 0; w < windows; w++) {
        int64_t n;
        do {
            out[w].document = (int)python_random_integer(&random, 0, n_documents - 1);
            TRY(length(&n, documents, out[w].document));
        } while (n <= context);
        out[w].start = python_random_integer(&random, 0, n - context - 1);
    }
    return OK;
}
