/*
 * task_file.h - files of questions with choices, as they are distributed, and the prompts that lm-evaluation-harness makes of them
 *
 * A choice is scored by log p(text | context).  Known by their fields (one JSON object a line) or their ending (.csv); | is the border
 * between context and text, {..} a field:
 *
 *   own         {"context", "choices", "label"}            {context}|{choice}, as they are
 *   HellaSwag   ctx_a, ctx_b (or ctx), activity_label, endings, label
 *                                                           {activity_label}: {ctx_a} {ctx_b capitalized}| {ending}, "[title]" and other brackets taken out
 *   ARC         question, choices {text, label}, answerKey (or question {stem, choices [{text, label}]})
 *                                                           Question: {question}\nAnswer:| {text}
 *   PIQA        goal, sol1, sol2, label (or NAME-labels.lst beside NAME.jsonl)
 *                                                           Question: {goal}\nAnswer:| {sol}
 *   WinoGrande  sentence with a _, option1, option2, answer {sentence up to the _}{option}| {the rest}: contexts differ, the text is the same
 *   MMLU        question,A,B,C,D,answer: a CSV without a header line (or question, choices, answer; subject)
 *                                                           {question}\nA. {A}\nB. {B}\nC. {C}\nD. {D}\nAnswer:| A
 *               with a first paragraph "The following are multiple choice questions (with answers) about {subject}." where the
 *               subject is known: from SUBJECT_test.csv (_val, _dev), as MMLU's files are called
 *   GSM8K       question, answer: a worked answer and nothing to choose from
 *                                                           Question: {question}\nAnswer:| {answer}
 *
 * No examples are put before a question (0-shot).
 */
#ifndef CORE_TEXT_TASK_FILE_H
#define CORE_TEXT_TASK_FILE_H

typedef struct {
    char *context, *text;           /* UTF-8; text is what follows the context, its leading blank included */
    int length;                     /* of the choice without that blank, in characters: what acc_norm divides by */
} TaskChoice;

typedef struct {
    int n, label;                   /* choices, and which of them is right */
    TaskChoice *choice;
    int line;                       /* of the file */
} TaskItem;

typedef struct {
    const char *format;             /* "HellaSwag", .. */
    int n;
    TaskItem *item;
} TaskItems;

/* The first `most` items (0: all).  ERR_FILE; ERR_FORMAT with path:line and what was expected there: fields of no known task (with
 * the nearest), a label that is missing or none of the choices, a line of another kind than the first ...  *out is untouched on failure. */
int task_file_read(TaskItems *out, const char *path, int most);
void task_items_free(TaskItems *items);

#endif
