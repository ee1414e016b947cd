/* SPDX-License-Identifier: Apache-2.0 */
#include "api/machine.h"

#include "base/json.h"
#include "base/text.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/statvfs.h>
#include <sys/utsname.h>
#include <unistd.h>

#define LINE_SIZE 1024

/* --- /proc/stat: ticks since the start of the machine -------------------------------------------- */

enum { FIELD_IDLE = 3, FIELD_IOWAIT = 4, FIELD_COUNT = 8 };

/* "cpu0 user nice system idle iowait irq softirq steal ..." (proc(5)). */
static struct dv_json *read_cpu_line(const char *line)
{
    double tick = 1.0 / (double)sysconf(_SC_CLK_TCK);
    double total = 0.0, idle = 0.0;
    const char *at = line + strcspn(line, " ");

    for (int i = 0; i < FIELD_COUNT; i++) {
        char *end;
        double value = (double)strtoull(at, &end, 10);
        if (end == at) {
            break;
        }
        total += value;
        idle += i == FIELD_IDLE || i == FIELD_IOWAIT ? value : 0.0;
        at = end;
    }
    struct dv_json *json = dv_json_object();
    dv_json_set_number(json, "busy_seconds", (total - idle) * tick);
    dv_json_set_number(json, "total_seconds", total * tick);
    return json;
}

static struct dv_json *read_cpu(void)
{
    FILE *file = fopen("/proc/stat", "re");
    char line[LINE_SIZE];
    struct dv_json *cpu = NULL;
    struct dv_json *cores = dv_json_array();

    while (file && fgets(line, sizeof(line), file) && dv_text_has_prefix(line, "cpu")) {
        if (line[3] == ' ') {
            cpu = read_cpu_line(line);
        } else {
            dv_json_append(cores, read_cpu_line(line));
        }
    }
    if (file) {
        (void)fclose(file);
    }
    if (!cpu) {
        cpu = dv_json_object();
    }
    dv_json_set(cpu, "cores", cores);
    return cpu;
}

/* --- /proc/meminfo and /proc/cpuinfo ---------------------------------------------------------- */

static void read_memory(struct dv_json *memory)
{
    static const struct {
        const char *key, *name;
    } fields[] = {{"MemTotal:", "total_bytes"},
        {"MemAvailable:", "available_bytes"},
        {"SwapTotal:", "swap_total_bytes"},
        {"SwapFree:", "swap_free_bytes"}};
    FILE *file = fopen("/proc/meminfo", "re");
    char line[LINE_SIZE];

    while (file && fgets(line, sizeof(line), file)) {
        for (size_t i = 0; i < DV_ARRAY_SIZE(fields); i++) {
            if (dv_text_has_prefix(line, fields[i].key)) {
                int64_t kib = strtoll(line + strlen(fields[i].key), NULL, 10);
                dv_json_set_integer(memory, fields[i].name, kib * 1024);
            }
        }
    }
    if (file) {
        (void)fclose(file);
    }
}

static void read_cpu_model(struct dv_json *cpu)
{
    FILE *file = fopen("/proc/cpuinfo", "re");
    char line[LINE_SIZE];

    while (file && fgets(line, sizeof(line), file)) {
        char *value = strstr(line, ": ");
        if (value && dv_text_has_prefix(line, "model name")) {
            value[strcspn(value, "\n")] = '\0';
            dv_json_set_string(cpu, "model", value + 2);
            break;
        }
    }
    if (file) {
        (void)fclose(file);
    }
    dv_json_set_integer(cpu, "cores", sysconf(_SC_NPROCESSORS_ONLN));
}

/* --- Disk and this process -------------------------------------------------------------------- */

static struct dv_json *read_disk(const char *folder)
{
    struct dv_json *disk = dv_json_object();
    struct statvfs info;

    if (statvfs(folder, &info) == 0) {
        dv_json_set_integer(disk, "total_bytes", (int64_t)(info.f_blocks * info.f_frsize));
        dv_json_set_integer(disk, "free_bytes", (int64_t)(info.f_bavail * info.f_frsize));
    }
    return disk;
}

static struct dv_json *read_load(void)
{
    struct dv_json *load = dv_json_array();
    double averages[3];
    int count = getloadavg(averages, 3);

    for (int i = 0; i < count; i++) {
        dv_json_append(load, dv_json_number(averages[i]));
    }
    return load;
}

static int64_t count_entries(const char *path)
{
    DIR *stream = opendir(path);
    int64_t count = 0;

    while (stream && readdir(stream)) {
        count++;
    }
    if (stream) {
        (void)closedir(stream);
    }
    return count > 2 ? count - 2 : 0; /* "." and ".." */
}

static int64_t read_rss(void)
{
    FILE *file = fopen("/proc/self/statm", "re");
    long long total = 0, resident = 0;

    if (file) {
        if (fscanf(file, "%lld %lld", &total, &resident) != 2) {
            resident = 0;
        }
        (void)fclose(file);
    }
    return resident * sysconf(_SC_PAGESIZE);
}

static struct dv_json *read_server(void)
{
    struct dv_json *server = dv_json_object();
    struct rusage usage;

    dv_json_set_integer(server, "pid", getpid());
    dv_json_set_integer(server, "rss_bytes", read_rss());
    if (getrusage(RUSAGE_SELF, &usage) == 0) {
        dv_json_set_number(server, "cpu_seconds",
            (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
                (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) * 1e-6);
    }
    dv_json_set_integer(server, "threads", count_entries("/proc/self/task"));
    dv_json_set_integer(server, "open_files", count_entries("/proc/self/fd") - 1);
    return server;
}

/* --- All of it -------------------------------------------------------------------------------- */

struct dv_json *dv_machine_metrics(const char *folder)
{
    struct dv_json *metrics = dv_json_object();
    struct dv_json *memory = dv_json_object();

    read_memory(memory);
    dv_json_set(metrics, "cpu", read_cpu());
    dv_json_set(metrics, "memory", memory);
    dv_json_set(metrics, "disk", read_disk(folder));
    dv_json_set(metrics, "load", read_load());
    dv_json_set(metrics, "server", read_server());
    return metrics;
}

struct dv_json *dv_machine_info(void)
{
    struct dv_json *info = dv_json_object();
    struct dv_json *cpu = dv_json_object();
    struct dv_json *memory = dv_json_object();
    struct utsname kernel;

    if (uname(&kernel) == 0) {
        dv_json_set_string(info, "hostname", kernel.nodename);
        dv_json_set_string(info, "kernel", kernel.release);
    }
    read_cpu_model(cpu);
    read_memory(memory);
    dv_json_set(info, "cpu", cpu);
    dv_json_set(info, "memory_total_bytes", dv_json_ref(dv_json_get(memory, "total_bytes")));
    dv_json_unref(memory);
    return info;
}
