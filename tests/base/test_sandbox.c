/* SPDX-License-Identifier: Apache-2.0 */

/* Each test locks a forked process in and looks at what that process can still do. */

#include "base/alloc.h"
#include "base/file.h"
#include "base/sandbox.h"
#include "base/text.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

struct place {
    char root[DV_PATH_SIZE];
    char open[DV_PATH_SIZE];    /* readable */
    char staging[DV_PATH_SIZE]; /* writable */
    char secret[DV_PATH_SIZE];  /* neither */
};

static int make_place(void **state)
{
    struct place *place = dv_alloc(sizeof(*place));
    char path[DV_PATH_SIZE];

    assert_int_equal(dv_path_format(place->root, NULL, "/tmp/dv-sandbox-XXXXXX"), DV_OK);
    assert_non_null(mkdtemp(place->root));
    assert_int_equal(dv_path_format(place->open, NULL, "%s/open", place->root), DV_OK);
    assert_int_equal(dv_path_format(place->staging, NULL, "%s/staging", place->root), DV_OK);
    assert_int_equal(dv_path_format(place->secret, NULL, "%s/secret", place->root), DV_OK);
    assert_int_equal(dv_folder_make(place->open, NULL), DV_OK);
    assert_int_equal(dv_folder_make(place->staging, NULL), DV_OK);
    assert_int_equal(dv_file_write(place->secret, "key", 3, NULL), DV_OK);
    assert_int_equal(dv_path_format(path, NULL, "%s/data", place->open), DV_OK);
    assert_int_equal(dv_file_write(path, "data", 4, NULL), DV_OK);
    *state = place;
    return 0;
}

static int remove_place(void **state)
{
    struct place *place = *state;

    enum dv_status status = dv_folder_remove(place->root, NULL);
    dv_free(place);
    return status == DV_OK ? 0 : -1;
}

/* What the locked-in process does; its result is the exit status. */
typedef int (*attempt_fn)(const struct place *place);

/* The wait status of a process that locks itself in and then makes the attempt. */
static int attempt_inside(
    const struct place *place, enum dv_sandbox_filter filter, attempt_fn attempt)
{
    const char *readable[] = {place->open, NULL};
    const char *writable[] = {place->staging, NULL};
    int result;

    pid_t pid = fork();
    if (pid == 0) {
        struct dv_sandbox_report report;
        struct dv_sandbox_options options = {.readable = readable,
            .writable = writable,
            .filter = filter,
            .data_size_max = 512u << 20,
            .file_size_max = 1u << 20,
            .file_count_max = 64};
        if (dv_sandbox_enter(&options, &report, NULL) != DV_OK) {
            _exit(99);
        }
        _exit(attempt(place));
    }
    assert_true(pid > 0);
    assert_int_equal(waitpid(pid, &result, 0), pid);
    return result;
}

static bool succeeds(const struct place *place, enum dv_sandbox_filter filter, attempt_fn attempt)
{
    int result = attempt_inside(place, filter, attempt);

    return WIFEXITED(result) && WEXITSTATUS(result) == 0;
}

/* --- Attempts --------------------------------------------------------------------------- */

static int work_as_usual(const struct place *place)
{
    char from[DV_PATH_SIZE], folder[DV_PATH_SIZE], to[DV_PATH_SIZE];
    char *data;
    size_t size;

    if (dv_path_format(from, NULL, "%s/data", place->open) != DV_OK ||
        dv_path_format(folder, NULL, "%s/a/b", place->staging) != DV_OK ||
        dv_path_format(to, NULL, "%s/a/b/copy", place->staging) != DV_OK ||
        dv_file_read(from, 100, &data, &size, NULL) != DV_OK) {
        return 1;
    }
    if (dv_folder_make(folder, NULL) != DV_OK || dv_file_write(to, data, size, NULL) != DV_OK ||
        dv_folder_remove(folder, NULL) != DV_OK) {
        return 2;
    }
    dv_free(data);
    return 0;
}

static int read_the_secret(const struct place *place)
{
    return open(place->secret, O_RDONLY | O_CLOEXEC) >= 0 ? 0 : 1;
}

static int write_where_only_reading_is_allowed(const struct place *place)
{
    char path[DV_PATH_SIZE];

    if (dv_path_format(path, NULL, "%s/new", place->open) != DV_OK) {
        return 1;
    }
    return open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600) >= 0 ? 0 : 1;
}

static int run_a_program(const struct place *place)
{
    char *arguments[] = {(char *)"true", NULL};

    (void)place;
    (void)execv("/bin/true", arguments);
    return 1;
}

static int fork_a_process(const struct place *place)
{
    (void)place;
    pid_t pid = fork();
    if (pid == 0) {
        _exit(0);
    }
    return pid > 0 ? 0 : 1;
}

static int open_a_socket(const struct place *place)
{
    (void)place;
    return socket(AF_INET, SOCK_STREAM, 0) >= 0 ? 0 : 1;
}

/* To a port that the parent listens on. */
static uint16_t open_port;

static int connect_to_the_port(const struct place *place)
{
    const struct sockaddr_in address = {.sin_family = AF_INET,
        .sin_port = open_port,
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};

    (void)place;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    return connect(fd, (const struct sockaddr *)&address, sizeof(address)) == 0 ? 0 : 1;
}

static int listen_for_others(const struct place *place)
{
    (void)place;
    return listen(socket(AF_INET, SOCK_STREAM, 0), 1) == 0 ? 0 : 1;
}

/* What libcurl and the resolver do besides. */
static int find_an_address(const struct place *place)
{
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICHOST};
    struct addrinfo *found = NULL;
    int count = -1;
    int pair[2];

    (void)place;
    int result = getaddrinfo("::1", "443", &hints, &found);
    if (result == 0) {
        freeaddrinfo(found);
    }
    return result == 0 && socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0 &&
                   ioctl(pair[0], FIONREAD, &count) == 0 && count == 0
               ? 0
               : 1;
}

/* Signal 0 only asks whether one may. */
static int signal_the_parent(const struct place *place)
{
    (void)place;
    return syscall(SYS_tgkill, getppid(), getppid(), 0) == 0 ? 0 : 1;
}

static int limit_the_parent(const struct place *place)
{
    struct rlimit limit;

    (void)place;
    return syscall(SYS_prlimit64, getppid(), RLIMIT_CPU, NULL, &limit) == 0 ? 0 : 1;
}

static int link_out_of_its_folder(const struct place *place)
{
    char path[DV_PATH_SIZE];

    if (dv_path_format(path, NULL, "%s/link", place->staging) != DV_OK) {
        return 1;
    }
    return symlink("/etc/passwd", path) == 0 ? 0 : 1;
}

static void note_signal(int number)
{
    (void)number;
}

static int signal_itself(const struct place *place)
{
    struct rlimit limit;

    (void)place;
    return signal(SIGUSR1, note_signal) != SIG_ERR && raise(SIGUSR1) == 0 &&
                   getrlimit(RLIMIT_CPU, &limit) == 0
               ? 0
               : 1;
}

static int map_executable_memory(const struct place *place)
{
    (void)place;
    void *memory =
        mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return memory != MAP_FAILED ? 0 : 1;
}

static void *mark(void *argument)
{
    *(int *)argument = 1;
    return NULL;
}

static int start_a_thread(const struct place *place)
{
    pthread_t thread;
    int is_marked = 0;

    (void)place;
    if (pthread_create(&thread, NULL, mark, &is_marked) != 0) {
        return 1;
    }
    (void)pthread_join(thread, NULL);
    return is_marked ? 0 : 2;
}

static int take_much_memory(const struct place *place)
{
    void *memory;

    (void)place;
    return dv_try_alloc(1, (size_t)600 << 20, &memory, NULL) == DV_OK ? 0 : 1;
}

static int write_a_large_file(const struct place *place)
{
    char path[DV_PATH_SIZE];
    static char megabyte[1 << 20];
    int fd;

    if (dv_path_format(path, NULL, "%s/large", place->staging) != DV_OK ||
        dv_file_create(path, &fd, NULL) != DV_OK) {
        return 9;
    }
    if (dv_file_write_all(fd, megabyte, sizeof(megabyte), NULL) != DV_OK) {
        return 8;
    }
    return dv_file_write_all(fd, megabyte, 1, NULL) == DV_OK ? 0 : 1;
}

/* --- Tests ------------------------------------------------------------------------------ */

static bool has_filter(void)
{
#if defined(__SANITIZE_ADDRESS__)
    return false;
#else
    return dv_sandbox_has_seccomp();
#endif
}

static void what_a_role_needs_still_works(void **state)
{
    assert_true(succeeds(*state, DV_SANDBOX_FILTER_STRICT, work_as_usual));
    assert_true(succeeds(*state, DV_SANDBOX_FILTER_COMPUTE, work_as_usual));
    assert_true(succeeds(*state, DV_SANDBOX_FILTER_STRICT, start_a_thread));
    assert_true(succeeds(*state, DV_SANDBOX_FILTER_COMPUTE, start_a_thread));
    assert_true(succeeds(*state, DV_SANDBOX_FILTER_STRICT, signal_itself));
    assert_true(succeeds(*state, DV_SANDBOX_FILTER_COMPUTE, signal_itself));
    assert_true(succeeds(*state, DV_SANDBOX_FILTER_COMPUTE, map_executable_memory));
}

static void files_outside_are_out_of_reach(void **state)
{
    if (dv_sandbox_landlock_version() == 0) {
        skip();
    }
    for (int filter = 0; filter <= DV_SANDBOX_FILTER_NETWORK; filter++) {
        assert_false(succeeds(*state, (enum dv_sandbox_filter)filter, read_the_secret));
        assert_false(
            succeeds(*state, (enum dv_sandbox_filter)filter, write_where_only_reading_is_allowed));
    }
}

static void a_computing_role_is_refused_programs_processes_and_sockets(void **state)
{
    static const attempt_fn attempts[] = {run_a_program, fork_a_process, open_a_socket};

    if (!has_filter()) {
        skip();
    }
    for (size_t i = 0; i < DV_ARRAY_SIZE(attempts); i++) {
        int result = attempt_inside(*state, DV_SANDBOX_FILTER_COMPUTE, attempts[i]);
        assert_true(WIFEXITED(result));
        assert_int_equal(WEXITSTATUS(result), 1);
    }
}

static void a_parser_that_tries_a_program_or_a_socket_is_killed(void **state)
{
    static const attempt_fn attempts[] = {run_a_program, open_a_socket};

    if (!has_filter()) {
        skip();
    }
    for (size_t i = 0; i < DV_ARRAY_SIZE(attempts); i++) {
        int result = attempt_inside(*state, DV_SANDBOX_FILTER_STRICT, attempts[i]);
        assert_true(WIFSIGNALED(result));
        assert_int_equal(WTERMSIG(result), SIGSYS);
    }
    assert_false(succeeds(*state, DV_SANDBOX_FILTER_STRICT, fork_a_process));
    assert_false(succeeds(*state, DV_SANDBOX_FILTER_STRICT, map_executable_memory));
}

static void other_processes_and_links_are_out_of_reach(void **state)
{
    static const attempt_fn attempts[] = {
        signal_the_parent, limit_the_parent, link_out_of_its_folder};

    if (!has_filter()) {
        skip();
    }
    for (size_t i = 0; i < DV_ARRAY_SIZE(attempts); i++) {
        assert_false(succeeds(*state, DV_SANDBOX_FILTER_STRICT, attempts[i]));
        assert_false(succeeds(*state, DV_SANDBOX_FILTER_COMPUTE, attempts[i]));
    }
}

static void memory_and_files_have_their_limits(void **state)
{
    if (has_filter()) { /* else a sanitizer build, whose own maps are over any limit */
        assert_false(succeeds(*state, DV_SANDBOX_FILTER_COMPUTE, take_much_memory));
    }
    int result = attempt_inside(*state, DV_SANDBOX_FILTER_COMPUTE, write_a_large_file);
    assert_true(WIFEXITED(result));
    assert_int_equal(WEXITSTATUS(result), 1);
}

static void a_path_that_is_not_there_is_an_error(void **state)
{
    struct place *place = *state;

    if (dv_sandbox_landlock_version() == 0) {
        skip();
    }
    assert_int_equal(remove(place->secret), 0);
    assert_int_equal(dv_folder_remove(place->open, NULL), DV_OK);
    int result = attempt_inside(place, DV_SANDBOX_FILTER_COMPUTE, work_as_usual);
    assert_int_equal(WEXITSTATUS(result), 99);
}

static void a_role_with_the_network_connects_and_does_nothing_else(void **state)
{
    static const attempt_fn deadly[] = {run_a_program, listen_for_others};
    static const attempt_fn vain[] = {signal_the_parent, limit_the_parent, link_out_of_its_folder,
        fork_a_process, map_executable_memory};
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof(address);
    DV_CLEANUP(dv_file_closep) int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_int_equal(bind(listener, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(listen(listener, 4), 0);
    assert_int_equal(getsockname(listener, (struct sockaddr *)&address, &size), 0);
    open_port = address.sin_port;
    assert_true(succeeds(*state, DV_SANDBOX_FILTER_NETWORK, connect_to_the_port));
    assert_true(succeeds(*state, DV_SANDBOX_FILTER_NETWORK, find_an_address));
    assert_true(succeeds(*state, DV_SANDBOX_FILTER_NETWORK, start_a_thread));
    if (!has_filter()) {
        skip();
    }
    for (size_t i = 0; i < DV_ARRAY_SIZE(deadly); i++) {
        int result = attempt_inside(*state, DV_SANDBOX_FILTER_NETWORK, deadly[i]);
        assert_true(WIFSIGNALED(result));
        assert_int_equal(WTERMSIG(result), SIGSYS);
    }
    for (size_t i = 0; i < DV_ARRAY_SIZE(vain); i++) {
        assert_false(succeeds(*state, DV_SANDBOX_FILTER_NETWORK, vain[i]));
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, make_place, remove_place)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(what_a_role_needs_still_works),
        TEST(files_outside_are_out_of_reach),
        TEST(a_computing_role_is_refused_programs_processes_and_sockets),
        TEST(a_parser_that_tries_a_program_or_a_socket_is_killed),
        TEST(a_role_with_the_network_connects_and_does_nothing_else),
        TEST(other_processes_and_links_are_out_of_reach),
        TEST(memory_and_files_have_their_limits),
        TEST(a_path_that_is_not_there_is_an_error),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
