/*
 * task_csv.h - records of comma-separated values as Python's csv module reads them: MMLU's files (inside core/text)
 */
#ifndef CORE_TEXT_TASK_CSV_H
#define CORE_TEXT_TASK_CSV_H

#include "core/text/task_file.h"
#include "core/text/text_file.h"

/* question,A,B,C,D,answer of each record of the text; fields may be quoted, and then hold commas, line ends and doubled quotes.  Appends to
 * *items, at most `most` (0: all) of them.  ERR_FORMAT with path:line. */
int task_csv_read(TaskItems *items, const Text *text, const char *path, int most);

#endif
