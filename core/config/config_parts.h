/*
 * config_parts.h - the two parts of a config that are no plain options: choices and sweep
 */
#ifndef CORE_CONFIG_CONFIG_PARTS_H
#define CORE_CONFIG_CONFIG_PARTS_H

#include "core/config/config.h"
#include "core/config/yaml_file.h"

/* Of choices, and of the points of a sweep; more is taken for a slip. */
enum { MAX_COMBINATIONS = 10000 };

/* Both fill their part of config; on failure the caller frees the whole of it. */
int config_read_choices(Config *config, YamlFile *file, const yaml_node_t *node);
int config_read_sweep(Config *config, YamlFile *file, const yaml_node_t *node);

/* Takes one key out of the sweep, where it is in it. */
void config_unsweep(Config *config, const char *name);

#endif
