#include "core/measure/kronecker.h"

#include <stdlib.h>

#include "core/base/err.h"
#include "core/perturb/perturbation.h"

static float *uploaded(const Kernels *k, const float *x, int64_t n)
{
    float *device = k->alloc(n);
    k->upload(device, x, n);
    return device;
}

static double trace(const float *matrix, int64_t n)
{
    double sum = 0;
    for (int64_t i = 0; i < n; i++) sum += (double)matrix[i * (n + 1)];
    return sum;
}

/* E . (S_delta (E S_x)): both factors are symmetric, so either side of a product will do. */
static double form(const float *error, const float *input, const float *gradient, int64_t rows, int64_t cols, const Kernels *k)
{
    const int length = (int)rows;
    const int64_t zero = 0, n = rows * cols;
    const Ragged all = { 1, &length, &zero };
    float *e = uploaded(k, error, n), *sx = uploaded(k, input, cols * cols), *sd = uploaded(k, gradient, rows * rows), *m = k->alloc(n), *p = k->alloc(n);
    k->matmul(m, cols, e, sx, 0, NULL, &all, (int)cols, (int)cols);
    k->matmul_backward(p, sd, m, 0, &all, (int)cols, (int)rows, 0);
    float *host = xmalloc(sizeof *host * (size_t)n);
    k->download(host, p, n);
    double sum = 0;
    for (int64_t i = 0; i < n; i++) sum += (double)error[i] * host[i];
    float *device[] = { e, sx, sd, m, p };
    for (size_t i = 0; i < sizeof device / sizeof *device; i++) k->release(device[i]);
    free(host);
    return sum;
}

double kronecker_size(const float *error, const float *w, const float *input, const float *gradient, int64_t rows, int64_t cols,
                      const Kernels *kernels)
{
    const double norm2 = sum_of_squares(w, rows * cols), traces = trace(input, cols) * trace(gradient, rows);
    return form(error, input, gradient, rows, cols, kernels) * (double)(rows * cols) / (traces * norm2);
}
