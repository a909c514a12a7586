/*
 * python_random.h - Python's random module, number for number: random.seed(int), random.random,
 * random.randint
 *
 * MT19937 (Matsumoto and Nishimura 1998) seeded by array, and randint by rejection of getrandbits,
 * as in CPython 3.2 and later.  For protocols that other people's Python scripts define by a seed;
 * everything else draws from core/base/rng.h.
 */
#ifndef CORE_TEXT_PYTHON_RANDOM_H
#define CORE_TEXT_PYTHON_RANDOM_H

#include <stdint.h>

enum { MT19937_WORDS = 624 };

typedef struct { uint32_t word[MT19937_WORDS]; int next; } PythonRandom;

void   python_random_seed(PythonRandom *random, uint64_t seed);
double python_random_uniform(PythonRandom *random);                             /* random.random(): [0, 1), 53 bits */

/* random.randint(low, high): both ends included, low <= high. */
int64_t python_random_integer(PythonRandom *random, int64_t low, int64_t high);

#endif
