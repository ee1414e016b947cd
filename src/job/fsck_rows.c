/* SPDX-License-Identifier: Apache-2.0 */

/* What a row says about the files beside it, for each kind; job/fsck_impl.h. */

#include "base/alloc.h"
#include "base/file.h"
#include "base/json.h"
#include "base/text.h"
#include "job/fsck_impl.h"
#include "store/jobs.h"

#include <string.h>

#define RECORD_SIZE_MAX (8u << 20)

#define ADVICE_UPLOAD_AGAIN "delete the data set and upload it again"
#define ADVICE_RESUME "resume or start its job again"

static bool is_there(const struct dv_fsck *fsck, const char *path)
{
    DV_CLEANUP(dv_freep) char *whole = dv_strprintf("%s/%s", fsck->data_folder, path);

    return dv_path_exists(whole);
}

static const char *id_of(const struct dv_json *row)
{
    return dv_json_get_string(row, "id", "");
}

static bool is_one_of(const char *word, const char *const *words)
{
    for (; *words; words++) {
        if (dv_text_equal(word, *words)) {
            return true;
        }
    }
    return false;
}

/* --- Data sets -------------------------------------------------------------------------- */

/* Nothing but the upload, or the folder that was made of it, is what was acknowledged. */
static void check_processing(struct dv_fsck *fsck, const char *id, bool has_upload)
{
    DV_CLEANUP(dv_freep) char *upload = dv_strprintf("uploads/%s", id);
    DV_CLEANUP(dv_freep) char *summary = dv_strprintf("datasets/%s/dataset.json", id);
    const struct dv_fsck_finding finding = {
        .code = "missing_upload", .path = upload, .id = id, .advice = ADVICE_UPLOAD_AGAIN};

    if (!has_upload && !is_there(fsck, summary)) {
        dv_fsck_find(fsck, &finding, "the upload of a data set that is being read is gone");
    }
}

static void check_no_folder(struct dv_fsck *fsck, const char *id, const char *readiness)
{
    DV_CLEANUP(dv_freep) char *folder = dv_strprintf("datasets/%s", id);
    const struct dv_fsck_finding finding = {.code = "unexpected_files",
        .path = folder,
        .id = id,
        .advice = "delete the data set: its files go with it"};

    if (is_there(fsck, folder)) {
        dv_fsck_find(fsck, &finding, "a data set in '%s' has files", readiness);
    }
}

enum dv_status dv_fsck_dataset_row(
    struct dv_fsck *fsck, const struct dv_json *row, struct dv_error *reterr)
{
    const char *id = id_of(row);
    const char *readiness = dv_json_get_string(row, "readiness", "");
    DV_CLEANUP(dv_freep) char *upload = dv_strprintf("uploads/%s", id);
    DV_CLEANUP(dv_freep) char *upload_zip = dv_strprintf("uploads/%s.zip", id);
    bool has_upload = is_there(fsck, upload) || is_there(fsck, upload_zip);
    bool is_settled =
        dv_text_equal(readiness, "ready") || dv_text_equal(readiness, "error");

    (void)reterr; /* the row is all there is to ask for */
    if (dv_text_equal(readiness, "ready")) {
        dv_fsck_dataset_files(fsck, row);
    } else if (dv_text_equal(readiness, "processing")) {
        check_processing(fsck, id, has_upload);
    } else {
        check_no_folder(fsck, id, readiness);
    }
    if (is_settled && has_upload) {
        dv_fsck_leave(fsck, upload, "the upload of a data set that is done with");
    }
    return DV_OK;
}

/* --- Models ----------------------------------------------------------------------------- */

struct model {
    const struct dv_json *row;
    const char *id;
    bool is_being_made; /* by a job that has not ended */
};

static const struct dv_json *find_version(const struct dv_json *row, int64_t number)
{
    const struct dv_json *versions = dv_json_get(row, "versions");

    for (size_t i = 0; i < dv_json_count(versions); i++) {
        if (dv_json_get_integer(dv_json_at(versions, i), "version", -1) == number) {
            return dv_json_at(versions, i);
        }
    }
    return NULL;
}

/* A version's folder comes before its row, while its job still runs or waits to be taken up. */
static bool is_known_version(struct dv_fsck *fsck, const char *name, const void *user)
{
    const struct model *model = user;
    DV_CLEANUP(dv_freep) char *path = dv_strprintf("models/%s/versions/%s", model->id, name);
    int64_t number;

    if (!dv_text_to_int64(name, &number) || number < 1) {
        return false;
    }
    if (find_version(model->row, number)) {
        return true;
    }
    if (model->is_being_made) {
        dv_fsck_leave(fsck, path, "being published by its job");
    } else {
        const struct dv_fsck_finding finding = {.code = "no_row",
            .path = path,
            .id = model->id,
            .advice = "remove the folder: no version of the model has it"};
        dv_fsck_find(fsck, &finding, "there is no row of a version for it in the database");
    }
    return true;
}

/* Made of the version when it is downloaded, and made again when it is not there. */
static bool is_known_archive(struct dv_fsck *fsck, const char *name, const void *user)
{
    const struct model *model = user;
    char number_text[24];
    int64_t number;

    (void)fsck;
    (void)dv_text_copy(number_text, sizeof(number_text), name);
    size_t length = strcspn(number_text, ".");
    bool is_zip = dv_text_equal(number_text + length, ".zip");
    number_text[length] = '\0';
    return is_zip && dv_text_to_int64(number_text, &number) && find_version(model->row, number);
}

static bool is_known_in_model(struct dv_fsck *fsck, const char *name, const void *user)
{
    (void)fsck;
    (void)user;
    return dv_text_equal(name, "versions") || dv_text_equal(name, "archives");
}

static void check_version_rows(struct dv_fsck *fsck, const struct model *model)
{
    const struct dv_json *versions = dv_json_get(model->row, "versions");
    const struct dv_json *current = dv_json_get(model->row, "current_version");
    const char *status = dv_json_get_string(model->row, "status", "");
    static const char *const usable[] = {"ready", "active", NULL};
    const struct dv_fsck_finding finding = {.code = "no_version",
        .id = model->id,
        .advice = "delete the model and train it again"};

    for (size_t i = 0; i < dv_json_count(versions); i++) {
        dv_fsck_version_files(fsck, model->id, dv_json_at(versions, i));
    }
    fsck->version_count += (int64_t)dv_json_count(versions);
    if (dv_json_is_integer(current)
            ? !find_version(model->row, dv_json_to_integer(current, 0))
            : is_one_of(status, usable)) {
        dv_fsck_find(fsck, &finding, "the model is '%s', and its current version has no row", status);
    }
}

/* A model waits for its job, and for nothing else. */
static enum dv_status read_job(
    struct dv_fsck *fsck, struct model *model, struct dv_error *reterr)
{
    static const char *const unfinished[] = {"pending", "running", NULL};
    static const char *const waiting[] = {"queued", "training", NULL};
    const char *job_id = dv_json_get_string(model->row, "job_id", NULL);
    const char *model_status = dv_json_get_string(model->row, "status", "");
    const struct dv_fsck_finding finding = {
        .code = "limbo", .id = model->id, .advice = ADVICE_RESUME};
    DV_CLEANUP(dv_json_unrefp) struct dv_json *job = NULL;
    enum dv_status status = DV_NOT_FOUND;

    if (job_id) {
        status = dv_jobs_get(fsck->store, job_id, &job, reterr);
    }
    if (status != DV_OK && status != DV_NOT_FOUND) {
        return status;
    }
    model->is_being_made = is_one_of(dv_json_get_string(job, "status", ""), unfinished);
    if (is_one_of(model_status, waiting) && !model->is_being_made) {
        dv_fsck_find(fsck, &finding, "the model is '%s', and no job works on it", model_status);
    }
    return DV_OK;
}

enum dv_status dv_fsck_model_row(
    struct dv_fsck *fsck, const struct dv_json *row, struct dv_error *reterr)
{
    struct model model = {.row = row, .id = id_of(row)};
    DV_CLEANUP(dv_freep) char *folder = dv_strprintf("models/%s", model.id);
    DV_CLEANUP(dv_freep) char *versions = dv_strprintf("%s/versions", folder);
    DV_CLEANUP(dv_freep) char *archives = dv_strprintf("%s/archives", folder);

    enum dv_status status = read_job(fsck, &model, reterr);
    if (status != DV_OK) {
        return status;
    }
    check_version_rows(fsck, &model);
    dv_fsck_names(fsck, folder, model.id, is_known_in_model, &model);
    dv_fsck_names(fsck, versions, model.id, is_known_version, &model);
    dv_fsck_names(fsck, archives, model.id, is_known_archive, &model);
    return DV_OK;
}

/* --- Jobs ------------------------------------------------------------------------------- */

static bool is_known_in_job(struct dv_fsck *fsck, const char *name, const void *user)
{
    static const char *const known[] = {"job.json", "result.json", "work", NULL};

    (void)fsck;
    (void)user;
    return is_one_of(name, known);
}

static void check_record(struct dv_fsck *fsck, const char *id, const char *folder)
{
    DV_CLEANUP(dv_freep) char *path = dv_strprintf("%s/job.json", folder);
    DV_CLEANUP(dv_freep) char *whole = dv_strprintf("%s/%s", fsck->data_folder, path);
    DV_CLEANUP(dv_json_unrefp) struct dv_json *record = NULL;
    struct dv_error error = {0};
    const struct dv_fsck_finding finding = {.code = "damaged",
        .path = path,
        .id = id,
        .advice = "remove the file: the server makes it again when the job goes on"};

    if (!is_there(fsck, path)) {
        return; /* it is made with the first worker */
    }
    if (dv_json_read_file(whole, RECORD_SIZE_MAX, &record, &error) != DV_OK) {
        dv_fsck_find(fsck, &finding, "the job's record cannot be read: %s", error.text);
    } else if (!dv_text_equal(dv_json_get_string(record, "id", ""), id)) {
        dv_fsck_find(fsck, &finding, "the job's record is that of another job");
    }
}

enum dv_status dv_fsck_job_row(
    struct dv_fsck *fsck, const struct dv_json *row, struct dv_error *reterr)
{
    static const char *const unfinished[] = {"pending", "running", NULL};
    const char *id = id_of(row);
    const char *status = dv_json_get_string(row, "status", "");
    DV_CLEANUP(dv_freep) char *folder = dv_strprintf("jobs/%s", id);
    const struct dv_fsck_finding no_dataset = {
        .code = "no_dataset", .id = id, .advice = "cancel the job"};

    (void)reterr;
    if (is_one_of(status, unfinished) && dv_json_is_null(dv_json_get(row, "dataset_id"))) {
        dv_fsck_find(fsck, &no_dataset, "the job is '%s', and its data set is gone", status);
    }
    if (!is_there(fsck, folder)) {
        return DV_OK; /* no worker has begun, or all is done */
    }
    if (dv_text_equal(status, "completed")) {
        dv_fsck_leave(fsck, folder, "the folder of a job that is completed");
        return DV_OK;
    }
    check_record(fsck, id, folder);
    dv_fsck_names(fsck, folder, id, is_known_in_job, NULL);
    return DV_OK;
}
