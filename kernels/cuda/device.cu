/*
 * device.cu - the device itself: stream, memory, and the one sentence that is kept when something fails
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "kernels/cuda/cuda.cuh"

typedef struct { char *p; int64_t bytes, used; } Room;

static char failure[512];
static cudaStream_t stream;
static cudaMemPool_t pool;
enum { MOST_ROOMS = 64 };
static Room rooms[MOST_ROOMS];                      /* what slots work with; pieces come from the last */
static int n_rooms;
static int64_t room_wanted;                         /* bytes of the largest slot so far */

cudaStream_t device_stream() { return stream; }
void device_turn_to(cudaStream_t to) { stream = to; }
bool device_failed() { return failure[0] != 0; }
const char *failure_cuda() { return device_failed() ? failure : NULL; }

void device_fail(const char *format, ...)
{
    if (device_failed()) return;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(failure, sizeof failure, format, arguments);
    va_end(arguments);
}

void device_check(cudaError_t status, const char *what, const char *file, int line)
{
    if (status == cudaSuccess) return;
    device_fail("the GPU failed at %s:%d (%s): %s", file, line, what, cudaGetErrorString(status));
}

/* What the pool keeps and nobody uses is free too. */
int64_t free_memory_cuda()
{
    size_t free_bytes = 0, all = 0;
    uint64_t kept = 0, used = 0;
    if (device_failed()) return 0;
    CHECK(cudaStreamSynchronize(stream));
    CHECK(cudaMemGetInfo(&free_bytes, &all));
    CHECK(cudaMemPoolGetAttribute(pool, cudaMemPoolAttrReservedMemCurrent, &kept));
    CHECK(cudaMemPoolGetAttribute(pool, cudaMemPoolAttrUsedMemCurrent, &used));
    return (int64_t)(free_bytes + kept - used);
}

/* Memory is kept by the pool once it was taken, since the program takes and releases the same sizes again and again. */
static void *take(int64_t bytes)
{
    void *p = NULL;
    if (device_failed()) return NULL;
    cudaError_t status = cudaMallocAsync(&p, (size_t)bytes, stream);
    if (status == cudaErrorMemoryAllocation) {
        size_t left = 0, all = 0;
        cudaMemGetInfo(&left, &all);
        device_fail("the GPU's memory is full: %.1f MiB more were asked for, %.1f of %.1f MiB are free; "
                    "set a lower memory, or use fewer or shorter windows", (double)bytes / 1048576, (double)left / 1048576, (double)all / 1048576);
        return NULL;
    }
    device_check(status, "taking memory", __FILE__, __LINE__);
    return p;
}

float *alloc_cuda(int64_t n) { return (float *)take((n > 0 ? n : 1) * (int64_t)sizeof(float)); }

void release_cuda(float *p)
{
    if (p && !device_failed()) CHECK(cudaFreeAsync(p, stream));
}

void device_put(void *device, const void *host, int64_t bytes)
{
    if (bytes > 0 && !device_failed()) CHECK(cudaMemcpyAsync(device, host, (size_t)bytes, cudaMemcpyHostToDevice, stream));
}

void device_get(void *host, const void *device, int64_t bytes)
{
    if (bytes <= 0 || device_failed()) return;
    CHECK(cudaMemcpyAsync(host, device, (size_t)bytes, cudaMemcpyDeviceToHost, stream));
    CHECK(cudaStreamSynchronize(stream));
}

void copy_cuda(float *out, const float *x, int64_t n)
{
    if (n > 0 && !device_failed()) CHECK(cudaMemcpyAsync(out, x, (size_t)n * sizeof *out, cudaMemcpyDeviceToDevice, stream));
}

/* One room that holds all that a slot has ever taken, once it is known. */
void scratch_reset()
{
    int64_t all = 0;
    for (int i = 0; i < n_rooms; i++) {
        all += rooms[i].bytes;
        rooms[i].used = 0;
        if (n_rooms > 1 && !device_failed()) CHECK(cudaFreeAsync(rooms[i].p, stream));
    }
    if (n_rooms < 2) return;
    room_wanted = all;
    n_rooms = 0;
}

/* What was handed out in this slot stays where it is: where the room is full, another one opens. */
void *scratch_bytes(int64_t bytes)
{
    bytes = (bytes + 255) / 256 * 256;
    if (n_rooms == 0 || rooms[n_rooms - 1].used + bytes > rooms[n_rooms - 1].bytes) {
        int64_t size = n_rooms == 0 && room_wanted > bytes ? room_wanted : bytes;
        if (n_rooms == MOST_ROOMS) device_fail("an operation took more than %d pieces of working memory", n_rooms--);
        rooms[n_rooms].p = (char *)take(size);
        rooms[n_rooms].bytes = size;
        rooms[n_rooms++].used = 0;
    }
    Room *r = &rooms[n_rooms - 1];
    r->used += bytes;
    return r->p + r->used - bytes;
}

static char device_name[300];

/* Compute capability 8.0: bf16 on tensor cores and asynchronous copies. */
static const char *open_device()
{
    int devices = 0, major = 0, minor = 0;
    static char why[256];
    cudaError_t status = cudaGetDeviceCount(&devices);
    if (status != cudaSuccess || devices == 0)
        return status == cudaErrorInsufficientDriver ? "there is no NVIDIA driver here, or it is older than this program's CUDA: use --backend cpu"
                                                     : "there is no NVIDIA GPU here, or its driver does not answer: use --backend cpu";
    cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, 0);
    cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, 0);
    if (major < 8) {
        snprintf(why, sizeof why, "the GPU has compute capability %d.%d and 8.0 is needed (A100, RTX 30 and later): use --backend cpu", major, minor);
        return why;
    }
    cudaDeviceProp properties;
    uint64_t keep = UINT64_MAX;
    CHECK(cudaGetDeviceProperties(&properties, 0));
    snprintf(device_name, sizeof device_name, "%s, %.1f GiB", properties.name, (double)properties.totalGlobalMem / (1 << 30));
    CHECK(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
    CHECK(cudaDeviceGetDefaultMemPool(&pool, 0));
    CHECK(cudaMemPoolSetAttribute(pool, cudaMemPoolAttrReleaseThreshold, &keep));
    return failure_cuda();
}

static Kernels table(const char *precision)
{
    Kernels k = {};
    k.name = "cuda";
    k.precision = precision;
    k.device = device_name;
    k.head_rows = 512;
    k.failure = failure_cuda;
    k.free_memory = free_memory_cuda;
    k.finish = finish_cuda;
    k.profile = profile_cuda;
    k.profiled = profiled_cuda;
    k.alloc = alloc_cuda;
    k.release = release_cuda;
    k.upload = upload_cuda;
    k.upload_half = upload_half_cuda;
    k.mark = mark_cuda;
    k.ahead = ahead_cuda;
    k.download = download_cuda;
    k.copy = copy_cuda;
    k.matmul = matmul_cuda;
    k.matmul_halves = matmul_halves_cuda;
    k.rms_norm = rms_norm_cuda;
    k.rotate = rotate_cuda;
    k.attention = attention_cuda;
    k.swiglu = swiglu_cuda;
    k.add = add_cuda;
    k.log_sum_exp = log_sum_exp_cuda;
    k.kl_divergence = kl_divergence_cuda;
    k.noise = noise_cuda;
    k.hadamard = hadamard_cuda;
    k.grid_encode = grid_encode_cuda;
    k.grid_decode = grid_decode_cuda;
    k.uniform = uniform_cuda;
    k.higgs = higgs_cuda;
    k.relative_error = relative_error_cuda;
    k.matmul_backward = matmul_backward_cuda;
    k.weight_gradient = weight_gradient_cuda;
    k.gradient_forms = gradient_forms_cuda;
    k.group_scales = group_scales_cuda;
    k.rms_norm_backward = rms_norm_backward_cuda;
    k.attention_backward = attention_backward_cuda;
    k.swiglu_backward = swiglu_backward_cuda;
    k.log_sum_exp_signed = log_sum_exp_signed_cuda;
    k.logit_probe = logit_probe_cuda;
    k.logit_difference = logit_difference_cuda;
    return k;
}

const Kernels *kernels_cuda(const char *precision, const char **why)
{
    static bool opened;
    static const char *refused;
    static Kernels exact, rounded;
    if (!opened) {
        opened = true;
        refused = open_device();
        exact = rounded = table("fp32");
        rounded.precision = "bf16";
        rounded.release = release_bf16;
        rounded.settle = settle_bf16;
        rounded.matmul = matmul_bf16;
        rounded.matmul_halves = matmul_halves_bf16;
        rounded.attention = attention_rounded;
        rounded.matmul_backward = matmul_backward_bf16;
        rounded.weight_gradient = weight_gradient_bf16;
        rounded.gradient_forms = gradient_forms_bf16;
        rounded.attention_part = attention_part_bf16;
        rounded.feed_forward_part = feed_forward_part_bf16;
        rounded.attention_backward = attention_backward_bf16;
    }
    *why = refused;
    return refused ? NULL : strcmp(precision, "bf16") ? &exact : &rounded;
}
