/*
 * top_tokens.h - the k largest of a row of logits, as the vocabulary sees a state
 */
#ifndef CORE_IMPORTANCE_TOP_TOKENS_H
#define CORE_IMPORTANCE_TOP_TOKENS_H

#include <stdbool.h>
#include <stdint.h>

#include "core/network/network.h"

/* id[k] = the indices of the k largest of logit[n], k <= n, by descending value, equal ones by ascending index; false where a logit is not
 * a number. */
bool top_tokens(int32_t *id, int k, const float *logit, int n);

/* token: [layout->rows][k] of every row of a stream, or with last [layout->n][k] of the last row of each segment.  x: the stream, in the
 * back end's memory.  ERR_FORMAT where a logit is not a number. */
int stream_tokens(int32_t *token, Network *network, const Layout *layout, const float *x, Projection projection, int k, bool last);

#endif
