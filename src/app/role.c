/* SPDX-License-Identifier: Apache-2.0 */
#include "app/role.h"

#include "app/command.h"
#include "base/alloc.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/json.h"
#include "base/memory_fault.h"
#include "base/memory_file.h"
#include "wire/channel.h"
#include "wire/failure.h"

#include <assert.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define JOB_TIMEOUT_MS 30000
#define SEND_TIMEOUT_MS 30000
#define READABLE_MAX 24u
#define PROGRESS_INTERVAL_NS 100000000u

/* --- Speaking --------------------------------------------------------------------------- */

enum dv_status dv_role_try_send(
    struct dv_role *role, const struct dv_message *message, struct dv_error *reterr)
{
    enum dv_status status = dv_message_send(role->channel, message, -1, SEND_TIMEOUT_MS, reterr);

    role->is_cancelled = role->is_cancelled || (status != DV_OK && status != DV_TOO_LARGE);
    return status;
}

void dv_role_send(struct dv_role *role, const struct dv_message *message)
{
    if (dv_role_try_send(role, message, NULL) != DV_OK) {
        role->is_cancelled = true;
    }
}

void dv_role_progress(
    struct dv_role *role, const struct dv_message_progress *progress, bool must_arrive)
{
    uint64_t now_ns = dv_clock_monotonic_ns();

    assert(role);
    assert(progress->stage);
    if (!must_arrive && now_ns - role->last_progress_ns < PROGRESS_INTERVAL_NS) {
        return;
    }
    role->last_progress_ns = now_ns;
    dv_role_send(role, &(struct dv_message){.type = DV_MESSAGE_PROGRESS, .progress = *progress});
}

void dv_role_log(struct dv_role *role, enum dv_log_level level, const char *text)
{
    static const char *const names[] = {"error", "warning", "info", "debug"};

    dv_role_send(role,
        &(struct dv_message){.type = DV_MESSAGE_LOG, .log = {.level = names[level], .text = text}});
}

enum dv_status dv_role_send_document(struct dv_role *role, const struct dv_message *message,
    const struct dv_json *document, struct dv_error *reterr)
{
    DV_CLEANUP(dv_freep) char *text = dv_json_print(document);
    DV_CLEANUP(dv_file_closep) int fd = -1;

    enum dv_status status = dv_memory_file_create(
        dv_message_type_name(message->type), text, strlen(text), &fd, reterr);
    if (status != DV_OK) {
        return status;
    }
    status = dv_message_send(role->channel, message, fd, SEND_TIMEOUT_MS, reterr);
    role->is_cancelled = role->is_cancelled || status != DV_OK;
    return status;
}

enum dv_status dv_role_listen(struct dv_role *role, int timeout_ms, struct dv_error *reterr)
{
    struct dv_message message;
    enum dv_status status = DV_CANCELLED;

    if (!role->is_cancelled) {
        status = dv_message_receive(role->channel, timeout_ms, &message, reterr);
    }
    if (status == DV_TIMEOUT) {
        return status;
    }
    if (status == DV_OK) {
        role->is_cancelled = message.type == DV_MESSAGE_CANCEL;
        if (!role->is_cancelled && role->on_message) {
            role->on_message(role, &message);
        }
        dv_message_finish(&message);
    } else {
        role->is_cancelled = true;
    }
    return role->is_cancelled ? dv_fail(reterr, DV_CANCELLED, "stopped on request") : DV_OK;
}

bool dv_role_is_cancelled(struct dv_role *role)
{
    enum dv_status status = dv_role_listen(role, 0, NULL);

    (void)status; /* nothing having come is the ordinary */
    return role->is_cancelled;
}

static void send_failure(struct dv_role *role, const struct dv_error *error)
{
    enum dv_failure_reason reason = dv_failure_reason_from_status(error->status);

    dv_role_send(role, &(struct dv_message){.type = DV_MESSAGE_FAILURE,
                           .failure = {.reason = dv_failure_reason_name(reason),
                               .status = dv_status_name(error->status),
                               .text = error->text}});
}

/* --- Locking in ------------------------------------------------------------------------- */

/* What the parent allows, the role's own limit, or what the machine has; the least of them. */
static uint64_t choose_memory_max(const struct dv_role_impl *impl, const struct dv_message_job *job)
{
    uint64_t size = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);
    uint64_t own = impl->sandbox.data_size_max;
    uint64_t allowed = job->memory_max > 0 ? (uint64_t)job->memory_max : 0;

    size = own > 0 && own < size ? own : size;
    return allowed > 0 && allowed < size ? allowed : size;
}

static enum dv_status lock_in(const struct dv_role_impl *impl, const struct dv_message_job *job,
    struct dv_sandbox_report *ret_report, struct dv_error *reterr)
{
    const char *readable[READABLE_MAX + 1] = {0};
    const char *writable[3] = {0};
    struct dv_sandbox_options options = impl->sandbox;
    const char *const reads[] = {job->source, job->dataset_folder, job->model_folder};
    const char *const writes[] = {job->job_folder, job->cache_folder};
    size_t count = 0;

    for (size_t i = 0; i < DV_ARRAY_SIZE(reads); i++) {
        if (reads[i]) {
            readable[count++] = reads[i];
        }
    }
    for (const char *const *path = impl->sandbox.readable; path && *path; path++) {
        assert(count < READABLE_MAX);
        readable[count++] = *path;
    }
    count = 0;
    for (size_t i = 0; i < DV_ARRAY_SIZE(writes); i++) {
        if (writes[i]) {
            writable[count++] = writes[i];
        }
    }
    options.readable = readable;
    options.writable = writable;
    options.data_size_max = choose_memory_max(impl, job);
    dv_memory_fault_watch();
    return dv_sandbox_enter(&options, ret_report, reterr);
}

static void acknowledge(struct dv_role *role, const struct dv_sandbox_report *report)
{
    struct dv_json *notes = dv_json_array();

    for (size_t i = 0; i < report->note_count; i++) {
        dv_json_append(notes, dv_json_string(report->notes[i]));
    }
    dv_role_send(role, &(struct dv_message){.type = DV_MESSAGE_ACK, .ack = {.not_applied = notes}});
    dv_json_unref(notes);
}

/* --- The talk --------------------------------------------------------------------------- */

static enum dv_status take_job(struct dv_role *role, const struct dv_role_impl *impl,
    struct dv_message *ret_message, struct dv_error *reterr)
{
    dv_role_send(
        role, &(struct dv_message){.type = DV_MESSAGE_HELLO,
                  .hello = {.role = impl->name, .version = DV_VERSION, .pid = (int64_t)getpid()}});
    enum dv_status status = dv_message_receive(role->channel, JOB_TIMEOUT_MS, ret_message, reterr);
    if (status == DV_OK && ret_message->type != DV_MESSAGE_JOB) {
        dv_message_finish(ret_message);
        return dv_fail(reterr, DV_INVALID, "the first message is no job");
    }
    return status;
}

static enum dv_status work(struct dv_role *role, const struct dv_role_impl *impl,
    struct dv_json **ret_result, struct dv_error *reterr)
{
    struct dv_sandbox_report report;

    enum dv_status status = lock_in(impl, role->job, &report, reterr);
    if (status != DV_OK) {
        return status;
    }
    acknowledge(role, &report);
    return impl->run(role, ret_result, reterr);
}

static int play(struct dv_role *role, const struct dv_role_impl *impl)
{
    struct dv_message message = {0};
    struct dv_error error = {0};
    DV_CLEANUP(dv_json_unrefp) struct dv_json *result = NULL;

    enum dv_status status = take_job(role, impl, &message, &error);
    if (status == DV_OK) {
        role->job = &message.job;
        status = work(role, impl, &result, &error);
        role->job = NULL;
    }
    if (status == DV_OK) {
        dv_role_send(
            role, &(struct dv_message){.type = DV_MESSAGE_RESULT, .result = {.value = result}});
    } else {
        send_failure(role, &error);
    }
    dv_message_finish(&message);
    return status == DV_OK ? DV_EXIT_DONE : DV_EXIT_FAILED;
}

static bool has_parent(void)
{
    struct stat info;

    return fstat(DV_CHANNEL_FD, &info) == 0 && S_ISSOCK(info.st_mode);
}

int dv_role_play(const struct dv_role_impl *impl)
{
    assert(impl->run);

    if (!has_parent()) {
        (void)fprintf(stderr, "dv %s is started by dv itself\n", impl->name);
        return DV_EXIT_USAGE;
    }
    struct dv_role role = {.channel = dv_channel_create(DV_CHANNEL_FD)};
    int result = play(&role, impl);
    role.channel = dv_channel_destroy(role.channel);
    return result;
}
