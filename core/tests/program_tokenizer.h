/* program_tokenizer.h - a tokenizer of 46 tokens for the tiny models: letters, a few merges, one special token */
#ifndef CORE_TESTS_PROGRAM_TOKENIZER_H
#define CORE_TESTS_PROGRAM_TOKENIZER_H

#include "core/tests/program.h"

enum { SPECIAL_ID = 45, TH_ID = 42 };

/* bos: a template that puts <s> in front of a text. */
static inline void tokenizer_write(const char *model, bool bos)
{
    char *text = NULL, *name = xformat("%s/tokenizer.json", model);
    size_t n;
    FILE *out = open_memstream(&text, &n);
    assert(out);
    fputs("{\"added_tokens\": [{\"id\": 45, \"content\": \"<s>\", \"special\": true, \"lstrip\": false, \"rstrip\": false,"
          " \"normalized\": false, \"single_word\": false}], \"normalizer\": null,"
          " \"pre_tokenizer\": {\"type\": \"ByteLevel\", \"add_prefix_space\": false, \"use_regex\": true},", out);
    if (bos) fputs(" \"post_processor\": {\"type\": \"TemplateProcessing\", \"single\": [{\"SpecialToken\": {\"id\": \"<s>\"}}, {\"Sequence\": {\"id\": \"A\"}}]},", out);
    fputs(" \"model\": {\"type\": \"BPE\", \"vocab\": {", out);
    for (int i = 0; i < 26; i++) fprintf(out, "\"%c\": %d, ", 'a' + i, i);
    for (int i = 0; i < 10; i++) fprintf(out, "\"%c\": %d, ", '0' + i, 26 + i);
    fputs("\"\\u0120\": 36, \"\\u010a\": 37, \".\": 38, \",\": 39, \"\\u0120t\": 40, \"\\u0120a\": 41, \"th\": 42, \"in\": 43, \"\\u0120w\": 44},"
          " \"merges\": [[\"\\u0120\", \"t\"], [\"\\u0120\", \"a\"], [\"t\", \"h\"], [\"i\", \"n\"], [\"\\u0120\", \"w\"]]}}\n", out);
    fclose(out);
    scratch_text(name, text);
    free(name);
    free(text);
}

#endif
