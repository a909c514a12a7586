/* tokenizer.json and tokenizer_config.json that cannot be used: a code and one sentence each; BOS and EOS of those that can. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "core/base/err.h"
#include "core/tests/scratch.h"
#include "core/text/tokenizer.h"

/* Written with ' for "; each member can be put in another's place. */
#define VOCABULARY "'vocab':{'a':0,'b':1,'ab':2,'<s>':3}"
#define MERGES "'merges':['a b']"
#define MODEL "'model':{'type':'BPE'," VOCABULARY "," MERGES "}"
#define PRE(step) "{" MODEL ",'pre_tokenizer':" step "}"
#define SPLIT(pattern, behavior) PRE("{'type':'Split','pattern':" pattern ",'behavior':'" behavior "','invert':false}")
#define REGEX(pattern) SPLIT("{'Regex':'" pattern "'}", "Isolated")
#define ADDED(token) "{" MODEL ",'added_tokens':[" token "]}"
#define FLAGS "'lstrip':false,'rstrip':false,'normalized':false,'special':true"

static const struct { const char *json; int code; const char *says; } files[] = {
    { "{" MODEL "}", OK, "" },
    { "", ERR_FORMAT, "'[' or '{' expected" },
    { "{" MODEL, ERR_FORMAT, "'}' expected" },
    { "[]", ERR_FORMAT, "not a JSON object" },
    { "{}", ERR_FORMAT, "\"model\" is missing" },
    { "{'model':3}", ERR_FORMAT, "\"model\" is missing" },
    { "{'added':1," MODEL "}", ERR_UNSUPPORTED, "\"added\" that we do not know" },
    { "{'model':{'type':'Unigram'}}", ERR_UNSUPPORTED, "'Unigram'" },
    { "{'model':{'type':'BPE'," MERGES "}}", ERR_FORMAT, "\"vocab\"" },
    { "{'model':{'vocab':[]," MERGES "}}", ERR_FORMAT, "\"vocab\"" },
    { "{'model':{'vocab':{},'merges':[]}}", ERR_FORMAT, "the vocabulary is empty" },
    { "{'model':{'vocab':{'a':'0'}," MERGES "}}", ERR_FORMAT, "'a' is not a whole number" },
    { "{'model':{'vocab':{'a':-1}," MERGES "}}", ERR_FORMAT, "id -1, outside" },
    { "{'model':{'vocab':{'a':2000000000}," MERGES "}}", ERR_FORMAT, "id 2000000000, outside" },
    { "{'model':{'vocab':{'a':0,'b':0}," MERGES "}}", ERR_FORMAT, "id 0 belongs to two tokens, 'a' and 'b'" },
    { "{'model':{" VOCABULARY "}}", ERR_FORMAT, "\"merges\"" },
    { "{'model':{" VOCABULARY ",'merges':{}}}", ERR_FORMAT, "\"merges\"" },
    { "{'model':{" VOCABULARY ",'merges':['a c']}}", ERR_FORMAT, "merge 0 ('a' with 'c') needs the token 'c'" },
    { "{'model':{" VOCABULARY ",'merges':['a b',['b','a']]}}", ERR_FORMAT, "merge 1 ('b' with 'a') needs the token 'ba'" },
    { "{'model':{" VOCABULARY ",'merges':['ab']}}", ERR_FORMAT, "merge 0 ('ab') is not two tokens" },
    { "{'model':{" VOCABULARY ",'merges':['a b ']}}", ERR_FORMAT, "is not two tokens" },
    { "{'model':{" VOCABULARY ",'merges':['']}}", ERR_FORMAT, "is not two tokens" },
    { "{'model':{" VOCABULARY ",'merges':[3]}}", ERR_FORMAT, "merge 0 is neither" },
    { "{'model':{" VOCABULARY ",'merges':[['a']]}}", ERR_FORMAT, "merge 0 is neither" },
    { "{'model':{" VOCABULARY ",'merges':[['','']]}}", ERR_FORMAT, "merge 0" },
    { "{'model':{" VOCABULARY "," MERGES ",'dropout':0.1}}", ERR_UNSUPPORTED, "\"dropout\"" },
    { "{'model':{" VOCABULARY "," MERGES ",'dropout':0.0,'end_of_word_suffix':''}}", OK, "" },
    { "{'model':{" VOCABULARY "," MERGES ",'end_of_word_suffix':'</w>'}}", ERR_UNSUPPORTED, "\"end_of_word_suffix\"" },
    { "{'model':{" VOCABULARY "," MERGES ",'byte_fallback':1}}", ERR_FORMAT, "\"byte_fallback\"" },
    { "{'model':{" VOCABULARY "," MERGES ",'unk_token':'?'}}", ERR_FORMAT, "unknown token '?'" },
    { "{'model':{" VOCABULARY "," MERGES ",'unk_token':1}}", ERR_FORMAT, "\"unk_token\"" },
    { "{'model':{" VOCABULARY "," MERGES ",'suffix':1}}", ERR_UNSUPPORTED, "\"suffix\"" },
    { "{" MODEL ",'normalizer':{'type':'Lowercase'}}", ERR_UNSUPPORTED, "'Lowercase'" },
    { "{" MODEL ",'normalizer':{'type':'Sequence'}}", ERR_FORMAT, "\"normalizers\"" },
    { "{" MODEL ",'normalizer':{'type':'Prepend'}}", ERR_FORMAT, "\"prepend\"" },
    { "{" MODEL ",'normalizer':{'type':'Replace','pattern':{'Regex':'a'},'content':'b'}}", ERR_UNSUPPORTED, "replaces 'a'" },
    { "{" MODEL ",'normalizer':{'type':'Replace','pattern':'a','content':'b'}}", ERR_FORMAT, "\"pattern\"" },
    { "{" MODEL ",'normalizer':{'type':'Replace','pattern':{'String':''},'content':'b'}}", ERR_UNSUPPORTED, "replaces ''" },
    { "{" MODEL ",'normalizer':7}", ERR_UNSUPPORTED, "normalizer is of type ''" },
    { PRE("{'type':'Whitespace'}"), ERR_UNSUPPORTED, "'Whitespace'" },
    { PRE("{'type':'Digits'}"), ERR_FORMAT, "\"individual_digits\"" },
    { PRE("{'type':'ByteLevel'}"), ERR_FORMAT, "\"add_prefix_space\"" },
    { PRE("{'type':'Sequence','pretokenizers':[{'type':'ByteLevel','add_prefix_space':false},{'type':'Digits','individual_digits':true}]}"),
      ERR_UNSUPPORTED, "'Digits' after ByteLevel" },
    { SPLIT("{'Regex':'a'}", "MergedWithNext"), ERR_UNSUPPORTED, "'MergedWithNext'" },
    { SPLIT("3", "Isolated"), ERR_FORMAT, "\"pattern\" of a Split" },
    { SPLIT("{'String':''}", "Isolated"), ERR_UNSUPPORTED, "can match nothing" },
    { REGEX("a("), ERR_FORMAT, "wrong at its character 2" },
    { REGEX("a*"), ERR_UNSUPPORTED, "can match nothing" },
    { REGEX("a\\\\"), ERR_FORMAT, "ends in a backslash" },
    { REGEX("\\\\u00"), ERR_FORMAT, "ends within \\u" },
    { REGEX("\\\\w+"), ERR_UNSUPPORTED, "\\w" },
    { REGEX("\\\\p{Han}"), ERR_UNSUPPORTED, "\\p{Han}" },
    { REGEX("\\\\p{"), ERR_UNSUPPORTED, "\\p{" },
    { REGEX("[a&&b]"), ERR_UNSUPPORTED, "combines character classes" },
    { REGEX("[a[b]]"), ERR_UNSUPPORTED, "combines character classes" },
    { REGEX("^a"), ERR_UNSUPPORTED, "anchor ^" },
    { ADDED("{}"), ERR_FORMAT, "\"id\" of an added token" },
    { ADDED("{'id':3}"), ERR_FORMAT, "\"content\"" },
    { ADDED("{'id':3,'content':'<s>'}"), ERR_FORMAT, "\"special\"" },
    { ADDED("{'id':3,'content':'<s>','single_word':true," FLAGS "}"), ERR_UNSUPPORTED, "single_word" },
    { ADDED("{'id':2,'content':'<s>','single_word':false," FLAGS "}"), ERR_FORMAT, "'<s>' has id 2, but the vocabulary gives it 3" },
    { ADDED("{'id':9,'content':'<t>','single_word':false," FLAGS "}"), ERR_UNSUPPORTED, "'<t>' has id 9, but the tokenizers library would give it 4" },
    { "{" MODEL ",'added_tokens':{}}", ERR_FORMAT, "\"added_tokens\" is not an array" },
    { "{" MODEL ",'post_processor':{'type':'BertProcessing'}}", ERR_UNSUPPORTED, "'BertProcessing'" },
    { "{" MODEL ",'post_processor':{'type':'TemplateProcessing'}}", ERR_FORMAT, "\"single\"" },
    { "{" MODEL ",'post_processor':{'type':'TemplateProcessing','single':[{'Sequence':{'id':'A'}},{'SpecialToken':{'id':'<s>'}}]}}",
      ERR_UNSUPPORTED, "adds more than one token in front" },
    { "{" MODEL ",'post_processor':{'type':'TemplateProcessing','single':[{'SpecialToken':{'id':'?'}},{'Sequence':{'id':'A'}}]}}",
      ERR_FORMAT, "adds '?', which is not" },
};

static char *quoted(const char *text)
{
    char *copy = xstrdup(text);
    for (char *c = copy; *c; c++)
        if (*c == '\'') *c = '"';
    return copy;
}

static void expect_open(const char *path, int code, const char *says)
{
    Tokenizer *tokenizer = NULL;
    err_set(OK, "%s", "");
    int found = tokenizer_open(&tokenizer, path);
    if (found != code || !strstr(err_last(), says)) fail_msg("%d and \"%s\" instead of %d and \"%s\"", found, err_last(), code, says);
    if (code != OK) assert_null(tokenizer);
    if (code != OK) assert_non_null(strstr(err_last(), path));
    assert_null(strchr(err_last(), '\n'));
    tokenizer_close(&tokenizer);
}

static void test_damaged_tokenizers(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        char *text = quoted(files[i].json);
        expect_open(scratch_text("tokenizer.json", text), files[i].code, files[i].says);
        free(text);
    }
    expect_open(scratch_path("nowhere"), ERR_FILE, "No such file");
    expect_open("core/tests", ERR_FILE, "tokenizer.json");
}

/* Every shorter beginning of a sound file is refused, or is the file without its last blanks. */
static void test_cut_tokenizer(void **state)
{
    (void)state;
    char *text = quoted(ADDED("{'id':3,'content':'<s>','single_word':false," FLAGS "}"));
    for (size_t n = 0; n < strlen(text); n++)
        expect_open(scratch_bytes("tokenizer.json", text, n), ERR_FORMAT, "");
    free(text);
}

#define TEMPLATE ",'post_processor':{'type':'Sequence','processors':[{'type':'TemplateProcessing','single':[{'SpecialToken':{'id':'<s>'}}," \
                 "{'Sequence':{'id':'A'}}]},{'type':'ByteLevel'}]}"

/* transformers 5: the post-processor says whether BOS is added, whatever "add_bos_token" says. */
static const struct { const char *post, *config; int code; const char *says; int bos, eos; bool adds; } configs[] = {
    { "", NULL, OK, "", -1, -1, false },
    { TEMPLATE, NULL, OK, "", 3, -1, true },
    { TEMPLATE, "{'bos_token':null,'eos_token':'ab','add_bos_token':false,'model_max_length':1000000000000000000000000000000}", OK, "", 3, 2, true },
    { "", "{'bos_token':{'content':'<s>'},'eos_token':'b','add_bos_token':true}", OK, "", 3, 1, false },
    { "", "{'added_tokens_decoder':{'4':{'content':'<t>','single_word':false," FLAGS "}},'eos_token':'<t>'}", OK, "", -1, 4, false },
    { "", "{'added_tokens_decoder':{'x':{}}}", ERR_FORMAT, "the key 'x'", 0, 0, false },
    { "", "{'added_tokens_decoder':[]}", ERR_FORMAT, "not an object", 0, 0, false },
    { "", "{'bos_token':'<bos>'}", ERR_FORMAT, "\"bos_token\" '<bos>' is not in the vocabulary", 0, 0, false },
    { "", "{'eos_token':3}", ERR_FORMAT, "\"eos_token\"", 0, 0, false },
    { "", "[]", ERR_FORMAT, "not a JSON object", 0, 0, false },
    { "", "{", ERR_FORMAT, "tokenizer_config.json:1", 0, 0, false },
};

static void test_configs(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof configs / sizeof *configs; i++) {
        char *raw = xformat("{" MODEL "%s}", configs[i].post), *text = quoted(raw), *config = quoted(configs[i].config ? configs[i].config : "");
        const char *path = scratch_text("tokenizer.json", text);
        remove(scratch_path("tokenizer_config.json"));
        if (configs[i].config) scratch_text("tokenizer_config.json", config);
        Tokenizer *tokenizer = NULL;
        int code = tokenizer_open(&tokenizer, i % 2 ? scratch_path(".") : path);       /* the folder or the file: the same */
        if (code != configs[i].code) fail_msg("case %zu: %d %s", i, code, err_last());
        if (code == OK) {
            assert_int_equal(tokenizer_bos(tokenizer), configs[i].bos);
            assert_int_equal(tokenizer_eos(tokenizer), configs[i].eos);
            assert_int_equal(tokenizer_adds_bos(tokenizer), configs[i].adds);
        } else if (!strstr(err_last(), configs[i].says)) fail_msg("case %zu: %s", i, err_last());
        tokenizer_close(&tokenizer);
        free(raw);
        free(text);
        free(config);
    }
    remove(scratch_path("tokenizer_config.json"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_damaged_tokenizers),
        cmocka_unit_test(test_cut_tokenizer),
        cmocka_unit_test(test_configs),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    scratch_remove();
    return failed;
}
