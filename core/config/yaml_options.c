#include "core/config/yaml_options.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/err.h"

static bool table_has(const Option *table, const char *name)
{
    while (table->name && strcmp(table->name, name)) table++;
    return table->name;
}

static int refuse_repeated(YamlFile *file, const yaml_node_t *mapping, const yaml_node_pair_t *pair, const char *word)
{
    const yaml_node_t *key = yaml_file_node(file, pair->key);
    for (const yaml_node_pair_t *before = mapping->data.mapping.pairs.start; before < pair; before++) {
        const yaml_node_t *earlier = yaml_file_node(file, before->key);
        if (!strcmp((const char *)earlier->data.scalar.value, word))
            return yaml_file_refuse(file, key, "'%s' is given twice (first in line %zu)", word, earlier->start_mark.line + 1);
    }
    return OK;
}

typedef struct { YamlFile *file; const Option *table; YamlLeaf leaf; void *context; } Walk;
static int walk_mapping(const Walk *walk, const yaml_node_t *mapping, const char *prefix);

/* A key that is no option: the name of a group of them, or unknown. */
static int walk_group(const Walk *walk, const char *name, const yaml_node_t *key, const yaml_node_t *value)
{
    char *level = xformat("%s.", name), *keys = options_keys(walk->table, level), *place = yaml_file_place(walk->file, key);
    int status;
    if (!*keys) status = options_unknown(walk->table, name, place);
    else if (value->type == YAML_MAPPING_NODE) status = walk_mapping(walk, value, level);
    else status = yaml_file_refuse(walk->file, value, "'%s' is a group of keys (%s), not %s", name, keys, yaml_kind(value));
    free(level);
    free(keys);
    free(place);
    return status;
}

static int walk_pair(const Walk *walk, const yaml_node_t *mapping, const yaml_node_pair_t *pair, const char *prefix)
{
    yaml_node_t *key = yaml_file_node(walk->file, pair->key), *value = yaml_file_node(walk->file, pair->value);
    const char *word;
    TRY(yaml_file_scalar(&word, walk->file, key, "a key"));
    TRY(refuse_repeated(walk->file, mapping, pair, word));
    char *name = xformat("%s%s", prefix, word);
    int status = table_has(walk->table, name) ? walk->leaf(walk->context, name, key, value) : walk_group(walk, name, key, value);
    free(name);
    return status;
}

static int walk_mapping(const Walk *walk, const yaml_node_t *mapping, const char *prefix)
{
    TRY(yaml_file_check_tag(walk->file, mapping, *prefix ? prefix : "the file"));
    const yaml_node_pair_t *end = mapping->data.mapping.pairs.top;
    for (const yaml_node_pair_t *pair = mapping->data.mapping.pairs.start; pair < end; pair++)
        TRY(walk_pair(walk, mapping, pair, prefix));
    return OK;
}

/* An alias may point at a mapping around it; the table's depth bounds the recursion all the same. */
int yaml_file_walk(YamlFile *file, const yaml_node_t *mapping, const Option *table, YamlLeaf leaf, void *context)
{
    return walk_mapping(&(Walk){ file, table, leaf, context }, mapping, "");
}

static bool takes_list(const Options *options, const char *name)
{
    const Option *row = options_table(options);
    while (row->name && strcmp(row->name, name)) row++;
    return row->name && row->list;
}

static int set_scalar(Options *options, const char *name, const YamlFile *file, const yaml_node_t *value,
                      int (*set)(Options *, const char *, const char *, const char *))
{
    const char *text;
    TRY(yaml_file_scalar(&text, file, value, name));
    char *place = yaml_file_place(file, value);
    int status = set(options, name, text, place);
    free(place);
    return status;
}

int yaml_file_set(Options *options, const char *name, YamlFile *file, const yaml_node_t *value)
{
    bool list = takes_list(options, name);
    if (value->type == YAML_SEQUENCE_NODE && !list)
        return yaml_file_refuse(file, value, "'%s' must be one value, not a list; to try several, name it under 'sweep'", name);
    if (value->type != YAML_SEQUENCE_NODE) return set_scalar(options, name, file, value, options_set);
    TRY(yaml_file_check_tag(file, value, name));
    const yaml_node_item_t *item = value->data.sequence.items.start, *end = value->data.sequence.items.top;
    if (item == end) return yaml_file_refuse(file, value, "'%s' is an empty list", name);
    options_unset(options, name);
    for (; item < end; item++) TRY(set_scalar(options, name, file, yaml_file_node(file, *item), options_append));
    return OK;
}
