/* SPDX-License-Identifier: Apache-2.0 */

/* `dv doctor`: what this machine has, and what of the lock-in it cannot do; --fsck is elsewhere. */

#include "app/command.h"
#include "app/doctor_fsck.h"
#include "app/llm_check.h"
#include "base/alloc.h"
#include "base/file.h"
#include "base/json.h"
#include "base/sandbox.h"
#include "base/text.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysinfo.h>
#include <sys/wait.h>
#include <unistd.h>

static const struct dv_command_help help = {
    .usage = "dv doctor [--fsck] [--data DIR] [--db URL]",
    .summary = "What this machine has: processor, memory, GPU, disk, database, lock-in, LLM\n"
               "endpoint. With --fsck: whether everything in the data folder is whole and known.",
};

/* --- Processor -------------------------------------------------------------------------- */

#define CPUINFO_LINE_SIZE 8192

/* The value of the first line of /proc/cpuinfo that begins with `key`; the caller's, or NULL. */
static char *read_cpuinfo(const char *key)
{
    FILE *file = fopen("/proc/cpuinfo", "re");
    DV_CLEANUP(dv_freep) char *line = dv_alloc(CPUINFO_LINE_SIZE);
    char *value = NULL;

    while (file && !value && fgets(line, CPUINFO_LINE_SIZE, file)) {
        const char *colon = strchr(line, ':');
        if (dv_text_has_prefix(line, key) && colon) {
            value = dv_strdup(colon + 1 + strspn(colon + 1, " "));
            value[strcspn(value, "\n")] = '\0';
        }
    }
    if (file) {
        (void)fclose(file);
    }
    return value;
}

/* Does the list of words hold this one? */
static bool has_word(const char *words, const char *word)
{
    size_t size = strlen(word);

    for (const char *at = words; at && (at = strstr(at, word)); at += size) {
        bool begins = at == words || at[-1] == ' ';
        if (begins && (at[size] == ' ' || at[size] == '\0')) {
            return true;
        }
    }
    return false;
}

static struct dv_json *describe_cpu(void)
{
    static const char *const wanted[] = {"avx2", "fma", "avx512f", "avx512_vnni", "avx512_bf16",
        "amx_tile", "amx_bf16", "amx_int8", "asimd"};
    DV_CLEANUP(dv_freep) char *name = read_cpuinfo("model name");
    DV_CLEANUP(dv_freep) char *x86_flags = read_cpuinfo("flags");
    DV_CLEANUP(dv_freep) char *arm_flags = x86_flags ? NULL : read_cpuinfo("Features");
    struct dv_json *cpu = dv_json_object();
    struct dv_json *features = dv_json_array();

    for (size_t i = 0; i < DV_ARRAY_SIZE(wanted); i++) {
        if (has_word(x86_flags ? x86_flags : arm_flags, wanted[i])) {
            dv_json_append(features, dv_json_string(wanted[i]));
        }
    }
    dv_json_set_string(cpu, "name", name);
    dv_json_set_integer(cpu, "processors", sysconf(_SC_NPROCESSORS_ONLN));
    dv_json_set(cpu, "features", features);
    return cpu;
}

/* --- Lock-in ---------------------------------------------------------------------------- */

/* In a process that ends after it: what could not be applied comes back as lines. */
static void lock_in_and_report(int fd)
{
    const struct dv_sandbox_options options = {.filter = DV_SANDBOX_FILTER_STRICT};
    struct dv_sandbox_report report = {0};
    struct dv_error error = {0};

    if (dv_sandbox_enter(&options, &report, &error) != DV_OK) {
        (void)dprintf(fd, "%s\n", error.text);
    }
    for (size_t i = 0; i < report.note_count; i++) {
        (void)dprintf(fd, "%s\n", report.notes[i]);
    }
    _exit(0);
}

static struct dv_json *read_lines(int fd)
{
    struct dv_json *lines = dv_json_array();
    FILE *file = fdopen(fd, "re");
    char line[512];

    while (file && fgets(line, sizeof(line), file)) {
        line[strcspn(line, "\n")] = '\0';
        dv_json_append(lines, dv_json_text(line));
    }
    if (file) {
        (void)fclose(file);
    }
    return lines;
}

static struct dv_json *make_list(const char *only)
{
    struct dv_json *list = dv_json_array();

    dv_json_append(list, dv_json_string(only));
    return list;
}

/* What could not be applied; that it was not tried is no success either. */
static struct dv_json *try_lock_in(void)
{
    int pipes[2];
    int result;

    if (pipe2(pipes, O_CLOEXEC) != 0) {
        return make_list("it could not be tried: no pipe");
    }
    pid_t pid = fork();
    if (pid == 0) {
        lock_in_and_report(pipes[1]);
    }
    (void)close(pipes[1]);
    struct dv_json *lines = read_lines(pipes[0]);
    if (pid < 0) {
        dv_json_append(lines, dv_json_string("it could not be tried: no process"));
    } else if (waitpid(pid, &result, 0) != pid || !WIFEXITED(result)) {
        dv_json_append(lines, dv_json_string("the locked-in process was killed"));
    }
    return lines;
}

static struct dv_json *describe_sandbox(void)
{
    struct dv_json *sandbox = dv_json_object();

    dv_json_set_integer(sandbox, "landlock", dv_sandbox_landlock_version());
    dv_json_set_bool(sandbox, "seccomp", dv_sandbox_has_seccomp());
    dv_json_set(sandbox, "not_applied", try_lock_in());
    return sandbox;
}

/* --- The rest --------------------------------------------------------------------------- */

static struct dv_json *describe_memory(void)
{
    struct dv_json *memory = dv_json_object();
    struct sysinfo info;

    if (sysinfo(&info) == 0) {
        dv_json_set_integer(memory, "total_bytes", (int64_t)(info.totalram * info.mem_unit));
        dv_json_set_integer(memory, "free_bytes", (int64_t)(info.freeram * info.mem_unit));
    }
    return memory;
}

/* Of the disk that holds the folder, or would: that of the nearest one above it that is there. */
static enum dv_status find_free_space(const char *folder, uint64_t *ret_size)
{
    char path[DV_PATH_SIZE];

    enum dv_status status = dv_path_format(path, NULL, "%s", folder);
    while (status == DV_OK && !dv_path_is_folder(path)) {
        char *slash = strrchr(path, '/');
        if (!slash) {
            return dv_folder_free_space(".", ret_size, NULL);
        }
        slash[slash == path] = '\0';
    }
    return status == DV_OK ? dv_folder_free_space(path, ret_size, NULL) : status;
}

static struct dv_json *describe_disk(const char *folder)
{
    struct dv_json *disk = dv_json_object();
    uint64_t free_size;

    dv_json_set_text(disk, "data", folder);
    dv_json_set_bool(disk, "exists", dv_path_is_folder(folder));
    if (find_free_space(folder, &free_size) == DV_OK) {
        dv_json_set_integer(disk, "free_bytes", (int64_t)free_size);
    }
    return disk;
}

static struct dv_json *describe(const struct dv_common_options *common, const char *database)
{
    struct dv_json *all = dv_json_object();
    struct dv_json *gpu = dv_json_object();

    dv_json_set_string(all, "version", DV_VERSION);
    dv_json_set(all, "cpu", describe_cpu());
    dv_json_set(all, "memory", describe_memory());
    dv_json_set_bool(gpu, "has_nvidia", dv_path_exists("/dev/nvidia0"));
    dv_json_set_bool(gpu, "is_used", false);
    dv_json_set(all, "gpu", gpu);
    dv_json_set(all, "disk", describe_disk(common->data_folder));
    dv_json_set(all, "sandbox", describe_sandbox());
    dv_json_set(all, "llm", dv_llm_check_environment());
    dv_json_set(all, "database", dv_doctor_database(common, database));
    return all;
}

static void print_list(const char *title, const struct dv_json *items, const char *empty)
{
    (void)printf("%s", title);
    for (size_t i = 0; i < dv_json_count(items); i++) {
        (void)printf("%s%s", i > 0 ? ", " : "", dv_json_to_string(dv_json_at(items, i), ""));
    }
    (void)puts(dv_json_count(items) == 0 ? empty : "");
}

static void print_size(const char *title, const struct dv_json *object, const char *key)
{
    char text[16];

    dv_text_size((uint64_t)dv_json_get_integer(object, key, 0), text);
    (void)printf("%s%s\n", title, text);
}

static void print_database(const struct dv_json *database)
{
    const char *error = dv_json_get_string(database, "error", NULL);

    if (dv_json_is_null(database)) {
        dv_print_line("database       none yet: the first server makes it");
    } else {
        dv_print_line("database       %s", error ? error : dv_json_get_string(database, "kind", ""));
    }
}

static void print_all(const struct dv_json *all)
{
    const struct dv_json *cpu = dv_json_get(all, "cpu");
    const struct dv_json *disk = dv_json_get(all, "disk");
    const struct dv_json *sandbox = dv_json_get(all, "sandbox");

    (void)printf("dv             %s\n", DV_VERSION);
    (void)printf("processor      %s, %lld processors\n", dv_json_get_string(cpu, "name", "unknown"),
        (long long)dv_json_get_integer(cpu, "processors", 1));
    print_list("  features     ", dv_json_get(cpu, "features"), "none that are used");
    print_size("memory         ", dv_json_get(all, "memory"), "total_bytes");
    (void)printf(
        "GPU            %s\n", dv_json_get_bool(dv_json_get(all, "gpu"), "has_nvidia", false)
                                   ? "NVIDIA, not used by this version"
                                   : "none");
    (void)printf("data           %s%s\n", dv_json_get_string(disk, "data", ""),
        dv_json_get_bool(disk, "exists", false) ? "" : " (not made yet)");
    print_size("  free         ", disk, "free_bytes");
    print_database(dv_json_get(all, "database"));
    (void)printf("lock-in        Landlock version %lld, system-call filter %s\n",
        (long long)dv_json_get_integer(sandbox, "landlock", 0),
        dv_json_get_bool(sandbox, "seccomp", false) ? "yes" : "no");
    print_list("  not applied  ", dv_json_get(sandbox, "not_applied"), "nothing");
    dv_print_line("LLM endpoint   %s", dv_json_get_string(dv_json_get(all, "llm"), "summary", ""));
}

int dv_cmd_doctor(int argc, char **argv)
{
    struct dv_common_options common = dv_common_options_default();
    const char *database = NULL;
    bool is_fsck = false;
    const struct dv_option options[] = {
        {.name = "fsck",
            .help = "prove that every row has its bytes and every byte a row; changes nothing",
            .flag = &is_fsck},
        {.name = "db",
            .value = "URL",
            .help = "sqlite:PATH or postgresql://...; DATA/dv.db if not given",
            .text = &database},
        DV_COMMON_OPTIONS(common), {0}};
    struct dv_arguments arguments;
    bool is_over;

    int result = dv_command_begin(&help, options, argc, argv, 0, 0, &arguments, &is_over);
    if (is_over) {
        return result;
    }
    dv_free(arguments.items);
    if (is_fsck) {
        return dv_doctor_fsck(&common, database);
    }
    struct dv_json *all = describe(&common, database);
    if (common.is_json) {
        dv_print_json(all);
    } else {
        print_all(all);
        dv_json_unref(all);
    }
    return DV_EXIT_DONE;
}
