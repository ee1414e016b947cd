/* SPDX-License-Identifier: Apache-2.0 */

/*
 * `dv ingest`: reads the job's `source` (an archive or a folder) and fills its `job_folder`, an
 * empty staging folder. Options: "id", "name", "seed". The result is empty; the summary is in the
 * folder's dataset.json. Counts of findings come in messages, once a second and at the end.
 */

#include "app/command.h"
#include "app/role.h"
#include "base/arena.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/text.h"
#include "data/ingest.h"
#include "pack/pack.h"

#include <math.h>
#include <stdatomic.h>

#define COUNTS_INTERVAL_SECONDS 1.0

struct ingest {
    struct dv_role *role;
    atomic_bool is_cancelled;
    uint64_t counts[DV_FINDING_CODE_COUNT];
    bool has_news; /* counts that were not sent */
    uint64_t sent_ns;
};

static void send_counts(struct ingest *ingest)
{
    struct dv_json *counts = dv_json_object();

    for (unsigned code = 0; code < DV_FINDING_CODE_COUNT; code++) {
        if (ingest->counts[code] > 0) {
            dv_json_set_integer(counts, dv_finding_code_name((enum dv_finding_code)code),
                (int64_t)ingest->counts[code]);
        }
    }
    dv_role_send(ingest->role,
        &(struct dv_message){.type = DV_MESSAGE_FINDINGS, .findings = {.counts = counts}});
    dv_json_unref(counts);
    ingest->has_news = false;
    ingest->sent_ns = dv_clock_monotonic_ns();
}

static void on_progress(void *data, const char *stage, uint64_t done, uint64_t total)
{
    struct ingest *ingest = data;
    const double unknown = (double)NAN;
    struct dv_message_progress progress = {.stage = stage,
        .step = (int64_t)done,
        .steps = (int64_t)total,
        .loss = unknown,
        .accuracy = unknown,
        .val_loss = unknown,
        .val_accuracy = unknown,
        .best_accuracy = unknown,
        .learning_rate = unknown,
        .images_per_second = unknown,
        .eta_seconds = unknown,
        .fraction = total > 0 ? (double)done / (double)total : unknown};

    dv_role_progress(ingest->role, &progress, false);
    if (ingest->has_news && dv_clock_seconds_since(ingest->sent_ns) > COUNTS_INTERVAL_SECONDS) {
        send_counts(ingest);
    }
    if (dv_role_is_cancelled(ingest->role)) {
        atomic_store(&ingest->is_cancelled, true);
    }
}

static void on_finding(void *data, const struct dv_pack_finding *finding)
{
    struct ingest *ingest = data;

    ingest->counts[finding->code]++;
    ingest->has_news = true;
}

static enum dv_status run(
    struct dv_role *role, struct dv_json **ret_result, struct dv_error *reterr)
{
    const struct dv_message_job *job = role->job;
    DV_CLEANUP(dv_arena_destroyp) struct dv_arena *arena = dv_arena_create(0);
    struct ingest ingest = {.role = role};
    struct dv_dataset_summary summary;

    (void)ret_result;
    if (!dv_text_equal(job->kind, "ingest") || !job->source || !job->job_folder) {
        return dv_fail(reterr, DV_INVALID, "the job is none for dv ingest");
    }
    const struct dv_ingest_options options = {.source_path = job->source,
        .folder = job->job_folder,
        .id = dv_json_get_string(job->options, "id", ""),
        .name = dv_json_get_string(job->options, "name", ""),
        .seed = (uint64_t)dv_json_get_integer(job->options, "seed", 0),
        .thread_count = (uint32_t)job->thread_count,
        .progress = on_progress,
        .finding = on_finding,
        .data = &ingest,
        .is_cancelled = &ingest.is_cancelled};
    enum dv_status status = dv_ingest_run(&options, arena, &summary, reterr);
    send_counts(&ingest);
    return status;
}

int dv_role_ingest(int argc, char **argv)
{
    static const struct dv_role_impl impl = {
        .name = "ingest",
        .sandbox = {.filter = DV_SANDBOX_FILTER_STRICT,
            .data_size_max = 4ull << 30,
            .file_size_max = 1ull << 40,
            .file_count_max = 256},
        .run = run,
    };

    (void)argc;
    (void)argv;
    return dv_role_play(&impl);
}
