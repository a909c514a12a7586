/*
 * test_shim.cc - the launch shim must complain of what is wrong, in every order of the threads, and of nothing else
 *
 * Each test is a kernel of a few lines that makes one mistake, beside its correct form.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/cuda/cuda.cuh"

enum { THREADS = 128, N = 1024 };
static const char *const orders[] = { "forward", "reverse", "random" };
static int failures;

static void expect(bool truth, const char *what, const char *detail)
{
    printf("[ %s ] %s%s%s\n", truth ? "      OK" : "  FAILED", what, detail ? ", " : "", detail ? detail : "");
    failures += !truth;
}

/* Runs `launches` in every order; wrong: whether the shim has to complain. */
template <class F> static void expect_complaints(bool wrong, const char *what, F launches)
{
    for (int order = 0; order < 3; order++) {
        shim_set_order(order);
        int before = shim_complaints();
        shim_quiet(wrong);
        launches();
        shim_quiet(0);
        expect((shim_complaints() > before) == wrong, what, orders[order]);
    }
    shim_set_order(0);
}

static float *zeros(int64_t n)
{
    float *p = alloc_cuda(n);
    for (int64_t i = 0; i < n; i++) p[i] = 0;
    return p;
}

/* ---- shared memory ---- */

enum Fault { NONE, NO_BARRIER, NO_SECOND_BARRIER, WARP_BARRIER, SHUFFLE_FOR_BARRIER };

/* Every thread reads what its neighbour `step` further wrote, twice. */
template <int FAULT, int STEP> __global__ void neighbour(Global<float> out)
{
    SHARED(float, s, THREADS);
    int t = threadIdx.x;
    for (int i = 0; i < 2; i++) {
        s[t] = (float)(t + i);
        if (FAULT == WARP_BARRIER) __syncwarp();
        else if (FAULT == SHUFFLE_FOR_BARRIER) __shfl_sync(ALL_LANES, t, 0);
        else if (FAULT != NO_BARRIER) __syncthreads();
        float v = s[(t & -STEP * 2) + (t + STEP) % (2 * STEP)];
        if (FAULT == WARP_BARRIER) __syncwarp();
        else if (FAULT != NO_SECOND_BARRIER) __syncthreads();
        out[blockIdx.x * THREADS + t] = v;
    }
}

/* Halves of a word that belong to two threads. */
template <int FAULT> __global__ void halves(Global<float> out)
{
    SHARED(bf16, s, 2 * THREADS);
    int t = threadIdx.x;
    s[t] = to_bf16((float)t);
    s[t + THREADS - (FAULT == NO_BARRIER ? 1 : 0)] = to_bf16(1);
    if (FAULT != NO_SECOND_BARRIER) __syncthreads();
    out[t] = to_float(s[(t + 1) % THREADS]);
}

/* Dynamic memory as words, then as half words, then as words again. */
__global__ void mixed(Global<float> out)
{
    DYNAMIC_SHARED(all);
    Shared<float> words = shared_at<float>(all, 0);
    Shared<bf16> pairs = shared_at<bf16>(all, 4 * THREADS);
    int t = threadIdx.x;
    words[t] = (float)t;
    pairs[t] = to_bf16((float)t);
    __syncthreads();
    out[t] = words[THREADS - 1 - t] + to_float(pairs[t ^ 1]);
    __syncthreads();
    words[THREADS + t / 2] = (float)t;          /* two lanes at a word */
}

/* A lane that reads after another one must not hide it from the write that follows. */
template <int FAULT> __global__ void last_reader(Global<float> out)
{
    SHARED(float, s, 1);
    int t = threadIdx.x;
    if (t == 0) s[0] = 1;
    __syncthreads();
    float v = s[0];
    out[t] = v;
    if (FAULT == NONE) __syncthreads();
    if (FAULT == WARP_BARRIER) __syncwarp();
    if (t == 0 || t == 31) { if (t == (FAULT == SHUFFLE_FOR_BARRIER ? 31 : 0)) s[0] = 2; }
}

__global__ void unwritten(Global<float> out, int n)
{
    SHARED(float, s, THREADS);
    int t = threadIdx.x;
    if (t < n) s[t] = 1;
    __syncthreads();
    out[t] = s[t];
}

__global__ void outside_shared(Global<float> out, int at)
{
    SHARED(float, s, THREADS);
    s[threadIdx.x] = 1;
    __syncthreads();
    out[threadIdx.x] = s[(int)threadIdx.x + at];
}

__global__ void outside_dynamic(Global<float> out, int at)
{
    DYNAMIC_SHARED(all);
    Shared<float> s = shared_at<float>(all, 0);
    s[(int)threadIdx.x + at] = 1;
    out[threadIdx.x] = 1;
}

__global__ void vector_shared(Global<float> out, int at)
{
    SHARED(float, s, 4 * THREADS + 4);
    store4(s, 4 * (int)threadIdx.x + at, make_float4(1, 2, 3, 4));
    out[threadIdx.x] = load4(s, 4 * (int)threadIdx.x + at).y;
}

static void test_shared()
{
    float *out = zeros(N);
    expect_complaints(false, "neighbours", [&] { LAUNCH((neighbour<NONE, 32>), 3, THREADS, 0, out); });
    expect_complaints(true, "no barrier before a read", [&] { LAUNCH((neighbour<NO_BARRIER, 32>), 1, THREADS, 0, out); });
    expect_complaints(true, "no barrier before a write", [&] { LAUNCH((neighbour<NO_SECOND_BARRIER, 32>), 1, THREADS, 0, out); });
    expect_complaints(true, "no barrier before a read of the same warp", [&] { LAUNCH((neighbour<NO_BARRIER, 1>), 1, THREADS, 0, out); });
    expect_complaints(true, "no barrier before a write of the same warp", [&] { LAUNCH((neighbour<NO_SECOND_BARRIER, 1>), 1, THREADS, 0, out); });
    expect_complaints(false, "a warp's barrier within it", [&] { LAUNCH((neighbour<WARP_BARRIER, 16>), 1, THREADS, 0, out); });
    expect_complaints(true, "a warp's barrier between warps", [&] { LAUNCH((neighbour<WARP_BARRIER, 32>), 1, THREADS, 0, out); });
    expect_complaints(true, "a shuffle for a barrier", [&] { LAUNCH((neighbour<SHUFFLE_FOR_BARRIER, 1>), 1, THREADS, 0, out); });
    expect_complaints(false, "half words", [&] { LAUNCH((halves<NONE>), 1, THREADS, 0, out); });
    expect_complaints(true, "two writes to half a word", [&] { LAUNCH((halves<NO_BARRIER>), 1, THREADS, 0, out); });
    expect_complaints(true, "half words without a barrier", [&] { LAUNCH((halves<NO_SECOND_BARRIER>), 1, THREADS, 0, out); });
    expect_complaints(true, "two lanes at a word", [&] { LAUNCH(mixed, 1, THREADS, 6 * THREADS, out); });
    expect_complaints(false, "a write after everyone read", [&] { LAUNCH((last_reader<NONE>), 1, THREADS, 0, out); });
    expect_complaints(true, "a write after everyone read, unordered", [&] { LAUNCH((last_reader<NO_BARRIER>), 1, THREADS, 0, out); });
    expect_complaints(true, "a write by the last reader of a warp", [&] { LAUNCH((last_reader<SHUFFLE_FOR_BARRIER>), 1, 32, 0, out); });
    expect_complaints(true, "a write ordered after its own warp alone", [&] { LAUNCH((last_reader<WARP_BARRIER>), 1, THREADS, 0, out); });
    expect_complaints(false, "a write ordered after its own warp, which is all", [&] { LAUNCH((last_reader<WARP_BARRIER>), 1, 32, 0, out); });
    expect_complaints(false, "all written", [&] { LAUNCH(unwritten, 1, THREADS, 0, out, THREADS); });
    expect_complaints(true, "one not written", [&] { LAUNCH(unwritten, 1, THREADS, 0, out, THREADS - 1); });
    expect_complaints(false, "inside an array", [&] { LAUNCH(outside_shared, 1, THREADS, 0, out, 0); });
    expect_complaints(true, "past an array", [&] { LAUNCH(outside_shared, 1, THREADS, 0, out, 1); });
    expect_complaints(true, "before an array", [&] { LAUNCH(outside_shared, 1, THREADS, 0, out, -1); });
    expect_complaints(false, "inside dynamic memory", [&] { LAUNCH(outside_dynamic, 1, THREADS, 4 * THREADS, out, 0); });
    expect_complaints(true, "past dynamic memory", [&] { LAUNCH(outside_dynamic, 1, THREADS, 4 * THREADS, out, 1); });
    expect_complaints(false, "aligned vectors in shared memory", [&] { LAUNCH(vector_shared, 1, THREADS, 0, out, 4); });
    expect_complaints(true, "misaligned vectors in shared memory", [&] { LAUNCH(vector_shared, 1, THREADS, 0, out, 2); });
    release_cuda(out);
}

/* ---- global memory ---- */

__global__ void write_global(Global<float> out, int at) { out[(int64_t)blockIdx.x * THREADS + threadIdx.x + at] = 1; }
__global__ void read_global(Global<float> out, Global<const float> x, int at)
{
    float v = x[(int)threadIdx.x + at];
    out[threadIdx.x] = v;
}
__global__ void copy_vectors(Global<float> out, Global<const float> x, int at) { store4(out, 4 * threadIdx.x, load4(x, 4 * threadIdx.x + at)); }
__global__ void write_blocks(Global<float> out, int step) { out[(int64_t)blockIdx.x * step + threadIdx.x] = 1; }
__global__ void read_blocks(Global<float> out, int step)
{
    float v = out[(int64_t)blockIdx.x * THREADS + threadIdx.x + step];
    out[(int64_t)blockIdx.x * THREADS + threadIdx.x] = v;
}
__global__ void write_halves(Global<bf16> out, int step) { out[(int64_t)blockIdx.x * step + threadIdx.x * gridDim.x * 2] = to_bf16(1); }

static void test_global()
{
    float *out = zeros(N), *x = zeros(4 * THREADS);
    float *host = (float *)malloc(4 * THREADS * sizeof *host);
    expect_complaints(false, "inside an allocation", [&] { LAUNCH(write_global, N / THREADS, THREADS, 0, out, 0); });
    expect_complaints(true, "a write past an allocation", [&] { LAUNCH(write_global, N / THREADS, THREADS, 0, out, 1); });
    expect_complaints(true, "a write before an allocation", [&] { LAUNCH(write_global, 1, THREADS, 0, out, -1); });
    expect_complaints(true, "a read past an allocation", [&] { LAUNCH(read_global, 1, THREADS, 0, out, x, 4 * THREADS - 1); });
    expect_complaints(true, "the host's memory", [&] { LAUNCH(read_global, 1, THREADS, 0, out, host, 0); });
    expect_complaints(true, "no memory at all", [&] { LAUNCH(read_global, 1, THREADS, 0, out, nullptr, 0); });
    expect_complaints(false, "aligned vectors", [&] { LAUNCH(copy_vectors, 1, THREADS, 0, out, x, 0); });
    expect_complaints(true, "misaligned vectors", [&] { LAUNCH(copy_vectors, 1, THREADS - 1, 0, out, x, 1); });
    expect_complaints(false, "blocks side by side", [&] { LAUNCH(write_blocks, 4, THREADS, 0, out, THREADS); });
    expect_complaints(true, "two blocks that write one element", [&] { LAUNCH(write_blocks, 4, THREADS, 0, out, THREADS - 1); });
    expect_complaints(false, "blocks that read their own", [&] { LAUNCH(read_blocks, 4, THREADS, 0, out, 0); });
    expect_complaints(false, "blocks that write halves of a word", [&] { LAUNCH(write_halves, 4, THREADS, 0, (bf16 *)out, 1); });
    shim_quiet(1);
    int before = shim_complaints();
    for (int order = 0; order < 2; order++) {
        shim_set_order(order);
        LAUNCH(read_blocks, 4, THREADS, 0, out, THREADS);
    }
    expect(shim_complaints() > before, "a block that reads what another one writes, in one of two orders", NULL);
    cudaFreeAsync(out + 1, 0);
    expect(shim_complaints() > ++before, "release of a part", NULL);
    before = shim_complaints();
    download_cuda(host, x + THREADS, 4 * THREADS);
    expect(shim_complaints() == before + 1, "a copy past an allocation", NULL);
    shim_quiet(0);
    shim_set_order(0);
    free(host);
    release_cuda(out);
    release_cuda(x);
}

/* ---- threads that do not come ---- */

template <int FAULT> __global__ void meeting(Global<float> out, int n)
{
    int t = threadIdx.x;
    if (FAULT == 1 && t >= n) return;                                           /* ends: is not waited for */
    if (FAULT == 2) {
        if (t < n) __syncthreads();
        else __shfl_sync(ALL_LANES, t, 0);
    } else if (FAULT == 3) {
        if (t < n) __syncthreads();
        else
            __syncthreads();
    } else if (FAULT == 4) {
        if (t < n) __syncwarp();
        else __ballot_sync(ALL_LANES, 1);
    } else if (FAULT == 5) __shfl_sync(0xffffu, t, 0);
    else __syncthreads();
    out[t] = warp_sum(1.0f);
}

static void test_meetings()
{
    float *out = zeros(N);
    expect_complaints(false, "everyone at the barrier", [&] { LAUNCH(meeting<0>, 1, THREADS, 0, out, 0); });
    expect_complaints(false, "warps that ended before a barrier", [&] { LAUNCH(meeting<1>, 1, THREADS, 0, out, 64); });
    expect_complaints(true, "lanes that ended before a shuffle", [&] { LAUNCH(meeting<1>, 1, THREADS, 0, out, 70); });
    expect_complaints(true, "a part of a warp for a shuffle", [&] { LAUNCH(meeting<0>, 1, 70, 0, out, 0); });
    expect_complaints(true, "a barrier that a part reaches", [&] { LAUNCH(meeting<2>, 1, THREADS, 0, out, 10); });
    expect_complaints(true, "two barriers", [&] { LAUNCH(meeting<3>, 1, THREADS, 0, out, 10); });
    expect_complaints(true, "two exchanges", [&] { LAUNCH(meeting<4>, 1, THREADS, 0, out, 10); });
    expect_complaints(true, "a mask of a part", [&] { LAUNCH(meeting<5>, 1, THREADS, 0, out, 10); });
    release_cuda(out);
}

/* ---- what correct kernels compute ---- */

__global__ void exchanges(Global<float> out)
{
    int t = threadIdx.x, lane = t % WARP;
    int wrong = block_sum<THREADS>(t) != THREADS * (THREADS - 1) / 2;
    wrong += block_sum<THREADS>(1.0) != 128;
    wrong += __ballot_sync(ALL_LANES, lane % 3 == 0) != 0x49249249u;
    wrong += !__any_sync(ALL_LANES, lane == 31) || __any_sync(ALL_LANES, lane == 32);
    wrong += !__all_sync(ALL_LANES, lane < 32) || __all_sync(ALL_LANES, lane < 31);
    wrong += __shfl_sync(ALL_LANES, t, 5) != t - lane + 5;
    wrong += __shfl_sync(ALL_LANES, t, 5, 4) != (t & ~3) + 1;
    wrong += __shfl_xor_sync(ALL_LANES, t, 6) != (t ^ 6);
    wrong += __shfl_xor_sync(ALL_LANES, t, 8, 8) != (lane & 8 ? t ^ 8 : t);
    wrong += __shfl_up_sync(ALL_LANES, t, 3) != (lane >= 3 ? t - 3 : t);
    wrong += __shfl_up_sync(ALL_LANES, t, 3, 8) != (lane % 8 >= 3 ? t - 3 : t);
    wrong += __shfl_down_sync(ALL_LANES, t, 3) != (lane < 29 ? t + 3 : t);
    wrong += __shfl_down_sync(ALL_LANES, t, 3, 8) != (lane % 8 < 5 ? t + 3 : t);
    for (int i = 0; i < 4; i++) {                       /* each result belongs to its barrier */
        wrong += __syncthreads_or(i == 2 && t == 77) != (i == 2);
        wrong += __syncthreads_and(i != 2 || t != 77) != (i != 2);
        wrong += __syncthreads_count(t < i) != i;
    }
    wrong += blockDim.x != 64 * 2 || gridDim.y != 2 || blockIdx.y > 1;
    out[((int64_t)blockIdx.y * gridDim.x + blockIdx.x) * THREADS + t] = (float)wrong;
}

/* Tiles that are copied ahead, as cp.async does: FAULT 1 waits for too few, 2 lacks the barrier after the wait, 3 overwrites a tile
 * that others may still read, 4 reads what was never committed. */
template <int FAULT> __global__ void copied(Global<float> out, Global<const float> x, int tiles)
{
    SHARED(float, tile, 2 * THREADS);
    Shared<float> s = tile;
    int t = threadIdx.x;
    float sum = 0;
    shim::copy_later((s + t).p, (x + t).p, 4, false);
    if (FAULT != 4) shim::commit_copies();
    for (int i = 0; i < tiles; i++) {
        int next = i + 1;
        if (next < tiles) shim::copy_later((s + (next % 2 * THREADS + t)).p, (x + (next * THREADS + t)).p, 4, false);
        shim::commit_copies();
        shim::wait_copies(FAULT == 1 || FAULT == 4 ? 2 : 1);
        if (FAULT != 2) __syncthreads();
        sum += s[i % 2 * THREADS + (t + 1) % THREADS];
        if (FAULT != 3) __syncthreads();
    }
    out[t] = sum;
}

static void test_results()
{
    float *out = zeros(N), *x = zeros(6 * THREADS);
    for (int i = 0; i < 6 * THREADS; i++) x[i] = (float)i;
    expect_complaints(false, "exchanges", [&] { LAUNCH(exchanges, dim3(4, 2), THREADS, 0, out); });
    bool right = true;
    for (int i = 0; i < N; i++) right &= out[i] == 0;
    expect(right, "exchanges give what CUDA says", NULL);
    expect_complaints(false, "copies ahead", [&] { LAUNCH(copied<0>, 1, THREADS, 0, out, x, 6); });
    right = true;
    for (int t = 0; t < THREADS; t++) right &= out[t] == (float)(15 * THREADS + 6 * ((t + 1) % THREADS));
    expect(right, "copies ahead arrive", NULL);
    expect_complaints(true, "copies not waited for", [&] { LAUNCH(copied<1>, 1, THREADS, 0, out, x, 6); });
    expect_complaints(true, "copies of others without a barrier", [&] { LAUNCH(copied<2>, 1, THREADS, 0, out, x, 6); });
    expect_complaints(true, "copies over what is being read", [&] { LAUNCH(copied<3>, 1, THREADS, 0, out, x, 6); });
    expect_complaints(true, "copies not committed", [&] { LAUNCH(copied<4>, 1, THREADS, 0, out, x, 1); });
    release_cuda(out);
    release_cuda(x);
}

/* ---- counts with a closed form ---- */

template <class V> __global__ void strided(Global<float> out, Global<const float> x, int step)
{
    float v = sizeof(V) == 16 ? load4(x, (int64_t)threadIdx.x * step).x : (float)x[(int64_t)threadIdx.x * step];
    if (v > 1e30f) out[0] = v;
}

/* FROM: the lane's element is lane * step; 1, 2, 4 floats at once. */
template <int FLOATS> __global__ void banks(Global<float> out, int step)
{
    DYNAMIC_SHARED(all);
    Shared<float> s = shared_at<float>(all, 0);
    int at = (int)threadIdx.x * step;
    if (FLOATS == 4) store4(s, at, make_float4(0, 0, 0, 0));
    else if (step == 0) { if (threadIdx.x == 0) s[0] = 0; __syncwarp(); if ((float)s[0] > 1) out[0] = 0; }
    else s[at] = 0;
}

template <class F> static ShimTraffic counted(F launch)
{
    ShimTraffic t = {};
    shim_forget_traffic();
    shim_count(1);
    launch();
    shim_count(0);
    shim_traffic(&t, 1);
    return t;
}

static void expect_count(const char *what, int64_t got, int64_t want)
{
    char detail[64];
    snprintf(detail, sizeof detail, "%lld of %lld", (long long)got, (long long)want);
    expect(got == want, what, detail);
}

static void test_counts()
{
    float *out = zeros(N), *x = zeros(64 * 32);
    const struct { const char *what; int step, sectors; } reads[] = { { "sectors of neighbours", 1, 4 }, { "sectors of every second", 2, 8 },
        { "sectors of every eighth", 8, 32 }, { "sectors of every 64th", 64, 32 }, { "sectors of one for all", 0, 1 } };
    for (const auto &r : reads) {
        expect_count(r.what, counted([&] { LAUNCH(strided<float>, 1, 32, 0, out, x, r.step); }).sectors_read, r.sectors);
        shim_set_order(2);
        expect_count(r.what, counted([&] { LAUNCH(strided<float>, 3, 32, 0, out, x, r.step); }).sectors_read, 3 * r.sectors);
        shim_set_order(0);
    }
    expect_count("sectors of vectors", counted([&] { LAUNCH(strided<float4>, 1, 32, 0, out, x, 4); }).sectors_read, 16);
    expect_count("sectors of neighbours, one off", counted([&] { LAUNCH(strided<float>, 1, 32, 0, out, x + 1, 1); }).sectors_read, 5);
    expect_count("sectors of two warps", counted([&] { LAUNCH(strided<float>, 1, 64, 0, out, x, 1); }).sectors_read, 8);
    expect_count("sectors of half a warp", counted([&] { LAUNCH(strided<float>, 1, 48, 0, out, x, 1); }).sectors_read, 6);
    ShimTraffic thrice = counted([&] { LAUNCH(strided<float>, 3, 64, 0, out, x, 0); });
    expect_count("bytes asked for", thrice.bytes_read, 3 * 64 * 4);
    expect_count("sectors, all", thrice.sectors_read, 6);
    expect_count("sectors of blocks", thrice.sectors_of_blocks, 3);
    expect_count("sectors of launches", thrice.sectors_of_launches, 1);
    const struct { const char *what; int step, passes; } columns[] = { { "passes of a row", 1, 1 }, { "passes of every second", 2, 2 },
        { "passes of a column", 32, 32 }, { "passes of a padded column", 33, 1 } };
    for (const auto &c : columns)
        expect_count(c.what, counted([&] { LAUNCH(banks<1>, 1, 32, 33 * 32 * 4, out, c.step); }).shared_passes, c.passes);
    ShimTraffic broadcast = counted([&] { LAUNCH(banks<1>, 1, 32, 4, out, 0); });
    expect_count("passes of a broadcast", broadcast.shared_passes, 2);          /* one write, one read */
    expect_count("accesses of a broadcast", broadcast.shared_accesses, 2);
    ShimTraffic vectors = counted([&] { LAUNCH(banks<4>, 1, 32, 512, out, 4); });
    expect_count("passes of vectors", vectors.shared_passes, 4);
    expect_count("accesses of vectors", vectors.shared_accesses, 4);
    expect_count("passes of a column of vectors", counted([&] { LAUNCH(banks<4>, 1, 32, 32 * 128, out, 32); }).shared_passes, 32);
    expect_count("passes of a padded column of vectors", counted([&] { LAUNCH(banks<4>, 1, 32, 36 * 128, out, 36); }).shared_passes, 4);
    release_cuda(out);
    release_cuda(x);
}

int main()
{
    test_shared();
    test_global();
    test_meetings();
    test_results();
    test_counts();
    printf("%d failures\n", failures);
    return failures > 0 || device_failed();
}
