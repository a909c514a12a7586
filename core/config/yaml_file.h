/*
 * yaml_file.h - a YAML file read whole (libyaml), with the place of each node for messages
 */
#ifndef CORE_CONFIG_YAML_FILE_H
#define CORE_CONFIG_YAML_FILE_H

#include <stdbool.h>
#include <yaml.h>

typedef struct {
    char *path, *text;              /* the file as read; no zero byte inside */
    yaml_document_t document;
} YamlFile;

/* One document whose root is a mapping.  ERR_FILE: cannot be read; ERR_FORMAT: not YAML, empty,
 * several documents: "path:line:column: sentence". */
int  yaml_file_open(YamlFile *out, const char *path);
void yaml_file_close(YamlFile *file);

yaml_node_t *yaml_file_node(YamlFile *file, int index);
char *yaml_file_place(const YamlFile *file, const yaml_node_t *node);       /* "path:line:column"; the caller frees */

/* Records "place: sentence" and returns ERR_ARGUMENT. */
int yaml_file_refuse(const YamlFile *file, const yaml_node_t *node, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* The text of a scalar that has a value; name is what it is for. */
int yaml_file_scalar(const char **out, const YamlFile *file, const yaml_node_t *node, const char *name);

/* Is it written as no value: nothing, ~ or null? */
bool yaml_is_null(const yaml_node_t *node);

/* "a mapping", "a list" or "one value". */
const char *yaml_kind(const yaml_node_t *node);

/* Refuses tags such as !!int: the table gives the type, so a tag could only repeat or contradict it. */
int yaml_file_check_tag(const YamlFile *file, const yaml_node_t *node, const char *name);

#endif
