/*
 * test_stage.c - the largest memory of stages, one after another and inside each other
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "core/base/stage.h"

enum { MIB = 1 << 20, SLACK = 6 * MIB };

/* So many MiB are resident, and gone again. */
static void hold(int mebibytes)
{
    if (mebibytes == 0) return;
    const size_t n = (size_t)mebibytes * MIB;
    char *p = mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_true(p != MAP_FAILED);
    memset(p, 1, n);
    munmap(p, n);
}

static StageCost stage_of(int mebibytes)
{
    StageCost cost = { 0 };
    const StageBegun stage = stage_begin();
    hold(mebibytes);
    stage_end(&cost, &stage);
    return cost;
}

/* Where the mark cannot be set back, a peak is that of the program: what is below says nothing. */
static void needs_marks(void)
{
    if (access("/proc/self/clear_refs", W_OK) == 0) return;
    print_message("SKIPPED: the high-water mark of memory cannot be set back here\n");
    skip();
}

static void assert_about(int64_t bytes, int64_t base, int mebibytes)
{
    const int64_t off = bytes - base - (int64_t)mebibytes * MIB;
    if (off < -SLACK || off > SLACK) print_error("%lld bytes for %d MiB over %lld\n", (long long)bytes, mebibytes, (long long)base);
    assert_true(off >= -SLACK && off <= SLACK);
}

static void test_one_after_another(void **state)
{
    (void)state;
    needs_marks();
    const int64_t base = stage_of(0).peak;
    assert_true(base > 0);
    assert_about(stage_of(200).peak, base, 200);
    assert_about(stage_of(50).peak, base, 50);          /* and not the 200 of before */
    StageCost sum = stage_of(20);
    const StageCost more = stage_of(80);
    stage_cost_add(&sum, &more);
    assert_about(sum.peak, base, 80);
}

static void test_inside_each_other(void **state)
{
    (void)state;
    needs_marks();
    static const struct { int before, inside, after, whole; } row[] = { { 150, 20, 0, 150 }, { 0, 90, 30, 90 }, { 10, 20, 120, 120 } };
    const int64_t base = stage_of(0).peak;
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        StageCost outer = { 0 }, inner = { 0 };
        const StageBegun stage = stage_begin();
        hold(row[i].before);
        const StageBegun other = stage_begin();
        hold(row[i].inside);
        stage_end(&inner, &other);
        hold(row[i].after);
        stage_end(&outer, &stage);
        assert_about(inner.peak, base, row[i].inside);
        assert_about(outer.peak, base, row[i].whole);
    }
}

static void test_seconds_add_up(void **state)
{
    (void)state;
    StageCost cost = { 0 };
    for (int i = 0; i < 3; i++) {
        const StageBegun stage = stage_begin();
        nanosleep(&(struct timespec){ 0, 2000000 }, NULL);
        stage_end(&cost, &stage);
    }
    assert_true(cost.seconds >= .006);
    assert_true(cost.peak > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_one_after_another), cmocka_unit_test(test_inside_each_other), cmocka_unit_test(test_seconds_add_up) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
