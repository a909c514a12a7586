/* test_program_bad_texts.c - texts that cannot be measured on, or not in the way asked for */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <zlib.h>

#include "core/tests/bad_input.h"
#include "core/tests/program_models.h"
#include "core/tests/program_tokenizer.h"

/* The model @m has a tokenizer without BOS, @small a vocabulary that is smaller than its tokenizer's. */
static void make_models(void)
{
    model_copy("m", TINY);
    tokenizer_write("m", false);
    model_copy("small", "core/tests/golden/tiny/llama-v8");
    tokenizer_write("small", false);
}

static void text(const char *name, const char *content) { scratch_text(name, content); }
static void make_words(void) { text("words.txt", "the wind in the water\n"); }
static void make_empty(void) { text("empty.txt", ""); }
static void make_blank(void) { text("blank.txt", " \n\n\t\n"); }
static void make_ids(void) { text("good.ids", "1 2 3\n4 5 6\n"); }
static void make_large_id(void) { text("large.ids", "1 2 3\n\n4 97 6\n"); }
static void make_negative_id(void) { text("negative.ids", "1 -2 3\n"); }
static void make_word_ids(void) { text("word.ids", "1 2 3\n1 two 3\n"); }
static void make_single_id(void) { text("single.ids", "1 2 3\n5\n"); }
static void make_empty_ids(void) { text("empty.ids", "\n\n"); }
static void make_jsonl(void) { text("bad.jsonl", "{\"text\": \"the wind\"}\n{\"text\": the wind}\n"); }
static void make_content(void) { text("content.jsonl", "{\"text\": \"the wind\"}\n{\"content\": \"the water\"}\n"); }
static void make_short(void) { text("short.jsonl", "{\"text\": \"in\"}\n{\"text\": \"the wind\"}\n"); }
static void make_tasks(void)
{
    text("task.jsonl", "{\"context\": \"the wind\", \"choices\": [\" in\", \" water\"], \"label\": 1}\n");
    text("test.jsonl", "{\"context\": \"the wind\", \"choices\": [\" in\", \" water\"], \"label\": \"\"}\n");
    text("math.jsonl", "{\"question\": \"the wind\", \"answer\": \"1\"}\n");
    text("goal.jsonl", "{\"goal\": \"the wind\", \"sol1\": \"1\", \"sol2\": \"2\"}\n");
    text("head.csv", "question,a,b,c,d,answer\nq,a,b,c,d,A\n");
}
static void make_folder(void) { mkdir(scratch_path("folder"), 0777); }

static void make_gzip(void)
{
    size_t n;
    gzFile file = gzopen(scratch_path("whole.txt.gz"), "wb");
    for (int i = 0; i < 1000; i++) gzprintf(file, "the wind %d\n", i * i);
    gzclose(file);
    char *bytes = file_read(scratch_path("whole.txt.gz"), &n);
    scratch_bytes("cut.txt.gz", bytes, n / 2);
    memset(bytes + n / 2, 0x55, 64);
    scratch_bytes("bad.txt.gz", bytes, n);
    free(bytes);
}

static const BadInput texts[] = {
    { "no such text", 1, { "ppl", "@m", "@nothing.txt" }, { "nothing.txt: No such file" }, NULL },
    { "folder for a text", 1, { "ppl", "@m", "@folder" }, { "folder", "is a directory", ".jsonl" }, make_folder },
    { "empty text", 1, { "ppl", "@m", "@empty.txt" }, { "empty.txt: is empty" }, make_empty },
    { "blank text", 1, { "ppl", "@m", "@blank.txt" }, { "nothing but white space" }, make_blank },
    { "nothing to tokenize", 1, { "tokenize", "@m", "@empty.txt" }, { "is empty" }, make_empty },
    { "text shorter than the context", 1, { "ppl", "@m", "@words.txt", "--context", "100" }, { "words.txt", "tokens do not fill one context of 100", "smaller context" }, make_words },
    { "context longer than the model's", 1, { "ppl", "@m", "@words.txt", "--context", "1000" }, { "context 1000 is longer than the model's 512" }, make_words },
    { "context too short to score", 1, { "ppl", "@m", "@words.txt", "--context", "2", "--protocol", "llama.cpp" }, { "leaves nothing to score", "llama.cpp" }, make_words },
    { "tokenizer of another model", 1, { "ppl", "@small", "@words.txt", "--context", "4" }, { "words.txt", "vocabulary has 8", "another model's" }, make_words },
    { "task without a protocol", 1, { "ppl", "@m", "@task.jsonl" }, { "task.jsonl:1", "no \"text\"", "protocol choices or answers" }, make_tasks },
    { "text for a task", 1, { "tasks", "@m", "@words.txt" }, { "words.txt", "are .jsonl", "or .csv" }, make_words },
    { "documents for a task", 1, { "tasks", "@m", "@content.jsonl" }, { "content.jsonl:1", "no task is known", "a line may look like" }, make_content },
    { "ids for a task", 1, { "tasks", "@m", "@good.ids" }, { "good.ids: protocol choices needs text" }, make_ids },
    { "task without answers", 1, { "tasks", "@m", "@test.jsonl" }, { "test.jsonl:1", "published without answers" }, make_tasks },
    { "nothing to choose", 1, { "tasks", "@m", "@math.jsonl" }, { "math.jsonl:1: 1 answer of GSM8K", "protocol answers" }, make_tasks },
    { "a field of a task missing", 1, { "tasks", "@m", "@goal.jsonl" }, { "goal.jsonl:1", "nearest is PIQA", "needs \"label\" too" }, make_tasks },
    { "CSV with a header", 1, { "tasks", "@m", "@head.csv" }, { "head.csv:1", "not A, B, C or D", "no header line" }, make_tasks },
    { "all items skipped", 1, { "tasks", "@m", "@task.jsonl", "--skip", "1" }, { "task.jsonl: there are 1 items", "to be skipped" }, make_tasks },
    { "all windows skipped", 1, { "ppl", "@m", "@words.txt", "--context", "4", "--skip", "100" }, { "words.txt: there are", "the first 100 of them" }, make_words },
    { "choice longer than the context", 1, { "tasks", "@m", "@task.jsonl", "--context", "1" }, { "task.jsonl:1", "alone has", "more than the context of 1" }, make_tasks },
    { "context longer than the model's, of choices", 1, { "tasks", "@m", "@task.jsonl", "--context", "1000" }, { "context 1000 is longer than the model's 512" }, make_tasks },
    { "protocol of a task command", 2, { "tasks", "@m", "@task.jsonl", "--protocol", "hf" }, { "tasks has no option --protocol" }, make_tasks },
    { "BOS where there is none", 1, { "ppl", "@m", "@words.txt", "--context", "4", "--bos", "yes" }, { "BOS", "set bos to no" }, make_words },
    { "BOS to tokenize with", 1, { "tokenize", "@m", "@words.txt", "--bos", "yes" }, { "no begin-of-sequence token", "leave it at auto" }, make_words },
    { "gptq on plain text", 1, { "ppl", "@m", "@words.txt", "--protocol", "gptq" }, { "gptq draws documents", ".jsonl" }, make_words },
    { "gptq on short documents", 1, { "ppl", "@m", "@short.jsonl", "--protocol", "gptq", "--context", "16" }, { "short.jsonl", "longer than the context of 16", "smaller context" }, make_short },
    { "JSONL with bad JSON", 1, { "ppl", "@m", "@bad.jsonl", "--context", "4" }, { "bad.jsonl:2: invalid JSON" }, make_jsonl },
    { "JSONL without text", 1, { "ppl", "@m", "@content.jsonl", "--context", "4" }, { "content.jsonl:2:", "{\"text\": \"...\"}" }, make_content },
    { "gzip that breaks off", 1, { "ppl", "@m", "@cut.txt.gz", "--context", "4" }, { "breaks off", "fetch the file again" }, make_gzip },
    { "damaged gzip", 1, { "ppl", "@m", "@bad.txt.gz", "--context", "4" }, { "damaged", "fetch the file again" }, make_gzip },
};

static const BadInput ids[] = {
    { "id out of vocabulary", 1, { "ppl", TINY, "@large.ids" }, { "large.ids:3: token id 97 is not below the vocabulary of 97" }, make_large_id },
    { "negative id", 1, { "ppl", TINY, "@negative.ids" }, { "negative.ids:1: '-2' is not a token id" }, make_negative_id },
    { "word among ids", 1, { "ppl", TINY, "@word.ids" }, { "word.ids:2: 'two' is not a token id", "whole numbers" }, make_word_ids },
    { "one id on a line", 1, { "ppl", TINY, "@single.ids" }, { "single.ids:2:", "predicts nothing" }, make_single_id },
    { "no ids", 1, { "ppl", TINY, "@empty.ids" }, { "empty.ids" }, make_empty_ids },
    { "ids under protocol hf", 1, { "ppl", TINY, "@good.ids", "--protocol", "hf" }, { "good.ids", "protocol documents" }, make_ids },
    { "BOS before ids, without tokenizer", 1, { "ppl", TINY, "@good.ids", "--bos", "yes" }, { "tokenizer.json" }, make_ids },
};

static void test_texts(void **state)
{
    (void)state;
    make_models();
    BAD_CHECK_ALL(texts);
}

static void test_ids(void **state) { (void)state; BAD_CHECK_ALL(ids); }

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_texts), cmocka_unit_test(test_ids) };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    scratch_remove();
    return failed;
}
