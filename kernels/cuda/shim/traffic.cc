/*
 * traffic.cc - what the accesses of a warp cost: 32-byte sectors of global memory, passes of the banks of shared memory
 *
 * The n-th access of a lane at one place of the code belongs with the n-th of the other lanes there.  Global memory moves
 * the sectors that the lanes touch together; how many of them are other ones within a block, and within a launch, says what caches
 * can save.  Shared memory has 32 banks of 4 bytes: an access takes as many passes as the fullest bank has distinct words;
 * 8 and 16 bytes a lane go by half and quarter warps.
 */
#include <stdio.h>
#include <unistd.h>

#include <map>
#include <string>
#include <unordered_map>
#include <unordered_set>

#include "kernels/cuda/shim/internal.h"

namespace shim {

std::atomic<bool> counting;

struct Group { unsigned lanes; uintptr_t at[LANES]; };
struct Site {
    int bytes;
    Space space;
    Access access;
    size_t times[LANES], closed;            /* accesses of each lane; groups that were counted and thrown away */
    std::vector<Group> open;
};
struct Key {
    const void *site;
    int warp;
    bool operator==(const Key &k) const { return site == k.site && warp == k.warp; }
};
struct Hash { size_t operator()(const Key &k) const { return (uintptr_t)k.site * 0x9e3779b97f4a7c15u + (size_t)k.warp * 40503u; } };

static std::unordered_map<Key, Site, Hash> sites;
static std::unordered_set<uintptr_t> of_block[2], of_launch[2];     /* sectors, read and written */
static std::map<const void *, ShimTraffic> kernels;
static ShimTraffic *traffic;

void count_launch(const char *name, const void *kernel, int threads, int64_t shared)
{
    traffic = &kernels[kernel];
    snprintf(traffic->name, sizeof traffic->name, "%s", name);
    traffic->launches++;
    traffic->threads = threads;
    traffic->dynamic_shared = shared;
}

/* A sorted list of the units of `size` bytes that the lanes [first, last) touch. */
static int units_of(uintptr_t *unit, const Site &s, const Group &g, int first, int last, unsigned size)
{
    int n = 0;
    for (int i = first; i < last; i++) {
        if (!(g.lanes >> i & 1)) continue;
        for (uintptr_t u = g.at[i] / size; u <= (g.at[i] + (unsigned)s.bytes - 1) / size; u++) {
            int at = n;
            while (at > 0 && unit[at - 1] > u) at--;
            if (at > 0 && unit[at - 1] == u) continue;
            memmove(unit + at + 1, unit + at, (size_t)(n++ - at) * sizeof *unit);
            unit[at] = u;
        }
    }
    return n;
}

static void count_global(const Site &s, const Group &g)
{
    uintptr_t sector[4 * LANES];
    int n = units_of(sector, s, g, 0, LANES, 32);
    (s.access == READ ? traffic->sectors_read : traffic->sectors_written) += n;
    (s.access == READ ? traffic->bytes_read : traffic->bytes_written) += (int64_t)__builtin_popcount(g.lanes) * s.bytes;
    for (int i = 0; i < n; i++)
        if (of_block[s.access].insert(sector[i]).second && ++traffic->sectors_of_blocks && of_launch[s.access].insert(sector[i]).second)
            traffic->sectors_of_launches++;
}

static void count_shared(const Site &s, const Group &g)
{
    uintptr_t word[4 * LANES];
    int lanes = s.bytes <= 4 ? LANES : LANES * 4 / s.bytes;
    for (int first = 0; first < LANES; first += lanes) {
        int n = units_of(word, s, g, first, first + lanes, 4), fullest = 0, in_bank[32] = { 0 };
        for (int i = 0; i < n; i++)
            if (++in_bank[word[i] % 32] > fullest) fullest = in_bank[word[i] % 32];
        traffic->shared_passes += fullest;
        traffic->shared_accesses += n > 0;
    }
}

static void count_group(const Site &s, const Group &g) { s.space == GLOBAL ? count_global(s, g) : count_shared(s, g); }

void count_access(const void *site, const void *p, int bytes, Space space, Access access)
{
    int lane = running_lane();
    Site &s = sites[{ site, running()->index / LANES }];
    s.bytes = bytes, s.space = space, s.access = access;
    size_t at = s.times[lane]++ - s.closed;
    if (at >= s.open.size()) s.open.resize(at + 1, Group{ 0, {} });
    Group &g = s.open[at];
    g.lanes |= 1u << lane;
    g.at[lane] = (uintptr_t)p;
    if (at != s.open.size() - 1 || g.lanes != ~0u) return;
    for (const Group &full : s.open) count_group(s, full);
    s.closed += s.open.size();
    s.open.clear();
}

/* The end of a block: accesses that not all lanes made. */
void count_block_end()
{
    for (const auto &s : sites)
        for (const Group &g : s.second.open) count_group(s.second, g);
    sites.clear();
    for (auto &sectors : of_block) sectors.clear();
}

void count_launch_end()
{
    for (auto &sectors : of_launch) sectors.clear();
}

/* "void name<arguments>(parameters)" without what surrounds the name. */
static std::string plain(std::string name)
{
    if (name.compare(0, 5, "void ") == 0) name.erase(0, 5);
    int depth = 0;
    for (size_t i = 0; i < name.size(); i++) {
        depth += (name[i] == '<') - (name[i] == '>');
        if (name[i] == '(' && depth == 0) return name.substr(0, i);
    }
    return name;
}

/* By the program's own table of symbols: a launch spells the arguments of a template, and the symbol has their values. */
static std::map<const void *, std::string> names_of_kernels()
{
    std::map<uintptr_t, std::string> symbols;
    std::map<const void *, std::string> names;
    uintptr_t here = 0;
    char line[4096], command[64];
    snprintf(command, sizeof command, "nm -C /proc/%d/exe", (int)getpid());
    FILE *nm = popen(command, "r");
    while (nm && fgets(line, sizeof line, nm)) {
        unsigned long at;
        char type;
        int name;
        if (sscanf(line, "%lx %c %n", &at, &type, &name) < 2 || (type != 't' && type != 'T')) continue;
        line[strcspn(line, "\n")] = 0;
        symbols[at] = plain(line + name);
        if (!strcmp(line + name, "shim_traffic")) here = at;
    }
    if (nm) pclose(nm);
    for (const auto &k : kernels) {
        auto symbol = symbols.find((uintptr_t)k.first - (uintptr_t)shim_traffic + here);
        if (symbol != symbols.end()) names[k.first] = symbol->second;
    }
    return names;
}

}   // namespace shim

extern "C" void shim_count(int on) { shim::counting = on != 0; }
extern "C" void shim_forget_traffic(void) { shim::kernels.clear(); }

extern "C" int shim_traffic(ShimTraffic *out, int most)
{
    int n = 0;
    const auto names = shim::names_of_kernels();
    for (const auto &k : shim::kernels) {
        if (n == most) break;
        out[n] = k.second;
        auto name = names.find(k.first);
        if (name != names.end()) snprintf(out[n].name, sizeof out->name, "%s", name->second.c_str());
        n++;
    }
    return n;
}
