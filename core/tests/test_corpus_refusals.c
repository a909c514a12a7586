/* corpus_open: options and files that make no corpus, in one sentence each. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "core/base/err.h"
#include "core/tests/byte_tokenizer.h"
#include "core/tests/corpus_files.h"
#include "core/tests/scratch.h"
#include "core/text/corpus.h"

static void test_refused_options(void **state)
{
    (void)state;
    Tokenizer *plain = byte_tokenizer(false);
#define OPTIONS(...) plain, (CorpusOptions){ __VA_ARGS__ }, ERR_ARGUMENT
    refuse("a.txt", OPTIONS(.protocol = "lama.cpp"), "unknown protocol 'lama.cpp'; did you mean 'llama.cpp'?");
    refuse("a.txt", OPTIONS(.protocol = "wikitext"), "unknown protocol 'wikitext'; there are hf, llama.cpp, documents, gptq, choices and answers");
    refuse("a.ids", OPTIONS(.protocol = "hf"), "a.ids: protocol hf needs text; the lines of an .ids file are windows already (protocol documents)");
    refuse("a.txt", OPTIONS(.context = 513, .model_context = 512), "context 513 is longer than the model's 512");
    refuse("a.txt", OPTIONS(.context = 1), "context 1 leaves nothing to score; protocol hf needs at least 2");
    refuse("a.txt", OPTIONS(.context = -5), "context -5 leaves nothing to score; protocol hf needs at least 2");
    refuse("a.txt", OPTIONS(.protocol = "llama.cpp", .context = 2), "context 2 leaves nothing to score; protocol llama.cpp needs at least 3");
    refuse("a.txt", OPTIONS(.windows = -1), "-1 windows; give a positive number, or 0 for all");
    refuse("a.txt", OPTIONS(.protocol = "documents", .separator = ""), "the separator of documents is empty");
    refuse("a.txt", OPTIONS(.protocol = "gptq"), "a.txt: protocol gptq draws documents; give a .jsonl or .jsonl.gz file, one document a line");
    refuse("a.txt", NULL, (CorpusOptions){ 0 }, ERR_ARGUMENT, "a.txt: the model has no tokenizer to read text with; give token ids in an .ids file");
    refuse("a.ids", NULL, (CorpusOptions){ .bos = BOS_YES }, ERR_ARGUMENT, "a.ids: BOS is asked for, but without a tokenizer it is not known; set bos to no or auto");
    tokenizer_close(&plain);
}

static void refuse_file(const char *name, const char *text, const Tokenizer *tokenizer, CorpusOptions options, const char *rest)
{
    const char *path = scratch_text(name, text);
    char *sentence = xformat("%s%s", path, rest);
    refuse(path, tokenizer, options, ERR_FORMAT, sentence);
    free(sentence);
}

static void test_refused_files(void **state)
{
    (void)state;
    Tokenizer *plain = byte_tokenizer(false);
    CorpusOptions options = { .vocabulary = VOCABULARY };
    refuse_file("short.txt", "seven b", plain, options, ": 7 tokens do not fill one context of 512; give a longer text or a smaller context");
    refuse_file("empty.txt", "", plain, options, ": is empty");
    refuse_file("white.txt", " \n", plain, options, ": holds nothing but white space");
    refuse_file("bad.jsonl", "{\"text\":\"a\"}\n{", plain, options, ":2: invalid JSON at column 1: string or '}' expected");
    refuse_file("bad.ids", "1 2\n3 258", NULL, options, ":2: token id 258 is not below the vocabulary of 258");
    refuse_file("one.ids", "1 2\n3\n", NULL, options, ":2: a single token id predicts nothing; a line needs at least 2");
    options.protocol = "documents";
    refuse_file("letters.txt", "a<|endoftext|>b", plain, options, ": no document has two tokens, so there is nothing to predict");
    options.protocol = "llama.cpp";
    refuse_file("newline.txt", "abc\n", plain, options, ": 3 tokens do not fill one context of 512; give a longer text or a smaller context");
    options = (CorpusOptions){ .protocol = "gptq", .context = 4 };
    refuse_file("short.jsonl", "{\"text\":\"abc\"}\n{\"text\":\"abcd\"}", plain, options,
                ": none of 2 documents is longer than the context of 4 tokens, the longest has 4; give a smaller context or longer documents");
    options = (CorpusOptions){ .vocabulary = 120, .context = 2 };
    refuse_file("x.txt", "ax", plain, options, ": the tokenizer gives token id 120, but the model's vocabulary has 120; is the tokenizer another model's?");
    char *sentence = xformat("%s: is a directory; give a text, .jsonl or .ids file", scratch_folder);
    refuse(scratch_folder, plain, options, ERR_FILE, sentence);
    free(sentence);
    tokenizer_close(&plain);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_refused_options),
        cmocka_unit_test(test_refused_files),
    };
    return cmocka_run_group_tests(tests, NULL, clean);
}
