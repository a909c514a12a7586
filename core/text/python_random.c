#include "core/text/python_random.h"

#include <assert.h>

enum { N = MT19937_WORDS, SHIFT = 397 };

static void seed_word(PythonRandom *random, uint32_t seed)
{
    uint32_t *word = random->word;
    word[0] = seed;
    for (uint32_t i = 1; i < N; i++) word[i] = 1812433253U * (word[i - 1] ^ (word[i - 1] >> 30)) + i;
}

/* After the last word the state wraps, its first word a copy of the last. */
static int advance(uint32_t *word, int i)
{
    if (++i < N) return i;
    word[0] = word[N - 1];
    return 1;
}

/* The reference init_by_array; its key is the seed's 32-bit digits, lowest first, at least one. */
void python_random_seed(PythonRandom *random, uint64_t seed)
{
    uint32_t key[2] = { (uint32_t)seed, (uint32_t)(seed >> 32) };
    int length = key[1] ? 2 : 1, i = 1;
    uint32_t *word = random->word;
    seed_word(random, 19650218U);
    for (int k = 0; k < N; k++) {
        int j = k % length;
        word[i] = (word[i] ^ ((word[i - 1] ^ (word[i - 1] >> 30)) * 1664525U)) + key[j] + (uint32_t)j;
        i = advance(word, i);
    }
    for (int k = 0; k < N - 1; k++) {
        word[i] = (word[i] ^ ((word[i - 1] ^ (word[i - 1] >> 30)) * 1566083941U)) - (uint32_t)i;
        i = advance(word, i);
    }
    word[0] = 0x80000000U;
    random->next = N;
}

static void twist(PythonRandom *random)
{
    uint32_t *word = random->word;
    for (int i = 0; i < N; i++) {
        uint32_t y = (word[i] & 0x80000000U) | (word[(i + 1) % N] & 0x7fffffffU);
        word[i] = word[(i + SHIFT) % N] ^ (y >> 1) ^ (y & 1 ? 0x9908b0dfU : 0);
    }
    random->next = 0;
}

static uint32_t next_word(PythonRandom *random)
{
    if (random->next == N) twist(random);
    uint32_t y = random->word[random->next++];
    y ^= y >> 11;
    y ^= (y << 7) & 0x9d2c5680U;
    y ^= (y << 15) & 0xefc60000U;
    return y ^ (y >> 18);
}

double python_random_uniform(PythonRandom *random)
{
    uint32_t high = next_word(random) >> 5, low = next_word(random) >> 6;
    return (high * 67108864.0 + low) / 9007199254740992.0;
}

/* getrandbits: whole words from the lowest up, of the last one the top bits. */
static uint64_t random_bits(PythonRandom *random, int bits)
{
    if (bits <= 32) return next_word(random) >> (32 - bits);
    uint64_t low = next_word(random);
    return low | (uint64_t)(next_word(random) >> (64 - bits)) << 32;
}

int64_t python_random_integer(PythonRandom *random, int64_t low, int64_t high)
{
    assert(low <= high && (uint64_t)high - (uint64_t)low < UINT64_MAX);
    uint64_t n = (uint64_t)high - (uint64_t)low + 1, drawn;
    int bits = 64 - __builtin_clzll(n);
    do drawn = random_bits(random, bits); while (drawn >= n);
    return (int64_t)((uint64_t)low + drawn);
}
