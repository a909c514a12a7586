/*
 * transfer.cu - arrays from and to the host: through locked memory, in 16-bit form, beside what is computed
 *
 *     float32 bits of bf16 = bits << 16;      of IEEE half: magnitude << 13, times 2^112, which moves the exponent and makes subnormals normal
 *
 * The link runs at its full rate only from locked memory.  Large arrays pass through two pieces of it: while one is on its way the host's threads
 * fill the other, 32 MiB at a time, so that starting a copy (10 us) is nothing beside the copy (600 us at 55 GB/s) and both pieces stay small.  A model's
 * 16-bit weights cross the link as they are, half the bytes, and are widened where they land: 2 bytes read and 4 written for each number, a
 * fiftieth of the time on the link; neighbouring threads have neighbouring numbers, eight a thread so that as many loads are on their way.
 *
 * Uploads ahead go to a stream of their own, and so does whatever is asked for until ahead(0).  The pieces serve both streams: a piece is
 * filled again when the event behind its last use has happened.
 */
#include <string.h>

#include "kernels/cuda/cuda.cuh"

enum { THREADS = 256, EACH = 8 };
static const int64_t PIECE = 32 << 20, SMALL = 1 << 16;         /* bytes; what is SMALL passes through the driver's own buffers without waiting */

typedef struct { unsigned char *locked, *landed; cudaEvent_t used; } Piece;

static Piece pieces[2];
static int turn;
static cudaStream_t computing, copying;
static cudaEvent_t marked, arrived;

/* Both at once: what the device takes for one stream is good for another one only after the first has reached it. */
static void open_pieces()
{
    for (Piece &p : pieces) {
        p.landed = (unsigned char *)alloc_cuda(PIECE / (int64_t)sizeof(float));
        CHECK(cudaMallocHost((void **)&p.locked, PIECE));
        CHECK(cudaEventCreateWithFlags(&p.used, cudaEventDisableTiming));
    }
    CHECK(cudaStreamSynchronize(device_stream()));
}

/* The next piece, once its last copy is done; NULL after a failure. */
static Piece *next_piece()
{
    if (device_failed()) return NULL;
    if (!pieces[0].locked) open_pieces();
    if (device_failed()) return NULL;
    Piece *p = &pieces[turn];
    turn = 1 - turn;
    CHECK(cudaEventSynchronize(p->used));
    return device_failed() ? NULL : p;
}

/* One thread copies a tenth of what the link takes. */
static void fill(unsigned char *to, const unsigned char *from, int64_t bytes)
{
    const int64_t each = 1 << 20;
#pragma omp parallel for schedule(static) if (bytes > each)
    for (int64_t at = 0; at < bytes; at += each) memcpy(to + at, from + at, (size_t)(bytes - at < each ? bytes - at : each));
}

void upload_cuda(float *device, const float *host, int64_t n)
{
    const int64_t bytes = n * (int64_t)sizeof *host;
    const unsigned char *from = (const unsigned char *)host;
    if (bytes <= SMALL) return device_put(device, host, bytes);
    for (int64_t at = 0; at < bytes; at += PIECE) {
        const int64_t each = bytes - at < PIECE ? bytes - at : PIECE;
        Piece *p = next_piece();
        if (!p) return;
        fill(p->locked, from + at, each);
        device_put((unsigned char *)device + at, p->locked, each);
        CHECK(cudaEventRecord(p->used, device_stream()));
    }
}

/* While a piece comes the one before it is emptied, so that next_piece never finds one that is still full. */
void download_cuda(float *host, const float *device, int64_t n)
{
    const int64_t bytes = n * (int64_t)sizeof *host;
    unsigned char *to = (unsigned char *)host;
    if (bytes <= SMALL) return device_get(host, device, bytes);
    Piece *last = NULL;
    for (int64_t at = 0; at < bytes + PIECE; at += PIECE) {
        const int64_t before = at - PIECE, came = bytes - before < PIECE ? bytes - before : PIECE, each = bytes - at < PIECE ? bytes - at : PIECE;
        Piece *p = each > 0 ? next_piece() : NULL;
        if (p) CHECK(cudaMemcpyAsync(p->locked, (const unsigned char *)device + at, (size_t)each, cudaMemcpyDeviceToHost, device_stream()));
        if (p) CHECK(cudaEventRecord(p->used, device_stream()));
        if (last) CHECK(cudaEventSynchronize(last->used));
        if (device_failed()) return;
        if (last) fill(to + before, last->locked, came);
        last = p;
    }
}

/* ---- 16-bit numbers ---- */

#ifdef LINEARITY_SHIM
static inline float float_of(uint32_t bits) { float f; memcpy(&f, &bits, sizeof f); return f; }
static inline uint32_t bits_of(float f) { uint32_t bits; memcpy(&bits, &f, sizeof bits); return bits; }
#else
static __device__ __forceinline__ float float_of(uint32_t bits) { return __uint_as_float(bits); }
static __device__ __forceinline__ uint32_t bits_of(float f) { return __float_as_uint(f); }
#endif

static __device__ __forceinline__ float value_of_half(uint32_t half)
{
    const uint32_t magnitude = bits_of(float_of((half & 0x7fff) << 13) * 0x1p112f);
    return float_of(magnitude | ((half & 0x7c00) == 0x7c00 ? 0x7f800000u : 0u) | (half & 0x8000) << 16);
}

__global__ void widen_kernel(Global<float> out, Global<const uint16_t> bits, int64_t n, bool is_bf16)
{
    const int64_t first = (int64_t)blockIdx.x * (THREADS * EACH) + threadIdx.x;
    uint32_t number[EACH];
    UNROLL
    for (int j = 0; j < EACH; j++) {
        number[j] = 0;
        if (first + j * THREADS < n) {
            uint16_t each = bits[first + j * THREADS];
            number[j] = each;
        }
    }
    UNROLL
    for (int j = 0; j < EACH; j++)
        if (first + j * THREADS < n) out[first + j * THREADS] = is_bf16 ? float_of(number[j] << 16) : value_of_half(number[j]);
}

void upload_half_cuda(float *device, const void *bits, int64_t n, int is_bf16)
{
    const int64_t most = PIECE / (int64_t)sizeof(uint16_t);
    const unsigned char *from = (const unsigned char *)bits;
    for (int64_t at = 0; at < n; at += most) {
        const int64_t each = n - at < most ? n - at : most, bytes = each * (int64_t)sizeof(uint16_t);
        Piece *p = next_piece();
        if (!p) return;
        fill(p->locked, from + at * (int64_t)sizeof(uint16_t), bytes);
        device_put(p->landed, p->locked, bytes);
        operation_work(0, 6.0 * (double)each);
        LAUNCH(widen_kernel, blocks_of(each, THREADS * EACH), THREADS, 0, device + at, (const uint16_t *)p->landed, each, is_bf16 != 0);
        CHECK(cudaEventRecord(p->used, device_stream()));
    }
}

/* ---- beside what is computed ---- */

static bool open_copying()
{
    if (device_failed()) return false;
    if (copying) return true;
    CHECK(cudaStreamCreateWithFlags(&copying, cudaStreamNonBlocking));
    CHECK(cudaEventCreateWithFlags(&marked, cudaEventDisableTiming));
    CHECK(cudaEventCreateWithFlags(&arrived, cudaEventDisableTiming));
    return !device_failed();
}

void mark_cuda()
{
    if (open_copying()) CHECK(cudaEventRecord(marked, device_stream()));
}

void ahead_cuda(int on)
{
    if (!open_copying()) return;
    if (on) {
        computing = device_stream();
        device_turn_to(copying);
        CHECK(cudaStreamWaitEvent(copying, marked, 0));
        return;
    }
    CHECK(cudaEventRecord(arrived, copying));
    device_turn_to(computing);
    CHECK(cudaStreamWaitEvent(computing, arrived, 0));
}
