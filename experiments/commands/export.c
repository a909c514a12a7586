/*
 * export.c - a table of a results file on stdout
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/err.h"
#include "core/store/store.h"
#include "experiments/command.h"

static const Option own[] = {
    { "format", OPTION_ONE_OF, false, "csv", 0, 0, "csv|md|tex|json", "", "csv: 17 digits; md, tex: rounded for reading" },
    { 0 },
};

static TableFormat format_of(const Options *options)
{
    const char *word = options_text(options, "format");
    if (options_flag(options, "json") || !strcmp(word, "json")) return FORMAT_JSON;
    return !strcmp(word, "md") ? FORMAT_MARKDOWN : !strcmp(word, "tex") ? FORMAT_TEX : FORMAT_CSV;
}

static int list_tables(const Store *store, TableFormat format)
{
    char **name;
    int n = store_table_names(&name, store), json = format == FORMAT_JSON;
    if (json) putchar('[');
    for (int i = 0; i < n; i++) {
        if (json) json_text(stdout, name[i]);
        else fputs(name[i], stdout);
        fputs(!json ? "\n" : i + 1 < n ? "," : "]\n", stdout);
        free(name[i]);
    }
    free(name);
    return OK;
}

static int print_table(const Store *store, const char *name, TableFormat format)
{
    Table *table = NULL;
    TRY(store_get_table(&table, store, name));
    int status = table_write(table, stdout, format);
    table_free(table);
    return status;
}

static int run(const Arguments *a)
{
    Store *store = NULL;
    TRY(store_open(&store, a->positional[0], true));
    TableFormat format = format_of(a->options);
    int status = a->n_positional == 1 ? list_tables(store, format) : print_table(store, a->positional[1], format);
    store_close(&store);
    return status;
}

const Command command_export = {
    .name = "export", .arguments = "RUN.h5 [TABLE]", .summary = "a table of a results file; without TABLE their names",
    .own = own, .least = 1, .most = 2, .json = true, .run = run,
};
