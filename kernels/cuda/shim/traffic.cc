/*
 * traffic.cc - what the accesses of a warp cost: 32-byte sectors of global memory, passes of the banks of shared memory
 *
 * The n-th access of a thread at one place of the code belongs with the n-th of the other lanes there.  Global memory moves
 * the sectors that the lanes touch together.  Shared memory has 32 banks of 4 bytes: an access takes as many passes as the fullest
 * bank has distinct words; 8 and 16 bytes a lane go by half and quarter warps.
 */
#include <map>
#include <set>
#include <string>

#include "kernels/cuda/shim/internal.h"

namespace shim {

std::atomic<bool> counting;

struct Group { int n, bytes; Space space; Access access; uintptr_t at[32]; };
static std::map<std::tuple<int, const void *, int64_t>, Group> open_groups;      /* warp, site, how often */
static std::map<std::pair<int, const void *>, int64_t> times;                    /* thread, site */
static std::map<std::string, ShimTraffic> kernels;
static ShimTraffic *traffic;

void traffic_begin(const char *kernel)
{
    traffic = &kernels[kernel];
    snprintf(traffic->name, sizeof traffic->name, "%s", kernel);
    traffic->launches++;
}

static void count_global(const Group &g)
{
    std::set<uintptr_t> sectors;
    for (int i = 0; i < g.n; i++)
        for (uintptr_t s = g.at[i] / 32; s <= (g.at[i] + (unsigned)g.bytes - 1) / 32; s++) sectors.insert(s);
    (g.access == READ ? traffic->sectors_read : traffic->sectors_written) += (int64_t)sectors.size();
    (g.access == READ ? traffic->bytes_read : traffic->bytes_written) += (int64_t)g.n * g.bytes;
}

static void count_shared(const Group &g)
{
    int lanes = g.bytes <= 4 ? 32 : 128 / g.bytes;
    for (int first = 0; first < g.n; first += lanes) {
        std::set<uintptr_t> words;
        for (int i = first; i < g.n && i < first + lanes; i++)
            for (uintptr_t w = g.at[i] / 4; w <= (g.at[i] + (unsigned)g.bytes - 1) / 4; w++) words.insert(w);
        int fullest = 0, in_bank[32] = { 0 };
        for (uintptr_t w : words) {
            int n = ++in_bank[w % 32];
            fullest = n > fullest ? n : fullest;
        }
        traffic->shared_passes += fullest;
        traffic->shared_accesses++;
    }
}

static void close(const Group &g) { g.space == GLOBAL ? count_global(g) : count_shared(g); }

void count_access(const void *site, const void *p, int bytes, Space space, Access access)
{
    int thread = block->current;
    int64_t n = times[{ thread, site }]++;
    auto key = std::make_tuple(thread / 32, site, n);
    Group &g = open_groups[key];
    if (g.n == 0) g.bytes = bytes, g.space = space, g.access = access;
    g.at[g.n++] = (uintptr_t)p;
    if (g.n < 32) return;
    close(g);
    open_groups.erase(key);
}

/* The end of a block: accesses that not all lanes made. */
void count_warp_end()
{
    for (const auto &g : open_groups) close(g.second);
    open_groups.clear();
    times.clear();
}

}   // namespace shim

extern "C" void shim_count(int on) { shim::counting = on != 0; }
extern "C" void shim_forget_traffic(void) { shim::kernels.clear(); }

extern "C" int shim_traffic(ShimTraffic *out, int most)
{
    int n = 0;
    for (const auto &k : shim::kernels)
        if (n < most) out[n++] = k.second;
    return n;
}
