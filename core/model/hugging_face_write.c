#include "core/model/hugging_face_write.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/err.h"
#include "core/base/interrupt.h"
#include "core/model/hugging_face_config_write.h"
#include "core/model/hugging_face_names.h"
#include "core/model/safetensors_write.h"
#include "core/model/tensor_set.h"
#include "core/store/durable.h"
#include "core/store/whole_folder.h"

/* ---- which tensor goes where ---- */

typedef struct { WeightKind kind; int block, file; } Place;

typedef struct {
    int n, n_files;
    Tensor *tensor;                 /* [n] in the order of writing; names are owned */
    Place *place;                   /* [n] */
    int64_t n_bytes;
} WritePlan;

static void plan_add(WritePlan *plan, const Model *model, WeightKind kind, int block, const HuggingFaceOutput *output)
{
    const Tensor *source = model_tensor(model, kind, block);
    if (!source) return;
    Tensor tensor = *source;
    tensor.dtype = output->dtype;
    tensor.data = NULL;
    tensor.name = kind < WEIGHT_EMBEDDING ? xformat(HUGGING_FACE_BLOCKS "%d.%s", block, hugging_face_names[kind]) : xstrdup(hugging_face_names[kind]);
    tensor_measure(&tensor);        /* of a shape that a file has: nothing can be wrong */
    plan->tensor[plan->n] = tensor;
    plan->place[plan->n++] = (Place){ .kind = kind, .block = block };
    plan->n_bytes += (int64_t)tensor.n_bytes;
}

static void assign_files(WritePlan *plan, int64_t file_bytes)
{
    int64_t used = 0;
    for (int i = 0; i < plan->n; i++) {
        const int64_t n_bytes = (int64_t)plan->tensor[i].n_bytes;
        if (i == 0 || used + n_bytes > file_bytes) {
            plan->n_files++;
            used = 0;
        }
        used += n_bytes;
        plan->place[i].file = plan->n_files;
    }
}

static WritePlan plan_new(const Model *model, const HuggingFaceOutput *output)
{
    const int n_blocks = model_shape(model)->n_blocks;
    const size_t most = (size_t)n_blocks * WEIGHT_COUNT;
    WritePlan plan = { .tensor = xcalloc(most, sizeof *plan.tensor), .place = xcalloc(most, sizeof *plan.place) };
    plan_add(&plan, model, WEIGHT_EMBEDDING, 0, output);
    for (int block = 0; block < n_blocks; block++)
        for (WeightKind kind = WEIGHT_Q; kind < WEIGHT_EMBEDDING; kind++) plan_add(&plan, model, kind, block, output);
    plan_add(&plan, model, WEIGHT_FINAL_NORM, 0, output);
    plan_add(&plan, model, WEIGHT_HEAD, 0, output);
    assign_files(&plan, output->file_bytes);
    return plan;
}

static void plan_free(WritePlan *plan)
{
    for (int i = 0; i < plan->n; i++) free((char *)plan->tensor[i].name);
    free(plan->tensor);
    free(plan->place);
}

static char *file_name(const WritePlan *plan, int file)
{
    return plan->n_files == 1 ? xstrdup(HUGGING_FACE_SINGLE) : xformat(HUGGING_FACE_SHARD, file, plan->n_files);
}

/* ---- weights ---- */

typedef struct {
    const char *folder;
    const Model *model;
    const HuggingFaceOutput *output;
    const WritePlan *plan;
    float *buffer;
} Writer;

enum { PIECE = 1 << 22 };           /* values of a weight that is no layer, or a row if that is longer */

static bool is_layer(WeightKind kind) { return kind <= WEIGHT_DOWN; }
static int64_t columns(const Tensor *tensor) { return tensor->rank == 2 ? tensor->shape[1] : 1; }

static int64_t rows_at_once(const Tensor *tensor, WeightKind kind)
{
    const int64_t fit = PIECE / columns(tensor);
    return is_layer(kind) || fit > tensor->shape[0] ? tensor->shape[0] : fit < 1 ? 1 : fit;
}

static float *buffer_new(const WritePlan *plan)
{
    int64_t most = 0;
    for (int i = 0; i < plan->n; i++) {
        const int64_t n = rows_at_once(&plan->tensor[i], plan->place[i].kind) * columns(&plan->tensor[i]);
        most = n > most ? n : most;
    }
    return xmalloc(sizeof(float) * (size_t)most);
}

static int write_tensor(SafetensorsFile *file, const Writer *w, int i)
{
    const Tensor *tensor = &w->plan->tensor[i];
    const Place place = w->plan->place[i];
    const int64_t rows = tensor->shape[0], step = rows_at_once(tensor, place.kind);
    for (int64_t row = 0; row < rows; row += step) {
        const int64_t n = step < rows - row ? step : rows - row;
        if (interrupt_requested()) FAIL(ERR_INTERRUPTED, "interrupted; nothing was written");
        TRY(model_read(w->buffer, w->model, place.kind, place.block, row, n));
        if (is_layer(place.kind) && w->output->replace)
            TRY(w->output->replace(w->buffer, w->model, model_layer_index(place.block, place.kind), w->output->context));
        TRY(safetensors_put(file, w->buffer, n * columns(tensor)));
    }
    return OK;
}

/* Tensors [first, last) are one file. */
static int write_file(const Writer *w, int first, int last)
{
    char *name = file_name(w->plan, w->plan->place[first].file), *path = xformat("%s/%s", w->folder, name);
    SafetensorsFile *file = NULL;
    int status = safetensors_create(&file, path, w->plan->tensor + first, last - first);
    for (int i = first; i < last && status == OK; i++) status = write_tensor(file, w, i);
    if (status == OK) status = safetensors_finish(&file);
    safetensors_abandon(&file);
    free(path);
    free(name);
    return status;
}

static int write_weights(const Writer *w)
{
    const WritePlan *plan = w->plan;
    for (int first = 0, last; first < plan->n; first = last) {
        for (last = first; last < plan->n && plan->place[last].file == plan->place[first].file;) last++;
        TRY(write_file(w, first, last));
    }
    return OK;
}

/* ---- what stands beside them ---- */

static int write_bytes(const char *path, const void *bytes, size_t n)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (fd < 0) FAIL(ERR_FILE, "%s: cannot be created (%s)", path, strerror(errno));
    int status = durable_write(fd, path, bytes, n, 0);
    if (status == OK && fsync(fd) != 0) status = err_set(ERR_FILE, "%s: cannot be flushed to disk (%s)", path, strerror(errno));
    if (close(fd) != 0 && status == OK) status = err_set(ERR_FILE, "%s: cannot be written (%s)", path, strerror(errno));
    return status;
}

static int write_json(const Writer *w, const char *name, json_t *object)
{
    char *path = xformat("%s/%s", w->folder, name), *text = hugging_face_json_text(object), *line = xformat("%s\n", text);
    int status = write_bytes(path, line, strlen(line));
    json_decref(object);
    free(line);
    free(text);
    free(path);
    return status;
}

static int write_config(const Writer *w)
{
    json_t *config;
    TRY(hugging_face_config_make(&config, w->model, w->output->dtype));
    return write_json(w, HUGGING_FACE_CONFIG, config);
}

static int write_index(const Writer *w)
{
    if (w->plan->n_files == 1) return OK;
    json_t *files = json_object();
    for (int i = 0; i < w->plan->n; i++) {
        char *name = file_name(w->plan, w->plan->place[i].file);
        json_object_set_new(files, w->plan->tensor[i].name, json_string(name));
        free(name);
    }
    return write_json(w, HUGGING_FACE_INDEX, json_pack("{s:{s:I}, s:o}", "metadata", "total_size", (json_int_t)w->plan->n_bytes, "weight_map", files));
}

static int copy_companion(const Writer *w, const char *name)
{
    char *from = xformat("%s/%s", model_path(w->model), name), *to = xformat("%s/%s", w->folder, name);
    uint8_t *bytes = NULL;
    size_t n = 0;
    int status = durable_read(&bytes, &n, from);
    if (status == OK && bytes) status = write_bytes(to, bytes, n);
    free(bytes);
    free(from);
    free(to);
    return status;
}

static int copy_companions(const Writer *w)
{
    struct stat info;
    if (stat(model_path(w->model), &info) != 0 || !S_ISDIR(info.st_mode)) return OK;
    for (int i = 0; hugging_face_companions[i]; i++) TRY(copy_companion(w, hugging_face_companions[i]));
    return OK;
}

/* ---- the directory ---- */

/* Writing there could delete what is being read; so could the clearing of what a killed run has left. */
static int refuse_inside(const Model *model, const char *directory)
{
    char *outer = realpath(directory, NULL), *inner = realpath(model_path(model), NULL);
    const size_t n = outer ? strlen(outer) : 0;
    const bool inside = outer && inner && !strncmp(inner, outer, n) && (inner[n] == '/' || inner[n] == '\0' || !strcmp(outer, "/"));
    const bool unfinished = inner && strstr(inner, WHOLE_FOLDER_ENDING);
    free(outer);
    free(inner);
    if (inside) FAIL(ERR_FILE, "%s: the model that is read lies there; choose another place", directory);
    if (unfinished) FAIL(ERR_FILE, "%s: what a run that was killed has left is no model to read", model_path(model));
    return OK;
}

/* Small files first: what is wrong with them is known before the long work. */
static int write_all(const Writer *w)
{
    TRY(write_config(w));
    TRY(copy_companions(w));
    TRY(write_index(w));
    return write_weights(w);
}

int hugging_face_write(int64_t *n_bytes, const char *directory, const Model *model, const HuggingFaceOutput *output)
{
    WholeFolder folder;
    TRY(refuse_inside(model, directory));
    TRY(whole_folder_begin(&folder, directory, output->force, hugging_face_is_file));
    WritePlan plan = plan_new(model, output);
    Writer writer = { .folder = folder.temporary, .model = model, .output = output, .plan = &plan, .buffer = buffer_new(&plan) };
    int status = write_all(&writer);
    if (status == OK) status = whole_folder_commit(&folder);
    else whole_folder_abandon(&folder);
    *n_bytes = plan.n_bytes;
    free(writer.buffer);
    plan_free(&plan);
    return status;
}
