/* program_task.h - a tiny model with a tokenizer and questions with choices, in the scratch folder */
#ifndef CORE_TESTS_PROGRAM_TASK_H
#define CORE_TESTS_PROGRAM_TASK_H

#include "core/tests/program_models.h"
#include "core/tests/program_rows.h"
#include "core/tests/program_tokenizer.h"

enum { ITEMS = 30, CHOICES = 3 };

static inline const char *context(int item)
{
    static const char *const word[] = { "the wind", "a tale of water.", "in the inn, 12 win", "was it told\n" };
    static char text[64];
    snprintf(text, sizeof text, "%s %d", word[item % 4], item);
    return text;
}

/* About equally many tokens, or the shortest would always win with a model of random weights. */
static inline const char *choice(int item, int c)
{
    static char text[64];
    snprintf(text, sizeof text, " %c%c%s%c %d", 'b' + (5 * item + 7 * c) % 23, 'a' + (11 * item + 3 * c) % 26, c == 1 ? "in" : "n", 'c' + (item * c) % 20, (item + 3 * c) % 10);
    return text;
}

static inline int label_of(int item) { return (item * item + item / 3) % CHOICES; }

/* scratch/m: a tiny model with a tokenizer; scratch/task.jsonl. */
static inline int make(void **state)
{
    (void)state;
    model_copy("m", TINY);
    tokenizer_write("m", false);
    json_t *line;
    char *text = xstrdup("");
    for (int i = 0; i < ITEMS; i++) {
        line = json_pack("{s:s,s:[],s:i}", "context", context(i), "choices", "label", label_of(i));
        for (int c = 0; c < CHOICES; c++) json_array_append_new(json_object_get(line, "choices"), json_string(choice(i, c)));
        char *one = json_dumps(line, JSON_COMPACT), *longer = xformat("%s%s\n", text, one);
        free(one);
        free(text);
        text = longer;
        json_decref(line);
    }
    scratch_text("task.jsonl", text);
    free(text);
    return 0;
}

static inline int clean(void **state)
{
    (void)state;
    scratch_remove();
    return 0;
}

/* scratch/q: the model by round to nearest in 2 bits. */
static inline void quantize_model(void)
{
    Ran ran = program("quantize", scratch_path("m"), "--method", "rtn", "--set", "bits=2", "--set", "group=16", "--out", scratch_path("q"), "--quiet", NULL);
    assert_int_equal(ran.status, 0);
    ran_free(&ran);
}

/* What a command prints with --json, and others (ended by NULL). */
static inline json_t *printed(const char *command, const char *model, const char *file, const char *a, const char *b, const char *c)
{
    Ran ran = program(command, model, file, "--json", "--quiet", a, b, c, NULL);
    if (ran.status) print_error("%s", ran.err);
    assert_int_equal(ran.status, 0);
    assert_null(strstr(ran.out, "nan"));
    json_t *root = json_loads(ran.out, 0, NULL);
    assert_non_null(root);
    ran_free(&ran);
    return root;
}

static inline double value(const json_t *object, const char *key)
{
    const json_t *x = json_object_get(object, key);
    assert_true(json_is_number(x));
    return json_number_value(x);
}

/* Writes the ids of a text as a line, returns how many there are. */

#endif
