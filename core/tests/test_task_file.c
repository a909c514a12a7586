/* test_task_file.c - every format of questions: items as written by hand from lm-evaluation-harness's definitions; and files that are none */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "core/base/err.h"
#include "core/tests/scratch.h"
#include "core/text/task_file.h"

static TaskItems read_file(const char *name, const char *content, const char *format, int n)
{
    TaskItems items = { 0 };
    int status = task_file_read(&items, scratch_text(name, content), 0);
    if (status != OK) print_error("%s\n", err_last());
    assert_int_equal(status, OK);
    assert_string_equal(items.format, format);
    assert_int_equal(items.n, n);
    return items;
}

static void expect_choice(const TaskItem *item, int c, const char *context, const char *text, int length)
{
    assert_true(c < item->n);
    assert_string_equal(item->choice[c].context, context);
    assert_string_equal(item->choice[c].text, text);
    assert_int_equal(item->choice[c].length, length);
}

static void expect_item(const TaskItem *item, int n, int label, int line)
{
    assert_int_equal(item->n, n);
    assert_int_equal(item->label, label);
    assert_int_equal(item->line, line);
}

static void test_own(void **state)
{
    (void)state;
    TaskItems items = read_file("own.jsonl", "{\"context\": \"Q \\u00e9\", \"choices\": [\" caf\\u00e9 \", \"no\"], \"label\": 1}\n\n"
                                             "{\"label\": \"0\", \"context\": \"\", \"choices\": [\"\\n x\", \"y\", \"z\"], \"more\": 3}\n", "context and choices", 2);
    expect_item(&items.item[0], 2, 1, 1);
    expect_choice(&items.item[0], 0, "Q \xc3\xa9", " caf\xc3\xa9 ", 5);
    expect_choice(&items.item[0], 1, "Q \xc3\xa9", "no", 2);
    expect_item(&items.item[1], 3, 0, 3);
    expect_choice(&items.item[1], 0, "", "\n x", 1);
    task_items_free(&items);
    assert_int_equal(task_file_read(&items, scratch_path("own.jsonl"), 1), OK);
    assert_int_equal(items.n, 1);
    task_items_free(&items);
}

static void test_hellaswag(void **state)
{
    (void)state;
    TaskItems items = read_file("hellaswag_val.jsonl",
        "{\"ind\": 24, \"activity_label\": \"Roof removal\", \"ctx_a\": \"A man is on a roof.\", \"ctx_b\": \"he Starts\", \"ctx\": \"A man is on a roof. he Starts\","
        " \"split\": \"val\", \"label\": 3, \"endings\": [\"is  using.\", \" is ripping. \", \"holds.\", \"pulls up.\"]}\n"
        "{\"activity_label\": \"Health\", \"ctx_a\": \"[header] How to cope [title] Get help. [step] Go  out [x\\ny].\", \"ctx_b\": \"\", \"label\": \"0\","
        " \"endings\": [\"Sit [substeps] still.\", \"Caf\\u00e9.\"]}\n"
        "{\"activity_label\": \"Art\", \"ctx\": \"One. two\", \"label\": \"1\", \"endings\": [\"a\", \"b\"]}\n", "HellaSwag", 3);
    const char *first = "Roof removal: A man is on a roof. He starts", *second = "Health: How to cope. Get help. Go out [x\ny].";
    expect_item(&items.item[0], 4, 3, 1);
    expect_choice(&items.item[0], 0, first, " is using.", 9);
    expect_choice(&items.item[0], 1, first, " is ripping.", 11);
    expect_choice(&items.item[0], 3, first, " pulls up.", 9);
    expect_item(&items.item[1], 2, 0, 2);
    expect_choice(&items.item[1], 0, second, " Sit still.", 10);
    expect_choice(&items.item[1], 1, second, " Caf\xc3\xa9.", 5);
    expect_choice(&items.item[2], 1, "Art: One. two", " b", 1);
    task_items_free(&items);
}

static void test_arc(void **state)
{
    (void)state;
    const char *context = "Question: Why?\nAnswer:";
    TaskItems items = read_file("arc.jsonl",
        "{\"id\": \"M1\", \"question\": \"Why?\", \"choices\": {\"text\": [\"so\", \"not so\", \"both\"], \"label\": [\"A\", \"B\", \"C\"]}, \"answerKey\": \"C\"}\n"
        "{\"id\": \"M2\", \"question\": {\"stem\": \"Why?\", \"choices\": [{\"text\": \"so\", \"label\": \"1\"}, {\"text\": \"not\", \"label\": \"2\"}]}, \"answerKey\": \"2\"}\n", "ARC", 2);
    expect_item(&items.item[0], 3, 2, 1);
    expect_choice(&items.item[0], 1, context, " not so", 6);
    expect_item(&items.item[1], 2, 1, 2);
    expect_choice(&items.item[1], 0, context, " so", 2);
    expect_choice(&items.item[1], 1, context, " not", 3);
    task_items_free(&items);
}

static void test_piqa(void **state)
{
    (void)state;
    TaskItems items = read_file("piqa.jsonl", "{\"goal\": \"To cut\", \"sol1\": \"a knife\", \"sol2\": \"a spoon\", \"label\": 0}\n", "PIQA", 1);
    expect_item(&items.item[0], 2, 0, 1);
    expect_choice(&items.item[0], 1, "Question: To cut\nAnswer:", " a spoon", 7);
    task_items_free(&items);
    const char *bare = "{\"id\": \"x\", \"goal\": \"To cut\", \"sol1\": \"a knife\", \"sol2\": \"a spoon\"}\n{\"goal\": \"To eat\", \"sol1\": \"b\", \"sol2\": \"c\"}\n";
    scratch_text("dev-labels.lst", "1\n0\n");
    items = read_file("dev.jsonl", bare, "PIQA", 2);
    expect_item(&items.item[0], 2, 1, 1);
    expect_item(&items.item[1], 2, 0, 2);
    task_items_free(&items);
}

static void test_winogrande(void **state)
{
    (void)state;
    TaskItems items = read_file("winogrande.jsonl", "{\"qID\": \"a\", \"sentence\": \"Ian gave it to Dennis as _ had  two _. \", \"option1\": \"Ian\", \"option2\": \"Dennis\", \"answer\": \"2\"}\n", "WinoGrande", 1);
    expect_item(&items.item[0], 2, 1, 1);
    expect_choice(&items.item[0], 0, "Ian gave it to Dennis as Ian", " had  two _.", 11);
    expect_choice(&items.item[0], 1, "Ian gave it to Dennis as Dennis", " had  two _.", 11);
    task_items_free(&items);
}

/* Commas, line ends and doubled quotes inside quotes; \r\n; a blank line; a quote inside a bare field. */
static void test_mmlu_csv(void **state)
{
    (void)state;
    TaskItems items = read_file("high_school_physics_test.csv",
        "\"He said \"\"go\"\", and\nleft. \",1,\"2,5\", three ,,B\r\n\nWhat is 6\" long?,a,b,c,d,D", "MMLU", 2);
    const char *about = "The following are multiple choice questions (with answers) about high school physics.\n\n";
    char *first = xformat("%sHe said \"go\", and\nleft.\nA. 1\nB. 2,5\nC.  three \nD. \nAnswer:", about), *second = xformat("%sWhat is 6\" long?\nA. a\nB. b\nC. c\nD. d\nAnswer:", about);
    expect_item(&items.item[0], 4, 1, 1);
    expect_choice(&items.item[0], 0, first, " A", 1);
    expect_choice(&items.item[0], 3, first, " D", 1);
    expect_item(&items.item[1], 4, 3, 4);
    expect_choice(&items.item[1], 2, second, " C", 1);
    task_items_free(&items);
    free(first);
    free(second);
    items = read_file("mine.csv", "Q,a,b,c,d, A ", "MMLU", 1);                  /* no subject is known */
    expect_choice(&items.item[0], 0, "Q\nA. a\nB. b\nC. c\nD. d\nAnswer:", " A", 1);
    expect_item(&items.item[0], 4, 0, 1);
    task_items_free(&items);
    assert_int_equal(task_file_read(&items, scratch_path("high_school_physics_test.csv"), 1), OK);
    assert_int_equal(items.n, 1);
    task_items_free(&items);
}

static void test_mmlu_jsonl(void **state)
{
    (void)state;
    TaskItems items = read_file("mmlu.jsonl", "{\"question\": \" Q \", \"subject\": \"us_law\", \"choices\": [\"a\", \"b\", \"c\", \"d\"], \"answer\": 2}\n", "MMLU", 1);
    expect_item(&items.item[0], 4, 2, 1);
    expect_choice(&items.item[0], 2, "The following are multiple choice questions (with answers) about us law.\n\nQ\nA. a\nB. b\nC. c\nD. d\nAnswer:", " C", 1);
    task_items_free(&items);
}

static void test_gsm8k(void **state)
{
    (void)state;
    TaskItems items = read_file("gsm8k.jsonl", "{\"question\": \"How many?\", \"answer\": \"1 + 1 = <<1+1=2>>2\\n#### 2\"}\n", "GSM8K", 1);
    expect_item(&items.item[0], 1, 0, 1);
    expect_choice(&items.item[0], 0, "Question: How many?\nAnswer:", " 1 + 1 = <<1+1=2>>2\n#### 2", 25);
    task_items_free(&items);
}

/* ---- refusals ---- */

static void refuse(const char *name, const char *content, const char *rest)
{
    TaskItems items = { .n = 42 };
    const char *path = scratch_text(name, content);
    char *sentence = xformat("%s%s", path, rest);
    assert_int_equal(task_file_read(&items, path, 0), ERR_FORMAT);
    assert_string_equal(err_last(), sentence);
    assert_int_equal(items.n, 42);
    free(sentence);
}

static void test_refused_lines(void **state)
{
    (void)state;
    const char *example = "{\"context\": \"..\", \"choices\": [\"..\", \"..\"], \"label\": 0}";
    char *none = xformat(":1: no task is known by these fields; a line may look like %s", example);
    refuse("a.jsonl", "{\"text\": \"words\"}\n", none);
    char *value = xformat(":1: a JSON value, where each line is to be one object, such as %s", example);
    refuse("a.jsonl", "3\n", value);
    free(value);
    free(none);
    refuse("a.jsonl", "{\"goal\": \"a\", \"sol1\": \"b\", \"sol2\": \"c\"}\n",
           ":1: no task is known by these fields; nearest is PIQA, which needs \"label\" too and looks like {\"goal\": \"..\", \"sol1\": \"..\", \"sol2\": \"..\", \"label\": 0}");
    refuse("a.jsonl", "{\"context\": \"a\", \"choices\": [\"b\", \"c\"], \"label\": 2}\n",
           ":1: the right choice is number 2 of 2 (counted from 0); test sets published without answers cannot be scored, give a validation set");
    refuse("a.jsonl", "{\"context\": \"a\", \"choices\": [\"b\", \"c\"], \"label\": 0}\n{\"context\": \"a\", \"choices\": [\"b\"]}\n", ":2: \"label\" is missing, which the lines of context and choices have");
    refuse("a.jsonl", "{\"context\": \"a\", \"choices\": [\"b\", 3], \"label\": 0}\n", ":1: \"choices\" must be a list of strings");
    refuse("a.jsonl", "{\"context\": \"a\", \"choices\": [], \"label\": 0}\n", ":1: \"choices\" must be a list that is not empty");
    refuse("a.jsonl", "{\"context\": 1, \"choices\": [\"b\"], \"label\": 0}\n", ":1: \"context\" must be a string");
    refuse("a.jsonl", "{\"context\": \"a\", \"choices\": [\"b\"], \"label\": \"A\"}\n", ":1: \"label\" must be the number of the right choice");
    refuse("a.jsonl", "{\"activity_label\": \"a\", \"ctx_a\": \"b\", \"ctx_b\": \"c\", \"endings\": [\"d\"], \"label\": \"\"}\n",
           ":1: \"label\" must be the number of the right choice; it is empty, as in test sets, which are published without answers: give a validation set");
    refuse("a.jsonl", "{\"question\": \"a\", \"choices\": {\"text\": [\"b\"], \"label\": [\"A\"]}, \"answerKey\": \"B\"}\n", ":1: the answerKey 'B' is the label of no choice");
    refuse("a.jsonl", "{\"question\": \"a\", \"choices\": [\"b\", \"c\", \"d\"], \"answer\": 0}\n", ":1: 3 choices; MMLU's questions have four");
    refuse("a.jsonl", "{\"sentence\": \"a\", \"option1\": \"b\", \"option2\": \"c\", \"answer\": \"1\"}\n", ":1: the sentence has no _ to put the options into");
    refuse("a.jsonl", "{\"context\": \"a\", \"choices\": [\"b\"], \"label\": 0}\n{\"context\n", ":2: invalid JSON at column 9: premature end of input");
    refuse("a.jsonl", "{\"question\": \"a\", \"choices\": {\"text\": [\"b\", \"c\"], \"label\": [\"A\"]}, \"answerKey\": \"A\"}\n", ":1: 2 texts of choices and 1 labels of them");
    char *array = xformat(":1: a JSON array, where each line is to be one object, such as %s", example);
    refuse("a.jsonl", "[{\"context\": \"a\", \"choices\": [\"b\"], \"label\": 0}]\n", array);
    free(array);
    scratch_text("long-labels.lst", "1\n0\n1\n");
    refuse("long.jsonl", "{\"goal\": \"a\", \"sol1\": \"b\", \"sol2\": \"c\"}\n{\"goal\": \"a\", \"sol1\": \"b\", \"sol2\": \"c\"}\n",
           ": 2 questions, and the file of labels beside it has 3: it belongs to another");
    scratch_text("short-labels.lst", "1\n");
    refuse("short.jsonl", "{\"goal\": \"a\", \"sol1\": \"b\", \"sol2\": \"c\"}\n{\"goal\": \"a\", \"sol1\": \"b\", \"sol2\": \"c\"}\n", ":2: the file of labels beside it has only 1");
}

/* A byte-order mark, which spreadsheets write, is no part of the first question; of more labels than questions are read, some may be left. */
static void test_marked_beginning(void **state)
{
    (void)state;
    TaskItems items;
    assert_int_equal(task_file_read(&items, scratch_text("marked.csv", "\xef\xbb\xbf\"Q, is\",a,b,c,d,B\n"), 0), OK);
    assert_int_equal(items.n, 1);
    assert_string_equal(items.item[0].choice[0].context, "Q, is\nA. a\nB. b\nC. c\nD. d\nAnswer:");
    task_items_free(&items);
    assert_int_equal(task_file_read(&items, scratch_text("marked.jsonl", "\xef\xbb\xbf{\"context\": \"a\", \"choices\": [\"b\", \"c\"], \"label\": 1}\n"), 0), OK);
    assert_int_equal(items.n, 1);
    task_items_free(&items);
    scratch_text("some-labels.lst", "1\n0\n");
    assert_int_equal(task_file_read(&items, scratch_text("some.jsonl", "{\"goal\": \"a\", \"sol1\": \"b\", \"sol2\": \"c\"}\n{\"goal\": \"a\", \"sol1\": \"b\", \"sol2\": \"c\"}\n"), 1), OK);
    assert_int_equal(items.n, 1);
    task_items_free(&items);
}

static void test_refused_records(void **state)
{
    (void)state;
    refuse("a.csv", "Q,a,b,c,d,A\nQ,a,b,c,d\n", ":2: 5 fields; each record must be question,A,B,C,D,answer");
    refuse("a.csv", "Q,a,b,c,d,A,\n", ":1: 7 fields; each record must be question,A,B,C,D,answer");
    refuse("a.csv", "question,A,B,C,D,answer\n", ":1: the answer is 'answer' and not A, B, C or D; MMLU's files have no header line");
    refuse("a.csv", "Q,a,b,c,d,A\nQ,a,b,c,d,E\n", ":2: the answer is 'E' and not A, B, C or D");
    refuse("a.csv", "Q,a,b,c,d,\n", ":1: the answer is '' and not A, B, C or D; MMLU's files have no header line");
    refuse("a.csv", "Q,a,b,c,d,A\n\"Q\n,a,b\n", ":2: a quote is opened in this record and never closed");
    refuse("a.txt", "Q,a,b,c,d,A\n", ": questions with choices are .jsonl, one a line, or .csv (question,A,B,C,D,answer)");
    TaskItems items;
    assert_int_equal(task_file_read(&items, scratch_bytes("zero.csv", "Q\0,a,b,c,d,A\n", 13), 0), ERR_FORMAT);
    assert_non_null(strstr(err_last(), "zero.csv:1: a zero byte"));
    assert_int_equal(task_file_read(&items, scratch_path("nothing.jsonl"), 0), ERR_FILE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_own), cmocka_unit_test(test_hellaswag), cmocka_unit_test(test_arc), cmocka_unit_test(test_piqa), cmocka_unit_test(test_winogrande),
        cmocka_unit_test(test_mmlu_csv), cmocka_unit_test(test_mmlu_jsonl), cmocka_unit_test(test_gsm8k), cmocka_unit_test(test_refused_lines), cmocka_unit_test(test_marked_beginning), cmocka_unit_test(test_refused_records),
    };
    return cmocka_run_group_tests(tests, NULL, scratch_teardown);
}
