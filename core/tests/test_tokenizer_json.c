/*
 * Small tokenizer.json files: every rule of encoding on ids worked out by hand (and found the same by
 * tokenizers 0.23.3), and one sentence for every kind of file that cannot be used.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "core/base/err.h"
#include "core/tests/scratch.h"
#include "core/text/tokenizer.h"

/* Written with ' for ".  The byte alphabet: blank is \u0120 (Ġ), bytes c3 a9 are \u00c3 \u00a9, cc 81 are \u00cc \u0123. */
#define BYTE_VOCABULARY "{'a':0,'b':1,'c':2,'\u0120':3,'ab':4,'bc':5,'abc':6,'aa':7,'\u00c3':8,'\u00a9':9,'\u00c3\u00a9':10," \
                        "'1':11,'2':12,'12':13,'e':14,'\u00cc':15,'\u0123':16,'<':17,'>':18,'s':19,'\u0120a':20}"
#define BYTE_LEVEL "{'type':'ByteLevel','add_prefix_space':false,'trim_offsets':true,'use_regex':true}"
#define BYTES_ONLY "{'type':'ByteLevel','add_prefix_space':false,'trim_offsets':true,'use_regex':false}"
#define SEQUENCE(steps) "{'type':'Sequence','pretokenizers':[" steps "]}"
#define ADDED(id, text, special, left, right, normalized) "{'id':" #id ",'content':'" text "','single_word':false,'lstrip':" #left \
                        ",'rstrip':" #right ",'normalized':" #normalized ",'special':" #special "}"

typedef struct {
    const char *added, *normalizer, *pretokenizer, *post, *options, *vocabulary, *merges;      /* NULL: nothing, or the vocabulary above */
} Parts;

static char *with_quotes(char *text)
{
    for (char *c = text; *c; c++)
        if (*c == '\'') *c = '"';
    return text;
}

static char *json_text(const Parts *p)
{
    return with_quotes(xformat("{'version':'1.0','truncation':null,'padding':null,'added_tokens':[%s],'normalizer':%s,'pre_tokenizer':%s,"
                               "'post_processor':%s,'decoder':null,'model':{'type':'BPE',%s'vocab':%s,'merges':[%s]}}",
                               p->added ? p->added : "", p->normalizer ? p->normalizer : "null", p->pretokenizer ? p->pretokenizer : "null",
                               p->post ? p->post : "null", p->options ? p->options : "", p->vocabulary ? p->vocabulary : BYTE_VOCABULARY,
                               p->merges ? p->merges : ""));
}

static Tokenizer *open_parts(const Parts *parts)
{
    char *text = json_text(parts);
    Tokenizer *tokenizer = NULL;
    if (tokenizer_open(&tokenizer, scratch_text("tokenizer.json", text)) != OK) fail_msg("%s", err_last());
    free(text);
    return tokenizer;
}

/* want: the ids as text, "4 3 4". */
static void expect_encoding(const Tokenizer *tokenizer, const char *text, size_t n, bool specials, const char *want)
{
    Ids ids = { 0 };
    if (tokenizer_encode(&ids, tokenizer, text, n, specials) != OK) fail_msg("%s", err_last());
    char *found = xstrdup("");
    for (int64_t i = 0; i < ids.n; i++) {
        char *longer = xformat(i ? "%s %d" : "%s%d", found, ids.id[i]);
        free(found);
        found = longer;
    }
    assert_string_equal(found, want);
    free(found);
    ids_free(&ids);
}

static void expect_ids(const Parts *parts, const char *text, const char *want)
{
    Tokenizer *tokenizer = open_parts(parts);
    expect_encoding(tokenizer, text, strlen(text), true, want);
    tokenizer_close(&tokenizer);
}

static void test_merges_go_by_rank_then_place(void **state)
{
    (void)state;
    Parts parts = { .pretokenizer = BYTE_LEVEL };
    expect_ids(&parts, "abc", "0 1 2");
    parts.merges = "'b c','a b','ab c'";
    expect_ids(&parts, "abc", "0 5");               /* b c first; then nothing joins a and bc */
    parts.merges = "['a','b'],['b','c'],['ab','c']";
    expect_ids(&parts, "abc", "6");
    parts.merges = "'a a'";
    expect_ids(&parts, "aaaaa", "7 7 0");           /* the leftmost of equals */
    parts.merges = "'a b','b c','a b','ab c'";
    expect_ids(&parts, "abc", "0 5");               /* a pair given twice has its last rank */
}

static void test_ignore_merges(void **state)
{
    (void)state;
    Parts parts = { .pretokenizer = BYTE_LEVEL, .merges = "'b c','a b','ab c'", .options = "'ignore_merges':true," };
    expect_ids(&parts, "abc", "6");                 /* a whole word that is a token */
    expect_ids(&parts, "abcc", "0 5 2");            /* not one: by the merges       */
    expect_ids(&parts, " a", "20");                 /* looked up in the alphabet    */
}

static void test_bytes_and_words(void **state)
{
    (void)state;
    Parts parts = { .pretokenizer = BYTE_LEVEL, .merges = "'a b','\u00c3 \u00a9','1 2'" };
    expect_ids(&parts, "ab ab", "4 3 4");
    expect_ids(&parts, "\u00e9", "10");
    expect_ids(&parts, "a?b", "0 1");               /* no token, no unknown token: dropped */
    parts.options = "'unk_token':'c',";
    expect_ids(&parts, "a??b", "0 2 2 1");
    parts.options = "'unk_token':'c','fuse_unk':true,";
    expect_ids(&parts, "a??b", "0 2 1");
    parts.pretokenizer = "{'type':'ByteLevel','add_prefix_space':true,'trim_offsets':true,'use_regex':true}";
    expect_ids(&parts, "ab", "3 4");
    expect_ids(&parts, " ab", "3 4");
    expect_ids(&parts, "", "");
}

static void test_splits(void **state)
{
    (void)state;
    Parts parts = { .merges = "'1 2','a b','b c'" };
    parts.pretokenizer = SEQUENCE("{'type':'Digits','individual_digits':true}," BYTES_ONLY);
    expect_ids(&parts, "12 ab", "11 12 3 4");
    parts.pretokenizer = SEQUENCE("{'type':'Digits','individual_digits':false}," BYTES_ONLY);
    expect_ids(&parts, "12 ab", "13 3 4");
    parts.pretokenizer = SEQUENCE("{'type':'Split','pattern':{'Regex':'b|\\\\s+'},'behavior':'Isolated','invert':false}," BYTES_ONLY);
    expect_ids(&parts, "ab bc", "0 1 3 1 2");
    parts.pretokenizer = SEQUENCE("{'type':'Split','pattern':{'Regex':'b|\\\\s+'},'behavior':'Removed','invert':false}," BYTES_ONLY);
    expect_ids(&parts, "ab bc", "0 2");
    parts.pretokenizer = SEQUENCE("{'type':'Split','pattern':{'Regex':'b|\\\\s+'},'behavior':'Removed','invert':true}," BYTES_ONLY);
    expect_ids(&parts, "ab bc", "1 3 1");
    parts.pretokenizer = SEQUENCE("{'type':'Split','pattern':{'String':'b'},'behavior':'Isolated','invert':false}," BYTES_ONLY);
    expect_ids(&parts, "ab", "0 1");
}

/* U+180E was white space until Unicode 6.3 and still is PCRE2's \s, not Oniguruma's. */
static void test_white_space_is_unicode(void **state)
{
    (void)state;
    Parts parts = { .pretokenizer = SEQUENCE("{'type':'Split','pattern':{'Regex':'\\\\s'},'behavior':'Removed','invert':false}," BYTES_ONLY),
                    .vocabulary = "{'a':0,'\u00e1':1,'\u0142':2,'\u0130':3,'\u00c2':4,'\u0127':5}" };
    expect_ids(&parts, "a\xc2\x85" "a\u3000a", "0 0 0");
    expect_ids(&parts, "a\u180ea", "0 1 2 3 0");     /* e1 a0 8e */
}

static void test_nfc(void **state)
{
    (void)state;
    Parts parts = { .pretokenizer = BYTE_LEVEL, .merges = "'\u00c3 \u00a9'" };
    expect_ids(&parts, "e\u0301", "14 15 16");
    parts.normalizer = "{'type':'NFC'}";
    expect_ids(&parts, "e\u0301", "10");
    expect_ids(&parts, "\u00e9", "10");
}

#define LLAMA_VOCABULARY "{'<unk>':0,'<s>':1,'</s>':2,'<0xC3>':3,'<0xA9>':4,'\u2581':5,'a':6,'b':7,'\u2581a':8,'ab':9}"
#define LLAMA_NORMALIZER "{'type':'Sequence','normalizers':[{'type':'Prepend','prepend':'\u2581'}," \
                         "{'type':'Replace','pattern':{'String':' '},'content':'\u2581'}]}"
#define LLAMA_ADDED ADDED(0, "<unk>", true, false, false, false) "," ADDED(1, "<s>", true, false, false, false) "," ADDED(2, "</s>", true, false, false, false)
#define LLAMA_OPTIONS "'unk_token':'<unk>','byte_fallback':true,"
static const Parts llama = { .added = LLAMA_ADDED, .normalizer = LLAMA_NORMALIZER, .options = LLAMA_OPTIONS "'fuse_unk':true,",
                             .vocabulary = LLAMA_VOCABULARY, .merges = "['\u2581','a'],['a','b']" };

static void test_llama_style(void **state)
{
    (void)state;
    expect_ids(&llama, "a b", "8 5 7");
    expect_ids(&llama, "", "");
    expect_ids(&llama, "</s> <s>a", "2 5 5 1 8");    /* the mark before every piece of text */
    expect_ids(&llama, "\u00e9", "5 3 4");
    expect_ids(&llama, "a\u00fc\u00fc", "8 0");      /* c3 bc: byte bc has no token; unknowns fuse */
    Parts parts = llama;
    parts.options = LLAMA_OPTIONS;
    expect_ids(&parts, "a\u00fc\u00fc", "8 0 0");
    parts.vocabulary = "{'<unk>':0,'<s>':1,'</s>':2,'\u2581':3,'a':4,'b':5,'a\u2581':6}";
    parts.merges = "['a','\u2581']";                  /* a token with its mark inside: words may not be cut there */
    expect_ids(&parts, "a b", "3 6 5");
}

static void test_decode(void **state)
{
    (void)state;
    static const struct { bool llama; int32_t id; const char *text; } cases[] = {
        { false, 10, "\xc3\xa9" }, { false, 8, "\xc3" }, { false, 3, " " }, { false, 7, "aa" }, { false, 21, "<\u0120>" },
        { false, 22, "" }, { false, -1, "" }, { true, 3, "\xc3" }, { true, 8, " a" }, { true, 1, "<s>" },
    };
    Parts parts = { .pretokenizer = BYTE_LEVEL, .added = ADDED(21, "<\u0120>", false, false, false, false) };
    Tokenizer *tokenizer[2] = { open_parts(&parts), open_parts(&llama) };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        size_t n;
        const char *text = tokenizer_decode(tokenizer[cases[i].llama], cases[i].id, &n);
        assert_int_equal(n, strlen(cases[i].text));
        assert_memory_equal(text, cases[i].text, n);
    }
    tokenizer_close(&tokenizer[0]);
    tokenizer_close(&tokenizer[1]);
}

static void test_added_tokens(void **state)
{
    (void)state;
    Parts parts = { .pretokenizer = BYTE_LEVEL, .normalizer = "{'type':'NFC'}",
                    .added = ADDED(21, "<s>", true, false, false, false) "," ADDED(22, "<s><s>", true, false, false, false) ","
                             ADDED(23, "<a>", false, true, false, false) "," ADDED(24, "<b>", false, false, true, false) ","
                             ADDED(25, "\u00e9", false, false, false, true) "," ADDED(26, "e\u0301", false, false, false, false) };
    expect_ids(&parts, "a<s>b", "0 21 1");
    expect_ids(&parts, "<s><s><s>", "22 21");        /* the longest */
    expect_ids(&parts, "a  <a> a", "0 23 3 0");      /* lstrip      */
    expect_ids(&parts, "a <b>\u00a0 a", "0 3 24 0"); /* rstrip      */
    expect_ids(&parts, "<b> <a>", "24 23");
    expect_ids(&parts, "e\u0301", "26");             /* before normalizing ... */
    expect_ids(&parts, "\u00e9", "25");              /* ... and after          */
    Tokenizer *tokenizer = open_parts(&parts);
    expect_encoding(tokenizer, "<s><a>", 6, false, "17 19 18 23");      /* specials as text, others still found */
    assert_true(tokenizer_is_special(tokenizer, 21));
    assert_false(tokenizer_is_special(tokenizer, 23));
    assert_false(tokenizer_is_special(tokenizer, 27));
    assert_int_equal(tokenizer_vocabulary(tokenizer), 27);
    tokenizer_close(&tokenizer);
}

static void test_invalid_utf8(void **state)
{
    (void)state;
    Parts parts = { .pretokenizer = BYTE_LEVEL, .merges = "'\u00c3 \u00a9','a b'" };
    Tokenizer *tokenizer = open_parts(&parts);
    expect_encoding(tokenizer, "ab\xc3" "ab\xc3\xa9\xc3", 8, true, "4 8 4 10 8");
    expect_encoding(tokenizer, "a\0b", 3, true, "0 1");                 /* NUL is a character, without a token here */
    Ids ids = { 0 };
    ids_push(&ids, 5);
    assert_int_equal(tokenizer_encode(&ids, tokenizer, "ab\xff", 3, true), ERR_FORMAT);
    assert_non_null(strstr(err_last(), "byte 2 (0xff)"));
    assert_int_equal(ids.n, 1);
    tokenizer_close(&tokenizer);
    tokenizer = open_parts(&llama);
    assert_int_equal(tokenizer_encode(&ids, tokenizer, "<s>a\xc3", 5, true), ERR_FORMAT);
    assert_non_null(strstr(err_last(), "byte 4 (0xc3)"));
    assert_int_equal(ids.n, 1);
    tokenizer_close(&tokenizer);
    ids_free(&ids);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_merges_go_by_rank_then_place),
        cmocka_unit_test(test_ignore_merges),
        cmocka_unit_test(test_bytes_and_words),
        cmocka_unit_test(test_splits),
        cmocka_unit_test(test_white_space_is_unicode),
        cmocka_unit_test(test_nfc),
        cmocka_unit_test(test_llama_style),
        cmocka_unit_test(test_decode),
        cmocka_unit_test(test_added_tokens),
        cmocka_unit_test(test_invalid_utf8),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    scratch_remove();
    return failed;
}
