#include "core/text/task_formats.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/err.h"
#include "core/text/python_text.h"
#include "core/text/task_fields.h"

void task_item_add(TaskItem *item, char *context, char *text, int length)
{
    item->choice = xrealloc(item->choice, (size_t)(item->n + 1) * sizeof *item->choice);
    item->choice[item->n++] = (TaskChoice){ context, text, length };
}

void task_item_free(TaskItem *item)
{
    for (int c = 0; c < item->n; c++) {
        free(item->choice[c].context);
        free(item->choice[c].text);
    }
    free(item->choice);
    *item = (TaskItem){ 0 };
}

int task_item_label(TaskItem *item, long long label, Place place)
{
    if (label < 0 || label >= item->n)
        FAIL(ERR_FORMAT, "%s:%d: the right choice is number %lld of %d (counted from 0); test sets published without answers cannot be scored, give a validation set",
             place.path, place.line, label, item->n);
    item->label = (int)label;
    return OK;
}

static void add_answer(TaskItem *item, const char *context, const char *answer)
{
    task_item_add(item, xstrdup(context), xformat(" %s", answer), python_length(answer));
}

static int read_own(TaskItem *out, const json_t *line, Place place)
{
    const char *context;
    const json_t *choices;
    long long label;
    TRY(json_text_of(&context, line, "context", place));
    TRY(json_list_of(&choices, line, "choices", place));
    TRY(json_number_of(&label, line, "label", place));
    for (size_t i = 0; i < json_array_size(choices); i++) {
        const char *text = json_element(choices, i);
        task_item_add(out, xstrdup(context), xstrdup(text), python_length(text + python_white_start(text)));
    }
    return task_item_label(out, label, place);
}

/* [..] goes, up to the next bracket of the same line. */
static void remove_brackets(char *s)
{
    char *to = s;
    while (*s) {
        const size_t inside = *s == '[' ? strcspn(s, "]\n") : 0;
        if (inside && s[inside] == ']') s += inside + 1;
        else *to++ = *s++;
    }
    *to = 0;
}

/* What is left of WikiHow's markup in HellaSwag's texts. */
static char *clean_hellaswag(const char *s)
{
    char *stripped = python_strip(s), *titled = python_replace(stripped, " [title]", ". ");
    remove_brackets(titled);
    char *out = python_replace(titled, "  ", " ");
    free(stripped);
    free(titled);
    return out;
}

static int hellaswag_context(char **out, const json_t *line, Place place)
{
    const char *activity, *a, *b;
    TRY(json_text_of(&activity, line, "activity_label", place));
    if (!json_object_get(line, "ctx_a")) {
        TRY(json_text_of(&a, line, "ctx", place));
        *out = xformat("%s: %s", activity, a);
        return OK;
    }
    TRY(json_text_of(&a, line, "ctx_a", place));
    TRY(json_text_of(&b, line, "ctx_b", place));
    char *capitalized = python_capitalize(b);
    *out = xformat("%s: %s %s", activity, a, capitalized);
    free(capitalized);
    return OK;
}

static int read_hellaswag(TaskItem *out, const json_t *line, Place place)
{
    const json_t *endings;
    long long label;
    char *raw;
    TRY(json_list_of(&endings, line, "endings", place));
    TRY(json_number_of(&label, line, "label", place));
    TRY(hellaswag_context(&raw, line, place));
    char *context = clean_hellaswag(raw);
    for (size_t i = 0; i < json_array_size(endings); i++) {
        char *ending = clean_hellaswag(json_element(endings, i));
        add_answer(out, context, ending);
        free(ending);
    }
    free(raw);
    free(context);
    return task_item_label(out, label, place);
}

/* question {stem, choices [{text, label}]}, as the Allen Institute's files have it: adds the choices, *label = that of the key. */
static int arc_nested(TaskItem *out, long long *label, const json_t *question, const char *context, const char *key, Place place)
{
    const json_t *choices = json_object_get(question, "choices");
    for (size_t i = 0; i < json_array_size(choices); i++) {
        const char *text, *name;
        TRY(json_text_of(&text, json_array_get(choices, i), "text", place));
        TRY(json_text_of(&name, json_array_get(choices, i), "label", place));
        if (*label < 0 && !strcmp(name, key)) *label = (long long)i;
        add_answer(out, context, text);
    }
    return OK;
}

/* choices {text [..], label [..]} beside the question, as the Hub has it. */
static int arc_lists(TaskItem *out, long long *label, const json_t *line, const char *context, const char *key, Place place)
{
    const json_t *choices = json_object_get(line, "choices"), *texts, *names;
    TRY(json_list_of(&texts, choices, "text", place));
    TRY(json_list_of(&names, choices, "label", place));
    if (json_array_size(texts) != json_array_size(names))
        FAIL(ERR_FORMAT, "%s:%d: %zu texts of choices and %zu labels of them", place.path, place.line, json_array_size(texts), json_array_size(names));
    for (size_t i = 0; i < json_array_size(texts); i++) {
        if (*label < 0 && !strcmp(json_element(names, i), key)) *label = (long long)i;
        add_answer(out, context, json_element(texts, i));
    }
    return OK;
}

static int read_arc(TaskItem *out, const json_t *line, Place place)
{
    const json_t *question = json_object_get(line, "question");
    const bool nested = json_is_object(question);
    const char *key, *stem;
    long long label = -1;
    TRY(json_text_of(&key, line, "answerKey", place));
    TRY(nested ? json_text_of(&stem, question, "stem", place) : json_text_of(&stem, line, "question", place));
    char *context = xformat("Question: %s\nAnswer:", stem);
    int status = nested ? arc_nested(out, &label, question, context, key, place) : arc_lists(out, &label, line, context, key, place);
    free(context);
    TRY(status);
    if (label < 0) FAIL(ERR_FORMAT, "%s:%d: the answerKey '%.20s' is the label of no choice", place.path, place.line, key);
    return task_item_label(out, label, place);
}

static int read_piqa(TaskItem *out, const json_t *line, Place place)
{
    const char *goal, *solution[2];
    long long label;
    TRY(json_text_of(&goal, line, "goal", place));
    TRY(json_text_of(&solution[0], line, "sol1", place));
    TRY(json_text_of(&solution[1], line, "sol2", place));
    TRY(json_number_of(&label, line, "label", place));
    char *context = xformat("Question: %s\nAnswer:", goal);
    for (int i = 0; i < 2; i++) add_answer(out, context, solution[i]);
    free(context);
    return task_item_label(out, label, place);
}

static int read_winogrande(TaskItem *out, const json_t *line, Place place)
{
    const char *sentence, *option[2];
    long long answer;
    TRY(json_text_of(&sentence, line, "sentence", place));
    TRY(json_text_of(&option[0], line, "option1", place));
    TRY(json_text_of(&option[1], line, "option2", place));
    TRY(json_number_of(&answer, line, "answer", place));
    const char *blank = strchr(sentence, '_');
    if (!blank) FAIL(ERR_FORMAT, "%s:%d: the sentence has no _ to put the options into", place.path, place.line);
    char *rest = python_strip(blank + 1);
    for (int i = 0; i < 2; i++)
        task_item_add(out, xformat("%.*s%s", (int)(blank - sentence), sentence, option[i]), xformat(" %s", rest), python_length(rest));
    free(rest);
    return task_item_label(out, answer - 1, place);
}

void task_item_letters(TaskItem *item, const char *subject, const char *question, const char *const choice[4])
{
    char *stripped = python_strip(question);
    char *about = subject ? xformat("The following are multiple choice questions (with answers) about %s.\n\n", subject) : xstrdup("");
    char *context = xformat("%s%s\nA. %s\nB. %s\nC. %s\nD. %s\nAnswer:", about, stripped, choice[0], choice[1], choice[2], choice[3]);
    for (int i = 0; i < 4; i++) add_answer(item, context, (const char[]){ (char)('A' + i), 0 });
    free(stripped);
    free(about);
    free(context);
}

static int read_mmlu(TaskItem *out, const json_t *line, Place place)
{
    const char *question;
    const json_t *choices;
    long long answer;
    TRY(json_text_of(&question, line, "question", place));
    TRY(json_list_of(&choices, line, "choices", place));
    TRY(json_number_of(&answer, line, "answer", place));
    if (json_array_size(choices) != 4) FAIL(ERR_FORMAT, "%s:%d: %zu choices; MMLU's questions have four", place.path, place.line, json_array_size(choices));
    const char *choice[4], *subject = json_string_value(json_object_get(line, "subject"));
    for (size_t i = 0; i < 4; i++) choice[i] = json_element(choices, i);
    char *words = subject ? python_replace(subject, "_", " ") : NULL;
    task_item_letters(out, words, question, choice);
    free(words);
    return task_item_label(out, answer, place);
}

static int read_gsm8k(TaskItem *out, const json_t *line, Place place)
{
    const char *question, *answer;
    TRY(json_text_of(&question, line, "question", place));
    TRY(json_text_of(&answer, line, "answer", place));
    char *context = xformat("Question: %s\nAnswer:", question);
    add_answer(out, context, answer);
    free(context);
    return OK;
}

/* The first one whose fields a line has; MMLU before GSM8K, which has fewer. */
static const TaskFormat FORMATS[] = {
    { "context and choices", { "context", "choices", "label" }, "{\"context\": \"..\", \"choices\": [\"..\", \"..\"], \"label\": 0}", read_own },
    { "HellaSwag", { "activity_label", "endings", "label" }, "{\"activity_label\": \"..\", \"ctx_a\": \"..\", \"ctx_b\": \"..\", \"endings\": [..], \"label\": 0}", read_hellaswag },
    { "ARC", { "question", "answerKey" }, "{\"question\": \"..\", \"choices\": {\"text\": [..], \"label\": [..]}, \"answerKey\": \"A\"}", read_arc },
    { "PIQA", { "goal", "sol1", "sol2", "label" }, "{\"goal\": \"..\", \"sol1\": \"..\", \"sol2\": \"..\", \"label\": 0}", read_piqa },
    { "WinoGrande", { "sentence", "option1", "option2", "answer" }, "{\"sentence\": \".. _ ..\", \"option1\": \"..\", \"option2\": \"..\", \"answer\": \"1\"}", read_winogrande },
    { "MMLU", { "question", "choices", "answer" }, "{\"question\": \"..\", \"choices\": [\"..\", \"..\", \"..\", \"..\"], \"answer\": 0}", read_mmlu },
    { "GSM8K", { "question", "answer" }, "{\"question\": \"..\", \"answer\": \".. #### ..\"}", read_gsm8k },
};
enum { N_FORMATS = sizeof FORMATS / sizeof *FORMATS };

/* How many of the format's fields the line has; *missing = the first that it lacks, or NULL. */
static int count_fields(const char **missing, const TaskFormat *format, const json_t *line)
{
    int n = 0;
    *missing = NULL;
    for (int i = 0; format->field[i]; i++) {
        if (json_object_get(line, format->field[i])) n++;
        else if (!*missing) *missing = format->field[i];
    }
    return n;
}

int task_format_find(const TaskFormat **out, const json_t *line, Place place)
{
    const TaskFormat *nearest = NULL;
    const char *missing, *missing_there = NULL;
    int most = 0;
    if (!json_is_object(line)) FAIL(ERR_FORMAT, "%s:%d: a JSON %s, where each line is to be one object, such as %s", place.path, place.line,
                                    json_is_array(line) ? "array" : "value", FORMATS[0].shape);
    for (int i = 0; i < N_FORMATS; i++) {
        const int n = count_fields(&missing, &FORMATS[i], line);
        if (!missing) {
            *out = &FORMATS[i];
            return OK;
        }
        if (n > most) nearest = &FORMATS[i], missing_there = missing, most = n;
    }
    if (nearest)
        FAIL(ERR_FORMAT, "%s:%d: no task is known by these fields; nearest is %s, which needs \"%s\" too and looks like %s", place.path, place.line,
             nearest->name, missing_there, nearest->shape);
    FAIL(ERR_FORMAT, "%s:%d: no task is known by these fields; a line may look like %s", place.path, place.line, FORMATS[0].shape);
}
