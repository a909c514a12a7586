#include "core/model/gguf_directory.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/err.h"

size_t gguf_kind_bytes(GgufKind kind)
{
    static const size_t bytes[KIND_COUNT] = {
        [KIND_U8] = 1, [KIND_I8] = 1, [KIND_U16] = 2, [KIND_I16] = 2, [KIND_U32] = 4, [KIND_I32] = 4,
        [KIND_F32] = 4, [KIND_BOOL] = 1, [KIND_U64] = 8, [KIND_I64] = 8, [KIND_F64] = 8,
    };
    return bytes[kind];
}

typedef struct {
    const unsigned char *start, *at, *end;
    const char *path;
} Reader;

static int skip(Reader *reader, uint64_t n_bytes)
{
    if (n_bytes > (uint64_t)(reader->end - reader->at))
        FAIL(ERR_FORMAT, "%s: the directory runs past the end of the file (at byte %td of %td); the file is damaged or incomplete",
             reader->path, reader->at - reader->start, reader->end - reader->start);
    reader->at += n_bytes;
    return OK;
}

static int take(void *out, Reader *reader, size_t n_bytes)
{
    const unsigned char *from = reader->at;
    TRY(skip(reader, n_bytes));
    memcpy(out, from, n_bytes);
    return OK;
}

static int take_string(GgufString *out, Reader *reader)
{
    uint64_t length;
    TRY(take(&length, reader, sizeof length));
    const unsigned char *from = reader->at;
    TRY(skip(reader, length));
    *out = (GgufString){ (const char *)from, (size_t)length };
    return OK;
}

static int take_kind(GgufKind *out, Reader *reader)
{
    uint32_t kind;
    TRY(take(&kind, reader, sizeof kind));
    if (kind >= KIND_COUNT)
        FAIL(ERR_FORMAT, "%s: value type %u at byte %td is not one of GGUF's", reader->path, kind, reader->at - reader->start);
    *out = (GgufKind)kind;
    return OK;
}

/* A count of things that take at least `least` bytes each.  Those that we allocate for have a limit
 * too: a wrong count in a large file must not ask for all memory. */
static int take_count(int64_t *out, Reader *reader, size_t least, int64_t most, const char *what)
{
    uint64_t count;
    TRY(take(&count, reader, sizeof count));
    if (count > (uint64_t)most) FAIL(ERR_FORMAT, "%s: %llu %s are not credible", reader->path, (unsigned long long)count, what);
    if (count > (uint64_t)(reader->end - reader->at) / least)
        FAIL(ERR_FORMAT, "%s: %llu %s do not fit into the file; the file is damaged or incomplete", reader->path, (unsigned long long)count, what);
    *out = (int64_t)count;
    return OK;
}

static int take_array(GgufPair *pair, Reader *reader, int depth)
{
    enum { DEEPEST = 8, MOST_STRINGS = 1 << 26 };
    if (depth > DEEPEST) FAIL(ERR_FORMAT, "%s: arrays of arrays are nested too deeply", reader->path);
    TRY(take_kind(&pair->element, reader));
    size_t size = gguf_kind_bytes(pair->element);
    size_t least = size ? size : pair->element == KIND_STRING ? 8 : 12;
    bool indexed = pair->element == KIND_STRING && depth == 0;
    TRY(take_count(&pair->n, reader, least, indexed ? MOST_STRINGS : INT64_MAX, "array elements"));
    pair->value = reader->at;
    if (size) return skip(reader, (uint64_t)pair->n * size);

    if (indexed) pair->strings = xmalloc((size_t)pair->n * sizeof *pair->strings);
    for (int64_t i = 0; i < pair->n; i++) {
        GgufString text;
        GgufPair inner = { 0 };
        if (indexed) pair->strings[i] = reader->at;
        if (pair->element == KIND_STRING) TRY(take_string(&text, reader));
        else TRY(take_array(&inner, reader, depth + 1));
    }
    return OK;
}

static int take_pair(GgufPair *pair, Reader *reader)
{
    GgufString text;
    TRY(take_string(&pair->key, reader));
    TRY(take_kind(&pair->kind, reader));
    pair->value = reader->at;
    if (pair->kind == KIND_ARRAY) return take_array(pair, reader, 0);
    if (pair->kind == KIND_STRING) return take_string(&text, reader);
    return skip(reader, gguf_kind_bytes(pair->kind));
}

static int compare_strings(GgufString a, GgufString b)
{
    size_t shorter = a.length < b.length ? a.length : b.length;
    int order = shorter ? memcmp(a.data, b.data, shorter) : 0;
    return order ? order : (a.length > b.length) - (a.length < b.length);
}

static int compare_pairs(const void *a, const void *b)
{
    return compare_strings(((const GgufPair *)a)->key, ((const GgufPair *)b)->key);
}

/* Enough of a name to show. */
static int shown(GgufString text) { return text.length < 200 ? (int)text.length : 200; }

static int read_pairs(Gguf *gguf, Reader *reader, int64_t n)
{
    gguf->pairs = xcalloc((size_t)n, sizeof *gguf->pairs);
    for (gguf->n_pairs = 0; gguf->n_pairs < n; gguf->n_pairs++) {
        int status = take_pair(&gguf->pairs[gguf->n_pairs], reader);
        if (status != OK) {
            gguf->n_pairs++;                        /* its array is ours to free */
            return status;
        }
    }
    qsort(gguf->pairs, (size_t)n, sizeof *gguf->pairs, compare_pairs);
    for (int64_t i = 1; i < n; i++) {
        GgufString key = gguf->pairs[i].key;
        if (compare_strings(gguf->pairs[i - 1].key, key) == 0)
            FAIL(ERR_FORMAT, "%s: the key '%.*s' occurs twice", reader->path, shown(key), key.data);
    }
    return OK;
}

static int read_dtype(Dtype *out, uint32_t number)
{
    static const struct { uint32_t number; Dtype dtype; } known[] = {
        { 0, DTYPE_F32 }, { 1, DTYPE_F16 }, { 30, DTYPE_BF16 }, { 2, DTYPE_Q4_0 }, { 3, DTYPE_Q4_1 }, { 6, DTYPE_Q5_0 },
        { 7, DTYPE_Q5_1 }, { 8, DTYPE_Q8_0 }, { 20, DTYPE_IQ4_NL }, { 10, DTYPE_Q2_K }, { 11, DTYPE_Q3_K },
        { 12, DTYPE_Q4_K }, { 13, DTYPE_Q5_K }, { 14, DTYPE_Q6_K },
    };
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (known[i].number == number) {
            *out = known[i].dtype;
            return OK;
        }
    FAIL(ERR_UNSUPPORTED, "its ggml type is number %u; we read F32, F16, BF16, Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, IQ4_NL and Q2_K to Q6_K",
         number);
}

/* The dimensions, the type and the offset into the data (still to be checked) of one tensor. */
static int take_entry(Tensor *tensor, uint64_t *offset, Reader *reader)
{
    uint32_t rank, dtype;
    TRY(take(&rank, reader, sizeof rank));
    if (rank < 1 || rank > 4) FAIL(ERR_FORMAT, "it has %u dimensions, not 1 to 4", rank);
    uint64_t dimensions[4];
    TRY(take(dimensions, reader, rank * sizeof *dimensions));
    tensor->rank = (int)rank;
    for (uint32_t i = 0; i < rank; i++) {
        if (dimensions[i] < 1 || dimensions[i] > INT64_MAX) FAIL(ERR_FORMAT, "its shape is impossible");
        tensor->shape[rank - 1 - i] = (int64_t)dimensions[i];
    }
    TRY(take(&dtype, reader, sizeof dtype));
    TRY(read_dtype(&tensor->dtype, dtype));
    TRY(tensor_measure(tensor));
    return take(offset, reader, sizeof *offset);
}

/* Every tensor's entry; the places of the data are known only after the last one. */
static int take_entries(Gguf *gguf, uint64_t *offsets, Reader *reader, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        GgufString name;
        Tensor tensor = { 0 };
        TRY(take_string(&name, reader));
        if (memchr(name.data, 0, name.length)) FAIL(ERR_FORMAT, "%s: a tensor's name holds a zero byte", reader->path);
        int status = take_entry(&tensor, &offsets[i], reader);
        if (status != OK) return err_context(status, "%s: tensor '%.*s'", reader->path, shown(name), name.data);
        tensor_set_add(&gguf->tensors, &tensor, name.data, name.length);
    }
    return OK;
}

static int read_alignment(uint64_t *out, const Gguf *gguf, const char *path)
{
    int64_t alignment = 32;
    gguf_integer(gguf, "general.alignment", &alignment);
    if (alignment < 1 || alignment > 1 << 24 || (alignment & (alignment - 1)))
        FAIL(ERR_FORMAT, "%s: general.alignment is %lld, not a power of two", path, (long long)alignment);
    *out = (uint64_t)alignment;
    return OK;
}

/* Tensor data start at the next multiple of the alignment, offsets count from there. */
static int place_tensors(Gguf *gguf, const uint64_t *offsets, const Reader *reader)
{
    uint64_t alignment = 1, used = (uint64_t)(reader->at - reader->start), total = (uint64_t)(reader->end - reader->start);
    TRY(read_alignment(&alignment, gguf, reader->path));
    uint64_t first = (used + alignment - 1) & ~(alignment - 1);
    for (int i = 0; i < gguf->tensors.n; i++) {
        Tensor *tensor = &gguf->tensors.tensors[i];
        if (offsets[i] % alignment)
            FAIL(ERR_FORMAT, "%s: tensor '%s' is not aligned to %d bytes", reader->path, tensor->name, (int)alignment);
        if (first > total || offsets[i] > total - first || tensor->n_bytes > total - first - offsets[i])
            FAIL(ERR_FORMAT, "%s: tensor '%s' reaches past the end of the file; the file is damaged or incomplete",
                 reader->path, tensor->name);
        tensor->data = reader->start + first + offsets[i];
    }
    return OK;
}

static int read_tensors(Gguf *gguf, Reader *reader, int64_t n)
{
    uint64_t *offsets = xcalloc((size_t)n, sizeof *offsets);
    int status = take_entries(gguf, offsets, reader, n);
    if (status == OK) status = place_tensors(gguf, offsets, reader);
    free(offsets);
    if (status == OK) status = tensor_set_finish(&gguf->tensors, reader->path);
    return status;
}

static int take_header(int64_t *n_tensors, int64_t *n_pairs, Reader *reader)
{
    enum { MAGIC = 4, MOST_ENTRIES = 1 << 20 };
    uint32_t version;
    if (reader->end - reader->at < MAGIC || memcmp(reader->at, "GGUF", MAGIC) != 0)
        FAIL(ERR_FORMAT, "%s: not a GGUF file (a Hugging Face model is given as its directory)", reader->path);
    TRY(skip(reader, MAGIC));
    TRY(take(&version, reader, sizeof version));
    if (version && (version & 0xffff) == 0)
        FAIL(ERR_UNSUPPORTED, "%s: a big-endian GGUF file; we read little-endian ones", reader->path);
    if (version != 2 && version != 3)
        FAIL(ERR_UNSUPPORTED, "%s: GGUF version %u; we read versions 2 and 3", reader->path, version);
    TRY(take_count(n_tensors, reader, 8 + 4 + 8 + 4 + 8, MOST_ENTRIES, "tensors"));
    return take_count(n_pairs, reader, 8 + 4 + 1, MOST_ENTRIES, "key-value pairs");
}

int gguf_read_directory(Gguf *gguf, const char *path)
{
    const unsigned char *start = gguf->map.data;
    Reader reader = { start, start, start + gguf->map.n_bytes, path };
    int64_t n_tensors, n_pairs;
    TRY(take_header(&n_tensors, &n_pairs, &reader));
    TRY(read_pairs(gguf, &reader, n_pairs));
    return read_tensors(gguf, &reader, n_tensors);
}

const GgufPair *gguf_find_pair(const Gguf *gguf, const char *key)
{
    const GgufPair wanted = { .key = { key, strlen(key) } };
    return gguf->n_pairs == 0 ? NULL
        : bsearch(&wanted, gguf->pairs, (size_t)gguf->n_pairs, sizeof *gguf->pairs, compare_pairs);
}
