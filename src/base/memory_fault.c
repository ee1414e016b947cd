/* SPDX-License-Identifier: Apache-2.0 */
#include "base/memory_fault.h"

#include "base/macro.h"

#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* Code generators and allocators take memory in pieces smaller than this. */
#define PROBE_SIZE ((size_t)16 << 20)

static const int faults[] = {SIGSEGV, SIGBUS, SIGABRT};
static struct sigaction before[DV_ARRAY_SIZE(faults)];

/* Calls nothing but the system. What the fault does without us it does on the return. */
static void say_and_go_on(int number, siginfo_t *info, void *context)
{
    static const char words[] = "dv: out of memory\n";
    void *probe =
        mmap(NULL, PROBE_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (probe == MAP_FAILED) {
        ssize_t written = write(STDERR_FILENO, words, sizeof(words) - 1);
        (void)written;
    } else {
        (void)munmap(probe, PROBE_SIZE);
    }
    for (size_t i = 0; i < DV_ARRAY_SIZE(faults); i++) {
        if (faults[i] == number) {
            (void)sigaction(number, &before[i], NULL);
        }
    }
    if (info->si_code <= 0) { /* somebody sent it: nothing would fault again */
        (void)raise(number);
    }
    (void)context;
}

void dv_memory_fault_watch(void)
{
    struct sigaction action;

    memset(&action, 0, sizeof(action));
    action.sa_sigaction = say_and_go_on;
    action.sa_flags = SA_SIGINFO;
    for (size_t i = 0; i < DV_ARRAY_SIZE(faults); i++) {
        (void)sigaction(faults[i], &action, &before[i]);
    }
}
