#include "core/config/yaml_file.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/err.h"

enum { MAX_BYTES = 1 << 20 };       /* of a config; a model given by mistake is larger */

static int read_all(char **out, size_t *n_bytes, FILE *stream, const char *path)
{
    char *text = xmalloc(MAX_BYTES + 1);
    size_t n = fread(text, 1, MAX_BYTES + 1, stream);
    int status = OK;
    if (ferror(stream)) status = err_set(ERR_FILE, "%s: %s", path, strerror(errno));
    else if (n > MAX_BYTES) status = err_set(ERR_FORMAT, "%s: over 1 MiB, so it is no config", path);
    if (status != OK) {
        free(text);
        return status;
    }
    text[n] = 0;
    *out = text;
    *n_bytes = n;
    return OK;
}

static int read_file(char **out, size_t *n_bytes, const char *path)
{
    FILE *stream = fopen(path, "rb");
    if (!stream) FAIL(ERR_FILE, "%s: %s", path, strerror(errno));
    int status = read_all(out, n_bytes, stream, path);
    fclose(stream);
    return status;
}

/* Does white space at the start of this line (counted from 0) hold a tab? */
static bool has_leading_tab(const char *text, size_t line)
{
    for (; line > 0 && text; line--) {
        text = strchr(text, '\n');
        if (text) text++;
    }
    return text && memchr(text, '\t', strspn(text, " \t"));
}

/* What newcomers to YAML most often run into, in their words. */
static const char *syntax_hint(const yaml_parser_t *parser, const char *text)
{
    bool alias = (parser->context && strstr(parser->context, "alias")) || (parser->problem && strstr(parser->problem, "alias"));
    if (alias) return "; a text that begins with * or & must be quoted: \"*\"";
    if (has_leading_tab(text, parser->problem_mark.line)) return "; a tab stands where YAML wants spaces";
    return "";
}

static int syntax_error(const yaml_parser_t *parser, const char *path, const char *text)
{
    const char *problem = parser->problem ? parser->problem : "cannot be parsed";
    if (parser->error == YAML_MEMORY_ERROR) FAIL(ERR_MEMORY, "%s: not enough memory to parse it", path);
    if (parser->error == YAML_READER_ERROR)
        FAIL(ERR_FORMAT, "%s: not a text file: %s at byte %zu", path, problem, parser->problem_offset);
    FAIL(ERR_FORMAT, "%s:%zu:%zu: not valid YAML: %s%s%s%s", path, parser->problem_mark.line + 1, parser->problem_mark.column + 1,
         problem, parser->context ? " " : "", parser->context ? parser->context : "", syntax_hint(parser, text));
}

/* A second document would be ignored by what follows, so it is looked for. */
static int refuse_second_document(yaml_parser_t *parser, const char *path, const char *text)
{
    yaml_document_t second;
    if (!yaml_parser_load(parser, &second)) return syntax_error(parser, path, text);
    bool empty = !yaml_document_get_root_node(&second);
    size_t line = second.start_mark.line + 1;
    yaml_document_delete(&second);
    if (!empty) FAIL(ERR_FORMAT, "%s:%zu:1: a second YAML document; a config is one", path, line);
    return OK;
}

static int check_root(YamlFile *file)
{
    const yaml_node_t *root = yaml_document_get_root_node(&file->document);
    if (!root || yaml_is_null(root)) FAIL(ERR_FORMAT, "%s: the file is empty", file->path);
    if (root->type == YAML_MAPPING_NODE) return OK;
    yaml_file_refuse(file, root, "a config is made of lines 'key: value', not of %s",
                     root->type == YAML_SEQUENCE_NODE ? "a list" : "one text");
    return ERR_FORMAT;
}

static int load(YamlFile *file, size_t n_bytes)
{
    yaml_parser_t parser;
    if (!yaml_parser_initialize(&parser)) FAIL(ERR_MEMORY, "%s: not enough memory to parse it", file->path);
    yaml_parser_set_encoding(&parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&parser, (const unsigned char *)file->text, n_bytes);
    int status = OK;
    if (!yaml_parser_load(&parser, &file->document)) {
        status = syntax_error(&parser, file->path, file->text);
        memset(&file->document, 0, sizeof file->document);
    } else if (yaml_document_get_root_node(&file->document)) {      /* the parser must not be asked again after the stream's end */
        status = refuse_second_document(&parser, file->path, file->text);
    }
    yaml_parser_delete(&parser);
    return status;
}

int yaml_file_open(YamlFile *out, const char *path)
{
    YamlFile file = { 0 };
    size_t n_bytes = 0;
    TRY(read_file(&file.text, &n_bytes, path));
    file.path = xstrdup(path);
    int status = load(&file, n_bytes);
    if (status == OK) status = check_root(&file);
    if (status != OK) yaml_file_close(&file);
    else *out = file;
    return status;
}

void yaml_file_close(YamlFile *file)
{
    yaml_document_delete(&file->document);
    free(file->path);
    free(file->text);
    *file = (YamlFile){ 0 };
}

yaml_node_t *yaml_file_node(YamlFile *file, int index) { return yaml_document_get_node(&file->document, index); }

char *yaml_file_place(const YamlFile *file, const yaml_node_t *node)
{
    return xformat("%s:%zu:%zu", file->path, node->start_mark.line + 1, node->start_mark.column + 1);
}

int yaml_file_refuse(const YamlFile *file, const yaml_node_t *node, const char *format, ...)
{
    char sentence[1024];
    va_list args;
    va_start(args, format);
    vsnprintf(sentence, sizeof sentence, format, args);
    va_end(args);
    FAIL(ERR_ARGUMENT, "%s:%zu:%zu: %s", file->path, node->start_mark.line + 1, node->start_mark.column + 1, sentence);
}

bool yaml_is_null(const yaml_node_t *node)
{
    if (node->type != YAML_SCALAR_NODE || node->data.scalar.style != YAML_PLAIN_SCALAR_STYLE) return false;
    const char *text = (const char *)node->data.scalar.value;
    return !*text || !strcmp(text, "~") || !strcmp(text, "null");
}

const char *yaml_kind(const yaml_node_t *node)
{
    return node->type == YAML_MAPPING_NODE ? "a mapping" : node->type == YAML_SEQUENCE_NODE ? "a list" : "one value";
}

int yaml_file_check_tag(const YamlFile *file, const yaml_node_t *node, const char *name)
{
    const char *usual = node->type == YAML_MAPPING_NODE ? YAML_DEFAULT_MAPPING_TAG
                      : node->type == YAML_SEQUENCE_NODE ? YAML_DEFAULT_SEQUENCE_TAG : YAML_DEFAULT_SCALAR_TAG;
    if (!node->tag || !strcmp((const char *)node->tag, usual)) return OK;
    return yaml_file_refuse(file, node, "'%s' has the YAML tag '%.60s'; write the value without it", name, node->tag);
}

int yaml_file_scalar(const char **out, const YamlFile *file, const yaml_node_t *node, const char *name)
{
    TRY(yaml_file_check_tag(file, node, name));
    if (node->type != YAML_SCALAR_NODE) return yaml_file_refuse(file, node, "'%s' must be one value, not %s", name, yaml_kind(node));
    if (yaml_is_null(node)) return yaml_file_refuse(file, node, "'%s' has no value", name);
    const char *text = (const char *)node->data.scalar.value;
    if (strlen(text) != node->data.scalar.length) return yaml_file_refuse(file, node, "'%s' holds a zero character", name);
    *out = text;
    return OK;
}
