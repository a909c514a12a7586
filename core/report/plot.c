#include "core/report/plot.h"

#include <assert.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/err.h"
#include "core/report/figure.h"
#include "core/report/gnuplot.h"
#include "core/store/durable.h"

enum { MOST_TABLES = 32 };

/* The tables that figures are drawn from. */
typedef struct { int n; const char *name[MOST_TABLES]; Table *table[MOST_TABLES]; } Tables;

typedef struct { char **name; int n; } Paths;

static void paths_add(Paths *paths, char *path)
{
    paths->name = xrealloc(paths->name, (unsigned long)(paths->n + 1) * sizeof *paths->name);
    paths->name[paths->n++] = path;
}

static void paths_free(Paths *paths)
{
    for (int i = 0; i < paths->n; i++) free(paths->name[i]);
    free(paths->name);
}

/* ---- tables ---- */

static void add_name(Tables *tables, const char *name)
{
    for (int t = 0; t < tables->n; t++)
        if (strcmp(tables->name[t], name) == 0) return;
    assert(tables->n < MOST_TABLES);
    tables->name[tables->n++] = name;
}

static int load_tables(Tables *tables, const Store *store)
{
    char **names;
    int n = store_table_names(&names, store), status = OK;
    *tables = (Tables){ 0 };
    for (const Figure *figure = figures; figure->name; figure++) {
        add_name(tables, figure->table);
        if (figure->also) add_name(tables, figure->also);
    }
    for (int t = 0; t < tables->n; t++)
        for (int i = 0; i < n && status == OK; i++)
            if (strcmp(names[i], tables->name[t]) == 0) status = store_get_table(&tables->table[t], store, names[i]);
    for (int i = 0; i < n; i++) free(names[i]);
    free(names);
    return status;
}

static void free_tables(Tables *tables)
{
    for (int t = 0; t < tables->n; t++) table_free(tables->table[t]);
}

static const Table *figure_table(const Figure *figure, const Tables *tables)
{
    for (int t = 0; t < tables->n; t++)
        if (tables->table[t] && strcmp(figure->table, tables->name[t]) == 0) return tables->table[t];
    return NULL;
}

static int write_csv(const Table *table, const char *path)
{
    char *text = NULL;
    size_t n = 0;
    FILE *memory = open_memstream(&text, &n);
    if (!memory) FAIL(ERR_MEMORY, "%s: %s", path, strerror(errno));
    int status = table_write(table, memory, FORMAT_CSV);
    if (fclose(memory) != 0 && status == OK) status = err_set(ERR_MEMORY, "%s: %s", path, strerror(errno));
    if (status == OK) status = durable_replace(path, text, n);
    free(text);
    return status;
}

static int write_tables(Paths *made, const Tables *tables, const char *folder)
{
    for (int t = 0; t < tables->n; t++) {
        if (!tables->table[t]) continue;
        char *path = xformat("%s/%s.csv", folder, tables->name[t]);
        paths_add(made, path);
        TRY(write_csv(tables->table[t], path));
    }
    return OK;
}

/* Creates the folder and those above it. */
static int make_folder(const char *path)
{
    char *part = xstrdup(path);
    for (char *slash = strchr(part + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        mkdir(part, 0777);          /* a failure shows in what follows */
        *slash = '/';
    }
    free(part);
    struct stat info;
    if (mkdir(path, 0777) == 0 || (stat(path, &info) == 0 && S_ISDIR(info.st_mode))) return OK;
    FAIL(ERR_FILE, "%s: the folder cannot be made (%s)", path, strerror(errno));
}

/* ---- pictures ---- */

/* gnuplot does not notice a full disk: a whole picture ends with its format's end mark. */
static bool is_whole(const char *path, const char *ending)
{
    const char *mark = strcmp(ending, "svg") == 0 ? "</svg>" : "IEND";
    char tail[17] = "";
    FILE *file = fopen(path, "rb");
    if (!file) return false;
    size_t n = fseek(file, -16, SEEK_END) == 0 ? fread(tail, 1, 16, file) : 0;
    fclose(file);
    return memmem(tail, n, mark, strlen(mark)) != NULL;
}

/* What the scripts are told; the same for all pictures but for `figure`. */
typedef struct { const char *scripts, *folder; char *tables; } Drawing;

static int draw(const Drawing *drawing, const Figure *figure, const Table *table, const char *ending, const char *path)
{
    char *output = xformat("%s/%s.tmp", drawing->folder, figure->name), *part = xformat("%s.%s", output, ending);
    char *script = xformat("%s/%s.gp", drawing->scripts, figure->name), *swept = figure_swept(table);
    const GnuplotVariable variables[] = {
        { "data", drawing->folder }, { "output", output }, { "terminal", ending },
        { "scripts", drawing->scripts }, { "tables", drawing->tables }, { "swept", swept },
    };
    int status = gnuplot_run(script, variables, sizeof variables / sizeof *variables);
    if (status == OK && !is_whole(part, ending)) status = err_set(ERR_FILE, "%s: gnuplot left it unfinished (is the disk full?)", path);
    if (status == OK && rename(part, path) != 0) status = err_set(ERR_FILE, "%s: %s", path, strerror(errno));
    if (status != OK) unlink(part);
    free(output);
    free(part);
    free(script);
    free(swept);
    return status;
}

static int draw_all(Paths *made, const Tables *tables, const char *scripts, const char *folder)
{
    Drawing drawing = { scripts, folder, xstrdup("") };
    for (int t = 0; t < tables->n; t++) {
        char *longer = xformat("%s %s", drawing.tables, tables->table[t] ? tables->name[t] : "");
        free(drawing.tables);
        drawing.tables = longer;
    }
    int status = OK;
    for (const Figure *figure = figures; figure->name; figure++) {
        const Table *source = figure_table(figure, tables);
        if (!figure_is_drawable(figure, source, NULL)) continue;
        static const char *const endings[] = { "svg", "png" };
        for (int e = 0; e < 2 && status == OK; e++) {
            char *path = xformat("%s/%s.%s", folder, figure->name, endings[e]);
            paths_add(made, path);
            status = draw(&drawing, figure, source, endings[e], path);
        }
    }
    free(drawing.tables);
    if (status != OK) return err_set(status, "%s; the tables are in %s/*.csv", err_last(), folder);
    return OK;
}

/* gnuplot takes a name that begins with < or | for a command, with - for an option, with ~ for a home. */
static char *plain_path(const char *path) { return xformat("%s%s", strchr("<|-~", *path) ? "./" : "", path); }

int plot_run(const Store *store, const char *scripts_dir, const char *out_dir, char ***files, int *n_files)
{
    Tables tables;
    Paths made = { 0 };
    char *scripts = plain_path(scripts_dir), *folder = plain_path(out_dir);
    int status = load_tables(&tables, store);
    if (status == OK) status = make_folder(folder);
    if (status == OK) status = write_tables(&made, &tables, folder);
    if (status == OK) status = draw_all(&made, &tables, scripts, folder);
    if (status == OK) {
        *files = made.name;
        *n_files = made.n;
    } else {
        paths_free(&made);
    }
    free_tables(&tables);
    free(scripts);
    free(folder);
    return status;
}

static bool same_question(const Figure *a, const Figure *b)
{
    return a->question && b->question ? strcmp(a->question, b->question) == 0 : a->question == b->question;
}

/* Of a figure that is optional: what a table without its columns has is another question. */
static bool lacks_columns(const Figure *figure, const Table *table)
{
    return figure->optional && table && (!table_column(table, figure->columns[0]) || !table_column(table, figure->columns[1]));
}

/* Has the store a table of the figure's question?  One that has no table at all is taken to be about the main one. */
static bool was_asked(const Figure *figure, const Tables *tables)
{
    bool any = false;
    if (lacks_columns(figure, figure_table(figure, tables))) return false;
    for (const Figure *other = figures; other->name; other++) {
        const bool there = figure_table(other, tables) != NULL;
        if (there && same_question(figure, other)) return true;
        any |= there;
    }
    return !any && !figure->question;
}

char *plot_left_out(const Store *store)
{
    Tables tables;
    if (load_tables(&tables, store) != OK) {
        free_tables(&tables);
        return xstrdup(err_last());
    }
    char *said = NULL;
    for (const Figure *figure = figures; figure->name; figure++) {
        char *reason = NULL;
        if (!was_asked(figure, &tables) || figure_is_drawable(figure, figure_table(figure, &tables), &reason)) continue;
        char *longer = xformat("%s%s%s is not drawn: %s", said ? said : "", said ? "; " : "", figure->name, reason);
        free(said);
        free(reason);
        said = longer;
    }
    free_tables(&tables);
    return said;
}

char *plot_scripts_dir(void)
{
    const char *given = getenv("LINEARITY_PLOTS");
    if (given && *given) return xstrdup(given);
    char *program = realpath("/proc/self/exe", NULL), *slash = program ? strrchr(program, '/') : NULL;
    if (slash) *slash = '\0';
    char *beside = slash ? xformat("%s/../plots", program) : NULL;
    free(program);
    if (beside && access(beside, X_OK) == 0) return beside;
    free(beside);
    return xstrdup("plots");
}
