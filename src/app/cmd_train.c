/* SPDX-License-Identifier: Apache-2.0 */

/*
 * `dv train`: collect a request from the options, check it before anything is uploaded, get the
 * data set, have the server run the job, say how it ended.
 */

#include "app/command.h"
#include "app/connection.h"
#include "app/dataset_source.h"
#include "app/job_follow.h"
#include "app/run_view.h"
#include "app/session.h"
#include "base/alloc.h"
#include "base/arena.h"
#include "base/json.h"
#include "base/text.h"
#include "spec/hyperparameters.h"
#include "spec/job_spec.h"
#include "spec/limits.h"
#include "spec/problem.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define PROBLEMS_MAX 20
#define ARENA_SIZE_MAX (64u << 20)
#define NO_DATASET_ID "00000000-0000-0000-0000-000000000000"

static const struct dv_command_help help = {
    .usage = "dv train DATASET-ID|FILE.zip|DIR [options]",
    .summary = "Train a model on a data set of pictures in class folders. Ends with the test\n"
               "accuracy and where the model is.",
};

struct request {
    struct dv_common_options common;
    struct dv_json *json;      /* as POST /api/jobs takes it */
    struct dv_json *overrides; /* its hyperparameters */
    bool is_resume;
    bool is_detached;
    bool is_refused; /* with problems, which were printed */
};

/* --- Options ---------------------------------------------------------------------------- */

static enum dv_status take_set(void *user, const char *text, struct dv_error *reterr)
{
    struct request *request = user;

    return dv_hyperparameters_set_text(request->overrides, text, reterr);
}

static enum dv_status set_named(
    struct request *request, const char *key, const char *text, struct dv_error *reterr)
{
    DV_CLEANUP(dv_freep) char *assignment = dv_strprintf("%s=%s", key, text);

    return dv_hyperparameters_set_text(request->overrides, assignment, reterr);
}

/* The short forms of --set, and the members of the request: one line each. */
#define TAKE_SET(name, key)                                                                        \
    static enum dv_status take_##name(void *user, const char *text, struct dv_error *reterr)       \
    {                                                                                              \
        return set_named(user, key, text, reterr);                                                 \
    }
#define TAKE_TEXT(name, key)                                                                       \
    static enum dv_status take_##name(void *user, const char *text, struct dv_error *reterr)       \
    {                                                                                              \
        (void)reterr;                                                                              \
        dv_json_set_string(((struct request *)user)->json, key, text);                             \
        return DV_OK;                                                                              \
    }
#define TAKE_INTEGER(name, key)                                                                    \
    static enum dv_status take_##name(void *user, const char *text, struct dv_error *reterr)       \
    {                                                                                              \
        int64_t value;                                                                             \
        enum dv_status status = dv_option_take_integer(&value, text, reterr);                      \
        if (status == DV_OK) {                                                                     \
            dv_json_set_integer(((struct request *)user)->json, key, value);                       \
        }                                                                                          \
        return status;                                                                             \
    }

TAKE_SET(learning_rate, "learning_rate")
TAKE_SET(batch_size, "batch_size")
TAKE_SET(epochs, "epochs")
TAKE_SET(optimizer, "optimizer")
TAKE_SET(dropout, "dropout")
TAKE_TEXT(name, "name")
TAKE_TEXT(strategy, "strategy")
TAKE_TEXT(device, "device")
TAKE_TEXT(base, "base_model_id")
TAKE_TEXT(replay, "replay_of")
TAKE_INTEGER(timeout, "timeout_seconds")
TAKE_INTEGER(seed, "seed")
TAKE_INTEGER(max_iterations, "max_iterations")
TAKE_INTEGER(max_restarts, "max_restarts")

#undef TAKE_SET
#undef TAKE_TEXT
#undef TAKE_INTEGER

static enum dv_status take_target(void *user, const char *text, struct dv_error *reterr)
{
    double value;

    enum dv_status status = dv_option_take_number(&value, text, reterr);
    if (status == DV_OK) {
        dv_json_set_number(((struct request *)user)->json, "target_accuracy", value);
    }
    return status;
}

/* A file, or the name of a preset, which `spec` knows. */
static enum dv_status take_arch(void *user, const char *text, struct dv_error *reterr)
{
    struct request *request = user;
    struct dv_json *architecture;

    if (!dv_path_exists(text)) {
        dv_json_set_string(request->json, "architecture", text);
        return DV_OK;
    }
    enum dv_status status = dv_json_read_file(text, DV_ARCH_FILE_SIZE_MAX, &architecture, reterr);
    if (status == DV_OK) {
        dv_json_set(request->json, "architecture", architecture);
    }
    return status;
}

#define OPTION(name_, value_, take_, help_)                                                        \
    {                                                                                              \
        .name = (name_), .value = (value_), .help = (help_), .take = (take_), .user = request      \
    }

static int parse(int argc, char **argv, struct request *request, struct dv_arguments *ret_arguments,
    bool *ret_is_over)
{
    const struct dv_option options[] = {
        OPTION("name", "N", take_name, "of the model"),
        OPTION("strategy", "S", take_strategy, "auto (default), native, search or llm"),
        OPTION("set", "key=value", take_set, "a hyperparameter; may be given often"),
        OPTION("arch", "FILE.json", take_arch,
            "an architecture file, or a preset: resnet20, small_cnn, ..."),
        OPTION("timeout", "S", take_timeout, "stop after so many seconds; 0: never"),
        OPTION("seed", "N", take_seed, "of everything random"),
        OPTION(
            "max-iterations", "N", take_max_iterations, "of strategies that try several networks"),
        OPTION("target-accuracy", "X", take_target, "stop once validation reaches it (0..1)"),
        OPTION("device", "D", take_device, "auto (default) or cpu"),
        OPTION("base", "MODEL-ID", take_base, "a model to start from"),
        OPTION("replay", "JOB-ID", take_replay, "try the candidates of that job's search again"),
        OPTION("max-restarts", "N", take_max_restarts, "of a worker that dies (default 3)"),
        {.name = "resume",
            .help = "go on with the job that has the same arguments",
            .flag = &request->is_resume},
        {.name = "detach",
            .help = "do not wait for the job; needs a server",
            .flag = &request->is_detached},
        OPTION("lr", "X", take_learning_rate, "short for --set learning_rate=X"),
        OPTION("batch-size", "N", take_batch_size, "short for --set batch_size=N"),
        OPTION("epochs", "N", take_epochs, "short for --set epochs=N"),
        OPTION("optimizer", "O", take_optimizer, "short for --set optimizer=O"),
        OPTION("dropout", "X", take_dropout, "short for --set dropout=X"),
        DV_CLIENT_OPTIONS(request->common),
        {0},
    };

    return dv_command_begin(&help, options, argc, argv, 1, 1, ret_arguments, ret_is_over);
}

#undef OPTION

/* --- The request ------------------------------------------------------------------------ */

static void print_problems(bool is_json, const struct dv_problems *problems)
{
    if (is_json) {
        struct dv_json *line = dv_json_object();
        dv_json_set_string(line, "type", "error");
        dv_json_set_string(line, "status", dv_status_name(DV_INVALID));
        dv_json_set_string(line, "message", problems->items[0].message);
        dv_json_set(line, "errors", dv_problems_to_json(problems));
        dv_print_json(line);
        return;
    }
    for (size_t i = 0; i < problems->count; i++) {
        const struct dv_problem *problem = &problems->items[i];
        /* A member of the request names itself in the message. */
        bool is_deep = problem->pointer[0] && strchr(problem->pointer + 1, '/');
        (void)fprintf(stderr, "dv: %s%s%s%s%s\n", is_deep ? problem->pointer : "",
            is_deep ? ": " : "", problem->message, problem->fix && problem->fix[0] ? " Fix: " : "",
            problem->fix ? problem->fix : "");
    }
}

/* The strategies of the server, as dv_job_spec_parse() takes them; the names are borrowed. */
static const char **list_strategies(const struct dv_json *strategies)
{
    const struct dv_json *items = dv_json_get(strategies, "items");
    size_t count = dv_json_count(items);
    const char **names = dv_alloc((count + 1) * sizeof(*names));

    for (size_t i = 0; i < count; i++) {
        names[i] = dv_json_get_string(dv_json_at(items, i), "name", "");
    }
    return names;
}

/* Has the server a language model to ask? */
static bool has_llm(const struct dv_json *strategies)
{
    const struct dv_json *items = dv_json_get(strategies, "items");
    bool result = false;

    for (size_t i = 0; i < dv_json_count(items); i++) {
        const struct dv_json *item = dv_json_at(items, i);
        result = result || (dv_text_equal(dv_json_get_string(item, "name", ""), "llm") &&
                               dv_json_get_bool(item, "can_run", false));
    }
    return result;
}

/* Check the request for this data set; problems are said here. */
static enum dv_status check(struct dv_session *session, struct request *request,
    const char *dataset_id, struct dv_arena *arena, struct dv_job_spec **ret_spec,
    struct dv_error *reterr)
{
    DV_CLEANUP(dv_json_unrefp) struct dv_json *strategies = NULL;
    struct dv_problems problems;

    enum dv_status status =
        dv_session_call(session, "GET", "/api/strategies", NULL, &strategies, reterr);
    if (status != DV_OK) {
        return status;
    }
    DV_CLEANUP(dv_freep) const char **names = list_strategies(strategies);
    const struct dv_capabilities capabilities = {
        .strategies = names, .has_llm = has_llm(strategies)};
    dv_json_set_string(request->json, "dataset_id", dataset_id);
    dv_problems_init(&problems, arena, PROBLEMS_MAX);
    status = dv_job_spec_parse(request->json, &capabilities, arena, &problems, ret_spec, reterr);
    if (status != DV_OK && problems.count > 0) {
        print_problems(request->common.is_json, &problems);
        request->is_refused = true;
    }
    return status;
}

/* --- Result ----------------------------------------------------------------------------- */

/* The result of a job that is completed, with the names of what belongs to it. */
static struct dv_json *make_result(const struct dv_json *job)
{
    static const char *const copied[] = {"model_id", "dataset_id", "restarts"};
    const struct dv_json *value = dv_json_get(job, "result");
    struct dv_json *result = value ? dv_json_copy(value) : dv_json_object();

    dv_json_set_string(result, "type", "result");
    dv_json_set(result, "job_id", dv_json_ref(dv_json_get(job, "id")));
    for (size_t i = 0; i < DV_ARRAY_SIZE(copied); i++) {
        dv_json_set(result, copied[i], dv_json_ref(dv_json_get(job, copied[i])));
    }
    return result;
}

static void print_result(const struct dv_session *session, const struct dv_json *job)
{
    DV_CLEANUP(dv_json_unrefp) struct dv_json *result = make_result(job);
    double accuracy = dv_json_get_number(result, "accuracy", (double)NAN);

    if (session->is_json) {
        dv_print_json(dv_json_ref(result));
        return;
    }
    /* Where there is no test split, the validation split's figures stand for the model. */
    const char *split = dv_json_get_string(dv_json_get(result, "metrics"), "split", NULL);
    bool is_test = dv_text_equal(split, "test");
    if (isfinite(accuracy)) {
        dv_print_line("%s accuracy %.2f %%%s", is_test ? "test" : "validation", 100 * accuracy,
            is_test ? "" : ": the data set has no test split");
    } else {
        dv_print_line("accuracy unknown: the data set has no test split");
    }
    dv_run_view_print_search(job); /* the candidates were shown as they came */
    dv_print_line("model %s", dv_json_get_string(result, "model_id", ""));
    dv_print_line("%s", dv_json_get_string(result, "model_path", ""));
}

/* --- The job ---------------------------------------------------------------------------- */

static enum dv_status create_job(struct dv_session *session, struct request *request,
    struct dv_json **ret_row, struct dv_error *reterr)
{
    enum dv_status status =
        dv_session_call(session, "POST", "/api/jobs", request->json, ret_row, reterr);

    if (status == DV_INVALID) {
        (void)dv_command_fail(request->common.is_json, reterr);
        request->is_refused = true;
    }
    return status;
}

static bool is_same(const struct dv_json *a, const struct dv_json *b)
{
    DV_CLEANUP(dv_freep) char *text_a = dv_json_print_canonical(a);
    DV_CLEANUP(dv_freep) char *text_b = dv_json_print_canonical(b);

    return dv_text_equal(text_a, text_b);
}

/* The newest job with exactly this spec. DV_NOT_FOUND: there is none. */
static enum dv_status find_job(struct dv_session *session, const struct dv_job_spec *spec,
    struct dv_json **ret_row, struct dv_error *reterr)
{
    DV_CLEANUP(dv_json_unrefp) struct dv_json *wanted = dv_job_spec_to_json(spec);
    DV_CLEANUP(dv_json_unrefp) struct dv_json *rows = NULL;
    DV_CLEANUP(dv_freep)
    char *path = dv_strprintf("/api/jobs?dataset_id=%s", spec->dataset_id);

    enum dv_status status = dv_session_list(session, path, &rows, reterr);
    if (status != DV_OK) {
        return status;
    }
    for (size_t i = 0; i < dv_json_count(rows); i++) {
        struct dv_json *row = dv_json_at(rows, i);
        if (is_same(dv_json_get(row, "spec"), wanted)) {
            *ret_row = dv_json_ref(row);
            return DV_OK;
        }
    }
    return dv_fail(reterr, DV_NOT_FOUND, "no job with these arguments is there yet");
}

/* Have the job go on, whatever stopped it; `*row` becomes what it is then. */
static enum dv_status go_on(
    struct dv_session *session, struct dv_json **row, struct dv_error *reterr)
{
    const char *state = dv_json_get_string(*row, "status", "");
    struct dv_json *resumed = NULL;

    if (dv_text_equal(state, "completed")) {
        return DV_OK;
    }
    if (!dv_text_equal(state, "cancelled") && !dv_text_equal(state, "failed")) {
        return dv_connection_include(
            session->connection, dv_json_get_string(*row, "queued_at", ""), reterr);
    }
    DV_CLEANUP(dv_freep)
    char *path = dv_strprintf("/api/jobs/%s/resume", dv_json_get_string(*row, "id", ""));
    enum dv_status status = dv_session_call(session, "POST", path, NULL, &resumed, reterr);
    if (status == DV_OK) {
        dv_json_unref(*row);
        *row = resumed;
    }
    return status;
}

/* The one to go on with, or a new one: the command before may have been killed too early. */
static enum dv_status get_job(struct dv_session *session, struct request *request,
    const struct dv_job_spec *spec, struct dv_json **ret_row, struct dv_error *reterr)
{
    if (request->is_resume) {
        enum dv_status status = find_job(session, spec, ret_row, reterr);
        if (status != DV_NOT_FOUND) {
            return status == DV_OK ? go_on(session, ret_row, reterr) : status;
        }
        dv_session_say(
            session, "info", "no job with these arguments is there yet: a new one begins");
    }
    return create_job(session, request, ret_row, reterr);
}

static void print_detached(const struct dv_session *session, const struct dv_json *job)
{
    if (session->is_json) {
        struct dv_json *line = dv_json_copy(job);
        dv_json_set_string(line, "type", "job");
        dv_print_json(line);
    } else {
        dv_print_line("job %s", dv_json_get_string(job, "id", ""));
    }
}

static enum dv_status run_job(struct dv_session *session, struct request *request,
    const struct dv_job_spec *spec, char **ret_reason, struct dv_error *reterr)
{
    DV_CLEANUP(dv_json_unrefp) struct dv_json *job = NULL;

    enum dv_status status = get_job(session, request, spec, &job, reterr);
    if (status != DV_OK) {
        return status;
    }
    if (request->is_detached) {
        print_detached(session, job);
        return DV_OK;
    }
    status = dv_job_follow(session, &job, reterr);
    if (status == DV_CANCELLED) {
        status =
            dv_fail(reterr, status, "stopped; the same command with --resume goes on from here");
    }
    if (status != DV_OK) {
        return status;
    }
    if (dv_text_equal(dv_json_get_string(job, "status", ""), "completed")) {
        print_result(session, job);
        return DV_OK;
    }
    *ret_reason = dv_strdup(dv_json_get_string(job, "failure_reason", "error"));
    return dv_job_failure(job, reterr);
}

/* --- From the beginning ----------------------------------------------------------------- */

static enum dv_status train(struct dv_session *session, struct request *request, const char *source,
    char **ret_reason, struct dv_error *reterr)
{
    DV_CLEANUP(dv_arena_destroyp) struct dv_arena *arena = dv_arena_create(ARENA_SIZE_MAX);
    DV_CLEANUP(dv_json_unrefp) struct dv_json *dataset = NULL;
    struct dv_job_spec *spec;

    enum dv_status status = check(session, request, NO_DATASET_ID, arena, &spec, reterr);
    if (status == DV_OK) {
        status = dv_dataset_resolve(session, source, &dataset, reterr);
    }
    if (status != DV_OK) {
        return status;
    }
    if (!session->is_json) {
        dv_dataset_print(dataset);
    }
    status = check(session, request, dv_json_get_string(dataset, "id", ""), arena, &spec, reterr);
    return status == DV_OK ? run_job(session, request, spec, ret_reason, reterr) : status;
}

/* A job that nobody waits for needs a server that stays. */
static enum dv_status check_detached(
    struct dv_session *session, struct request *request, struct dv_error *reterr)
{
    enum dv_status status = dv_session_connect(session, reterr);

    if (status == DV_OK && request->is_detached && dv_connection_is_own(session->connection)) {
        status = dv_fail(reterr, DV_INVALID, "--detach needs a server, and there is none");
        (void)dv_command_fail(request->common.is_json, reterr);
        request->is_refused = true;
    }
    return status;
}

static int run(struct request *request, const char *source)
{
    DV_CLEANUP(dv_freep) char *reason = NULL;
    struct dv_session session;
    struct dv_error error = {0};

    enum dv_status status = dv_session_open(&request->common, &session, &error);
    if (status != DV_OK) {
        return dv_command_fail(request->common.is_json, &error);
    }
    dv_session_print_events(&session);
    status = check_detached(&session, request, &error);
    if (status == DV_OK) {
        status = train(&session, request, source, &reason, &error);
    }
    dv_session_close(&session);
    if (status == DV_OK) {
        return DV_EXIT_DONE;
    }
    if (request->is_refused) {
        return DV_EXIT_USAGE;
    }
    /* `error` says no more than the message does */
    bool is_typed = reason && !dv_text_equal(reason, "error");
    return dv_command_fail_reason(request->common.is_json, &error, is_typed ? reason : NULL);
}

int dv_cmd_train(int argc, char **argv)
{
    struct request request = {.common = dv_common_options_default(),
        .json = dv_json_object(),
        .overrides = dv_json_object()};
    struct dv_arguments arguments;
    bool is_over;

    int result = parse(argc, argv, &request, &arguments, &is_over);
    if (!is_over) {
        if (dv_json_count(request.overrides) > 0) {
            dv_json_set(request.json, "hyperparameters", dv_json_ref(request.overrides));
        }
        result = run(&request, arguments.items[0]);
        dv_free(arguments.items);
    }
    dv_json_unref(request.json);
    dv_json_unref(request.overrides);
    return result;
}
