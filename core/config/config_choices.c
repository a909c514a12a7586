#include <stdlib.h>
#include <string.h>

#include "core/base/err.h"
#include "core/config/choice_name.h"
#include "core/config/config_parts.h"
#include "core/config/yaml_options.h"

#define EXAMPLE "write it as [{rtn: {bits: [2, 3], group: 64}}]"

/* One entry of the list, while it is read: the choices it makes so far. */
typedef struct { YamlFile *file; const Perturbation *perturbation; int n; Options **options; } Entry;

static void entry_clear(Entry *entry)
{
    for (int i = 0; i < entry->n; i++) options_free(entry->options[i]);
    free(entry->options);
    entry->n = 0;
    entry->options = NULL;
}

static void entry_push(Entry *entry, Options *options)
{
    entry->options = xrealloc(entry->options, (size_t)(entry->n + 1) * sizeof *entry->options);
    entry->options[entry->n++] = options;
}

static const Option *find_row(const Option *table, const char *name)
{
    while (strcmp(table->name, name)) table++;
    return table;
}

/* Every choice so far, with every value of the list: the first key varies slowest. */
static int entry_multiply(Entry *entry, const char *name, const yaml_node_t *list)
{
    const yaml_node_item_t *start = list->data.sequence.items.start, *end = list->data.sequence.items.top;
    if (start == end) return yaml_file_refuse(entry->file, list, "'%s' is an empty list", name);
    if (end - start > MAX_COMBINATIONS / entry->n)
        return yaml_file_refuse(entry->file, list, "'%s' makes more than %d choices", name, MAX_COMBINATIONS);
    Entry product = { entry->file, entry->perturbation, 0, NULL };
    int status = OK;
    for (int i = 0; i < entry->n; i++)
        for (const yaml_node_item_t *item = start; item < end && status == OK; item++) {
            entry_push(&product, options_copy(entry->options[i]));
            status = yaml_file_set(product.options[product.n - 1], name, entry->file, yaml_file_node(entry->file, *item));
        }
    entry_clear(status == OK ? entry : &product);
    if (status == OK) *entry = product;
    return status;
}

static int entry_option(void *context, const char *name, yaml_node_t *key, yaml_node_t *value)
{
    (void)key;
    Entry *entry = context;
    if (value->type == YAML_SEQUENCE_NODE && !find_row(entry->perturbation->options, name)->list) {
        TRY(yaml_file_check_tag(entry->file, value, name));
        return entry_multiply(entry, name, value);
    }
    for (int i = 0; i < entry->n; i++) TRY(yaml_file_set(entry->options[i], name, entry->file, value));
    return OK;
}

/* An equal choice under another name ("rtn" and its defaults spelled out) is a duplicate too. */
static const Choice *find_equal(const Config *config, const Perturbation *perturbation, const Options *options)
{
    const Choice *equal = NULL;
    char *text = options_canonical(options);
    for (int i = 0; i < config->n_choices && !equal; i++) {
        if (config->choice[i].perturbation != perturbation) continue;
        char *other = options_canonical(config->choice[i].options);
        if (!strcmp(text, other)) equal = &config->choice[i];
        free(other);
    }
    free(text);
    return equal;
}

static int add_choice(Config *config, YamlFile *file, const yaml_node_t *node, const Perturbation *perturbation, const Options *options)
{
    const Choice *equal = find_equal(config, perturbation, options);
    if (equal) return yaml_file_refuse(file, node, "the choice '%s' is given twice", equal->name);
    if (config->n_choices == MAX_COMBINATIONS) return yaml_file_refuse(file, node, "more than %d choices", MAX_COMBINATIONS);
    config->choice = xrealloc(config->choice, (size_t)(config->n_choices + 1) * sizeof *config->choice);
    config->choice[config->n_choices++] = (Choice){ perturbation, options_copy(options), choice_name(perturbation, options) };
    return OK;
}

/* The name and the options (NULL: none) of "rtn" or {rtn: {...}}. */
static int split_item(const yaml_node_t **name, const yaml_node_t **options, YamlFile *file, const yaml_node_t *item)
{
    *name = item;
    *options = NULL;
    if (item->type == YAML_SCALAR_NODE) return OK;
    TRY(yaml_file_check_tag(file, item, "choices"));
    if (item->type != YAML_MAPPING_NODE || item->data.mapping.pairs.top - item->data.mapping.pairs.start != 1)
        return yaml_file_refuse(file, item, "each choice is one name, or one name with its options; " EXAMPLE);
    *name = yaml_file_node(file, item->data.mapping.pairs.start->key);
    *options = yaml_file_node(file, item->data.mapping.pairs.start->value);
    if (yaml_is_null(*options)) *options = NULL;
    else if ((*options)->type != YAML_MAPPING_NODE)
        return yaml_file_refuse(file, *options, "a choice's options are a mapping such as {bits: 3}, not %s", yaml_kind(*options));
    return OK;
}

static int find_perturbation(const Perturbation **out, YamlFile *file, const yaml_node_t *node)
{
    const char *word;
    TRY(yaml_file_scalar(&word, file, node, "choices"));
    *out = perturbation_find(word);
    if (*out) return OK;
    char *place = yaml_file_place(file, node);
    err_context(ERR_ARGUMENT, "%s", place);
    free(place);
    return ERR_ARGUMENT;
}

static int read_item(Config *config, YamlFile *file, const yaml_node_t *item)
{
    const yaml_node_t *name, *options;
    Entry entry = { .file = file };
    TRY(split_item(&name, &options, file, item));
    TRY(find_perturbation(&entry.perturbation, file, name));
    entry_push(&entry, options_new(entry.perturbation->options));
    int status = options ? yaml_file_walk(file, options, entry.perturbation->options, entry_option, &entry) : OK;
    for (int i = 0; i < entry.n && status == OK; i++) status = add_choice(config, file, item, entry.perturbation, entry.options[i]);
    entry_clear(&entry);
    return status;
}

int config_read_choices(Config *config, YamlFile *file, const yaml_node_t *node)
{
    TRY(yaml_file_check_tag(file, node, "choices"));
    if (node->type != YAML_SEQUENCE_NODE) return yaml_file_refuse(file, node, "'choices' must be a list, not %s; " EXAMPLE, yaml_kind(node));
    const yaml_node_item_t *start = node->data.sequence.items.start, *end = node->data.sequence.items.top;
    if (start == end) return yaml_file_refuse(file, node, "'choices' is an empty list");
    for (const yaml_node_item_t *item = start; item < end; item++) TRY(read_item(config, file, yaml_file_node(file, *item)));
    return OK;
}
