#include "core/quantize/packed.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/err.h"
#include "core/perturb/perturbation.h"
#include "core/quantize/scale.h"

typedef unsigned __int128 Word;

enum { MOST_WORD = 120, WORDS = 8 };        /* eight words of any width end at a whole byte, so that threads share none */

/* ---- words ---- */

static PackedPlane *add_plane(Packed *out, int64_t n, int together, int width)
{
    assert(out->n < MOST_PLANES && width >= 1 && width <= MOST_WORD);
    const int64_t words = (n + together - 1) / together;
    PackedPlane *plane = &out->plane[out->n++];
    *plane = (PackedPlane){ .n = n, .together = together, .width = width, .bits = words * width };
    plane->bytes = xcalloc((size_t)(plane->bits + 7) / 8, 1);
    return plane;
}

static void put(unsigned char *bytes, int64_t at, Word word, int width)
{
    int shift = (int)(at % 8);
    bytes += at / 8;
    *bytes |= (unsigned char)(word << shift);
    for (int done = 8 - shift; done < width; done += 8) *++bytes = (unsigned char)(word >> done);
}

static Word get(const unsigned char *bytes, int64_t at, int width)
{
    int shift = (int)(at % 8);
    bytes += at / 8;
    Word word = *bytes >> shift;
    for (int done = 8 - shift; done < width; done += 8) word |= (Word)*++bytes << done;
    return word & (((Word)1 << width) - 1);
}

/* for (i: all words of a plane), WORDS of them a turn of a thread. */
#define FOR_WORDS(plane, i)                                                                                    \
    const int64_t n_words_ = (plane)->bits / (plane)->width;                                                   \
    _Pragma("omp parallel for schedule(static) if ((plane)->n >= PARALLEL_WEIGHTS)")                           \
    for (int64_t turn_ = 0; turn_ < (n_words_ + WORDS - 1) / WORDS; turn_++)                                   \
        for (int64_t i = turn_ * WORDS; i < (turn_ + 1) * WORDS && i < n_words_; i++)

/* ---- codes ---- */

static int bits_of(Word most)
{
    int bits = 0;
    for (; most; most >>= 1) bits++;
    return bits;
}

/* The largest number of codes in a word, and its width. */
static void code_word(int *together, int *width, int levels)
{
    Word range = (Word)levels;
    *together = 1;
    *width = levels > 1 ? bits_of(range - 1) : 1;
    if ((levels & (levels - 1)) == 0) return;
    for (int k = 2; bits_of(range * (Word)levels - 1) <= MOST_WORD; k++) {
        range *= (Word)levels;
        *together = k;
        *width = bits_of(range - 1);
    }
}

int64_t packed_bits_of_codes(int64_t n, int levels)
{
    int together, width;
    code_word(&together, &width, levels);
    return (n + together - 1) / together * width;
}

void packed_add_codes(Packed *out, const uint16_t *code, int64_t n, int levels)
{
    assert(levels >= 1 && levels <= 1 << 16);
    int together, width;
    code_word(&together, &width, levels);
    PackedPlane *plane = add_plane(out, n, together, width);
    plane->code_bits = plane->bits, plane->levels = levels;
    FOR_WORDS(plane, i) {
        Word word = 0;
        const int64_t first = i * together, end = first + together < n ? first + together : n;
        for (int64_t k = end - 1; k >= first; k--) {
            assert(code[k] < levels);
            word = word * (Word)levels + code[k];
        }
        put(plane->bytes, i * width, word, width);
    }
}

void packed_codes(uint16_t *out, const Packed *packed, int index)
{
    const PackedPlane *plane = &packed->plane[index];
    const int together = plane->together;
    FOR_WORDS(plane, i) {
        Word word = get(plane->bytes, i * plane->width, plane->width);
        const int64_t first = i * together, end = first + together < plane->n ? first + together : plane->n;
        if (together == 1) out[first] = (uint16_t)word;
        else for (int64_t k = first; k < end; k++, word /= (Word)plane->levels) out[k] = (uint16_t)(word % (Word)plane->levels);
    }
}

/* ---- integers and reals ---- */

void packed_add_integers(Packed *out, const int64_t *value, int64_t n, int width)
{
    assert(width <= 64);
    PackedPlane *plane = add_plane(out, n, 1, width);
    const uint64_t mask = width == 64 ? UINT64_MAX : ((uint64_t)1 << width) - 1;
    FOR_WORDS(plane, i) put(plane->bytes, i * width, (uint64_t)value[i] & mask, width);
}

void packed_integers(int64_t *out, const Packed *packed, int index, bool with_sign)
{
    const PackedPlane *plane = &packed->plane[index];
    FOR_WORDS(plane, i) {
        uint64_t word = (uint64_t)get(plane->bytes, i * plane->width, plane->width);
        if (with_sign && plane->width < 64 && word >> (plane->width - 1)) word |= UINT64_MAX << plane->width;
        out[i] = (int64_t)word;
    }
}

void packed_add_reals(Packed *out, const double *value, int64_t n, int width)
{
    int64_t *image = xmalloc(sizeof *image * (size_t)(n ? n : 1));
    for (int64_t i = 0; i < n; i++) image[i] = (int64_t)real_image(value[i], width);
    packed_add_integers(out, image, n, width);
    free(image);
}

void packed_reals(double *out, const Packed *packed, int index)
{
    const PackedPlane *plane = &packed->plane[index];
    int64_t *image = xmalloc(sizeof *image * (size_t)(plane->n ? plane->n : 1));
    packed_integers(image, packed, index, false);
    for (int64_t i = 0; i < plane->n; i++) out[i] = real_of_image((uint64_t)image[i], plane->width);
    free(image);
}

unsigned char *packed_add_bytes(Packed *out, int64_t n, int64_t code_bits)
{
    PackedPlane *plane = add_plane(out, n, 1, 8);
    plane->code_bits = code_bits;
    return plane->bytes;
}

/* ---- sizes ---- */

int64_t packed_bits(const Packed *packed)
{
    int64_t bits = 0;
    for (int i = 0; i < packed->n; i++) bits += packed->plane[i].bits;
    return bits;
}

int64_t packed_code_bits(const Packed *packed)
{
    int64_t bits = 0;
    for (int i = 0; i < packed->n; i++) bits += packed->plane[i].code_bits;
    return bits;
}

int64_t packed_bytes(const Packed *packed)
{
    int64_t bytes = 0;
    for (int i = 0; i < packed->n; i++) bytes += (packed->plane[i].bits + 7) / 8;
    return bytes;
}

void packed_free(Packed *packed)
{
    for (int i = 0; i < packed->n; i++) free(packed->plane[i].bytes);
    *packed = (Packed){ 0 };
}
