/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Landlock by its system calls: the numbers and bits are the kernel's interface (see
 * Documentation/userspace-api/landlock.rst), written out because headers of older systems lack
 * the later ones.
 */

#include "base/file.h"
#include "base/sandbox_impl.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define SYS_LANDLOCK_CREATE 444
#define SYS_LANDLOCK_ADD 445
#define SYS_LANDLOCK_RESTRICT 446

#define FS_WRITE_FILE (1ull << 1)
#define FS_READ_FILE (1ull << 2)
#define FS_READ_DIR (1ull << 3)
#define FS_REMOVE_DIR (1ull << 4)
#define FS_REMOVE_FILE (1ull << 5)
#define FS_MAKE_DIR (1ull << 7)
#define FS_MAKE_REG (1ull << 8)
#define FS_ALL_1 ((1ull << 13) - 1)
#define FS_REFER (1ull << 13)        /* from version 2 */
#define FS_TRUNCATE (1ull << 14)     /* from version 3 */
#define FS_IOCTL_DEV (1ull << 15)    /* from version 5 */
#define NET_BIND 1ull                /* from version 4 */
#define NET_CONNECT 2ull             /* from version 4 */
#define SCOPE_SOCKET_AND_SIGNAL 3ull /* from version 6 */

#define FS_FOR_FILES (FS_WRITE_FILE | FS_READ_FILE | FS_TRUNCATE)
#define FS_READ (FS_READ_FILE | FS_READ_DIR)
#define FS_WRITE                                                                                   \
    (FS_READ | FS_WRITE_FILE | FS_REMOVE_DIR | FS_REMOVE_FILE | FS_MAKE_DIR | FS_MAKE_REG |        \
        FS_REFER | FS_TRUNCATE)

struct ruleset_attr {
    uint64_t fs, net, scoped;
};

struct path_attr {
    uint64_t allowed;
    int32_t fd;
} __attribute__((packed));

/* What every role may read: its own figures, the machine's, and what the C library opens late. */
static const char *const system_paths[] = {"/proc/self", "/proc/meminfo", "/proc/cpuinfo",
    "/proc/stat", "/sys/devices/system/cpu", "/sys/fs/cgroup", "/dev/null", "/dev/urandom",
    "/usr/lib", "/lib", "/lib64", "/etc/ld.so.cache"};

int dv_sandbox_landlock_version(void)
{
    long version = syscall(SYS_LANDLOCK_CREATE, NULL, 0, 1);

    return version > 0 ? (int)version : 0;
}

static uint64_t handled_fs(int version)
{
    return FS_ALL_1 | (version >= 2 ? FS_REFER : 0) | (version >= 3 ? FS_TRUNCATE : 0) |
           (version >= 5 ? FS_IOCTL_DEV : 0);
}

static int create_ruleset(int version, bool can_connect)
{
    struct ruleset_attr attr = {
        .fs = handled_fs(version),
        .net = version < 4 ? 0 : can_connect ? NET_BIND : NET_BIND | NET_CONNECT,
        .scoped = version >= 6 ? SCOPE_SOCKET_AND_SIGNAL : 0,
    };
    size_t size = version >= 6 ? 24 : version >= 4 ? 16 : 8;

    return (int)syscall(SYS_LANDLOCK_CREATE, &attr, size, 0);
}

/* Allow `rights` beneath a path; an errno, or 0. */
static int allow(int ruleset, const char *path, uint64_t rights)
{
    DV_CLEANUP(dv_file_closep) int fd = open(path, O_PATH | O_CLOEXEC);
    struct stat info;

    if (fd < 0 || fstat(fd, &info) != 0) {
        return errno;
    }
    if (!S_ISDIR(info.st_mode)) {
        rights &= FS_FOR_FILES;
    }
    struct path_attr attr = {.allowed = rights, .fd = fd};
    return syscall(SYS_LANDLOCK_ADD, ruleset, 1, &attr, 0) == 0 ? 0 : errno;
}

static enum dv_status allow_all(
    int ruleset, const char *const *paths, uint64_t rights, struct dv_error *reterr)
{
    for (; paths && *paths; paths++) {
        int error = allow(ruleset, *paths, rights);
        if (error != 0) {
            return dv_fail_errno(reterr, error, "cannot open %s to allow it", *paths);
        }
    }
    return DV_OK;
}

static void restrict_self(int ruleset, struct dv_sandbox_report *report)
{
    if (syscall(SYS_LANDLOCK_RESTRICT, ruleset, 0) != 0) {
        dv_sandbox_note(report, "landlock: %s", strerror(errno));
    }
}

enum dv_status dv_sandbox_landlock(const struct dv_sandbox_options *options,
    struct dv_sandbox_report *report, struct dv_error *reterr)
{
    int version = dv_sandbox_landlock_version();
    uint64_t handled = handled_fs(version);

    if (version == 0) {
        dv_sandbox_note(report, "landlock: this kernel has none, or it is not switched on");
        return DV_OK;
    }
    DV_CLEANUP(dv_file_closep) int ruleset =
        create_ruleset(version, options->filter == DV_SANDBOX_FILTER_NETWORK);
    if (ruleset < 0) {
        dv_sandbox_note(report, "landlock: %s", strerror(errno));
        return DV_OK;
    }
    for (size_t i = 0; i < DV_ARRAY_SIZE(system_paths); i++) {
        (void)allow(ruleset, system_paths[i], FS_READ); /* not every machine has them all */
    }
    enum dv_status status = allow_all(ruleset, options->readable, FS_READ, reterr);
    if (status == DV_OK) {
        status = allow_all(ruleset, options->writable, FS_WRITE & handled, reterr);
    }
    if (status == DV_OK) {
        restrict_self(ruleset, report);
    }
    return status;
}
