#include "core/model/json.h"

#include "core/base/err.h"
#include "core/model/file_map.h"

int json_object_from_text(json_t **out, const char *text, size_t n_bytes, const char *path)
{
    json_error_t error;
    json_t *object = json_loadb(text, n_bytes, JSON_REJECT_DUPLICATES, &error);
    if (!object) FAIL(ERR_FORMAT, "%s: bad JSON in line %d, column %d: %s", path, error.line, error.column, error.text);
    if (!json_is_object(object)) {
        json_decref(object);
        FAIL(ERR_FORMAT, "%s: the JSON is not an object {...}", path);
    }
    *out = object;
    return OK;
}

int json_object_from_file(json_t **out, const char *path)
{
    FileMap map;
    TRY(file_map_open(&map, path));
    int status = json_object_from_text(out, (const char *)map.data, map.n_bytes, path);
    file_map_close(&map);
    return status;
}
