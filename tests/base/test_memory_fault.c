/* SPDX-License-Identifier: Apache-2.0 */

/* Each test lets a forked process die and reads its last words. */

#include "base/memory_fault.h"

#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

static void dereference(void)
{
    volatile int *volatile nowhere = NULL;
    *nowhere = 1;
}

static void send_itself_a_fault(void)
{
    (void)kill(getpid(), SIGSEGV);
}

/* The signal that ended the process; its words are put into `ret_words`. */
static int die(void (*end)(void), bool has_memory, char *ret_words, size_t size)
{
    int pipes[2];
    int result;

    assert_int_equal(pipe(pipes), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        const struct rlimit none = {.rlim_cur = 4096, .rlim_max = 4096};
        const struct rlimit no_core = {0};
        (void)dup2(pipes[1], STDERR_FILENO);
        (void)setrlimit(RLIMIT_CORE, &no_core);
        (void)signal(SIGSEGV, SIG_DFL); /* cmocka has its own */
        (void)signal(SIGABRT, SIG_DFL);
        dv_memory_fault_watch();
        if (!has_memory) {
            (void)setrlimit(RLIMIT_DATA, &none);
        }
        end();
        _exit(0);
    }
    (void)close(pipes[1]);
    memset(ret_words, 0, size);
    for (size_t length = 0; length < size - 1;) {
        ssize_t got = read(pipes[0], ret_words + length, size - 1 - length);
        if (got <= 0) {
            break;
        }
        length += (size_t)got;
    }
    (void)close(pipes[0]);
    assert_int_equal(waitpid(pid, &result, 0), pid);
    return WIFSIGNALED(result) ? WTERMSIG(result) : 0;
}

static void a_death_without_memory_says_so(void **state)
{
    char words[256];

    (void)state;
    assert_int_equal(die(dereference, false, words, sizeof(words)), SIGSEGV);
    assert_string_equal(words, "dv: out of memory\n");
    assert_int_equal(die(abort, false, words, sizeof(words)), SIGABRT);
    assert_string_equal(words, "dv: out of memory\n");
    assert_int_equal(die(send_itself_a_fault, false, words, sizeof(words)), SIGSEGV);
    assert_string_equal(words, "dv: out of memory\n");
}

static void any_other_says_nothing(void **state)
{
    char words[256];

    (void)state;
    assert_int_equal(die(dereference, true, words, sizeof(words)), SIGSEGV);
    assert_string_equal(words, "");
    assert_int_equal(die(abort, true, words, sizeof(words)), SIGABRT);
    assert_string_equal(words, "");
    assert_int_equal(die(send_itself_a_fault, true, words, sizeof(words)), SIGSEGV);
    assert_string_equal(words, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_death_without_memory_says_so),
        cmocka_unit_test(any_other_says_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
