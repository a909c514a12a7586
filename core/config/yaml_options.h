/*
 * yaml_options.h - from YAML mappings to options: {noise: {group: 64}} sets noise.group
 */
#ifndef CORE_CONFIG_YAML_OPTIONS_H
#define CORE_CONFIG_YAML_OPTIONS_H

#include "core/base/options.h"
#include "core/config/yaml_file.h"

/* Goes through a mapping whose keys are names of table, nested mappings being dotted names, and
 * calls leaf for each full name.  Unknown and repeated keys are refused, and so are groups of keys
 * that are given one value. */
typedef int (*YamlLeaf)(void *context, const char *name, yaml_node_t *key, yaml_node_t *value);
int yaml_file_walk(YamlFile *file, const yaml_node_t *mapping, const Option *table, YamlLeaf leaf, void *context);

/* Sets one option: from a scalar, or for lists from a sequence of scalars too. */
int yaml_file_set(Options *options, const char *name, YamlFile *file, const yaml_node_t *value);

#endif
