/*
 * roofline.h - what a pass of the cuda back end costs on a device, from the shape of the model and a data sheet
 *
 *     bound = max(FLOPs / rate, bytes / bandwidth, bytes over the link / link)      per operation; sums over operations, or, where it is
 *                                                                                    longer, what crosses the link beside them
 *
 * (Williams, Waterman, Patterson 2009.)  Bytes are each input and output of an operation once, weights once for every chunk of rows, 2 bytes
 * a number inside the parts of a bf16 block and 4 elsewhere: as kernels/cuda does it.  The prediction lowers every roof to the share of it
 * that operations of the kind are expected to reach (roofline.c states and justifies the shares), and gives a launch its least time.
 * What the host does itself (reading the model, quantizers, embeddings) is in neither.
 */
#ifndef CORE_MEASURE_ROOFLINE_H
#define CORE_MEASURE_ROOFLINE_H

#include <stdbool.h>

#include "core/measure/device_table.h"
#include "core/model/model.h"

/* What its time is made of, which decides the share of each roof. */
typedef enum { COST_PRODUCT, COST_ATTENTION, COST_OTHER, COST_KINDS } CostKind;
typedef enum { UNIT_BF16, UNIT_FP32, UNIT_FP64, UNITS } ArithmeticUnit;

typedef struct {
    const char *name;
    CostKind kind;
    ArithmeticUnit unit;
    double calls, flops, bytes, link;       /* link: bytes from or to the host */
    bool beside;                            /* while the others run            */
} Cost;

enum { MOST_COSTS = 48 };
typedef struct { int n; Cost cost[MOST_COSTS]; } Costs;

/* A text, and how it passes through a model. */
typedef struct {
    const ModelShape *shape;
    bool rounded;                           /* precision bf16                                    */
    bool half;                              /* the model's weights are 16-bit numbers            */
    double rows, scored, length;            /* rows of the text and of the head; of a segment    */
    double chunk, together, head_rows;      /* rows that pass a block, a backward pass, the head at a time */
    bool resident, keep_logits, keep;       /* as in StudyPlan; keep: the activations of a backward pass */
} RooflineCase;

/* Adds operations to *out; those of one name become one.  A forward pass from block `from` on: the stream comes from the host where
 * that is the first, from its boundary otherwise.  Then what follows the last block: logits and NLL, and for a KL the rest. */
void roofline_blocks(Costs *out, const RooflineCase *c, int from);
void roofline_losses(Costs *out, const RooflineCase *c, bool kl);

/* Noise in the layers of one block, `times` times. */
void roofline_noise(Costs *out, const RooflineCase *c, WeightKind layer, double times);

/* Weights of one layer that the host made, likewise. */
void roofline_upload(Costs *out, const RooflineCase *c, WeightKind layer, double times);

/* A backward pass by logits' signs, forms of all layers of blocks >= lowest: the forward pass, what is computed again, and the way back. */
void roofline_fisher(Costs *out, const RooflineCase *c, int lowest);

/* What binds: an index of bound_name, or ROOF_LAUNCH. */
typedef enum { ROOF_ARITHMETIC, ROOF_MEMORY, ROOF_LINK, ROOF_LAUNCH, ROOFS } Roof;
extern const char *const roof_name[ROOFS];

typedef struct { double bound, predicted; Roof roof; } Seconds;     /* roof: of the bound */
Seconds roofline_seconds(const Cost *cost, const DeviceSheet *device);
Seconds roofline_total(const Costs *costs, const DeviceSheet *device);

/* FLOPs of all operations of a kind. */
double roofline_flops(const Costs *costs, CostKind kind);

#endif
