/* test_whole_folder.c - a folder appears whole, replaces only its like, and survives what is killed */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "core/store/whole_folder.h"
#include "core/tests/program.h"

#define WORKS(call) do { if ((call) != OK) fail_msg("%s: %s", #call, err_last()); } while (0)

static bool is_ours(const char *name) { return name[0] == 'w'; }

static void put(const char *directory, const char *name, const char *text)
{
    char *path = xformat("%s/%s", directory, name);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
    free(path);
}

static void assert_holds(const char *directory, const char *name, const char *text)
{
    char *path = xformat("%s/%s", directory, name), *got = file_read(path, NULL);
    if (text) assert_string_equal(got ? got : "(no file)", text);
    else assert_null(got);
    free(got);
    free(path);
}

static void assert_no_temporary(const char *path)
{
    char *temporary = xformat("%s" WHOLE_FOLDER_ENDING, path);
    assert_false(file_there(temporary));
    free(temporary);
}

static void refused(const char *path, bool replace, const char *says)
{
    WholeFolder folder;
    assert_int_equal(whole_folder_begin(&folder, path, replace, is_ours), ERR_FILE);
    if (!strstr(err_last(), says)) fail_msg("said: %s", err_last());
    whole_folder_abandon(&folder);              /* harmless */
}

static void write_one(const char *path, bool replace, const char *text)
{
    WholeFolder folder;
    WORKS(whole_folder_begin(&folder, path, replace, is_ours));
    put(folder.temporary, "w1", text);
    WORKS(whole_folder_commit(&folder));
}

static void it_appears_at_the_end(void **state)
{
    (void)state;
    WholeFolder folder;
    const char *path = scratch_path("a");
    char *slashes = xformat("%s//", path);
    WORKS(whole_folder_begin(&folder, slashes, false, is_ours));
    assert_string_equal(folder.path, path);
    assert_false(file_there(path));
    put(folder.temporary, "w1", "one");
    put(folder.temporary, "w2", "two");
    assert_false(file_there(path));
    WORKS(whole_folder_commit(&folder));
    assert_holds(path, "w1", "one");
    assert_holds(path, "w2", "two");
    assert_no_temporary(path);
    free(slashes);
}

static void abandoned_leaves_nothing(void **state)
{
    (void)state;
    WholeFolder folder;
    const char *path = scratch_path("b");
    WORKS(whole_folder_begin(&folder, path, false, is_ours));
    put(folder.temporary, "w1", "one");
    err_set(ERR_FORMAT, "what went wrong");
    whole_folder_abandon(&folder);
    assert_string_equal(err_last(), "what went wrong");
    assert_false(file_there(path));
    assert_no_temporary(path);
    WORKS(whole_folder_begin(&folder, path, false, is_ours));
    char *temporary = xstrdup(folder.temporary);
    put(temporary, "precious", "no part of it");
    err_set(ERR_FORMAT, "what went wrong");
    whole_folder_abandon(&folder);
    assert_string_equal(err_last(), "what went wrong");        /* and not why the folder is still there */
    assert_holds(temporary, "precious", "no part of it");
    free(temporary);
}

static void an_empty_folder_may_be_there(void **state)
{
    (void)state;
    const char *path = scratch_path("c");
    mkdir(path, 0777);
    write_one(path, false, "one");
    assert_holds(path, "w1", "one");
}

static void only_its_like_is_replaced(void **state)
{
    (void)state;
    const char *path = scratch_path("d");
    write_one(path, false, "old");
    put(path, "w-old-only", "old");
    refused(path, false, "not empty; --force");
    assert_holds(path, "w1", "old");
    write_one(path, true, "new");
    assert_holds(path, "w1", "new");
    assert_holds(path, "w-old-only", NULL);
    assert_no_temporary(path);
    put(path, "notes.txt", "mine");
    refused(path, true, "holds 'notes.txt'");
    assert_holds(path, "w1", "new");
    assert_holds(path, "notes.txt", "mine");
    assert_no_temporary(path);
}

/* A folder inside is never one of ours, whatever its name. */
static void folders_are_not_deleted(void **state)
{
    (void)state;
    const char *path = scratch_path("e"), *inner = scratch_path("e/w-inner");
    mkdir(path, 0777);
    mkdir(inner, 0777);
    put(inner, "w1", "deep");
    refused(path, true, "holds 'w-inner'");
    assert_holds(inner, "w1", "deep");
}

static void the_old_one_stays_until_the_end(void **state)
{
    (void)state;
    WholeFolder folder;
    const char *path = scratch_path("f");
    write_one(path, false, "old");
    WORKS(whole_folder_begin(&folder, path, true, is_ours));
    put(folder.temporary, "w1", "new");
    assert_holds(path, "w1", "old");
    whole_folder_abandon(&folder);
    assert_holds(path, "w1", "old");
    assert_no_temporary(path);
}

/* What fills the folder in the meantime is not lost. */
static void a_folder_that_filled_is_kept(void **state)
{
    (void)state;
    WholeFolder folder;
    const char *path = scratch_path("g");
    WORKS(whole_folder_begin(&folder, path, false, is_ours));
    put(folder.temporary, "w1", "new");
    mkdir(path, 0777);
    put(path, "w1", "somebody's");
    assert_int_equal(whole_folder_commit(&folder), ERR_FILE);
    assert_holds(path, "w1", "somebody's");
    assert_no_temporary(path);
}

static void what_a_kill_left_goes(void **state)
{
    (void)state;
    const char *path = scratch_path("h");
    char *temporary = xformat("%s" WHOLE_FOLDER_ENDING, path);
    mkdir(temporary, 0777);
    put(temporary, "w-half", "half");
    write_one(path, false, "one");
    assert_holds(path, "w1", "one");
    assert_holds(path, "w-half", NULL);
    mkdir(temporary, 0777);
    put(temporary, "precious", "no part of it");
    refused(path, true, "holds 'precious'");
    assert_holds(temporary, "precious", "no part of it");
    free(temporary);
}

static void two_writers_are_kept_apart(void **state)
{
    (void)state;
    WholeFolder folder;
    const char *path = scratch_path("i");
    WORKS(whole_folder_begin(&folder, path, false, is_ours));
    put(folder.temporary, "w1", "first");
    refused(path, false, "another process is writing it");
    WORKS(whole_folder_commit(&folder));
    assert_holds(path, "w1", "first");
    write_one(path, true, "second");
    assert_holds(path, "w1", "second");
}

static void links_lead_to_their_folder(void **state)
{
    (void)state;
    const char *path = scratch_path("j"), *link = scratch_path("j-link");
    mkdir(path, 0777);
    assert_int_equal(symlink(path, link), 0);
    write_one(link, false, "one");
    assert_holds(path, "w1", "one");
    write_one(link, true, "two");
    assert_holds(path, "w1", "two");
    struct stat info;
    assert_true(lstat(link, &info) == 0 && S_ISLNK(info.st_mode));
}

static void bad_places_are_named(void **state)
{
    (void)state;
    scratch_text("k", "a file");
    refused(scratch_path("k"), true, "there is a file of this name");
    refused(scratch_path("no/such/place"), false, "cannot be made (No such file or directory)");
    refused(scratch_path("k/x"), false, "cannot be made (Not a directory)");
    refused("", false, "is empty");
    refused("/", true, "holds '");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_appears_at_the_end), cmocka_unit_test(abandoned_leaves_nothing), cmocka_unit_test(an_empty_folder_may_be_there),
        cmocka_unit_test(only_its_like_is_replaced), cmocka_unit_test(folders_are_not_deleted), cmocka_unit_test(the_old_one_stays_until_the_end),
        cmocka_unit_test(a_folder_that_filled_is_kept), cmocka_unit_test(what_a_kill_left_goes), cmocka_unit_test(two_writers_are_kept_apart),
        cmocka_unit_test(links_lead_to_their_folder), cmocka_unit_test(bad_places_are_named),
    };
    int failed = cmocka_run_group_tests_name("whole_folder", tests, NULL, NULL);
    scratch_remove();
    return failed;
}
