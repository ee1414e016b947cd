/* SPDX-License-Identifier: Apache-2.0 */

/* The system-call filters: tables of calls and the functions that make rules of them. */

#include "base/sandbox_impl.h"

#include <errno.h>
#include <sched.h>
#include <seccomp.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

/* Never needed by a role: the way out of the process, to its neighbours or into the kernel. */
static const int denied_calls[] = {
    /* other programs and processes */
    SCMP_SYS(execve), SCMP_SYS(execveat), SCMP_SYS(fork), SCMP_SYS(vfork), SCMP_SYS(ptrace),
    SCMP_SYS(process_vm_readv), SCMP_SYS(process_vm_writev), SCMP_SYS(kcmp), SCMP_SYS(pidfd_open),
    SCMP_SYS(pidfd_getfd), SCMP_SYS(pidfd_send_signal), SCMP_SYS(kill), SCMP_SYS(tkill),
    SCMP_SYS(rt_sigqueueinfo), SCMP_SYS(rt_tgsigqueueinfo), SCMP_SYS(setns), SCMP_SYS(unshare),
    SCMP_SYS(setsid), SCMP_SYS(setpgid),
    /* waiting for others to connect */
    SCMP_SYS(listen), SCMP_SYS(accept), SCMP_SYS(accept4),
    /* file systems */
    SCMP_SYS(mount), SCMP_SYS(umount2), SCMP_SYS(pivot_root), SCMP_SYS(chroot),
    SCMP_SYS(open_by_handle_at), SCMP_SYS(name_to_handle_at), SCMP_SYS(mknod), SCMP_SYS(mknodat),
    SCMP_SYS(symlink), SCMP_SYS(symlinkat), SCMP_SYS(link), SCMP_SYS(linkat), SCMP_SYS(fsopen),
    SCMP_SYS(fsmount), SCMP_SYS(move_mount), SCMP_SYS(open_tree), SCMP_SYS(quotactl),
    SCMP_SYS(swapon), SCMP_SYS(swapoff), SCMP_SYS(acct), SCMP_SYS(fanotify_init),
    /* the kernel itself, and the parts of it with a history */
    SCMP_SYS(bpf), SCMP_SYS(perf_event_open), SCMP_SYS(userfaultfd), SCMP_SYS(io_uring_setup),
    SCMP_SYS(io_uring_enter), SCMP_SYS(io_uring_register), SCMP_SYS(keyctl), SCMP_SYS(add_key),
    SCMP_SYS(request_key), SCMP_SYS(kexec_load), SCMP_SYS(kexec_file_load), SCMP_SYS(init_module),
    SCMP_SYS(finit_module), SCMP_SYS(delete_module), SCMP_SYS(reboot), SCMP_SYS(syslog),
    SCMP_SYS(settimeofday), SCMP_SYS(clock_settime), SCMP_SYS(adjtimex), SCMP_SYS(clock_adjtime),
    SCMP_SYS(sethostname), SCMP_SYS(setdomainname), SCMP_SYS(iopl), SCMP_SYS(ioperm),
    SCMP_SYS(personality), SCMP_SYS(vhangup), SCMP_SYS(uselib),
    /* becoming somebody else */
    SCMP_SYS(setuid), SCMP_SYS(setgid), SCMP_SYS(setreuid), SCMP_SYS(setregid), SCMP_SYS(setresuid),
    SCMP_SYS(setresgid), SCMP_SYS(setgroups), SCMP_SYS(capset)};

/* How one connects to others; denied where the role has no business there. */
static const int socket_calls[] = {
    SCMP_SYS(socket), SCMP_SYS(socketpair), SCMP_SYS(connect), SCMP_SYS(bind)};

/*
 * What goes with that, in libcurl, OpenSSL and the C library's resolver. That one binds a netlink
 * socket to learn of the machine's own addresses, and asks how much there is to read: an ioctl() with
 * a rule of its own.
 */
static const int network_calls[] = {SCMP_SYS(getsockopt), SCMP_SYS(setsockopt),
    SCMP_SYS(getsockname), SCMP_SYS(getpeername), SCMP_SYS(sendmmsg), SCMP_SYS(recvmmsg),
    SCMP_SYS(select), SCMP_SYS(pselect6), SCMP_SYS(eventfd2), SCMP_SYS(pipe2),
    SCMP_SYS(memfd_create)};

/* What a parser with threads, files in its folder and a socket to its parent needs. */
static const int allowed_calls[] = {
    /* files */
    SCMP_SYS(read), SCMP_SYS(write), SCMP_SYS(readv), SCMP_SYS(writev), SCMP_SYS(pread64),
    SCMP_SYS(pwrite64), SCMP_SYS(preadv), SCMP_SYS(pwritev), SCMP_SYS(lseek), SCMP_SYS(open),
    SCMP_SYS(openat), SCMP_SYS(close), SCMP_SYS(close_range), SCMP_SYS(stat), SCMP_SYS(lstat),
    SCMP_SYS(fstat), SCMP_SYS(newfstatat), SCMP_SYS(statx), SCMP_SYS(statfs), SCMP_SYS(fstatfs),
    SCMP_SYS(access), SCMP_SYS(faccessat), SCMP_SYS(faccessat2), SCMP_SYS(readlink),
    SCMP_SYS(readlinkat), SCMP_SYS(getcwd), SCMP_SYS(getdents64), SCMP_SYS(mkdir),
    SCMP_SYS(mkdirat), SCMP_SYS(rmdir), SCMP_SYS(unlink), SCMP_SYS(unlinkat), SCMP_SYS(rename),
    SCMP_SYS(renameat), SCMP_SYS(renameat2), SCMP_SYS(fsync), SCMP_SYS(fdatasync),
    SCMP_SYS(sync_file_range), SCMP_SYS(ftruncate), SCMP_SYS(fallocate), SCMP_SYS(fadvise64),
    SCMP_SYS(readahead), SCMP_SYS(copy_file_range), SCMP_SYS(fcntl), SCMP_SYS(flock), SCMP_SYS(dup),
    SCMP_SYS(fchdir), SCMP_SYS(umask),
    /* the parent's socket */
    SCMP_SYS(sendmsg), SCMP_SYS(recvmsg), SCMP_SYS(sendto), SCMP_SYS(recvfrom), SCMP_SYS(poll),
    SCMP_SYS(ppoll), SCMP_SYS(shutdown),
    /* memory; mmap and mprotect have rules of their own, as have tgkill and prlimit64 */
    SCMP_SYS(munmap), SCMP_SYS(mremap), SCMP_SYS(brk), SCMP_SYS(madvise), SCMP_SYS(mincore),
    SCMP_SYS(msync), SCMP_SYS(membarrier),
    /* threads and signals to oneself; clone has a rule of its own */
    SCMP_SYS(futex), SCMP_SYS(set_robust_list), SCMP_SYS(set_tid_address), SCMP_SYS(rseq),
    SCMP_SYS(sched_yield), SCMP_SYS(sched_getaffinity), SCMP_SYS(sched_setaffinity),
    SCMP_SYS(gettid), SCMP_SYS(getpid), SCMP_SYS(getppid), SCMP_SYS(rt_sigaction),
    SCMP_SYS(rt_sigprocmask), SCMP_SYS(rt_sigreturn), SCMP_SYS(sigaltstack),
    SCMP_SYS(restart_syscall), SCMP_SYS(exit), SCMP_SYS(exit_group), SCMP_SYS(getcpu),
    /* time, random numbers, who and where */
    SCMP_SYS(clock_gettime), SCMP_SYS(clock_getres), SCMP_SYS(gettimeofday), SCMP_SYS(time),
    SCMP_SYS(nanosleep), SCMP_SYS(clock_nanosleep), SCMP_SYS(getrandom), SCMP_SYS(getrusage),
    SCMP_SYS(times), SCMP_SYS(getrlimit), SCMP_SYS(sysinfo), SCMP_SYS(uname), SCMP_SYS(getuid),
    SCMP_SYS(geteuid), SCMP_SYS(getgid), SCMP_SYS(getegid)};

/* Calls that the library or the machine does not know are none that could be made. */
static void add_all(scmp_filter_ctx filter, uint32_t action, const int *calls, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        (void)seccomp_rule_add(filter, action, calls[i], 0);
    }
}

/* What depends on an argument; signals and limits are for the process itself alone. */
struct rule {
    uint32_t action;
    int call;
    struct scmp_arg_cmp argument;
};

/*
 * clone3 hides its flags in memory, where a filter cannot look: without it the C library falls
 * back to clone, whose flags tell threads from processes.
 */
static int add_rules(scmp_filter_ctx filter, const struct rule *rules, size_t count)
{
    int result = seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0);

    for (size_t i = 0; i < count && result == 0; i++) {
        result =
            seccomp_rule_add_array(filter, rules[i].action, rules[i].call, 1, &rules[i].argument);
    }
    return result;
}

static int add_compute_rules(scmp_filter_ctx filter)
{
    const struct rule rules[] = {
        {SCMP_ACT_ERRNO(EPERM), SCMP_SYS(clone), SCMP_A0(SCMP_CMP_MASKED_EQ, CLONE_THREAD, 0)},
        {SCMP_ACT_ERRNO(EPERM), SCMP_SYS(tgkill), SCMP_A0(SCMP_CMP_NE, (scmp_datum_t)getpid(), 0)},
        {SCMP_ACT_ERRNO(EPERM), SCMP_SYS(prlimit64), SCMP_A0(SCMP_CMP_NE, 0, 0)},
    };

    add_all(filter, SCMP_ACT_ERRNO(EPERM), denied_calls, DV_ARRAY_SIZE(denied_calls));
    add_all(filter, SCMP_ACT_ERRNO(EPERM), socket_calls, DV_ARRAY_SIZE(socket_calls));
    return add_rules(filter, rules, DV_ARRAY_SIZE(rules));
}

static int add_strict_rules(scmp_filter_ctx filter, bool can_connect)
{
    uint32_t for_sockets = can_connect ? SCMP_ACT_ALLOW : SCMP_ACT_KILL_PROCESS;
    const struct rule rules[] = {
        {SCMP_ACT_ALLOW, SCMP_SYS(clone), SCMP_A0(SCMP_CMP_MASKED_EQ, CLONE_THREAD, CLONE_THREAD)},
        {SCMP_ACT_ALLOW, SCMP_SYS(mmap), SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0)},
        {SCMP_ACT_ALLOW, SCMP_SYS(mprotect), SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0)},
        {SCMP_ACT_ALLOW, SCMP_SYS(prctl), SCMP_A0(SCMP_CMP_EQ, PR_SET_NAME, 0)},
        {SCMP_ACT_ALLOW, SCMP_SYS(tgkill), SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)getpid(), 0)},
        {SCMP_ACT_ALLOW, SCMP_SYS(prlimit64), SCMP_A0(SCMP_CMP_EQ, 0, 0)},
    };

    add_all(filter, SCMP_ACT_KILL_PROCESS, denied_calls, DV_ARRAY_SIZE(denied_calls));
    add_all(filter, SCMP_ACT_ALLOW, allowed_calls, DV_ARRAY_SIZE(allowed_calls));
    add_all(filter, for_sockets, socket_calls, DV_ARRAY_SIZE(socket_calls));
    int result = add_rules(filter, rules, DV_ARRAY_SIZE(rules));
    if (can_connect && result == 0) {
        const struct scmp_arg_cmp how_much = SCMP_A1(SCMP_CMP_EQ, FIONREAD, 0);
        add_all(filter, SCMP_ACT_ALLOW, network_calls, DV_ARRAY_SIZE(network_calls));
        result = seccomp_rule_add_array(filter, SCMP_ACT_ALLOW, SCMP_SYS(ioctl), 1, &how_much);
    }
    return result;
}

void dv_sandbox_seccomp(enum dv_sandbox_filter kind, struct dv_sandbox_report *report)
{
    bool is_strict = kind != DV_SANDBOX_FILTER_COMPUTE;
    scmp_filter_ctx filter = seccomp_init(is_strict ? SCMP_ACT_ERRNO(EPERM) : SCMP_ACT_ALLOW);
    int result = -ENOMEM;

    if (filter) {
        result = is_strict ? add_strict_rules(filter, kind == DV_SANDBOX_FILTER_NETWORK)
                           : add_compute_rules(filter);
    }
    if (filter && result == 0) {
        (void)seccomp_attr_set(filter, SCMP_FLTATR_CTL_TSYNC, 1);
        result = seccomp_load(filter);
    }
    seccomp_release(filter);
    if (result != 0) {
        dv_sandbox_note(report, "system-call filter: %s", strerror(-result));
    }
}

bool dv_sandbox_has_seccomp(void)
{
    return prctl(PR_GET_SECCOMP, 0, 0, 0, 0) >= 0;
}
