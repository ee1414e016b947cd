/* SPDX-License-Identifier: Apache-2.0 */
#include "train/plan_cache.h"

#include "base/alloc.h"
#include "base/file.h"
#include "base/json.h"
#include "base/text.h"

#include <assert.h>

#define PLAN_SIZE_MAX (4u << 20)
#define KEY_TEXT_SIZE 33 /* 16 bytes of the hash are enough to tell plans apart */

/* "model name : AMD EPYC ..." of the first processor, or "" where it cannot be read. */
static void read_cpu_name(char *ret_name, size_t size)
{
    FILE *file = fopen("/proc/cpuinfo", "re");
    char line[512];

    ret_name[0] = '\0';
    if (!file) {
        return;
    }
    while (fgets(line, sizeof(line), file)) {
        if (dv_text_has_prefix(line, "model name")) {
            (void)dv_text_copy(ret_name, size, line);
            break;
        }
    }
    (void)fclose(file);
}

static void make_key_text(const struct dv_plan_key *key, char ret_text[static KEY_TEXT_SIZE])
{
    DV_CLEANUP(dv_freep) char *text = NULL;
    unsigned char digest[DV_SHA256_SIZE];
    char cpu[512];

    read_cpu_name(cpu, sizeof(cpu));
    text = dv_strprintf("%s/%d/%s/%ux%ux%u/%u/%u/%u/%s", key->backend, key->is_training,
        key->arch_hash, key->channels, key->rows, key->columns, key->class_count, key->batch_size,
        key->thread_count, cpu);
    dv_sha256(text, strlen(text), digest);
    dv_text_hex(digest, (KEY_TEXT_SIZE - 1) / 2, ret_text);
}

static enum dv_status cache_path(const char *cache_folder, const struct dv_plan_key *key,
    char ret_path[static DV_PATH_SIZE], struct dv_error *reterr)
{
    char name[KEY_TEXT_SIZE];

    make_key_text(key, name);
    return dv_path_format(ret_path, reterr, "%s/%s.json", cache_folder, name);
}

static enum dv_status job_path(const char *job_folder, const struct dv_plan_key *key,
    char ret_path[static DV_PATH_SIZE], struct dv_error *reterr)
{
    const char *name = key->is_training ? "plan" : "plan-infer";

    /* A run that is begun anew with a smaller batch has other choices to make. */
    return dv_path_format(ret_path, reterr, "%s/%s-%u.json", job_folder, name, key->batch_size);
}

static struct dv_json *read_plan(const char *path)
{
    struct dv_json *plan = NULL;

    return dv_json_read_file(path, PLAN_SIZE_MAX, &plan, NULL) == DV_OK ? plan : NULL;
}

struct dv_json *dv_plan_cache_find(
    const char *job_folder, const char *cache_folder, const struct dv_plan_key *key)
{
    char path[DV_PATH_SIZE];
    struct dv_json *plan = NULL;

    assert(job_folder);
    assert(key);
    if (job_path(job_folder, key, path, NULL) == DV_OK) {
        plan = read_plan(path);
    }
    if (!plan && cache_folder && cache_path(cache_folder, key, path, NULL) == DV_OK) {
        plan = read_plan(path);
    }
    return plan;
}

enum dv_status dv_plan_cache_store(const char *job_folder, const char *cache_folder,
    const struct dv_plan_key *key, const struct dv_json *plan, struct dv_error *reterr)
{
    DV_CLEANUP(dv_freep) char *text = dv_json_print_pretty(plan);
    char path[DV_PATH_SIZE];

    assert(job_folder);
    assert(key);
    enum dv_status status = job_path(job_folder, key, path, reterr);
    if (status == DV_OK) {
        status = dv_file_write(path, text, strlen(text), reterr);
    }
    if (status != DV_OK || !cache_folder) {
        return status;
    }
    status = cache_path(cache_folder, key, path, reterr);
    if (status == DV_OK) {
        status = dv_folder_make(cache_folder, reterr);
    }
    return status == DV_OK ? dv_file_write(path, text, strlen(text), reterr) : status;
}

bool dv_plan_cache_is_same(const struct dv_json *a, const struct dv_json *b)
{
    DV_CLEANUP(dv_freep) char *one = dv_json_print_canonical(a);
    DV_CLEANUP(dv_freep) char *two = dv_json_print_canonical(b);

    return strcmp(one, two) == 0;
}
