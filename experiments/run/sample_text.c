#include "experiments/run/sample_text.h"

#include <stdlib.h>

#include "core/base/err.h"
#include "core/base/rng.h"
#include "core/base/size.h"
#include "core/network/network.h"
#include "core/text/tokenizer.h"

enum { FIRST_WORDS = 1000 };

static bool is_plain_word(Tokenizer *tokenizer, int32_t id)
{
    if (tokenizer_is_special(tokenizer, id)) return false;
    size_t n;
    const char *text = tokenizer_decode(tokenizer, id, &n);
    if (n < 2 || text[0] != ' ') return false;
    for (size_t i = 1; i < n; i++)
        if (text[i] < 'a' || text[i] > 'z') return false;
    return true;
}

static int first_tokens(int32_t *token, const Model *model, int first, int windows, uint64_t seed, const char *otherwise)
{
    Tokenizer *tokenizer = NULL;
    int status = tokenizer_open(&tokenizer, model_path(model));
    if (status != OK) return err_set(status, "%s; sampled text begins with an ordinary word, so it needs the tokenizer (%s)", err_last(), otherwise);
    int32_t word[FIRST_WORDS];
    int n = 0, V = model_shape(model)->vocabulary;
    for (int32_t id = 0; id < tokenizer_vocabulary(tokenizer) && id < V && n < FIRST_WORDS; id++)
        if (is_plain_word(tokenizer, id)) word[n++] = id;
    tokenizer_close(&tokenizer);
    if (n == 0) FAIL(ERR_UNSUPPORTED, "%s: the vocabulary has no ordinary word to begin sampled text with", model_path(model));
    for (int w = 0; w < windows; w++)
        token[w] = word[(int)(rng_uniform(seed, rng_stream(RNG_TEXT, 0, 0, first + w), 0) * n)];
    return OK;
}

int sample_text(int32_t *ids, const Model *model, const Kernels *kernels, int64_t memory, int first, int windows, int length, uint64_t seed,
                const char *otherwise)
{
    int32_t *token = xmalloc(sizeof *token * (size_t)windows);
    NetworkPlan plan = { .resident = true, .chunk_rows = 64 };
    const int64_t cache = network_sample_bytes(model_shape(model), length);
    if (network_bytes(model_shape(model), kernels, &plan, length) + cache > memory) plan.resident = false;
    const int64_t needed = network_bytes(model_shape(model), kernels, &plan, length) + cache;
    char size[SIZE_TEXT], given[SIZE_TEXT];
    Network *net = NULL;
    if (needed > memory && kernels->free_memory) {
        free(token);
        FAIL(ERR_MEMORY, "sampling windows of %d tokens takes %s, keys and values of %d windows among it, and there are %s; sample shorter windows", length,
             size_text(size, needed), SAMPLE_GROUP, size_text(given, memory));
    }
    int status = first_tokens(token, model, first, windows, seed, otherwise);
    if (status == OK) status = network_open(&net, model, kernels, &plan, length);
    if (status == OK) status = network_sample(ids, net, token, first, windows, length, seed);
    network_close(&net);
    free(token);
    return status;
}
