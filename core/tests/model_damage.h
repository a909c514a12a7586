/*
 * model_damage.h - a sound model in both formats, to be damaged; whatever is wrong, one sentence and never a crash
 */
#ifndef CORE_TESTS_MODEL_DAMAGE_H
#define CORE_TESTS_MODEL_DAMAGE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "core/tests/model_files.h"

#define SMALL "core/tests/golden/tiny/llama-v8"

static char *folder, *gguf_path, *weights_path, *config_path;
static Bytes gguf, weights, config;         /* the sound files */

static inline int make_files(void **state)
{
    (void)state;
    Model *model = NULL;
    folder = folder_make();
    gguf_path = xformat("%s/small.gguf", folder);
    weights_path = xformat("%s/model.safetensors", folder);
    config_path = xformat("%s/config.json", folder);
    weights = bytes_read(SMALL "/model.safetensors");
    config = bytes_read(SMALL "/config.json");
    if (model_open(&model, SMALL) != OK) return 1;
    GgufWriter writer = gguf_from_model(model, "llama", 1e4);
    gguf = gguf_finish(&writer, 3);
    model_close(&model);
    return 0;
}

static inline int remove_files(void **state)
{
    (void)state;
    bytes_free(&gguf);
    bytes_free(&weights);
    bytes_free(&config);
    free(gguf_path);
    free(weights_path);
    free(config_path);
    folder_remove(folder);
    return 0;
}

static inline int restore(void **state)
{
    (void)state;
    bytes_write(&gguf, gguf_path);
    bytes_write(&weights, weights_path);
    bytes_write(&config, config_path);
    return 0;
}

static inline int read_everything(const Model *model)
{
    int status = OK;
    for (int block = 0; block < model_shape(model)->n_blocks; block++)
        for (WeightKind kind = WEIGHT_Q; kind < WEIGHT_COUNT; kind++) {
            const Tensor *tensor = model_tensor(model, kind, block);
            if (!tensor) continue;
            int64_t cols = tensor->rank == 2 ? tensor->shape[1] : 1;
            float *row = malloc((size_t)cols * sizeof *row);
            for (int64_t i = 0; i < tensor->shape[0] && status == OK; i++) status = model_read(row, model, kind, block, i, 1);
            free(row);
        }
    return status;
}

/* Opens and reads all; a failure must have left one sentence that begins with a path. */
static inline int try_model(const char *path)
{
    Model *model = NULL;
    err_set(OK, "%s", "");
    int status = model_open(&model, path);
    assert_int_equal(status == OK, model != NULL);
    if (status == OK) status = read_everything(model);
    model_close(&model);
    if (status != OK && (!strstr(err_last(), folder) || strchr(err_last(), '\n'))) fail_msg("said: %s", err_last());
    return status;
}

static inline void assert_refused(const char *path, int code, const char *says)
{
    int status = try_model(path);
    if (status != code || !strstr(err_last(), says)) fail_msg("%d, said: %s; wanted %d, %s", status, err_last(), code, says);
}

#endif
