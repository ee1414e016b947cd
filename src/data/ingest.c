/* SPDX-License-Identifier: Apache-2.0 */
#include "data/ingest.h"

#include "base/alloc.h"
#include "base/arena.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/json.h"
#include "data/ingest_findings.h"
#include "data/ingest_hash.h"
#include "data/ingest_state.h"
#include "data/layout.h"
#include "data/source.h"
#include "pack/pack_writer.h"

#include <assert.h>
#include <string.h>

/* Findings in full in dataset.json; all that have a text are in the manifest. */
#define FINDINGS_SHOWN 100u
#define REPORT_INTERVAL_NS 100000000u

_Static_assert(sizeof(struct dv_candidate) <= 168, "the header names this size");

enum dv_status dv_ingest_report(struct dv_ingest *ingest, const char *stage, uint64_t done,
    uint64_t total, struct dv_error *reterr)
{
    const struct dv_ingest_options *options = ingest->options;

    if (options->is_cancelled && atomic_load(options->is_cancelled)) {
        return dv_fail(reterr, DV_CANCELLED, "stopped on request");
    }
    if (options->progress) {
        uint64_t now_ns = dv_clock_monotonic_ns();
        if (done == total || now_ns - ingest->report_ns >= REPORT_INTERVAL_NS) {
            ingest->report_ns = now_ns;
            options->progress(options->data, stage, done, total);
        }
    }
    return DV_OK;
}

static void finish(struct dv_ingest *ingest)
{
    dv_free(ingest->order);
    dv_free(ingest->candidates);
    dv_free(ingest->classes);
    dv_file_closep(&ingest->thumbnails);
    dv_pack_writer_destroy(ingest->writer);
    dv_ingest_findings_destroy(ingest->findings);
    dv_layout_destroy(ingest->layout);
    dv_source_close(ingest->source);
}

/* Entries that are refused for their name say nothing about the layout. */
static const char *layout_path(void *data, uint64_t index)
{
    struct dv_source_entry entry;

    dv_source_entry(data, index, &entry);
    return entry.is_refused && entry.finding == DV_FINDING_UNSAFE_PATH ? NULL : entry.name;
}

/* Where there is no layout, what the source refused is the only explanation there is. */
static void report_refused(struct dv_ingest *ingest)
{
    struct dv_source_entry entry;

    for (uint64_t i = 0; i < dv_source_count(ingest->source); i++) {
        dv_source_entry(ingest->source, i, &entry);
        if (entry.is_refused) {
            dv_ingest_findings_add(ingest->findings, entry.name, entry.finding, "%s", entry.reason);
        }
    }
}

static enum dv_status open_all(struct dv_ingest *ingest, struct dv_error *reterr)
{
    enum dv_status status = dv_source_open(ingest->options->source_path, &ingest->source, reterr);
    if (status != DV_OK) {
        return status;
    }

    struct dv_layout_options options = {
        .path = layout_path,
        .data = ingest->source,
        .count = dv_source_count(ingest->source),
    };
    if (options.count == 0) {
        return dv_fail(reterr, DV_INVALID, "there are no files in it");
    }
    status = dv_layout_create(&options, &ingest->layout, reterr);
    if (status != DV_OK) {
        report_refused(ingest);
        return status;
    }
    ingest->class_count = dv_layout_class_count(ingest->layout);
    ingest->classes = dv_alloc(ingest->class_count * sizeof(*ingest->classes));
    for (uint32_t i = 0; i < ingest->class_count; i++) {
        ingest->classes[i].name = dv_layout_class_name(ingest->layout, i);
    }
    return dv_pack_writer_create(ingest->options->folder, 0, &ingest->writer, reterr);
}

static void remark_ignored(struct dv_ingest *ingest)
{
    struct dv_source_entry entry;

    for (uint64_t i = 0; i < dv_source_count(ingest->source); i++) {
        dv_source_entry(ingest->source, i, &entry);
        if (dv_layout_is_ignored(entry.name)) {
            dv_ingest_findings_add(ingest->findings, entry.name, DV_FINDING_IGNORED,
                "an operating system left it behind; it is no picture");
        }
    }
}

static enum dv_status write_manifest(struct dv_ingest *ingest, struct dv_error *reterr)
{
    DV_CLEANUP(dv_freep)
    const char **names = dv_alloc(((size_t)ingest->class_count + 1) * sizeof(*names));
    struct dv_pack_manifest manifest = {
        .classes = names,
        .class_count = ingest->class_count,
        .samples = ingest->order,
        .sample_count = ingest->count,
        .findings = dv_ingest_findings_items(ingest->findings),
        .finding_count = dv_ingest_findings_count(ingest->findings),
    };

    for (uint32_t i = 0; i < ingest->class_count; i++) {
        names[i] = ingest->classes[i].name;
    }
    for (int i = 0; i < DV_FINDING_CODE_COUNT; i++) {
        manifest.finding_totals[i] =
            dv_ingest_findings_total(ingest->findings, (enum dv_finding_code)i);
    }
    return dv_pack_writer_finish(ingest->writer, &manifest, reterr);
}

static enum dv_status write_summary(const struct dv_ingest *ingest,
    const struct dv_dataset_summary *summary, struct dv_error *reterr)
{
    DV_CLEANUP(dv_json_unrefp) struct dv_json *json = dv_dataset_summary_to_json(summary);
    DV_CLEANUP(dv_freep) char *text = NULL;
    char path[DV_PATH_SIZE];

    dv_json_set(json, "finding_counts", dv_ingest_findings_totals_to_json(ingest->findings));
    dv_json_set(json, "findings", dv_ingest_findings_to_json(ingest->findings, FINDINGS_SHOWN));
    text = dv_json_print_pretty(json);
    enum dv_status status =
        dv_path_format(path, reterr, "%s/dataset.json", ingest->options->folder);
    return status == DV_OK ? dv_file_write(path, text, strlen(text), reterr) : status;
}

/* Of a set that was refused, so that one can see why: findings.json. */
static void write_findings(const struct dv_ingest *ingest)
{
    DV_CLEANUP(dv_json_unrefp) struct dv_json *json = dv_json_object();
    char path[DV_PATH_SIZE];

    dv_json_set(json, "finding_counts", dv_ingest_findings_totals_to_json(ingest->findings));
    dv_json_set(json, "findings", dv_ingest_findings_to_json(ingest->findings, FINDINGS_SHOWN));
    DV_CLEANUP(dv_freep) char *text = dv_json_print_pretty(json);
    enum dv_status status =
        dv_path_format(path, NULL, "%s/findings.json", ingest->options->folder);
    if (status == DV_OK) {
        status = dv_file_write(path, text, strlen(text), NULL);
    }
    (void)status; /* the refusal itself is told */
}

static enum dv_status run_stages(struct dv_ingest *ingest, struct dv_ingest_hash *hash,
    struct dv_arena *arena, struct dv_dataset_summary *summary, struct dv_error *reterr)
{
    char now[DV_TIME_TEXT_SIZE];

    enum dv_status status = open_all(ingest, reterr);
    if (status == DV_OK) {
        status = dv_ingest_read(ingest, reterr);
    }
    if (status != DV_OK) {
        return status;
    }
    status = dv_ingest_arrange(ingest, reterr);
    remark_ignored(ingest);
    if (status == DV_OK) {
        status = dv_ingest_report(ingest, "arrange", ingest->count, ingest->count, reterr);
    }
    if (status == DV_OK) {
        status = write_manifest(ingest, reterr);
    }
    if (status == DV_OK) {
        status = dv_ingest_hash_wait(hash, summary->source_hash, reterr);
    }
    if (status != DV_OK) {
        return status;
    }
    dv_clock_now_text(now);
    summary->id = dv_arena_strdup(arena, ingest->options->id);
    summary->name = dv_arena_strdup(arena, ingest->options->name);
    summary->created_at = dv_arena_strdup(arena, now);
    dv_ingest_summarize(ingest, arena, summary);
    status = dv_ingest_report(ingest, "write", ingest->count, ingest->count, reterr);
    return status == DV_OK ? write_summary(ingest, summary, reterr) : status;
}

enum dv_status dv_ingest_run(const struct dv_ingest_options *options, struct dv_arena *arena,
    struct dv_dataset_summary *ret_summary, struct dv_error *reterr)
{
    DV_CLEANUP(dv_ingest_hash_stopp) struct dv_ingest_hash *hash = NULL;
    struct dv_ingest ingest = {.options = options, .thumbnails = -1};
    struct dv_dataset_summary summary = {0};

    assert(options);
    assert(options->source_path);
    assert(options->folder);
    assert(options->id);
    assert(options->name);
    assert(arena);
    assert(ret_summary);

    enum dv_status status = dv_ingest_hash_start(options->source_path, &hash, reterr);
    if (status != DV_OK) {
        return status;
    }
    ingest.findings = dv_ingest_findings_create(options);
    status = run_stages(&ingest, hash, arena, &summary, reterr);
    if (status != DV_OK) {
        write_findings(&ingest);
    }
    finish(&ingest);
    if (status == DV_OK) {
        *ret_summary = summary;
    }
    return status;
}
