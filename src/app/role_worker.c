/* SPDX-License-Identifier: Apache-2.0 */

/*
 * `dv worker`: trains the job described in `source` (a JSON file with the complete spec under
 * "spec"), or makes a model of what a stopped training left, or measures the model of
 * `model_folder`, all on `dataset_folder`. What it makes goes into `job_folder`: checkpoints, the
 * model under model/ (partial/ after a salvage), and the result as result.json (partial.json),
 * because that may be larger than a message; the result message is empty.
 * Options of an evaluation: "split", or "all" for every sample; of a training: "can_ask", whether
 * there is a language model.
 *
 * The folder is locked for as long as the process lives: one that was killed may linger in the
 * kernel, and until it has gone the next one waits, so that never two write there.
 */

#include "app/command.h"
#include "app/role.h"
#include "app/worker_ask.h"
#include "base/alloc.h"
#include "base/file.h"
#include "base/json.h"
#include "base/text.h"
#include "train/worker.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#define JOB_FILE_SIZE_MAX (8u << 20)
#define LOCK_INTERVAL_US 50000
#define LOCK_TRIES                                                                                 \
    600 /* half a minute: a process in the middle of a large write takes a while to die */

/* --- Callbacks -------------------------------------------------------------------------- */

static void on_progress(void *user, const struct dv_train_progress *progress)
{
    const struct dv_message_progress message = {.stage = progress->status,
        .iteration = progress->iteration,
        .epoch = progress->epoch,
        .epochs = progress->epoch_count,
        .step = (int64_t)progress->step,
        .steps = (int64_t)progress->step_count,
        .loss = progress->train_loss,
        .accuracy = progress->train_accuracy,
        .val_loss = progress->val_loss,
        .val_accuracy = progress->val_accuracy,
        .best_accuracy = progress->best_accuracy,
        .learning_rate = progress->learning_rate,
        .images_per_second = progress->images_per_second,
        .eta_seconds = progress->seconds_left,
        .fraction = progress->fraction,
        .is_epoch_end = progress->is_epoch_end};

    dv_role_progress(user, &message, progress->is_epoch_end);
}

static void on_log(void *user, enum dv_log_level level, const char *text)
{
    dv_role_log(user, level, text);
}

static bool is_cancelled(void *user)
{
    return dv_role_is_cancelled(user);
}

/* What cannot be said makes the role cancelled. */
static void on_run(void *user, const struct dv_json *run)
{
    const struct dv_message message = {.type = DV_MESSAGE_RUN,
        .run = {.iteration = dv_json_get_integer(run, "iteration", 0),
            .status = dv_json_get_string(run, "status", "")}};
    struct dv_role *role = user;
    struct dv_error error = {0};

    if (dv_role_send_document(role, &message, run, &error) != DV_OK) {
        dv_role_log(role, DV_LOG_WARNING, error.text);
    }
}

static enum dv_status ask(void *user, int64_t number, const char *purpose,
    const struct dv_json *question, struct dv_error *reterr)
{
    return dv_worker_ask(((struct dv_role *)user)->user, number, purpose, question, reterr);
}

static enum dv_status hear(void *user, int64_t number, int timeout_ms, struct dv_json **ret_reply,
    struct dv_error *reterr)
{
    return dv_worker_hear(((struct dv_role *)user)->user, number, timeout_ms, ret_reply, reterr);
}

static struct dv_train_callbacks make_callbacks(struct dv_role *role)
{
    bool can_ask = dv_json_get_bool(role->job->options, "can_ask", false);

    return (struct dv_train_callbacks){.user = role,
        .progress = on_progress,
        .log = on_log,
        .is_cancelled = is_cancelled,
        .run = on_run,
        .ask = can_ask ? ask : NULL,
        .hear = can_ask ? hear : NULL};
}

/* --- The kinds of job ------------------------------------------------------------------- */

/* `model_name`: of the folder in the job's folder that the model goes into. */
static enum dv_status call_with_job(struct dv_role *role, const char *model_name,
    enum dv_status (*call)(const struct dv_train_options *options, struct dv_json **ret_result,
        struct dv_error *reterr),
    struct dv_json **ret_result, struct dv_error *reterr)
{
    const struct dv_message_job *job = role->job;
    DV_CLEANUP(dv_json_unrefp) struct dv_json *file = NULL;
    char model_folder[DV_PATH_SIZE];
    char cache_path[DV_PATH_SIZE];

    if (!job->source || !job->dataset_folder) {
        return dv_fail(reterr, DV_INVALID, "a job to train has no data set or no description");
    }
    enum dv_status status = dv_json_read_file(job->source, JOB_FILE_SIZE_MAX, &file, reterr);
    if (status == DV_OK) {
        status = dv_path_format(model_folder, reterr, "%s/%s", job->job_folder, model_name);
    }
    if (status == DV_OK) {
        status = dv_path_format(cache_path, reterr, "%s/pictures.cache", job->job_folder);
    }
    if (status != DV_OK) {
        return status;
    }
    const struct dv_train_options options = {.job = dv_json_get(file, "spec"),
        .dataset_folder = job->dataset_folder,
        .job_folder = job->job_folder,
        .model_folder = model_folder,
        .cache_path = cache_path,
        .plan_cache_folder = job->cache_folder,
        .thread_count = (uint32_t)job->thread_count,
        .previous_failure = job->previous_failure,
        .attempt = job->attempt,
        .callbacks = make_callbacks(role)};
    return call(&options, ret_result, reterr);
}

static enum dv_status train(
    struct dv_role *role, struct dv_json **ret_result, struct dv_error *reterr)
{
    return call_with_job(role, "model", dv_train_run, ret_result, reterr);
}

static enum dv_status salvage(
    struct dv_role *role, struct dv_json **ret_result, struct dv_error *reterr)
{
    return call_with_job(role, "partial", dv_train_salvage, ret_result, reterr);
}

static enum dv_status evaluate(
    struct dv_role *role, struct dv_json **ret_result, struct dv_error *reterr)
{
    const struct dv_message_job *job = role->job;
    const char *name = dv_json_get_string(job->options, "split", "test");
    struct dv_evaluate_options options = {.model_folder = job->model_folder,
        .dataset_folder = job->dataset_folder,
        .is_all_splits = dv_text_equal(name, "all"),
        .thread_count = (uint32_t)job->thread_count,
        .callbacks = make_callbacks(role)};

    if (!job->model_folder || !job->dataset_folder) {
        return dv_fail(reterr, DV_INVALID, "a job to evaluate has no model or no data set");
    }
    if (!options.is_all_splits && !dv_split_from_name(name, &options.split)) {
        return dv_fail(
            reterr, DV_INVALID, "there is no split '%.40s'; it is train, val, test or all", name);
    }
    return dv_evaluate_run(&options, ret_result, reterr);
}

static enum dv_status write_result(
    const char *folder, const char *name, const struct dv_json *result, struct dv_error *reterr)
{
    DV_CLEANUP(dv_freep) char *text = dv_json_print_pretty(result);
    char path[DV_PATH_SIZE];

    enum dv_status status = dv_path_format(path, reterr, "%s/%s", folder, name);
    if (status == DV_OK) {
        status = dv_file_write(path, text, strlen(text), reterr);
    }
    return status;
}

/* Until this process ends; the descriptor is the caller's. */
static enum dv_status lock_folder(struct dv_role *role, int *ret_fd, struct dv_error *reterr)
{
    const char *folder = role->job->job_folder;
    char path[DV_PATH_SIZE];

    enum dv_status status = dv_path_format(path, reterr, "%s/lock", folder);
    if (status != DV_OK) {
        return status;
    }
    DV_CLEANUP(dv_file_closep) int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0) {
        return dv_fail_errno(reterr, errno, "cannot open %s", path);
    }
    for (int i = 0; flock(fd, LOCK_EX | LOCK_NB) != 0; i++) {
        if (errno != EWOULDBLOCK && errno != EINTR) {
            return dv_fail_errno(reterr, errno, "cannot lock the job's folder %s", folder);
        }
        if (dv_role_is_cancelled(role)) {
            return dv_fail(reterr, DV_CANCELLED, "stopped on request");
        }
        if (i == LOCK_TRIES) {
            return dv_fail(
                reterr, DV_CONFLICT, "another process still works in the job's folder %s", folder);
        }
        (void)usleep(LOCK_INTERVAL_US);
    }
    *ret_fd = fd;
    fd = -1;
    return DV_OK;
}

static enum dv_status run(
    struct dv_role *role, struct dv_json **ret_result, struct dv_error *reterr)
{
    static const struct {
        const char *kind;
        const char *result_name;
        enum dv_status (*run)(
            struct dv_role *role, struct dv_json **ret_result, struct dv_error *reterr);
    } kinds[] = {{"train", "result.json", train}, {"salvage", "partial.json", salvage},
        {"evaluate", "result.json", evaluate}};
    const struct dv_message_job *job = role->job;
    DV_CLEANUP(dv_file_closep) int lock_fd = -1;
    DV_CLEANUP(dv_json_unrefp) struct dv_json *result = NULL;
    struct dv_worker_ask questions;

    (void)ret_result;
    for (size_t i = 0; i < DV_ARRAY_SIZE(kinds) && job->job_folder; i++) {
        if (!dv_text_equal(kinds[i].kind, job->kind)) {
            continue;
        }
        enum dv_status status = lock_folder(role, &lock_fd, reterr);
        if (status == DV_OK) {
            dv_worker_ask_init(&questions, role);
            status = kinds[i].run(role, &result, reterr);
            dv_worker_ask_finish(&questions);
        }
        return status == DV_OK ? write_result(job->job_folder, kinds[i].result_name, result, reterr)
                               : status;
    }
    return dv_fail(reterr, DV_INVALID, "there is no kind of job '%.40s' for dv worker", job->kind);
}

int dv_role_worker(int argc, char **argv)
{
    static const struct dv_role_impl impl = {
        .name = "worker",
        .sandbox = {.filter = DV_SANDBOX_FILTER_COMPUTE, .file_count_max = 1024},
        .run = run,
    };

    if (argc > 1 && dv_text_equal(argv[1], "--describe")) {
        dv_print_json(dv_train_describe());
        return DV_EXIT_DONE;
    }
    return dv_role_play(&impl);
}
