/*
 * sparse.h - single weights of a matrix that are stored beside its quantized form, as compressed sparse rows
 *
 *     W^_rc = value_k  where (r, c) is kept as the k-th,  the dense form's elsewhere
 *
 * Three planes: how many weights each row keeps (as few bits each as the largest number takes), their columns (16 bits; 32 in
 * a matrix of more than 65,536 columns) and their values (16 or 32).  With values of 16 bits that is the 32 bits per kept weight
 * that SpQR and TaCQ count (arXiv 2306.03078, 2504.07389), and the rows' numbers besides.  Where nothing is kept nothing is stored.
 */
#ifndef CORE_QUANTIZE_SPARSE_H
#define CORE_QUANTIZE_SPARSE_H

#include "core/quantize/packed.h"

/* Row r keeps columns column[first[r] .. first[r + 1]), ascending; first[0] = 0, first[rows] = n. */
typedef struct { int64_t n, *first; uint32_t *column; } KeptWeights;

void kept_free(KeptWeights *kept);

/* Those of mark [rows][cols] that are not 0. */
KeptWeights kept_of_marks(const unsigned char *mark, int64_t rows, int64_t cols);

/* Those of place [n], ascending; weight (r, c) has place r cols + c. */
KeptWeights kept_of_places(const int64_t *place, int64_t n, int64_t rows, int64_t cols);

/* value [n], rounded here to value_bits (16: IEEE half, 32).  Infinite where it is too large: false is returned then. */
bool sparse_pack(Packed *out, const KeptWeights *kept, const double *value, int64_t rows, int64_t cols, int value_bits);

/* Bits of all that. */
int64_t sparse_bits(const KeptWeights *kept, int64_t rows, int64_t cols, int value_bits);

/* Writes the kept values over w [rows][cols], from the planes `plane` and after; leaves w alone where there are none. */
void sparse_unpack(float *w, const Packed *packed, int plane, int64_t rows, int64_t cols);

#endif
