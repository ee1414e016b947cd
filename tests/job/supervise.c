/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A server without its HTTP, for tests/job/test_supervisor.py: store and supervisor over a data
 * folder, and a second thread that does what a handler would, as one JSON object a line says on
 * standard input, and answers in one. Ends well on SIGTERM, or when its input ends.
 *
 * Usage: supervise DATA URL PROGRAM [NAME=VALUE]...
 */

#include "base/alloc.h"
#include "base/clock.h"
#include "base/hash.h"
#include "base/json.h"
#include "base/log.h"
#include "base/text.h"
#include "job/supervisor.h"
#include "llm/settings.h"
#include "store/datasets.h"
#include "store/exchanges.h"
#include "store/jobs.h"
#include "store/logs.h"
#include "store/models.h"
#include "store/runs.h"
#include "store/tokens.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

static struct dv_store *store;
static struct dv_supervisor *supervisor;
static int stop_fd;

static const char *text_of(const struct dv_json *ask, const char *key)
{
    return dv_json_get_string(ask, key, "");
}

/* --- What can be asked ------------------------------------------------------------------ */

static enum dv_status make_dataset(
    const struct dv_json *ask, struct dv_json **ret_value, struct dv_error *reterr)
{
    const struct dv_dataset_fields fields = {
        .name = text_of(ask, "name"), .domain = "vision", .task = "classification"};

    return dv_datasets_create(store, text_of(ask, "id"), &fields, "processing", ret_value, reterr);
}

static enum dv_status get_dataset(
    const struct dv_json *ask, struct dv_json **ret_value, struct dv_error *reterr)
{
    return dv_datasets_get(store, text_of(ask, "id"), ret_value, reterr);
}

static enum dv_status delete_dataset(
    const struct dv_json *ask, struct dv_json **ret_value, struct dv_error *reterr)
{
    (void)ret_value;
    return dv_datasets_delete(store, text_of(ask, "id"), reterr);
}

static enum dv_status make_job(
    const struct dv_json *ask, struct dv_json **ret_value, struct dv_error *reterr)
{
    const struct dv_job_row row = {.id = text_of(ask, "id"),
        .kind = "train",
        .dataset_id = text_of(ask, "dataset_id"),
        .model_id = text_of(ask, "model_id"),
        .model_name = "a model",
        .strategy = dv_json_get_string(ask, "strategy", "native"),
        .task = "classification",
        .device = "cpu",
        .spec = dv_json_get(ask, "spec"),
        .priority = dv_json_get_integer(ask, "priority", 0),
        .timeout_seconds = dv_json_get_integer(ask, "timeout_seconds", 0),
        .max_restarts = dv_json_get_integer(ask, "max_restarts", 3),
        .thread_count = dv_json_get_integer(ask, "thread_count", 0)};

    return dv_jobs_create(store, &row, ret_value, reterr);
}

static enum dv_status get_job(
    const struct dv_json *ask, struct dv_json **ret_value, struct dv_error *reterr)
{
    return dv_jobs_get(store, text_of(ask, "id"), ret_value, reterr);
}

static enum dv_status list_jobs(
    const struct dv_json *ask, struct dv_json **ret_value, struct dv_error *reterr)
{
    const struct dv_job_filter filter = {.status = dv_json_get_string(ask, "status", NULL)};
    const struct dv_page page = {.limit = 500};

    return dv_jobs_list(store, &filter, &page, ret_value, reterr);
}

static enum dv_status cancel_job(
    const struct dv_json *ask, struct dv_json **ret_value, struct dv_error *reterr)
{
    return dv_jobs_request_cancel(store, text_of(ask, "id"), ret_value, reterr);
}

static enum dv_status resume_job(
    const struct dv_json *ask, struct dv_json **ret_value, struct dv_error *reterr)
{
    return dv_jobs_resume(store, text_of(ask, "id"), ret_value, reterr);
}

static enum dv_status get_model(
    const struct dv_json *ask, struct dv_json **ret_value, struct dv_error *reterr)
{
    return dv_models_get(store, text_of(ask, "id"), ret_value, reterr);
}

static enum dv_status delete_model(
    const struct dv_json *ask, struct dv_json **ret_value, struct dv_error *reterr)
{
    (void)ret_value;
    return dv_models_delete(store, text_of(ask, "id"), reterr);
}

static enum dv_status list_logs(
    const struct dv_json *ask, struct dv_json **ret_value, struct dv_error *reterr)
{
    const struct dv_log_filter filter = {.search = dv_json_get_string(ask, "search", NULL)};
    const struct dv_page page = {.limit = 500};

    return dv_logs_list(store, text_of(ask, "id"), &filter, &page, ret_value, reterr);
}

static enum dv_status list_runs(
    const struct dv_json *ask, struct dv_json **ret_value, struct dv_error *reterr)
{
    const struct dv_page page = {.limit = 500};

    return dv_runs_list(store, text_of(ask, "id"), &page, ret_value, reterr);
}

static enum dv_status list_exchanges(
    const struct dv_json *ask, struct dv_json **ret_value, struct dv_error *reterr)
{
    const struct dv_page page = {.limit = 500};

    return dv_exchanges_list(store, text_of(ask, "id"), &page, ret_value, reterr);
}

static enum dv_status list_events(
    const struct dv_json *ask, struct dv_json **ret_value, struct dv_error *reterr)
{
    const struct dv_event_filter filter = {.subject_id = dv_json_get_string(ask, "id", NULL),
        .type = dv_json_get_string(ask, "type", NULL)};
    int64_t last;

    return dv_events_after(
        store, &filter, dv_json_get_integer(ask, "after", 0), 100000, ret_value, &last, reterr);
}

static enum dv_status list_trash(
    const struct dv_json *ask, struct dv_json **ret_value, struct dv_error *reterr)
{
    (void)ask;
    return dv_trash_list(store, ret_value, reterr);
}

static enum dv_status tell_usage(
    const struct dv_json *ask, struct dv_json **ret_value, struct dv_error *reterr)
{
    (void)ask;
    (void)reterr;
    *ret_value = dv_supervisor_usage(supervisor);
    return DV_OK;
}

static struct dv_json *answer(const struct dv_json *ask)
{
    static const struct {
        const char *name;
        enum dv_status (*call)(
            const struct dv_json *ask, struct dv_json **ret_value, struct dv_error *reterr);
    } calls[] = {{"make_dataset", make_dataset}, {"get_dataset", get_dataset},
        {"delete_dataset", delete_dataset}, {"make_job", make_job}, {"get_job", get_job},
        {"list_jobs", list_jobs}, {"cancel_job", cancel_job}, {"resume_job", resume_job},
        {"get_model", get_model}, {"delete_model", delete_model}, {"list_logs", list_logs},
        {"list_events", list_events}, {"list_runs", list_runs},
        {"list_exchanges", list_exchanges}, {"list_trash", list_trash}, {"usage", tell_usage}};
    struct dv_json *reply = dv_json_object();
    struct dv_json *value = NULL;
    struct dv_error error = {0};
    enum dv_status status = DV_UNSUPPORTED;

    for (size_t i = 0; i < DV_ARRAY_SIZE(calls); i++) {
        if (dv_text_equal(calls[i].name, text_of(ask, "call"))) {
            status = calls[i].call(ask, &value, &error);
        }
    }
    dv_json_set_string(reply, "status", dv_status_name(status));
    dv_json_set_string(reply, "text", error.text);
    dv_json_set(reply, "value", value ? value : dv_json_null());
    return reply;
}

/* --- The two threads -------------------------------------------------------------------- */

static void ask_to_stop(int number)
{
    const uint64_t one = 1;
    ssize_t written = write(stop_fd, &one, sizeof(one));

    (void)number;
    (void)written;
}

static void *serve(void *user)
{
    char *line = NULL;
    size_t capacity = 0;
    ssize_t size;

    (void)user;
    while ((size = getline(&line, &capacity, stdin)) > 0) {
        DV_CLEANUP(dv_json_unrefp) struct dv_json *ask = NULL;
        if (dv_json_parse(line, (size_t)size, &ask, NULL) != DV_OK) {
            break;
        }
        DV_CLEANUP(dv_json_unrefp) struct dv_json *reply = answer(ask);
        DV_CLEANUP(dv_freep) char *text = dv_json_print(reply);
        dv_supervisor_wake(supervisor);
        (void)puts(text);
        (void)fflush(stdout);
    }
    ask_to_stop(0);
    return NULL;
}

static bool take_option(struct dv_supervisor_options *options, const char *text)
{
    static const char *const names[] = {
        "running_jobs_max=", "new_only=", "thread_count=", "memory_max=", "silence_seconds="};
    static char now[DV_TIME_TEXT_SIZE];
    int64_t value;

    for (size_t i = 0; i < DV_ARRAY_SIZE(names); i++) {
        if (!dv_text_has_prefix(text, names[i]) ||
            !dv_text_to_int64(text + strlen(names[i]), &value)) {
            continue;
        }
        options->running_jobs_max = i == 0 ? (uint32_t)value : options->running_jobs_max;
        if (i == 1 && value != 0) {
            dv_clock_now_text(now);
            options->jobs_since = now;
        }
        options->thread_count = i == 2 ? value : options->thread_count;
        options->memory_max = i == 3 ? value : options->memory_max;
        options->silence_seconds = i == 4 ? (uint32_t)value : options->silence_seconds;
        return true;
    }
    return false;
}

/* As `dv serve` does; it lives as long as the process. */
static enum dv_status take_llm(struct dv_supervisor_options *options, struct dv_error *reterr)
{
    struct dv_llm_settings settings;

    enum dv_status status = dv_llm_settings_take(&settings, reterr);
    if (status == DV_OK) {
        options->llm_settings = dv_llm_settings_to_json(&settings);
        options->llm_key_fd = settings.key_fd;
    }
    return status == DV_NOT_FOUND ? DV_OK : status;
}

static int run(const char *url, const struct dv_supervisor_options *wanted)
{
    struct dv_supervisor_options options = *wanted;
    struct dv_error error = {0};
    char instance[DV_UUID_TEXT_SIZE];
    pthread_t thread;

    dv_uuid_make(instance);
    enum dv_status status = take_llm(&options, &error);
    if (status == DV_OK) {
        status = dv_store_open(url, instance, &store, &error);
    }
    options.store = store;
    if (status == DV_OK) {
        status = dv_supervisor_create(&options, &supervisor, &error);
    }
    if (status == DV_OK && pthread_create(&thread, NULL, serve, NULL) == 0) {
        (void)puts("{\"status\": \"READY\"}");
        (void)fflush(stdout);
        status = dv_supervisor_run(supervisor, stop_fd, &error);
    }
    if (status != DV_OK) {
        (void)fprintf(stderr, "supervise: %s\n", error.text);
    }
    /* The other thread may be in the middle of something: the process ends with it. */
    supervisor = status == DV_OK ? supervisor : dv_supervisor_destroy(supervisor);
    return status == DV_OK ? 0 : 1;
}

int main(int argc, char **argv)
{
    struct sigaction action = {.sa_handler = ask_to_stop};

    if (argc < 4) {
        (void)fputs("usage: supervise DATA URL PROGRAM [NAME=VALUE]...\n", stderr);
        return 2;
    }
    struct dv_supervisor_options options = {.data_folder = argv[1], .program = argv[3]};
    for (int i = 4; i < argc; i++) {
        if (!take_option(&options, argv[i])) {
            (void)fprintf(stderr, "supervise: what is %s?\n", argv[i]);
            return 2;
        }
    }
    stop_fd = eventfd(0, EFD_CLOEXEC);
    (void)sigaction(SIGTERM, &action, NULL);
    dv_log_set_level(DV_LOG_INFO);
    return run(argv[2], &options);
}
