/* allocate_program.h - a small table of choices, and what `linearity allocate --json` says of it */
#ifndef CORE_TESTS_ALLOCATE_PROGRAM_H
#define CORE_TESTS_ALLOCATE_PROGRAM_H

#include <math.h>

#include "core/tests/program_json.h"
#include "core/tests/program_models.h"

/* Two blocks of q, k and up, of the shapes of the tiny model, with three choices. */
static inline const char *table_path(const char *name, bool with_group)
{
    static const char *const layer[] = { "blocks.0.q", "blocks.0.k", "blocks.0.up", "blocks.1.q", "blocks.1.k", "blocks.1.up" };
    static const int cost[] = { 9, 3, 40, 6, 2, 30 };
    char *text = xformat("layer,weights,choice,bits,cost%s\n", with_group ? ",group" : "");
    for (int l = 0; l < 6; l++)
        for (int k = 0; k < 3; k++) {
            const char *group = !with_group ? "" : l % 3 == 2 ? ",ups" : ",";
            char *more = xformat("%s%s,%d,\"rtn{bits=%d,group=64}\",%g,%g%s\n", text, layer[l], l % 3 == 2 ? 4608 : 2304, 2 << k, (2 << k) + .25,
                                 cost[l] * pow(8, -k), group);
            free(text);
            text = more;
        }
    const char *path = scratch_text(name, text);
    free(text);
    return path;
}

static inline json_t *item(json_t *root, const char *list, int i) { return json_array_get(json_object_get(root, list), (size_t)i); }
static inline double number(const json_t *object, const char *key) { return json_number_value(json_object_get(object, key)); }
static inline const char *choice(json_t *allocation, const char *layer) { return json_string_value(json_object_get(json_object_get(allocation, "choices"), layer)); }

static inline const char *save(const char *name, const json_t *root)
{
    char *text = json_dumps(root, JSON_REAL_PRECISION(17));
    const char *path = scratch_text(name, text);
    free(text);
    return path;
}

#endif
