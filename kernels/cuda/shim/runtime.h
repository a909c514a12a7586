/*
 * runtime.h - as much of the CUDA runtime as the back end calls, with the host's memory for the device's
 *
 * Device memory is guarded on both sides and starts as NaN; it is known to the shim, so that a kernel that is handed a host
 * pointer, or leaves its allocation, is told.  Calls run at once, those of all streams in the order in which they are made.
 */
#ifndef KERNELS_CUDA_SHIM_RUNTIME_H
#define KERNELS_CUDA_SHIM_RUNTIME_H

#include <stddef.h>
#include <stdint.h>

struct dim3 {
    unsigned x, y, z;
    constexpr dim3(unsigned x_ = 1, unsigned y_ = 1, unsigned z_ = 1) : x(x_), y(y_), z(z_) {}
};

enum cudaError_t { cudaSuccess, cudaErrorMemoryAllocation = 2, cudaErrorInsufficientDriver = 35, cudaErrorLaunchFailure = 719 };
enum cudaMemcpyKind { cudaMemcpyHostToDevice, cudaMemcpyDeviceToHost, cudaMemcpyDeviceToDevice };
enum { cudaDevAttrComputeCapabilityMajor, cudaDevAttrComputeCapabilityMinor, cudaMemPoolAttrReleaseThreshold, cudaMemPoolAttrReservedMemCurrent,
       cudaMemPoolAttrUsedMemCurrent, cudaStreamNonBlocking, cudaEventDisableTiming };
typedef struct ShimStream *cudaStream_t;
typedef struct ShimPool *cudaMemPool_t;

cudaError_t cudaMallocAsync(void **out, size_t bytes, cudaStream_t stream);
cudaError_t cudaFreeAsync(void *p, cudaStream_t stream);
cudaError_t cudaMemcpyAsync(void *to, const void *from, size_t bytes, cudaMemcpyKind kind, cudaStream_t stream);
cudaError_t cudaMemsetAsync(void *to, int value, size_t bytes, cudaStream_t stream);
cudaError_t cudaMemGetInfo(size_t *free_bytes, size_t *all);
cudaError_t cudaMallocHost(void **out, size_t bytes);
const char *cudaGetErrorString(cudaError_t status);

static inline cudaError_t cudaStreamSynchronize(cudaStream_t) { return cudaSuccess; }
static inline cudaError_t cudaGetLastError() { return cudaSuccess; }
static inline cudaError_t cudaStreamCreateWithFlags(cudaStream_t *stream, int) { static int streams; *stream = (cudaStream_t)(intptr_t)++streams; return cudaSuccess; }
static inline cudaError_t cudaDeviceGetDefaultMemPool(cudaMemPool_t *, int) { return cudaSuccess; }
static inline cudaError_t cudaMemPoolSetAttribute(cudaMemPool_t, int, void *) { return cudaSuccess; }
static inline cudaError_t cudaMemPoolGetAttribute(cudaMemPool_t, int, uint64_t *value) { *value = 0; return cudaSuccess; }
static inline cudaError_t cudaGetDeviceCount(int *n) { *n = 1; return cudaSuccess; }
static inline cudaError_t cudaDeviceGetAttribute(int *value, int attribute, int) { *value = attribute == cudaDevAttrComputeCapabilityMajor ? 9 : 0; return cudaSuccess; }

struct cudaDeviceProp { char name[256]; size_t totalGlobalMem; };
static inline cudaError_t cudaGetDeviceProperties(cudaDeviceProp *out, int)
{
    *out = { "launch shim", (size_t)8 << 30 };
    return cudaSuccess;
}

/* Events hold the time of the host. */
typedef double *cudaEvent_t;
cudaError_t cudaEventCreate(cudaEvent_t *event);
static inline cudaError_t cudaEventCreateWithFlags(cudaEvent_t *event, int) { return cudaEventCreate(event); }
static inline cudaError_t cudaEventSynchronize(cudaEvent_t) { return cudaSuccess; }
static inline cudaError_t cudaStreamWaitEvent(cudaStream_t, cudaEvent_t, int) { return cudaSuccess; }
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream);
cudaError_t cudaEventElapsedTime(float *milliseconds, cudaEvent_t begin, cudaEvent_t end);

#ifdef __cplusplus
extern "C" {
#endif
/* For tests. */
int  shim_complaints(void);                 /* so far */
void shim_quiet(int quiet);                 /* count complaints, print none */
void shim_set_order(int order);             /* 0 forward, 1 reverse, 2 random */
void shim_set_free_memory(int64_t bytes);   /* what allocations may still take */
void shim_count(int on);                    /* blocks run one after another while it is on */
typedef struct {
    char name[96];
    int64_t threads, dynamic_shared;                    /* of a block of the last launch */
    int64_t launches, sectors_read, sectors_written, bytes_read, bytes_written;     /* 32-byte sectors; bytes asked for */
    int64_t sectors_of_blocks, sectors_of_launches;     /* other ones within each block, and within each launch */
    int64_t shared_passes, shared_accesses;             /* passes of shared memory over all accesses of a warp, and their least number */
} ShimTraffic;
int shim_traffic(ShimTraffic *out, int most);           /* by kernel, with the values of its template's arguments; returns their number */
void shim_forget_traffic(void);
#ifdef __cplusplus
}
#endif

#endif
