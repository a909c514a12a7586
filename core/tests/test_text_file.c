/* Files of text: what is read, and the one sentence for each file that cannot be. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <zlib.h>

#include "core/base/err.h"
#include "core/tests/scratch.h"
#include "core/text/text_file.h"

static const char *scratch_gzip(const char *name, const char *text)
{
    const char *path = scratch_path(name);
    gzFile file = gzopen(path, "wb");
    assert_int_equal(gzwrite(file, text, (unsigned)strlen(text)), strlen(text));
    assert_int_equal(gzclose(file), Z_OK);
    return path;
}

/* A copy of the file without its last bytes. */
static const char *scratch_cut(const char *name, const char *path, size_t missing)
{
    char bytes[4096];
    FILE *file = fopen(path, "rb");
    size_t n = fread(bytes, 1, sizeof bytes, file);
    fclose(file);
    assert_true(n > missing && n < sizeof bytes);
    return scratch_bytes(name, bytes, n - missing);
}

static void expect_sentence(const char *path, const char *rest)
{
    char *sentence = xformat("%s%s", path, rest);
    assert_string_equal(err_last(), sentence);
    free(sentence);
}

static void test_kinds(void **state)
{
    (void)state;
    assert_int_equal(text_kind("wiki.test.raw"), TEXT_PLAIN);
    assert_int_equal(text_kind("wiki.txt.gz"), TEXT_PLAIN);
    assert_int_equal(text_kind("a.jsonl"), TEXT_JSONL);
    assert_int_equal(text_kind("a.JSONL.gz"), TEXT_JSONL);
    assert_int_equal(text_kind("en/c4-validation.00000-of-00008.json.gz"), TEXT_JSONL);
    assert_int_equal(text_kind("a.ids"), TEXT_IDS);
    assert_int_equal(text_kind("ids"), TEXT_PLAIN);
    assert_int_equal(text_kind("a.ids.txt"), TEXT_PLAIN);
}

static void test_text(void **state)
{
    (void)state;
    static const char bytes[] = "a\r\n\0b\xff\n";
    Text text;
    assert_int_equal(text_read(&text, scratch_bytes("plain.txt", bytes, 7)), OK);
    assert_int_equal(text.n, 7);
    assert_memory_equal(text.bytes, bytes, 7);
    text_free(&text);
    text_free(&text);
    assert_int_equal(text_read(&text, scratch_gzip("gzip-without-the-name", "packed\n")), OK);
    assert_int_equal(text.n, 7);
    assert_memory_equal(text.bytes, "packed\n", 7);
    text_free(&text);
}

static void refuse_text(const char *path, int code, const char *sentence)
{
    Text text = { NULL, 42 };
    assert_int_equal(text_read(&text, path), code);
    assert_true(text.bytes == NULL && text.n == 42);
    expect_sentence(path, sentence);
}

static void test_unreadable_text(void **state)
{
    (void)state;
    refuse_text(scratch_path("missing.txt"), ERR_FILE, ": No such file or directory");
    refuse_text(scratch_folder, ERR_FILE, ": is a directory; give a text, .jsonl or .ids file");
    refuse_text(scratch_text("empty.txt", ""), ERR_FORMAT, ": is empty");
    refuse_text(scratch_text("white.txt", " \n\t\r\n"), ERR_FORMAT, ": holds nothing but white space");
    refuse_text(scratch_gzip("empty.txt.gz", ""), ERR_FORMAT, ": is empty");
    const char *whole = scratch_gzip("whole.gz", "a text long enough to be cut in the middle of what it packs to");
    const char *breaks_off = ": the gzip stream breaks off before its end; fetch the file again";
    for (size_t missing = 1; missing < 50; missing += 7) refuse_text(scratch_cut("cut.gz", whole, missing), ERR_FORMAT, breaks_off);
    FILE *file = fopen(whole, "r+b");
    fseek(file, -6, SEEK_END);                              /* inside the checksum */
    fputc('x', file);
    fclose(file);
    refuse_text(whole, ERR_FORMAT, ": damaged gzip stream; fetch the file again");
}

static void expect_document(const Documents *documents, int i, const char *text)
{
    assert_int_equal(documents->span[i].n, strlen(text));
    assert_memory_equal(documents->text.bytes + documents->span[i].start, text, strlen(text));
}

static void test_jsonl(void **state)
{
    (void)state;
    const char *lines = "{\"text\": \" caf\\u00e9 \\ud83d\\ude00\\n\", \"url\": \"x\"}\r\n \n{\"id\": 3, \"text\": \"\"}\n{\"text\": \"last\"}";
    const char *paths[] = { scratch_text("a.jsonl", lines), scratch_gzip("a.jsonl.gz", lines) };
    for (int k = 0; k < 2; k++) {
        Documents documents;
        assert_int_equal(documents_read_jsonl(&documents, paths[k]), OK);
        assert_int_equal(documents.n, 3);
        expect_document(&documents, 0, " caf\xc3\xa9 \xf0\x9f\x98\x80\n");
        expect_document(&documents, 1, "");
        expect_document(&documents, 2, "last");
        Text joined;
        documents_join(&joined, &documents, "\n\n");
        assert_int_equal(joined.n, 20);
        assert_memory_equal(joined.bytes, " caf\xc3\xa9 \xf0\x9f\x98\x80\n\n\n\n\nlast", 20);
        text_free(&joined);
        documents_strip(&documents);
        assert_int_equal(documents.n, 2);
        expect_document(&documents, 0, "caf\xc3\xa9 \xf0\x9f\x98\x80");
        expect_document(&documents, 1, "last");
        documents_free(&documents);
        documents_free(&documents);
    }
}

static void refuse_jsonl(const char *text, const char *sentence)
{
    const char *path = scratch_text("bad.jsonl", text);
    Documents documents = { .n = 42 };
    assert_int_equal(documents_read_jsonl(&documents, path), ERR_FORMAT);
    assert_int_equal(documents.n, 42);
    expect_sentence(path, sentence);
}

static void test_bad_jsonl(void **state)
{
    (void)state;
    const char *no_text = ":2: no \"text\" that is a string; each line must look like {\"text\": \"...\"} (questions and choices: protocol choices or answers)";
    refuse_jsonl("{\"text\": \"a\"}\n{\"txt\": \"a\"}\n", no_text);
    refuse_jsonl("{\"text\": \"a\"}\n{\"text\": 3}\n", no_text);
    refuse_jsonl("\n[\"text\"]\n", no_text);
    refuse_jsonl("\n\"text\"\n", no_text);
    refuse_jsonl("{\"text\": \"a\"}\n\n{\"text\": \"b\"\n", ":3: invalid JSON at column 12: '}' expected");
    refuse_jsonl("{\"text\": \"\xff\"}", ":1: invalid JSON at column 10: unable to decode byte 0xff");
    refuse_jsonl("not JSON\n", ":1: invalid JSON at column 3: invalid token");
    refuse_jsonl("", ": is empty");
}

static void test_split(void **state)
{
    (void)state;
    Text text;
    Documents documents;
    assert_int_equal(text_read(&text, scratch_text("split.txt", "<s>one \n<s><s>\n two<s> three <s>\n")), OK);
    documents_split(&documents, &text, "<s>");
    assert_null(text.bytes);
    assert_int_equal(documents.n, 6);
    expect_document(&documents, 1, "one \n");
    expect_document(&documents, 2, "");
    documents_strip(&documents);
    assert_int_equal(documents.n, 3);
    expect_document(&documents, 0, "one");
    expect_document(&documents, 1, "two");
    expect_document(&documents, 2, "three");
    documents_free(&documents);
}

static void test_ids(void **state)
{
    (void)state;
    const char *lines = "1 2,3\n\n , \n40\t, 007,,  6\r\n9";
    const char *paths[] = { scratch_text("a.ids", lines), scratch_gzip("a.ids.gz", lines) };
    static const int32_t ids[] = { 1, 2, 3, 40, 7, 6, 9 };
    static const int64_t start[] = { 0, 3, 6, 7 };
    for (int k = 0; k < 2; k++)
        for (int max = 0; max <= 4; max++) {
            IdLists lists;
            int n = max && max < 3 ? max : 3;
            assert_int_equal(id_lists_read(&lists, paths[k], 41, 1, max), OK);
            assert_int_equal(lists.n, n);
            assert_int_equal(lists.ids.n, start[n]);
            assert_memory_equal(lists.start, start, ((size_t)n + 1) * sizeof *start);
            assert_memory_equal(lists.ids.id, ids, (size_t)start[n] * sizeof *ids);
            id_lists_free(&lists);
            id_lists_free(&lists);
        }
}

static void test_many_lines(void **state)
{
    (void)state;
    const char *path = scratch_path("many.ids");
    FILE *file = fopen(path, "w");
    for (int i = 0; i < 1000; i++)
        for (int t = 0; t <= i % 7; t++) fprintf(file, "%d%c", i * 7 + t, t < i % 7 ? ' ' : '\n');
    fclose(file);
    IdLists lists;
    assert_int_equal(id_lists_read(&lists, path, 0, 1, 0), OK);
    assert_int_equal(lists.n, 1000);
    for (int i = 0; i < 1000; i++) {
        assert_int_equal(lists.start[i + 1] - lists.start[i], i % 7 + 1);
        assert_int_equal(lists.ids.id[lists.start[i + 1] - 1], i * 7 + i % 7);
    }
    id_lists_free(&lists);
}

static void refuse_ids(const char *path, int code, const char *sentence)
{
    IdLists lists = { .n = 42 };
    assert_int_equal(id_lists_read(&lists, path, 100, 2, 0), code);
    assert_int_equal(lists.n, 42);
    expect_sentence(path, sentence);
}

static void test_bad_ids(void **state)
{
    (void)state;
    static const struct { const char *text, *sentence; } bad[] = {
        { "1 2\n3 x4\n", ":2: 'x4' is not a token id; ids are whole numbers separated by blanks or commas" },
        { "1 -2\n", ":1: '-2' is not a token id; ids are whole numbers separated by blanks or commas" },
        { "1 2.0\n", ":1: '2.0' is not a token id; ids are whole numbers separated by blanks or commas" },
        { "1 \x01\xff\n", ":1: '?\?' is not a token id; ids are whole numbers separated by blanks or commas" },
        { "1 2\n\n99 100", ":3: token id 100 is not below the vocabulary of 100" },
        { "4294967297 1", ":1: token id 4294967297 is not below the vocabulary of 100" },
        { "1 18446744073709551617000000000000", ":1: token id 18446744073709551617000 is not below the vocabulary of 100" },
        { "1 2\n3\n", ":2: a single token id predicts nothing; a line needs at least 2" },
        { "", ": holds no token ids" },
        { " \n,\n", ": holds no token ids" },
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) refuse_ids(scratch_text("bad.ids", bad[i].text), ERR_FORMAT, bad[i].sentence);
    refuse_ids(scratch_path("missing.ids"), ERR_FILE, ": No such file or directory");
    refuse_ids(scratch_folder, ERR_FILE, ": is a directory; give a text, .jsonl or .ids file");
    const char *cut = scratch_cut("cut.ids.gz", scratch_gzip("whole.ids.gz", "1 2 3 4\n5 6 7 8\n"), 9);
    refuse_ids(cut, ERR_FORMAT, ": the gzip stream breaks off before its end; fetch the file again");
    IdLists lists;
    assert_int_equal(id_lists_read(&lists, scratch_text("big.ids", "2147483647"), 0, 1, 0), ERR_FORMAT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_kinds), cmocka_unit_test(test_text), cmocka_unit_test(test_unreadable_text),
        cmocka_unit_test(test_jsonl), cmocka_unit_test(test_bad_jsonl), cmocka_unit_test(test_split),
        cmocka_unit_test(test_ids), cmocka_unit_test(test_many_lines), cmocka_unit_test(test_bad_ids),
    };
    return cmocka_run_group_tests(tests, NULL, scratch_teardown);
}
