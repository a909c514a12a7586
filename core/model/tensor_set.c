#include "core/model/tensor_set.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/err.h"

void tensor_set_add(TensorSet *set, const Tensor *tensor, const char *name, size_t length)
{
    if (set->n == set->capacity) {
        set->capacity = set->capacity ? 2 * set->capacity : 64;
        set->tensors = xrealloc(set->tensors, (size_t)set->capacity * sizeof *set->tensors);
    }
    char *copy = xmalloc(length + 1);
    memcpy(copy, name, length);
    copy[length] = '\0';
    Tensor *added = &set->tensors[set->n++];
    *added = *tensor;
    added->name = copy;
}

static int compare_names(const void *a, const void *b)
{
    return strcmp((*(const Tensor *const *)a)->name, (*(const Tensor *const *)b)->name);
}

static int compare_places(const void *a, const void *b)
{
    const Tensor *left = *(const Tensor *const *)a, *right = *(const Tensor *const *)b;
    if (left->data != right->data) return left->data < right->data ? -1 : 1;
    return (left->n_bytes > right->n_bytes) - (left->n_bytes < right->n_bytes);     /* empty ones first */
}

int tensor_set_finish(TensorSet *set, const char *path)
{
    size_t n = (size_t)set->n;
    set->by_name = xmalloc(n * sizeof *set->by_name);
    const Tensor **order = set->by_name;
    for (size_t i = 0; i < n; i++) order[i] = &set->tensors[i];

    qsort(order, n, sizeof *order, compare_places);
    for (size_t i = 1; i < n; i++)
        if (order[i - 1]->data + order[i - 1]->n_bytes > order[i]->data)
            FAIL(ERR_FORMAT, "%s: tensors '%s' and '%s' share bytes", path, order[i - 1]->name, order[i]->name);

    qsort(order, n, sizeof *order, compare_names);
    for (size_t i = 1; i < n; i++)
        if (strcmp(order[i - 1]->name, order[i]->name) == 0)
            FAIL(ERR_FORMAT, "%s: two tensors are named '%s'", path, order[i]->name);
    return OK;
}

void tensor_set_free(TensorSet *set)
{
    for (int i = 0; i < set->n; i++) free((char *)set->tensors[i].name);
    free(set->tensors);
    free(set->by_name);
    *set = (TensorSet){ 0 };
}

const Tensor *tensor_set_find(const TensorSet *set, const char *name)
{
    const Tensor key = { .name = name }, *wanted = &key;
    const Tensor **found = set->n == 0 ? NULL
        : bsearch(&wanted, set->by_name, (size_t)set->n, sizeof *set->by_name, compare_names);
    return found ? *found : NULL;
}

int tensor_measure(Tensor *tensor)
{
    int64_t n_weights = 1, columns = tensor->rank > 0 ? tensor->shape[tensor->rank - 1] : 1;
    for (int i = 0; i < tensor->rank; i++)
        if (tensor->shape[i] < 0 || __builtin_mul_overflow(n_weights, tensor->shape[i], &n_weights))
            FAIL(ERR_FORMAT, "its shape is impossible");
    int block = dtype_block_weights(tensor->dtype);
    if (columns % block != 0)
        FAIL(ERR_FORMAT, "a row of %lld weights is not a whole number of %s blocks of %d",
             (long long)columns, dtype_name(tensor->dtype), block);
    if (__builtin_mul_overflow((size_t)(n_weights / block), dtype_block_bytes(tensor->dtype), &tensor->n_bytes))
        FAIL(ERR_FORMAT, "its shape is impossible");
    return OK;
}
