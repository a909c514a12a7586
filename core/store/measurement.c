#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/err.h"
#include "core/store/record.h"

void measurement_free(Measurement *m)
{
    for (int i = 0; m->layer_name && i < m->n_layers; i++) free(m->layer_name[i]);
    for (int f = 0; m->form_name && f < m->n_forms; f++) free(m->form_name[f]);
    free(m->layer_name);
    free(m->form_name);
    free(m->form);
    free(m->text);
    free(m->label);
    free(m->tokens);
    free(m->nll);
    free(m->kl);
    free(m->same_top);
    free(m->layer);
    free(m->t2);
    free(m->kappa);
    free(m->bits);
    free(m->code_bits);
    free(m->t2_asked);
    *m = (Measurement){ 0 };
}

/* Numbers per form. */
static size_t n_cells(const Measurement *m) { return (size_t)m->n_layers * (size_t)m->n_windows; }

const double *measurement_form(const Measurement *m, const char *name)
{
    for (int f = 0; f < m->n_forms; f++)
        if (strcmp(m->form_name[f], name) == 0) return m->form + (size_t)f * n_cells(m);
    return NULL;
}

double *undefined_numbers(int n)
{
    double *undefined = xmalloc(sizeof *undefined * (size_t)n);
    for (int i = 0; i < n; i++) undefined[i] = NAN;
    return undefined;
}

static void *copy_of(const void *data, int n, size_t size)
{
    size_t n_bytes = (size_t)n * size;
    void *copy = xmalloc(n_bytes);
    return n_bytes ? memcpy(copy, data, n_bytes) : copy;
}

void measurement_copy(Measurement *out, const Measurement *m)
{
    *out = (Measurement){ .n_windows = m->n_windows, .n_layers = m->n_layers, .seconds = m->seconds };
    memcpy(out->key, m->key, HASH_TEXT);
    out->text = xstrdup(m->text);
    out->label = xstrdup(m->label);
    out->tokens = copy_of(m->tokens, m->n_windows, sizeof *m->tokens);
    out->nll = copy_of(m->nll, m->n_windows, sizeof *m->nll);
    out->kl = copy_of(m->kl, m->n_windows, sizeof *m->kl);
    out->same_top = copy_of(m->same_top, m->n_windows, sizeof *m->same_top);
    out->layer = copy_of(m->layer, m->n_layers, sizeof *m->layer);
    out->t2 = copy_of(m->t2, m->n_layers, sizeof *m->t2);
    out->kappa = copy_of(m->kappa, m->n_layers, sizeof *m->kappa);
    out->bits = copy_of(m->bits, m->n_layers, sizeof *m->bits);
    out->code_bits = copy_of(m->code_bits, m->n_layers, sizeof *m->code_bits);
    out->t2_asked = copy_of(m->t2_asked, m->n_layers, sizeof *m->t2_asked);
    out->layer_name = xcalloc((unsigned long)m->n_layers, sizeof *out->layer_name);
    for (int i = 0; i < m->n_layers; i++) out->layer_name[i] = xstrdup(m->layer_name[i]);
    if (m->n_forms == 0) return;
    out->n_forms = m->n_forms;
    out->form = copy_of(m->form, m->n_forms, n_cells(m) * sizeof *m->form);
    out->form_name = xcalloc((unsigned long)m->n_forms, sizeof *out->form_name);
    for (int f = 0; f < m->n_forms; f++) out->form_name[f] = xstrdup(m->form_name[f]);
}

/* ---- as bytes: numbers in the machine's order, text as its length and its bytes ---- */

static void put(Bytes *out, const void *data, size_t n)
{
    if (n == 0) return;
    if (n > out->capacity - out->n) {
        out->capacity = 2 * out->capacity + n;
        out->data = xrealloc(out->data, out->capacity);
    }
    memcpy(out->data + out->n, data, n);
    out->n += n;
}

static void put_integer(Bytes *out, int64_t value) { put(out, &value, sizeof value); }

static void put_text(Bytes *out, const char *text)
{
    size_t n = strlen(text);
    put_integer(out, (int64_t)n);
    put(out, text, n);
}

void measurement_encode(Bytes *out, const Measurement *m)
{
    uint8_t kind = RECORD_MEASUREMENT;
    size_t n_windows = (size_t)m->n_windows, n_layers = (size_t)m->n_layers;
    put(out, &kind, 1);
    put_text(out, m->key);
    put_text(out, m->text);
    put_text(out, m->label);
    put(out, &m->seconds, sizeof m->seconds);
    put_integer(out, m->n_windows);
    put(out, m->tokens, n_windows * sizeof *m->tokens);
    put(out, m->nll, n_windows * sizeof *m->nll);
    put(out, m->kl, n_windows * sizeof *m->kl);
    put(out, m->same_top, n_windows * sizeof *m->same_top);
    put_integer(out, m->n_layers);
    put(out, m->layer, n_layers * sizeof *m->layer);
    for (size_t i = 0; i < n_layers; i++) put_text(out, m->layer_name[i]);
    put(out, m->t2, n_layers * sizeof *m->t2);
    put(out, m->kappa, n_layers * sizeof *m->kappa);
    put(out, m->bits, n_layers * sizeof *m->bits);
    put(out, m->code_bits, n_layers * sizeof *m->code_bits);
    put(out, m->t2_asked, n_layers * sizeof *m->t2_asked);
    if (m->n_forms == 0) return;        /* the record ends here, as it did before there were forms */
    put_integer(out, m->n_forms);
    for (int f = 0; f < m->n_forms; f++) put_text(out, m->form_name[f]);
    put(out, m->form, (size_t)m->n_forms * n_cells(m) * sizeof *m->form);
}

void run_encode(Bytes *out, int64_t run, const Provenance *provenance)
{
    uint8_t kind = RECORD_RUN;
    put(out, &kind, 1);
    put_integer(out, run);
    put_integer(out, provenance->n);
    for (int i = 0; i < provenance->n; i++) {
        put_text(out, provenance->name[i]);
        put_text(out, provenance->value[i]);
    }
}

/* A reader that stays at the end of its bytes once it has asked for more than there are. */
typedef struct { const uint8_t *at; size_t left; bool bad; } Reader;

static void take(Reader *reader, void *out, size_t n)
{
    if (reader->bad || n > reader->left) {
        reader->bad = true;
        return;
    }
    if (n == 0) return;
    memcpy(out, reader->at, n);
    reader->at += n;
    reader->left -= n;
}

/* A count of things of at least `size` bytes each; 0 and bad where there cannot be so many. */
static int take_count(Reader *reader, size_t size)
{
    int64_t count = 0;
    take(reader, &count, sizeof count);
    if (count < 0 || count > INT32_MAX || (uint64_t)count > reader->left / size) reader->bad = true;
    return reader->bad ? 0 : (int)count;
}

static char *take_text(Reader *reader)
{
    int n = take_count(reader, 1);
    char *text = xcalloc((unsigned long)n + 1, 1);
    take(reader, text, (size_t)n);
    return text;
}

static void *take_array(Reader *reader, int n, size_t size)
{
    void *array = xcalloc((unsigned long)n, size);
    take(reader, array, (size_t)n * size);
    return array;
}

static RecordKind take_kind(Reader *reader)
{
    uint8_t found = 0;
    take(reader, &found, 1);
    return found;
}

static void take_forms(Reader *reader, Measurement *m)
{
    if (reader->bad || reader->left == 0) return;
    size_t n_bytes = n_cells(m) * sizeof *m->form;
    m->n_forms = take_count(reader, sizeof(int64_t) + n_bytes);
    if (m->n_forms == 0) reader->bad = true;
    m->form_name = xcalloc((unsigned long)m->n_forms, sizeof *m->form_name);
    for (int f = 0; f < m->n_forms; f++) m->form_name[f] = take_text(reader);
    m->form = take_array(reader, m->n_forms, n_bytes);
}

static void take_measurement(Reader *reader, Measurement *m, RecordKind kind)
{
    char *key = take_text(reader);
    if (strlen(key) == HASH_TEXT - 1) memcpy(m->key, key, HASH_TEXT);
    else reader->bad = true;
    free(key);
    m->text = take_text(reader);
    m->label = take_text(reader);
    take(reader, &m->seconds, sizeof m->seconds);
    m->n_windows = take_count(reader, sizeof *m->tokens + 3 * sizeof(double));
    m->tokens = take_array(reader, m->n_windows, sizeof *m->tokens);
    m->nll = take_array(reader, m->n_windows, sizeof *m->nll);
    m->kl = take_array(reader, m->n_windows, sizeof *m->kl);
    m->same_top = take_array(reader, m->n_windows, sizeof *m->same_top);
    m->n_layers = take_count(reader, sizeof *m->layer + sizeof(int64_t) + 4 * sizeof(double));
    m->layer = take_array(reader, m->n_layers, sizeof *m->layer);
    m->layer_name = xcalloc((unsigned long)m->n_layers, sizeof *m->layer_name);
    for (int i = 0; i < m->n_layers; i++) m->layer_name[i] = take_text(reader);
    m->t2 = take_array(reader, m->n_layers, sizeof *m->t2);
    m->kappa = take_array(reader, m->n_layers, sizeof *m->kappa);
    m->bits = take_array(reader, m->n_layers, sizeof *m->bits);
    m->code_bits = kind == RECORD_OLDER ? undefined_numbers(m->n_layers) : take_array(reader, m->n_layers, sizeof *m->code_bits);
    m->t2_asked = take_array(reader, m->n_layers, sizeof *m->t2_asked);
    take_forms(reader, m);
}

int measurement_decode(Measurement *out, const uint8_t *data, size_t n)
{
    Reader reader = { data, n, false };
    Measurement m = { 0 };
    const RecordKind kind = take_kind(&reader);
    if (kind != RECORD_MEASUREMENT && kind != RECORD_OLDER) FAIL(ERR_FORMAT, "a record is not a measurement");
    take_measurement(&reader, &m, kind);
    int status = OK;
    if (reader.bad || reader.left > 0) status = err_set(ERR_FORMAT, "a measurement's record has the wrong length");
    else if (!forms_fit(&m) || forms_check_finite(&m) != OK) status = err_set(ERR_FORMAT, "a measurement's record has forms that none can have");
    if (status == OK) *out = m;
    else measurement_free(&m);
    return status;
}

int run_decode(int64_t *run, Provenance *out, const uint8_t *data, size_t n)
{
    Reader reader = { data, n, false };
    Provenance provenance = { 0 };
    int64_t index = 0;
    if (take_kind(&reader) != RECORD_RUN) FAIL(ERR_FORMAT, "a record is not a run's provenance");
    take(&reader, &index, sizeof index);
    int n_pairs = take_count(&reader, 2 * sizeof(int64_t));
    for (int i = 0; i < n_pairs; i++) {
        char *name = take_text(&reader), *value = take_text(&reader);
        if (!reader.bad) provenance_add(&provenance, name, "%s", value);
        free(name);
        free(value);
    }
    if (reader.bad || reader.left > 0 || index < 0) {
        provenance_free(&provenance);
        FAIL(ERR_FORMAT, "a provenance record has the wrong length");
    }
    *run = index;
    *out = provenance;
    return OK;
}
