/*
 * tokenize.c - the token ids of a file, as the model's tokenizer gives them
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/err.h"
#include "core/text/text_file.h"
#include "core/text/tokenizer.h"
#include "experiments/command.h"

static const char *const settings[] = { "text.bos", NULL };

static int add_bos(Ids *ids, const Tokenizer *tokenizer, const char *rule)
{
    if (!strcmp(rule, "no") || (!strcmp(rule, "auto") && !tokenizer_adds_bos(tokenizer))) return OK;
    if (tokenizer_bos(tokenizer) < 0) FAIL(ERR_ARGUMENT, "--bos yes: this tokenizer has no begin-of-sequence token; leave it at auto");
    ids_push(ids, tokenizer_bos(tokenizer));
    return OK;
}

static void print_ids(const Ids *ids, int json)
{
    fputs(json ? "{\"ids\":[" : "", stdout);
    for (int64_t i = 0; i < ids->n; i++) printf("%s%d", i ? json ? "," : " " : "", ids->id[i]);
    puts(json ? "]}" : "");
}

static int run(const Arguments *a)
{
    Tokenizer *tokenizer = NULL;
    Text text = { 0 };
    Ids ids = { 0 };
    int status = tokenizer_open(&tokenizer, a->positional[0]);
    if (status == OK) status = text_read(&text, a->positional[1]);
    if (status == OK) status = add_bos(&ids, tokenizer, options_text(a->options, "bos"));
    if (status == OK) status = tokenizer_encode(&ids, tokenizer, text.bytes, text.n, true);
    if (status == OK) print_ids(&ids, options_flag(a->options, "json"));
    ids_free(&ids);
    free(text.bytes);
    tokenizer_close(&tokenizer);
    return status;
}

const Command command_tokenize = {
    .name = "tokenize", .arguments = "MODEL FILE", .summary = "token ids of a file; special-token text becomes its id",
    .settings = settings, .least = 2, .most = 2, .json = true, .run = run,
};
