/* SPDX-License-Identifier: Apache-2.0 */
#include "base/alloc.h"
#include "base/file.h"
#include "base/memory_file.h"
#include "base/secret.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define KEY "gsk_dvtest_0123456789abcdefghijklmnop"
#define VARIABLE "DV_TEST_SECRET"
#define ENVIRONMENT_SIZE_MAX (1u << 20)

/* What the kernel shows of our environment. */
static char *read_environment(size_t *ret_size)
{
    char *data = dv_alloc(ENVIRONMENT_SIZE_MAX);
    int fd = open("/proc/self/environ", O_RDONLY | O_CLOEXEC);
    ssize_t got;

    assert_true(fd >= 0);
    *ret_size = 0;
    while ((got = read(fd, data + *ret_size, ENVIRONMENT_SIZE_MAX - *ret_size)) > 0) {
        *ret_size += (size_t)got;
    }
    assert_int_equal(got, 0);
    (void)close(fd);
    return data;
}

static bool environment_has(const char *text)
{
    size_t size;
    DV_CLEANUP(dv_freep) char *data = read_environment(&size);

    return memmem(data, size, text, strlen(text)) != NULL;
}

/* The program starts itself again with the key in its environment: this is the second one. */
static int play_keeper(void)
{
    DV_CLEANUP(dv_file_closep) int fd = -1;
    DV_CLEANUP(dv_secret_freep) char *key = NULL;
    size_t size;

    if (!environment_has(KEY)) {
        return 10; /* then the test would prove nothing */
    }
    if (dv_secret_take(VARIABLE, 256, &fd, NULL) != DV_OK) {
        return 11;
    }
    if (environment_has(KEY) || getenv(VARIABLE)) {
        return 12;
    }
    if (dv_memory_file_read(fd, 256, &key, &size, NULL) != DV_OK || strcmp(key, KEY) != 0) {
        return 13;
    }
    return write(fd, "x", 1) == -1 && errno == EPERM ? 0 : 14;
}

static void a_key_leaves_the_environment_that_the_kernel_shows(void **state)
{
    int result;

    (void)state;
    pid_t pid = fork();
    if (pid == 0) {
        char *const arguments[] = {(char *)"test", (char *)"keeper", NULL};
        char *const environment[] = {
            (char *)"A=1", (char *)VARIABLE "=" KEY, (char *)"Z=2", NULL};
        (void)execve("/proc/self/exe", arguments, environment);
        _exit(127);
    }
    assert_int_equal(waitpid(pid, &result, 0), pid);
    assert_true(WIFEXITED(result));
    assert_int_equal(WEXITSTATUS(result), 0);
}

static void what_is_no_key_is_refused_and_gone_and_not_in_the_message(void **state)
{
    static const char *const values[] = {"gsk_abc def", "gsk_abc\r\nHost: evil", "gsk_\"abc\"",
        "gsk_\xc3\xa4", "0123456789012345678901234567890123456789"};

    (void)state;
    for (size_t i = 0; i < DV_ARRAY_SIZE(values); i++) {
        struct dv_error error;
        int fd = -1;

        assert_int_equal(setenv(VARIABLE, values[i], 1), 0);
        assert_int_equal(dv_secret_take(VARIABLE, 32, &fd, &error), DV_INVALID);
        assert_null(strstr(error.text, values[i]));
        assert_null(getenv(VARIABLE));
        assert_int_equal(fd, -1);
    }
    assert_int_equal(setenv(VARIABLE, "", 1), 0);
    assert_int_equal(dv_secret_take(VARIABLE, 32, &(int){-1}, NULL), DV_NOT_FOUND);
}

static void only_a_sealed_file_is_read_and_no_more_than_the_limit(void **state)
{
    DV_CLEANUP(dv_file_closep) int fd = -1;
    DV_CLEANUP(dv_file_closep) int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
    DV_CLEANUP(dv_freep) char *data = NULL;
    size_t size;

    (void)state;
    assert_int_equal(dv_memory_file_create("test", "12345", 5, &fd, NULL), DV_OK);
    assert_int_equal(dv_memory_file_read(fd, 4, &data, &size, NULL), DV_TOO_LARGE);
    assert_int_equal(dv_memory_file_read(null, 4, &data, &size, NULL), DV_INVALID);
    assert_int_equal(dv_memory_file_read(-1, 4, &data, &size, NULL), DV_INVALID);
    assert_int_equal(dv_memory_file_read(fd, 5, &data, &size, NULL), DV_OK);
    assert_int_equal(size, 5);
    assert_string_equal(data, "12345");
}

static void a_hidden_process_leaves_no_core(void **state)
{
    int result;

    (void)state;
    pid_t pid = fork();
    if (pid == 0) {
        struct rlimit limit;
        dv_secret_hide_process();
        bool is_hidden = prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) == 0;
        _exit(is_hidden && getrlimit(RLIMIT_CORE, &limit) == 0 && limit.rlim_max == 0 ? 0 : 1);
    }
    assert_int_equal(waitpid(pid, &result, 0), pid);
    assert_int_equal(result, 0);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_key_leaves_the_environment_that_the_kernel_shows),
        cmocka_unit_test(what_is_no_key_is_refused_and_gone_and_not_in_the_message),
        cmocka_unit_test(only_a_sealed_file_is_read_and_no_more_than_the_limit),
        cmocka_unit_test(a_hidden_process_leaves_no_core),
    };

    if (argc == 2 && strcmp(argv[1], "keeper") == 0) {
        return play_keeper();
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
