/* SPDX-License-Identifier: Apache-2.0 */
#include "job/replay.h"

#include "base/alloc.h"
#include "base/buffer.h"
#include "base/file.h"
#include "base/json.h"
#include "base/text.h"
#include "job/job_folder.h"
#include "store/jobs.h"
#include "store/runs.h"

#include <assert.h>

#define FILE_SIZE_MAX (64u << 20)

static void add_line(struct dv_buffer *buffer, const struct dv_json *entry)
{
    DV_CLEANUP(dv_freep) char *text = dv_json_print(entry);

    dv_buffer_append_text(buffer, text);
    dv_buffer_append_text(buffer, "\n");
}

/* As the search's own journal says it. */
static void add_run(struct dv_buffer *buffer, const struct dv_json *run)
{
    static const char *const members[] = {
        "iteration", "operator", "parents", "hypothesis", "architecture", "hyperparameters"};
    DV_CLEANUP(dv_json_unrefp) struct dv_json *entry = dv_json_object();

    dv_json_set_string(entry, "event", "proposed");
    for (size_t i = 0; i < DV_ARRAY_SIZE(members); i++) {
        const struct dv_json *value = dv_json_get(run, members[i]);
        if (value) {
            dv_json_set(entry, members[i], dv_json_ref(value));
        }
    }
    add_line(buffer, entry);
}

static enum dv_status add_runs(
    struct dv_store *store, const char *job_id, struct dv_buffer *buffer, struct dv_error *reterr)
{
    DV_CLEANUP(dv_json_unrefp) struct dv_json *runs = NULL;
    enum dv_status status = dv_runs_all(store, job_id, &runs, reterr);

    for (size_t i = 0; i < dv_json_count(runs); i++) {
        add_run(buffer, dv_json_at(runs, i));
    }
    return status;
}

static enum dv_status write_replay(
    struct dv_store *store, const char *job_id, const char *path, struct dv_error *reterr)
{
    DV_CLEANUP(dv_json_unrefp) struct dv_json *job = NULL;
    struct dv_buffer buffer = DV_BUFFER_INIT(FILE_SIZE_MAX);

    enum dv_status status = dv_jobs_get(store, job_id, &job, reterr);
    if (status == DV_OK) {
        status = add_runs(store, job_id, &buffer, reterr);
    }
    if (status == DV_OK && dv_text_equal(dv_json_get_string(job, "status", ""), "completed")) {
        dv_buffer_append_text(&buffer, "{\"event\":\"over\"}\n");
    }
    if (status == DV_OK && buffer.is_over) {
        status =
            dv_fail(reterr, DV_TOO_LARGE, "the search of job %s is too long to replay", job_id);
    }
    if (status == DV_OK) {
        status = dv_file_write(path, dv_buffer_text(&buffer), buffer.size, reterr);
    }
    dv_buffer_finish(&buffer);
    return status;
}

enum dv_status dv_replay_prepare(struct dv_store *store, const struct dv_job_folder *folder,
    const struct dv_json *row, struct dv_error *reterr)
{
    const char *job_id = dv_json_get_string(dv_json_get(row, "spec"), "replay_of", NULL);
    char path[DV_PATH_SIZE];

    assert(folder);
    if (!job_id) {
        return DV_OK;
    }
    enum dv_status status = dv_path_format(path, reterr, "%s/replay.jsonl", folder->work);
    if (status != DV_OK || dv_path_exists(path)) {
        return status;
    }
    return write_replay(store, job_id, path, reterr);
}
