/*
 * test_resources.c - free memory: of copies of /proc and /sys in a folder, in both versions of control groups, of this machine, of a device
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <sys/stat.h>

#include "core/base/err.h"
#include "core/base/resources.h"
#include "core/tests/scratch.h"

/* ROOT/path with this text, in folders that are made on the way. */
static void put(const char *root, const char *path, const char *text)
{
    char *name = xformat("%s/%s", root, path);
    for (char *slash = strchr(name, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        mkdir(scratch_path(name), 0777);
        *slash = '/';
    }
    scratch_text(name, text);
    free(name);
}

static const char meminfo[] = "MemTotal:       16000000 kB\nMemFree:         1000000 kB\nMemAvailable:    8000000 kB\nBuffers:           1000 kB\n";
enum { KIB = 1024 };
#define AVAILABLE ((int64_t)8000000 * KIB)

static FreeMemory host(const char *root)
{
    FreeMemory memory = { .bytes = -1 };
    if (free_memory_of_host(&memory, scratch_path(root)) != OK) fail_msg("%s", err_last());
    return memory;
}

static void assert_memory(const char *root, int64_t bytes, const char *source)
{
    const FreeMemory memory = host(root);
    if (memory.bytes != bytes) print_error("%lld from %s\n", (long long)memory.bytes, memory.source);
    assert_true(memory.bytes == bytes);
    assert_string_equal(memory.source, source);
}

static void test_no_groups(void **state)
{
    (void)state;
    put("plain", "proc/meminfo", meminfo);
    assert_memory("plain", AVAILABLE, "MemAvailable of /proc/meminfo");
    put("plain", "proc/self/cgroup", "0::/\n");                             /* and no files of it */
    assert_memory("plain", AVAILABLE, "MemAvailable of /proc/meminfo");
}

/* The lowest of a group and those above it; inactive pages of files are free; "max" is no limit. */
static void test_version_2(void **state)
{
    (void)state;
    put("two", "proc/meminfo", meminfo);
    put("two", "proc/self/cgroup", "0::/slice/job/step\n");
    put("two", "sys/fs/cgroup/slice/job/step/memory.max", "max\n");
    put("two", "sys/fs/cgroup/slice/job/step/memory.current", "12345\n");
    assert_memory("two", AVAILABLE, "MemAvailable of /proc/meminfo");
    put("two", "sys/fs/cgroup/slice/job/memory.max", "4000000000\n");
    put("two", "sys/fs/cgroup/slice/job/memory.current", "1500000000\n");
    assert_memory("two", 2500000000, "limit of the control group /slice/job (memory.max)");
    put("two", "sys/fs/cgroup/slice/job/memory.stat", "anon 1000000000\nfile 500000000\nworkingset_inactive_file 7\ninactive_file 300000000\nactive_file 200000000\n");
    assert_memory("two", 2800000000, "limit of the control group /slice/job (memory.max)");
    put("two", "sys/fs/cgroup/slice/memory.max", "3000000000\n");
    put("two", "sys/fs/cgroup/slice/memory.current", "2900000000\n");
    assert_memory("two", 100000000, "limit of the control group /slice (memory.max)");
    put("two", "sys/fs/cgroup/slice/memory.current", "3000000001\n");       /* more than its limit for a moment */
    assert_memory("two", 0, "limit of the control group /slice (memory.max)");
    put("two", "sys/fs/cgroup/slice/memory.max", "90000000000\n");          /* more than there is */
    put("two", "sys/fs/cgroup/slice/job/memory.max", "90000000000\n");
    assert_memory("two", AVAILABLE, "MemAvailable of /proc/meminfo");
}

/* In a container the limit stands at the root of what is to be seen, whatever path the process has outside. */
static void test_container(void **state)
{
    (void)state;
    static const char *const groups[] = { "0::/\n", "0::/docker/0123abcd\n", "0::/../../other\n" };
    put("box", "proc/meminfo", meminfo);
    put("box", "sys/fs/cgroup/memory.max", "1000000000\n");
    put("box", "sys/fs/cgroup/memory.current", "250000000\n");
    put("box", "sys/fs/memory.max", "7\n");                                 /* what ../ would lead to */
    put("box", "sys/fs/memory.current", "1\n");
    for (int i = 0; i < 3; i++) {
        put("box", "proc/self/cgroup", groups[i]);
        assert_memory("box", 750000000, "limit of the control group / (memory.max)");
    }
    put("box", "proc/self/cgroup", "");
    assert_memory("box", AVAILABLE, "MemAvailable of /proc/meminfo");
}

/* Version 1, memory among other controllers; its word for no limit; both versions mounted at once. */
static void test_version_1(void **state)
{
    (void)state;
    put("one", "proc/meminfo", meminfo);
    put("one", "proc/self/cgroup", "9:name=systemd:/\n6:mem:/wrong\n5:memory_like:/wrong\n4:cpu,memory:/job\n3:cpuset:/wrong\n0::/\n");
    put("one", "sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
    put("one", "sys/fs/cgroup/memory/memory.usage_in_bytes", "4000000000\n");
    put("one", "sys/fs/cgroup/memory/wrong/memory.limit_in_bytes", "5\n");
    put("one", "sys/fs/cgroup/memory/wrong/memory.usage_in_bytes", "1\n");
    assert_memory("one", AVAILABLE, "MemAvailable of /proc/meminfo");
    put("one", "sys/fs/cgroup/memory/job/memory.limit_in_bytes", "2000000000\n");
    put("one", "sys/fs/cgroup/memory/job/memory.usage_in_bytes", "1900000000\n");
    put("one", "sys/fs/cgroup/memory/job/memory.stat", "inactive_file 1\ntotal_inactive_file 400000000\n");
    assert_memory("one", 500000000, "limit of the control group /job (memory.limit_in_bytes)");
}

static void assert_refused(const char *root, int code, const char *words)
{
    FreeMemory memory = { .bytes = -7 };
    assert_int_equal(free_memory_of_host(&memory, scratch_path(root)), code);
    if (!strstr(err_last(), words)) print_error("%s\n", err_last());
    assert_non_null(strstr(err_last(), words));
    assert_true(memory.bytes == -7);
}

static void test_refusals(void **state)
{
    (void)state;
    assert_refused("nothing", ERR_FILE, "state it with --memory");
    put("old", "proc/meminfo", "MemTotal: 16000000 kB\nMemFree: 1000000 kB\n");
    assert_refused("old", ERR_FORMAT, "does not tell MemAvailable");
    put("odd", "proc/meminfo", "MemAvailable: lots\n");
    assert_refused("odd", ERR_FORMAT, "does not tell MemAvailable");
}

/* The real files: between nothing and what the machine has. */
static void test_this_machine(void **state)
{
    (void)state;
    FreeMemory memory;
    assert_int_equal(free_memory_of(&memory, kernels_find("cpu")), OK);
    assert_true(memory.bytes > 0 && memory.bytes <= (int64_t)sysconf(_SC_PHYS_PAGES) * sysconf(_SC_PAGESIZE));
    assert_true(strlen(memory.source) > 0);
}

static int64_t few_bytes(void) { return 123456; }
static const char *sound(void) { return NULL; }
static const char *broken(void) { return "the GPU fell off"; }

static void test_device(void **state)
{
    (void)state;
    FreeMemory memory;
    Kernels device = { .name = "cuda", .device = "NVIDIA H200, 139.8 GiB", .free_memory = few_bytes, .failure = sound };
    assert_int_equal(free_memory_of(&memory, &device), OK);
    assert_true(memory.bytes == 123456);
    assert_string_equal(memory.source, "free on NVIDIA H200, 139.8 GiB");
    device.failure = broken;
    memory.bytes = -7;
    assert_int_equal(free_memory_of(&memory, &device), ERR_DEVICE);
    assert_true(memory.bytes == -7 && strstr(err_last(), "the GPU fell off"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_no_groups), cmocka_unit_test(test_version_2), cmocka_unit_test(test_container), cmocka_unit_test(test_version_1),
        cmocka_unit_test(test_refusals), cmocka_unit_test(test_this_machine), cmocka_unit_test(test_device),
    };
    return cmocka_run_group_tests(tests, NULL, scratch_teardown);
}
