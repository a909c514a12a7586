/*
 * task_formats.h - one item from one line or record of a file (inside core/text)
 */
#ifndef CORE_TEXT_TASK_FORMATS_H
#define CORE_TEXT_TASK_FORMATS_H

#include "core/text/task_fields.h"
#include "core/text/task_file.h"

typedef struct {
    const char *name;
    const char *field[5];           /* those that a line of this format has, ended by NULL */
    const char *shape;              /* what a line looks like */
    int (*read)(TaskItem *out, const json_t *line, Place place);    /* *out is the caller's to free, after a failure too */
} TaskFormat;

/* The format that a line's fields tell; ERR_FORMAT with the nearest one. */
int task_format_find(const TaskFormat **out, const json_t *line, Place place);

/* Adds a choice: context and text are taken over, and freed with the item. */
void task_item_add(TaskItem *item, char *context, char *text, int length);
void task_item_free(TaskItem *item);

/* The item of an MMLU question; subject NULL: unknown. */
void task_item_letters(TaskItem *item, const char *subject, const char *question, const char *const choice[4]);

/* ERR_FORMAT where the label is none of the item's choices. */
int task_item_label(TaskItem *item, long long label, Place place);

#endif
