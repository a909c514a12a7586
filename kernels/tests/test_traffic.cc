/*
 * test_traffic.cc - what every slot of the cuda back end moves, counted by the launch shim, against what it must move
 *
 * Prints a table: for each kernel that a slot launches the bytes its threads ask for, the 32-byte sectors of each access of a warp,
 * those that are different ones within a block (what passes the second-level cache where the first one holds what a block uses),
 * and those different within a launch (what passes memory where the second one does).  A slot that memory bounds fails where
 * the first of these, which no cache makes smaller, is more than 1.2 times the least (each input once, each output once): then the others,
 * which are parts of it, are not either.  Products of cuBLASLt are not counted.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kernels/cuda/shim/runtime.h"
#include "kernels/kernels.h"

enum { SEQUENCES = 4, LENGTH = 64, ROWS = SEQUENCES * LENGTH, C = 512, F = 1536, V = 4096, H = 8, G = 2, D = 64, NOISE_ROWS = 128,
       TALL = 4096, WIDE = 256 };                 /* rows enough that a block keeps the gains of a norm for four */
static const double MOST = 1.2;

static const Kernels *k;
static const int lengths[SEQUENCES] = { LENGTH, LENGTH, LENGTH, LENGTH };
static const int64_t offsets[SEQUENCES] = { 0, LENGTH, 2 * LENGTH, 3 * LENGTH };
static const Ragged batch = { SEQUENCES, lengths, offsets };
static double doubles[4][ROWS * 8];
static int32_t ints[2][ROWS];

/* Numbers that differ; what they are counts for nothing here. */
static float *array(int64_t n)
{
    float *host = (float *)malloc((size_t)n * sizeof *host), *p = k->alloc(n);
    for (int64_t i = 0; i < n; i++) host[i] = (float)(i * 2654435761u % 1000) / 500 - 1;
    k->upload(p, host, n);
    free(host);
    return p;
}

static void run_add() { k->add(array(ROWS * F), array(ROWS * F), ROWS * F); }
static void run_swiglu() { k->swiglu(array(ROWS * F), array(ROWS * F), array(ROWS * F), ROWS * F); }
static void run_swiglu_backward() { k->swiglu_backward(array(ROWS * F), array(ROWS * F), array(ROWS * F), array(ROWS * F), array(ROWS * F), ROWS * F); }
static void run_rms_norm() { k->rms_norm(array(TALL * WIDE), array(TALL * WIDE), array(WIDE), TALL, WIDE, 1e-5f); }
static void run_rms_norm_backward() { k->rms_norm_backward(array(TALL * WIDE), array(TALL * WIDE), array(TALL * WIDE), array(WIDE), TALL, WIDE, 1e-5f); }
/* The shapes that longer rows have, each by its shortest row, and as few of them as let a block keep the gains for three and for two. */
enum { WIDER = 2048 + 64, WIDEST = 4096 + 64, NORMS = 768, GRADIENTS = 512 };
static void run_widest_norm() { k->rms_norm(array(NORMS * WIDEST), array(NORMS * WIDEST), array(WIDEST), NORMS, WIDEST, 1e-5f); }

static void norm_backward(int64_t C)
{
    k->rms_norm_backward(array(GRADIENTS * C), array(GRADIENTS * C), array(GRADIENTS * C), array(C), GRADIENTS, (int)C, 1e-5f);
}
static void run_wider_norm_backward() { norm_backward(WIDER); }
static void run_widest_norm_backward() { norm_backward(WIDEST); }

static void run_rotate() { k->rotate(array(ROWS * H * D), array(LENGTH * D / 2), array(LENGTH * D / 2), &batch, NULL, H, D); }
static void run_log_sum_exp() { k->log_sum_exp(doubles[0], ints[0], doubles[1], array((int64_t)ROWS * V), ints[1], ROWS, V); }
static void run_kl() { k->kl_divergence(doubles[0], array((int64_t)ROWS * V), doubles[1], array((int64_t)ROWS * V), doubles[2], ROWS, V); }
static void run_logit_difference() { k->logit_difference(array((int64_t)ROWS * V), doubles[0], array((int64_t)ROWS * V), doubles[1], ints[0], ROWS, V); }
static void run_noise() { k->noise(array(NOISE_ROWS * C), doubles[0], doubles[1], array(NOISE_ROWS * C), NOISE_ROWS, C, 64, 0.1, 0, 1, 2); }
static void run_hadamard() { k->hadamard(array(NOISE_ROWS * C), array(NOISE_ROWS * C), NULL, NOISE_ROWS, C, 256, 0); }
static void run_grid_encode() { k->grid_encode(array(4096), array(8192), array(512), 4096, 256, 2); }
static void run_relative_error() { k->relative_error(doubles[0], doubles[1], array(NOISE_ROWS * C), array(NOISE_ROWS * C), NOISE_ROWS * C); }
static void run_group_scales() { k->group_scales(array(NOISE_ROWS * C / 64), array(NOISE_ROWS * C), NOISE_ROWS, C, 64); }

static void run_uniform()
{
    UniformRounding how = { 4, 16, 64, 0 };
    k->uniform(array(NOISE_ROWS * C), doubles[0], array(NOISE_ROWS * C), NOISE_ROWS, C, &how);
}

static void run_higgs()
{
    HiggsRounding how = { 2, 64, array(128), 256, NULL, 16, 0 };
    k->higgs(array(16 * C), array(16 * C), 16, C, &how);
}

static void run_attention() { k->attention(array(ROWS * H * D), array(ROWS * H * D), array(ROWS * G * D), array(ROWS * G * D), &batch, &batch, H, G, D); }

/* The same rows of heads twice as wide, as large models have them. */
static void run_wide_attention() { k->attention(array(ROWS * H * D), array(ROWS * H * D), array(ROWS * G * D), array(ROWS * G * D), &batch, &batch, H / 2, G / 2, 2 * D); }

static void run_wide_attention_backward()
{
    k->attention_backward(array(ROWS * H * D), array(ROWS * G * D), array(ROWS * G * D), array(ROWS * H * D), array(ROWS * H * D),
                          array(ROWS * G * D), array(ROWS * G * D), &batch, H / 2, G / 2, 2 * D);
}

static void run_log_sum_exp_signed()
{
    uint32_t *sign = (uint32_t *)calloc(ROWS * V / 32, sizeof *sign);
    k->log_sum_exp_signed(doubles[0], ints[0], doubles[1], doubles[2], array((int64_t)ROWS * V), ints[1], sign, ROWS, V);
    free(sign);
}

static void run_logit_probe()
{
    uint32_t *sign = (uint32_t *)calloc(ROWS * V / 32, sizeof *sign);
    k->logit_probe(array((int64_t)ROWS * V), doubles[0], doubles[1], sign, ints[0], ROWS, V);
    free(sign);
}

static void run_attention_backward()
{
    k->attention_backward(array(ROWS * H * D), array(ROWS * G * D), array(ROWS * G * D), array(ROWS * H * D), array(ROWS * H * D),
                          array(ROWS * G * D), array(ROWS * G * D), &batch, H, G, D);
}

static void run_gradient_forms()
{
    const float *matrix[] = { array(C * C), array(C * C) };
    const int64_t stride[] = { 0, 0 };
    FormInput input = { 64, array(C * C / 64), 2, matrix, stride };
    k->gradient_forms(doubles[0], doubles[1], doubles[2], array(ROWS * C), array(ROWS * C), &batch, C, C, &input);
}

static Linear linear(int N, int width) { return { array((int64_t)N * width), 0, NULL }; }

static void run_attention_part()
{
    AttentionPart part = { C, H, G, D, 1e-5f, array(C), NULL, NULL, linear(H * D, C), linear(G * D, C), linear(G * D, C), linear(C, H * D),
                           array(LENGTH * D / 2), array(LENGTH * D / 2), 0 };
    k->attention_part(array(ROWS * C), &part, &batch);
}

static void run_feed_forward_part()
{
    FeedForwardPart part = { C, F, 1e-5f, array(C), linear(F, C), linear(F, C), linear(C, F), 0 };
    k->feed_forward_part(array(ROWS * C), &part, &batch);
}

/* least: bytes that the kernels of the slot must move, 0 where it is not memory that bounds them. */
struct Slot { const char *name, *precision; void (*run)(); int64_t least; };
static const int64_t logits = (int64_t)ROWS * V * 4;
static const Slot slots[] = {
    { "add", "fp32", run_add, 3 * ROWS * F * 4 },
    { "swiglu", "fp32", run_swiglu, 3 * ROWS * F * 4 },
    { "swiglu_backward", "fp32", run_swiglu_backward, 5 * ROWS * F * 4 },
    { "rms_norm", "fp32", run_rms_norm, (2 * TALL * WIDE + WIDE) * 4 },
    { "rms_norm_backward", "fp32", run_rms_norm_backward, (3 * TALL * WIDE + WIDE) * 4 },
    { "rms_norm", "fp32", run_widest_norm, (2 * NORMS + 1) * WIDEST * 4 },
    { "rms_norm_backward", "fp32", run_wider_norm_backward, (3 * GRADIENTS + 1) * WIDER * 4 },
    { "rms_norm_backward", "fp32", run_widest_norm_backward, (3 * GRADIENTS + 1) * WIDEST * 4 },
    { "rotate", "fp32", run_rotate, (2 * ROWS * H * D + LENGTH * D) * 4 },
    { "log_sum_exp", "fp32", run_log_sum_exp, logits + ROWS * 24 },
    { "log_sum_exp_signed", "fp32", run_log_sum_exp_signed, logits + logits / 32 + ROWS * 32 },
    { "kl_divergence", "fp32", run_kl, 2 * logits + ROWS * 24 },
    { "logit_probe", "fp32", run_logit_probe, 2 * logits + logits / 32 + ROWS * 20 },
    { "logit_difference", "fp32", run_logit_difference, 3 * logits + ROWS * 20 },
    { "noise", "fp32", run_noise, 2 * NOISE_ROWS * C * 4 },
    { "hadamard", "fp32", run_hadamard, 2 * NOISE_ROWS * C * 4 },
    { "uniform", "fp32", run_uniform, 2 * NOISE_ROWS * C * 4 },
    { "relative_error", "fp32", run_relative_error, 2 * NOISE_ROWS * C * 4 },
    { "group_scales", "fp32", run_group_scales, NOISE_ROWS * C * 4 + NOISE_ROWS * C / 16 },
    { "grid_encode", "fp32", run_grid_encode, 0 },
    { "higgs", "fp32", run_higgs, 0 },
    { "gradient_forms", "fp32", run_gradient_forms, (int64_t)SEQUENCES * (3 * C * C + C * C / 64) * 4 },
    { "attention", "fp32", run_attention, 0 },
    { "attention", "fp32", run_wide_attention, 0 },
    { "attention", "bf16", run_wide_attention, 0 },
    { "attention_backward", "fp32", run_attention_backward, 0 },
    { "attention_backward", "bf16", run_attention_backward, 0 },
    { "attention_backward", "fp32", run_wide_attention_backward, 0 },
    { "attention_backward", "bf16", run_wide_attention_backward, 0 },
    { "attention_part", "bf16", run_attention_part, 0 },
    { "feed_forward_part", "bf16", run_feed_forward_part, 0 },
};

static int report(const Slot *s)
{
    enum { MOST_KERNELS = 32 };
    static ShimTraffic each[MOST_KERNELS];
    int64_t accesses = 0;
    int n = shim_traffic(each, MOST_KERNELS);
    for (int i = 0; i < n; i++) {
        const ShimTraffic *t = &each[i];
        accesses += t->sectors_read + t->sectors_written;
        printf("%s,\"%s\",%lld,%lld,%lld,%lld,%lld,%lld,%lld,%lld,%.3f,%.3f\n", s->name, t->name, (long long)t->launches, (long long)t->threads,
               (long long)t->dynamic_shared, (long long)s->least, (long long)(t->bytes_read + t->bytes_written),
               32 * (long long)(t->sectors_read + t->sectors_written), 32 * (long long)t->sectors_of_blocks, 32 * (long long)t->sectors_of_launches,
               s->least ? 32.0 * (double)(t->sectors_read + t->sectors_written) / (double)s->least : 0,
               t->shared_accesses ? (double)t->shared_passes / (double)t->shared_accesses : 0);
    }
    if (32.0 * (double)accesses <= MOST * (double)s->least || !s->least) return 0;
    fprintf(stderr, "%s: the sectors of its accesses are %.2f times the least, and at most %.2f were expected\n", s->name,
            32.0 * (double)accesses / (double)s->least, MOST);
    return 1;
}

/* In a process of its own: a back end that failed stays so. */
static int run(const Slot *s)
{
    const char *why;
    k = kernels_choose("cuda", s->precision, &why);
    if (!k) return 1;
    shim_count(1);
    s->run();
    shim_count(0);
    if (!k->failure()) return report(s);
    fprintf(stderr, "%s: %s\n", s->name, k->failure());
    return 1;
}

int main()
{
    int failed = 0;
    printf("slot,kernel,launches,threads,dynamic_shared,least_bytes,bytes_asked_for,bytes_of_accesses,bytes_of_blocks,bytes_of_launches,ratio,passes\n");
    fflush(stdout);
    for (const Slot &s : slots) {
        int status = 0;
        pid_t child = fork();
        if (child == 0) {
            int wrong = run(&s);
            fflush(stdout);
            _exit(wrong);
        }
        failed |= child < 0 || waitpid(child, &status, 0) < 0 || status != 0;
    }
    return failed;
}
