/* SPDX-License-Identifier: Apache-2.0 */
#include "job/process.h"

#include "base/file.h"
#include "base/text.h"

#include <assert.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define FILE_SIZE_MAX 4096

/* A small file of the kernel's; false if it is not there. */
static bool read_small(const char *path, char ret_text[static FILE_SIZE_MAX])
{
    DV_CLEANUP(dv_file_closep) int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t size = fd >= 0 ? read(fd, ret_text, FILE_SIZE_MAX - 1) : -1;

    if (size <= 0) {
        return false;
    }
    ret_text[size] = '\0';
    return true;
}

/*
 * /proc/PID/stat: the second field, the name in parentheses, may hold anything, so one counts from
 * its last parenthesis: state is the third field, user and system time the 14th and 15th.
 */
static bool read_cpu(const char *text, double *ret_seconds)
{
    const char *end = strrchr(text, ')');
    uint64_t user_ticks, kernel_ticks;

    if (!end || sscanf(end + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %" SCNu64 " %" SCNu64,
                    &user_ticks, &kernel_ticks) != 2) {
        return false;
    }
    *ret_seconds = (double)(user_ticks + kernel_ticks) / (double)sysconf(_SC_CLK_TCK);
    return true;
}

bool dv_process_read(pid_t pid, struct dv_process_usage *ret_usage)
{
    char path[64], text[FILE_SIZE_MAX];
    uint64_t pages;
    double cpu_seconds;

    assert(ret_usage);
    (void)snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
    if (!read_small(path, text) || !read_cpu(text, &cpu_seconds)) {
        return false;
    }
    (void)snprintf(path, sizeof(path), "/proc/%d/statm", (int)pid);
    if (!read_small(path, text) || sscanf(text, "%*u %" SCNu64, &pages) != 1) {
        return false;
    }
    *ret_usage = (struct dv_process_usage){
        .cpu_seconds = cpu_seconds, .rss_bytes = pages * (uint64_t)sysconf(_SC_PAGESIZE)};
    return true;
}

uint64_t dv_process_memory_total(void)
{
    static const char *const limits[] = {
        "/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"};
    uint64_t total = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);

    for (size_t i = 0; i < DV_ARRAY_SIZE(limits); i++) {
        char text[FILE_SIZE_MAX];
        uint64_t limit;
        if (read_small(limits[i], text)) {
            text[strcspn(text, "\n")] = '\0';
            if (dv_text_to_uint64(text, &limit) && limit < total) { /* else "max" */
                total = limit;
            }
        }
    }
    return total;
}
