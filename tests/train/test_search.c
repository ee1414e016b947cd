/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whole searches on a small set of drawn shapes: what they report, that killing them changes
 * nothing, that a replay gives the same weights, and what becomes of candidates that fail.
 *
 * Every training runs in a child: it is to be killed, and a process that has used OpenMP's
 * threads cannot be forked.
 */
#include "base/alloc.h"
#include "base/arena.h"
#include "base/fault.h"
#include "base/file.h"
#include "base/json.h"
#include "base/random.h"
#include "base/text.h"
#include "data/ingest.h"
#include "data/sample_shapes.h"
#include "train/search/search_journal.h"
#include "train/worker.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static char root[] = "/tmp/dv-search-XXXXXX";
static char dataset[DV_PATH_SIZE];
static char plans[DV_PATH_SIZE]; /* shared: kernels that are chosen anew could be others */
static unsigned folder_number;

static enum dv_status ingest_shapes(struct dv_error *reterr)
{
    struct dv_sample_shapes_options shapes = {.class_count = 2, .picture_count = 160, .seed = 1};
    struct dv_ingest_options ingest = {.folder = dataset, .id = "d", .name = "shapes", .seed = 1};
    DV_CLEANUP(dv_arena_destroyp) struct dv_arena *arena = dv_arena_create(0);
    struct dv_dataset_summary summary;
    char zip[DV_PATH_SIZE];

    enum dv_status status = dv_path_format(zip, reterr, "%s/shapes.zip", root);
    if (status == DV_OK) {
        status = dv_sample_shapes_write(zip, &shapes, reterr);
    }
    if (status == DV_OK) {
        status = dv_folder_make(dataset, reterr);
    }
    ingest.source_path = zip;
    return status == DV_OK ? dv_ingest_run(&ingest, arena, &summary, reterr) : status;
}

static int make_dataset(void **state)
{
    struct dv_error error = {0};

    (void)state;
    if (!mkdtemp(root) || dv_path_format(dataset, NULL, "%s/dataset", root) != DV_OK ||
        dv_path_format(plans, NULL, "%s/plans", root) != DV_OK) {
        return -1;
    }
    if (ingest_shapes(&error) != DV_OK) {
        print_error("%s\n", error.text);
        return -1;
    }
    return 0;
}

static int remove_all(void **state)
{
    (void)state;
    return dv_folder_remove(root, NULL) == DV_OK ? 0 : -1;
}

/* --- A search in a child ------------------------------------------------------------------ */

struct search {
    char folder[DV_PATH_SIZE]; /* of the job; "result.json" and "said.jsonl" are the test's own */
    struct dv_json *job;
    const char *previous_failure;
    int64_t attempt;
    uint64_t stop_after; /* questions whether to stop; 0: never */
    uint32_t stop_in;    /* they count from this candidate on */
    bool dies;           /* by SIGKILL, where it would stop */
    bool is_salvage;
    const char *fault; /* a point that fails at its call of this number; NULL: none */
    unsigned fault_at;
    /* In the child. */
    uint64_t asked;
    uint32_t now;
    struct dv_json *said;
};

static const char job_text[] =
    "{\"dataset_id\": \"00000000-0000-4000-8000-000000000000\", \"seed\": 5, "
    "\"strategy\": \"search\", \"max_iterations\": 5, \"architecture\": "
    "{\"name\": \"toy\", \"layers\": ["
    "{\"name\": \"stem\", \"op\": \"conv\", \"out\": 8, \"stride\": 2},"
    "{\"name\": \"s1\", \"op\": \"residual\", \"out\": 16, \"stride\": 2},"
    "{\"name\": \"gap\", \"op\": \"global_pool\", \"pool\": \"avg\"},"
    "{\"name\": \"drop\", \"op\": \"dropout\", \"drop\": 0.1},"
    "{\"name\": \"head\", \"op\": \"linear\"}]},"
    "\"hyperparameters\": {\"epochs\": 4, \"image_size\": 16, \"ema\": 0.9}}";

static void make_search(struct search *search)
{
    *search = (struct search){0};
    assert_int_equal(
        dv_path_format(search->folder, NULL, "%s/job%u", root, folder_number++), DV_OK);
    assert_int_equal(dv_folder_make(search->folder, NULL), DV_OK);
    assert_int_equal(dv_json_parse(job_text, strlen(job_text), &search->job, NULL), DV_OK);
}

static void on_run(void *user, const struct dv_json *run)
{
    struct search *search = user;

    search->now = (uint32_t)dv_json_get_integer(run, "iteration", 0);
    dv_json_append(search->said, dv_json_copy(run));
}

static bool is_cancelled(void *user)
{
    struct search *search = user;

    search->asked += search->now >= search->stop_in;
    bool must_end = search->stop_after > 0 && search->asked > search->stop_after;
    if (must_end && search->dies) {
        (void)raise(SIGKILL);
    }
    return must_end;
}

static void write_json(const char *folder, const char *name, const struct dv_json *json)
{
    DV_CLEANUP(dv_freep) char *text = dv_json_print(json);
    char path[DV_PATH_SIZE];

    if (dv_path_format(path, NULL, "%s/%s", folder, name) != DV_OK ||
        dv_file_write(path, text, strlen(text), NULL) != DV_OK) {
        _exit(100);
    }
}

/* The child's exit status is the search's, its words are in files. */
static void run_in_child(struct search *search)
{
    struct dv_json *result = NULL;
    struct dv_error error = {0};
    char model[DV_PATH_SIZE];

    search->said = dv_json_array();
    if (dv_path_format(model, NULL, "%s/%s", search->folder,
            search->is_salvage ? "partial" : "model") != DV_OK) {
        _exit(100);
    }
    struct dv_train_options options = {.job = search->job,
        .dataset_folder = dataset,
        .job_folder = search->folder,
        .model_folder = model,
        .plan_cache_folder = plans,
        .thread_count = 1,
        .previous_failure = search->previous_failure,
        .attempt = search->attempt,
        .callbacks = {.user = search, .run = on_run, .is_cancelled = is_cancelled}};
    if (search->fault) {
        dv_fault_arm(search->fault, search->fault_at);
    }
    enum dv_status status = search->is_salvage ? dv_train_salvage(&options, &result, &error)
                                               : dv_train_run(&options, &result, &error);
    (void)dv_fault_disarm();
    if (status != DV_OK) {
        result = dv_json_object();
        dv_json_set_string(result, "error", error.text);
    }
    write_json(search->folder, "result.json", result);
    write_json(search->folder, "said.json", search->said);
    _exit((int)status);
}

static pid_t start(struct search *search)
{
    pid_t pid = fork();

    assert_true(pid >= 0);
    if (pid == 0) {
        run_in_child(search);
    }
    return pid;
}

static enum dv_status go(struct search *search)
{
    int how = 0;
    pid_t pid = start(search);

    assert_int_equal(waitpid(pid, &how, 0), pid);
    assert_true(WIFEXITED(how));
    return (enum dv_status)WEXITSTATUS(how);
}

static struct dv_json *read_json(const struct search *search, const char *name)
{
    struct dv_json *json = NULL;
    char path[DV_PATH_SIZE];

    assert_int_equal(dv_path_format(path, NULL, "%s/%s", search->folder, name), DV_OK);
    assert_int_equal(dv_json_read_file(path, 64u << 20, &json, NULL), DV_OK);
    return json;
}

static struct dv_json *go_whole(struct search *search)
{
    search->stop_after = 0;
    enum dv_status status = go(search);
    struct dv_json *result = read_json(search, "result.json");
    if (status != DV_OK) {
        fail_msg("%s", dv_json_get_string(result, "error", ""));
    }
    return result;
}

static void finish(struct search *search, struct dv_json *result)
{
    dv_json_unref(search->job);
    dv_json_unref(result);
}

static void assert_same_weights(const struct search *a, const struct search *b)
{
    const struct search *both[] = {a, b};
    char *data[2];
    size_t size[2];

    for (int i = 0; i < 2; i++) {
        char path[DV_PATH_SIZE];
        assert_int_equal(
            dv_path_format(path, NULL, "%s/model/weights.safetensors", both[i]->folder), DV_OK);
        assert_int_equal(dv_file_read(path, 64u << 20, &data[i], &size[i], NULL), DV_OK);
    }
    assert_int_equal(size[0], size[1]);
    assert_memory_equal(data[0], data[1], size[0]);
    dv_free(data[0]);
    dv_free(data[1]);
}

static struct dv_json *read_journal(const struct search *search)
{
    struct dv_json *entries = NULL;
    char path[DV_PATH_SIZE];

    assert_int_equal(dv_path_format(path, NULL, "%s/search.jsonl", search->folder), DV_OK);
    assert_int_equal(dv_search_journal_read(path, &entries, NULL), DV_OK);
    return entries;
}

/* The entry of a kind about a candidate (0: any), or NULL; borrowed. */
static const struct dv_json *find_entry(
    const struct dv_json *entries, const char *event, int64_t iteration)
{
    for (size_t i = 0; i < dv_json_count(entries); i++) {
        const struct dv_json *entry = dv_json_at(entries, i);
        if (dv_text_equal(dv_json_get_string(entry, "event", ""), event) &&
            (iteration == 0 || dv_json_get_integer(entry, "iteration", 0) == iteration)) {
            return entry;
        }
    }
    return NULL;
}

static const struct dv_json *iteration_of(const struct dv_json *result, size_t iteration)
{
    return dv_json_at(dv_json_get(result, "iterations"), iteration - 1);
}

static bool has_candidate_folder(const struct search *search, int64_t iteration)
{
    char path[DV_PATH_SIZE];

    assert_int_equal(
        dv_path_format(path, NULL, "%s/candidates/%lld/best", search->folder, (long long)iteration),
        DV_OK);
    return dv_path_exists(path);
}

/* --- What a search is --------------------------------------------------------------------- */

static void check_iterations(const struct search *search, const struct dv_json *result)
{
    static const char *const figures[] = {
        "accuracy", "loss", "best_accuracy", "parameters", "flops"};
    unsigned folders = 0;

    for (size_t i = 1; i <= 5; i++) {
        const struct dv_json *run = iteration_of(result, i);
        const struct dv_json *metrics = dv_json_get(run, "metrics");
        assert_int_equal(dv_json_get_integer(run, "iteration", 0), i);
        assert_string_equal(dv_json_get_string(run, "status", ""), "completed");
        for (size_t f = 0; f < DV_ARRAY_SIZE(figures); f++) {
            assert_true(isfinite(dv_json_get_number(run, figures[f], NAN)));
        }
        assert_true(dv_json_get_number(dv_json_get(metrics, "inference"), "latency_ms", 0.0) > 0.0);
        assert_true(dv_json_get_number(dv_json_get(metrics, "usage"), "cpu_seconds", 0.0) > 0.0);
        assert_true(
            dv_json_get_integer(dv_json_get(metrics, "training"), "memory_planned_bytes", 0) > 0);
        folders += has_candidate_folder(search, (int64_t)i);
    }
    assert_string_equal(dv_json_get_string(iteration_of(result, 1), "operator", ""), "default");
    assert_string_equal(dv_json_get_string(iteration_of(result, 5), "operator", ""), "retrain");
    assert_in_range(folders, 1, 2);
    assert_true(has_candidate_folder(search, dv_json_get_integer(result, "best_iteration", 0)));
}

/* Each is said to run, and to have ended with what the result has; nothing else is said. */
static void check_said(const struct search *search, const struct dv_json *result)
{
    struct dv_json *said = read_json(search, "said.json");

    assert_int_equal(dv_json_count(said), 10);
    for (size_t i = 0; i < 10; i++) {
        const struct dv_json *run = dv_json_at(said, i);
        bool has_ended = i % 2 == 1;
        assert_int_equal(dv_json_get_integer(run, "iteration", 0), i / 2 + 1);
        assert_string_equal(
            dv_json_get_string(run, "status", ""), has_ended ? "completed" : "running");
        assert_int_equal(dv_json_get(run, "metrics") != NULL, has_ended);
        if (has_ended) {
            assert_true(dv_json_get_number(run, "accuracy", -1.0) ==
                        dv_json_get_number(iteration_of(result, i / 2 + 1), "accuracy", -2.0));
        }
    }
    dv_json_unref(said);
}

static void a_search_tries_the_default_then_others_then_the_best_again(void **state)
{
    struct search search;

    (void)state;
    make_search(&search);
    struct dv_json *result = go_whole(&search);
    int64_t best = dv_json_get_integer(result, "best_iteration", 0);
    const struct dv_json *proposals = dv_json_get(result, "proposals");

    assert_int_equal(dv_json_count(dv_json_get(result, "iterations")), 5);
    assert_string_equal(dv_json_get_string(result, "strategy", ""), "search");
    assert_string_equal(dv_json_get_string(result, "ended", ""), "done");
    assert_int_equal(best, 5);
    assert_true(dv_json_get_number(iteration_of(result, (size_t)best), "accuracy", -1.0) ==
                dv_json_get_number(result, "accuracy", -2.0));
    assert_int_equal(dv_json_get_integer(proposals, "asked", 0), 3);
    assert_int_equal(dv_json_get_integer(proposals, "valid_first", 0), 3);
    assert_non_null(dv_json_get(dv_json_get(result, "metrics"), "iterations"));
    check_iterations(&search, result);
    check_said(&search, result);
    finish(&search, result);
}

static void what_was_set_by_hand_holds_for_all_candidates(void **state)
{
    struct search search;

    (void)state;
    make_search(&search);
    struct dv_json *values = dv_json_get(search.job, "hyperparameters");
    dv_json_set_number(values, "learning_rate", 0.0123);
    dv_json_set_number(values, "dropout", 0.35);
    dv_json_set_string(values, "optimizer", "rmsprop");
    struct dv_json *result = go_whole(&search);
    const struct dv_json *layers =
        dv_json_get(dv_json_get(iteration_of(result, 1), "architecture"), "layers");
    assert_true(dv_json_get_number(dv_json_at(layers, 3), "drop", 0.0) == 0.35);
    for (size_t i = 1; i <= 5; i++) {
        const struct dv_json *used = dv_json_get(iteration_of(result, i), "hyperparameters");
        assert_true(dv_json_get_number(used, "learning_rate", 0.0) == 0.0123);
        assert_string_equal(dv_json_get_string(used, "optimizer", ""), "rmsprop");
        assert_true(dv_json_get_number(used, "dropout", 0.0) == 0.35);
        assert_int_equal(dv_json_get_integer(used, "image_size", 0), 16);
        assert_int_equal(dv_json_get_integer(used, "epochs", 0), i == 5 ? 4 : 1);
    }
    finish(&search, result);
}

static void a_target_that_is_reached_ends_it(void **state)
{
    struct search search;

    (void)state;
    make_search(&search);
    dv_json_set_number(search.job, "target_accuracy", 0.01);
    struct dv_json *result = go_whole(&search);
    assert_int_equal(dv_json_count(dv_json_get(result, "iterations")), 1);
    assert_string_equal(dv_json_get_string(result, "ended", ""), "target");
    assert_int_equal(dv_json_get_integer(result, "best_iteration", 0), 1);
    finish(&search, result);
}

/* --- Interruptions ------------------------------------------------------------------------ */

static double now_seconds(void)
{
    struct timespec time;

    (void)clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

static void sleep_seconds(double seconds)
{
    const struct timespec time = {
        .tv_sec = (time_t)seconds, .tv_nsec = (long)(1e9 * (seconds - floor(seconds)))};

    (void)nanosleep(&time, NULL);
}

static void assert_same_candidates(const struct search *a, const struct search *b)
{
    struct dv_json *one = read_journal(a);
    struct dv_json *two = read_journal(b);

    for (int64_t i = 1; i <= 5; i++) {
        const struct dv_json *first = find_entry(one, "proposed", i);
        const struct dv_json *second = find_entry(two, "proposed", i);
        assert_non_null(first);
        assert_non_null(second);
        assert_string_equal(
            dv_json_get_string(first, "hash", "a"), dv_json_get_string(second, "hash", "b"));
    }
    dv_json_unref(one);
    dv_json_unref(two);
}

/* Where it is killed is random in time, but the seed is fixed; the time is no part of any claim. */
static void a_search_killed_at_thirty_moments_ends_with_the_same_weights(void **state)
{
    struct dv_random random = dv_random_make(77, DV_RANDOM_SAMPLE, 0, 0);
    struct search whole;
    struct search killed;
    unsigned kills = 0;

    (void)state;
    make_search(&whole);
    make_search(&killed);
    double began = now_seconds();
    struct dv_json *whole_result = go_whole(&whole);
    double took = now_seconds() - began;

    for (int i = 0; i < 30; i++) {
        int how = 0;
        pid_t pid = start(&killed);
        sleep_seconds(took * 0.2 * dv_random_unit(&random));
        (void)kill(pid, SIGKILL);
        assert_int_equal(waitpid(pid, &how, 0), pid);
        kills += WIFSIGNALED(how);
    }
    print_message("%u of 30 came before the end\n", kills);
    assert_true(kills > 0);
    struct dv_json *killed_result = go_whole(&killed);
    assert_same_weights(&whole, &killed);
    assert_same_candidates(&whole, &killed);
    finish(&whole, whole_result);
    finish(&killed, killed_result);
}

/* A full disk, a sync or a rename that fails: said, and gone on from as if nothing had been. */
static void a_search_whose_disk_fails_now_and_then_ends_with_the_same_weights(void **state)
{
    static const char *const points[] = {"write", "sync", "rename"};
    struct search whole;
    struct search failing;
    unsigned failures = 0;

    (void)state;
    make_search(&whole);
    make_search(&failing);
    struct dv_json *whole_result = go_whole(&whole);
    for (unsigned i = 0; i < 24; i++) {
        failing.fault = points[i % DV_ARRAY_SIZE(points)];
        failing.fault_at = 1 + i;
        enum dv_status status = go(&failing);
        assert_true(status == DV_OK || status == DV_NO_SPACE || status == DV_IO);
        failures += status != DV_OK;
    }
    print_message("%u of 24 came before the end\n", failures);
    assert_in_range(failures, 8, 24);
    failing.fault = NULL;
    struct dv_json *result = go_whole(&failing);
    assert_same_weights(&whole, &failing);
    assert_same_candidates(&whole, &failing);
    finish(&whole, whole_result);
    finish(&failing, result);
}

static void stop_in(struct search *search, uint32_t iteration, uint64_t after)
{
    search->stop_in = iteration;
    search->stop_after = after;
    assert_int_equal(go(search), DV_CANCELLED);
    search->stop_in = 0;
    search->stop_after = 0;
}

static void a_stopped_search_leaves_a_model_of_the_best_so_far(void **state)
{
    struct search search;

    (void)state;
    make_search(&search);
    stop_in(&search, 1, 1);
    search.is_salvage = true;
    assert_int_equal(go(&search), DV_NOT_FOUND);
    search.is_salvage = false;
    stop_in(&search, 3, 2);
    search.is_salvage = true;
    struct dv_json *partial = go_whole(&search);
    assert_string_equal(dv_json_get_string(partial, "strategy", ""), "search");
    assert_int_equal(dv_json_count(dv_json_get(partial, "iterations")), 3);
    int64_t best = dv_json_get_integer(partial, "best_iteration", 0);
    assert_in_range(best, 1, 2);
    assert_true(dv_json_get_number(iteration_of(partial, (size_t)best), "best_accuracy", -1.0) ==
                dv_json_get_number(partial, "accuracy", -2.0));

    /* Nothing of it has changed what is gone on with. */
    search.is_salvage = false;
    struct dv_json *result = go_whole(&search);
    assert_int_equal(dv_json_count(dv_json_get(result, "iterations")), 5);
    dv_json_unref(partial);
    finish(&search, result);
}

static void what_cannot_be_read_of_a_stopped_search_is_not_called_nothing(void **state)
{
    struct search search;
    char path[DV_PATH_SIZE];

    (void)state;
    make_search(&search);
    stop_in(&search, 3, 2);
    for (unsigned i = 1; i <= 2; i++) {
        assert_int_equal(
            dv_path_format(path, NULL, "%s/candidates/%u/run.json", search.folder, i), DV_OK);
        if (dv_path_exists(path)) {
            assert_int_equal(dv_file_write(path, "{", 1, NULL), DV_OK);
        }
    }
    search.is_salvage = true;
    enum dv_status status = go(&search);
    struct dv_json *result = read_json(&search, "result.json");
    print_message("%s: %s\n", dv_status_name(status), dv_json_get_string(result, "error", ""));
    assert_int_not_equal(status, DV_OK);
    assert_int_not_equal(status, DV_NOT_FOUND);
    finish(&search, result);
}

static void a_search_of_another_job_is_not_gone_on_with(void **state)
{
    struct search search;

    (void)state;
    make_search(&search);
    stop_in(&search, 2, 1);
    dv_json_set_integer(search.job, "seed", 6);
    assert_int_equal(go(&search), DV_CONFLICT);
    finish(&search, NULL);
}

/* --- Replay ------------------------------------------------------------------------------- */

static void write_replay(const struct search *search, const char *text, size_t size)
{
    char path[DV_PATH_SIZE];

    assert_int_equal(dv_path_format(path, NULL, "%s/replay.jsonl", search->folder), DV_OK);
    assert_int_equal(dv_file_write(path, text, size, NULL), DV_OK);
}

static void a_replay_gives_the_same_candidates_and_weights(void **state)
{
    DV_CLEANUP(dv_freep) char *text = NULL;
    struct search search;
    struct search replay;
    char path[DV_PATH_SIZE];
    size_t size;

    (void)state;
    make_search(&search);
    make_search(&replay);
    struct dv_json *result = go_whole(&search);
    assert_int_equal(dv_path_format(path, NULL, "%s/search.jsonl", search.folder), DV_OK);
    assert_int_equal(dv_file_read(path, 64u << 20, &text, &size, NULL), DV_OK);
    write_replay(&replay, text, size);
    struct dv_json *replayed = go_whole(&replay);
    assert_same_weights(&search, &replay);
    assert_same_candidates(&search, &replay);
    for (size_t i = 2; i <= 4; i++) {
        assert_string_equal(dv_json_get_string(iteration_of(replayed, i), "source", ""), "replay");
    }
    finish(&search, result);
    finish(&replay, replayed);
}

/* --- What fails --------------------------------------------------------------------------- */

#define PROPOSAL(iteration, middle, more)                                                          \
    "{\"event\":\"proposed\",\"iteration\":" #iteration                                            \
    ",\"operator\":\"draft\",\"architecture\":{\"layers\":["                                       \
    "{\"name\":\"stem\",\"op\":\"conv\",\"out\":8,\"stride\":2,\"norm\":\"none\"}," middle         \
    "{\"name\":\"gap\",\"op\":\"global_pool\",\"pool\":\"avg\"},"                                  \
    "{\"name\":\"head\",\"op\":\"linear\"}]},\"hyperparameters\":{" more "}}\n"

/* Weights of ten in twenty layers without norms: too much at a thirtieth of the rate too. */
#define EXPLODES PROPOSAL_ROW("\"repeat\":20,\"out\":8,\"norm\":\"none\"")
#define EXPLODES_BY "\"learning_rate\":10.0,\"optimizer\":\"adam\""
#define PROPOSAL_ROW(fields) "{\"name\":\"s1\",\"op\":\"conv\"," fields "},"

/* One that diverges, one that is far too large, one that is there already. */
static const char bad_proposals[] =
    PROPOSAL(2, EXPLODES, EXPLODES_BY) PROPOSAL(3, PROPOSAL_ROW("\"out\":2048,\"kernel\":5"), "")
        PROPOSAL(4, EXPLODES, EXPLODES_BY ",\"epochs\":100");

static void what_diverges_is_a_candidate_that_failed_and_what_is_refused_is_replaced(void **state)
{
    struct search search;

    (void)state;
    make_search(&search);
    write_replay(&search, bad_proposals, strlen(bad_proposals));
    struct dv_json *result = go_whole(&search);
    struct dv_json *entries = read_journal(&search);
    const struct dv_json *failed = iteration_of(result, 2);
    const struct dv_json *proposals = dv_json_get(result, "proposals");

    assert_string_equal(dv_json_get_string(failed, "status", ""), "failed");
    assert_true(strlen(dv_json_get_string(failed, "failure", "")) > 0);
    assert_string_equal(
        dv_json_get_string(find_entry(entries, "judged", 2), "status_code", ""), "DIVERGED");
    assert_false(has_candidate_folder(&search, 2));

    const struct dv_json *large =
        dv_json_at(dv_json_get(find_entry(entries, "proposed", 3), "refused"), 0);
    const struct dv_json *problem = dv_json_at(dv_json_get(large, "problems"), 0);
    assert_string_equal(dv_json_get_string(large, "by", ""), "replay");
    assert_string_equal(dv_json_get_string(problem, "code", ""), "E_BUDGET");
    const struct dv_json *same =
        dv_json_at(dv_json_get(find_entry(entries, "proposed", 4), "refused"), 0);
    problem = dv_json_at(dv_json_get(same, "problems"), 0);
    assert_string_equal(dv_json_get_string(problem, "code", ""), "E_DUP");

    assert_string_equal(dv_json_get_string(iteration_of(result, 3), "status", ""), "completed");
    assert_int_equal(dv_json_get_integer(proposals, "asked", 0), 5);
    assert_int_equal(dv_json_get_integer(proposals, "valid_first", 0), 1);
    assert_int_equal(dv_json_get_integer(proposals, "replaced", 0), 2);
    dv_json_unref(entries);
    finish(&search, result);
}

static void a_search_whose_default_fails_goes_on_and_one_of_which_all_fail_says_so(void **state)
{
    struct search search;

    (void)state;
    make_search(&search);
    dv_json_set_integer(search.job, "max_iterations", 2);
    struct dv_json *values = dv_json_get(search.job, "hyperparameters");
    dv_json_set_number(values, "learning_rate", 10.0);
    dv_json_set_string(values, "optimizer", "adam");
    struct dv_json *layers = dv_json_get(dv_json_get(search.job, "architecture"), "layers");
    for (size_t i = 0; i < 2; i++) {
        dv_json_set_string(dv_json_at(layers, i), "norm", "none");
        dv_json_set_string(dv_json_at(layers, i), "act", "none"); /* else all may be dead, and calm */
        dv_json_set_integer(dv_json_at(layers, i), "repeat", 10);
    }
    assert_int_equal(go(&search), DV_DIVERGED);
    struct dv_json *result = read_json(&search, "result.json");
    assert_non_null(strstr(dv_json_get_string(result, "error", ""), "none of 2 candidates"));
    finish(&search, result);
}

static void die_in(struct search *search, uint32_t iteration, uint64_t after)
{
    int how = 0;

    search->dies = true;
    search->stop_in = iteration;
    search->stop_after = after;
    pid_t pid = start(search);
    assert_int_equal(waitpid(pid, &how, 0), pid);
    assert_true(WIFSIGNALED(how));
    search->dies = false;
    search->stop_in = 0;
    search->stop_after = 0;
}

static void a_candidate_that_kills_two_workers_is_given_up(void **state)
{
    struct search search;

    (void)state;
    make_search(&search);
    die_in(&search, 2, 1);
    search.previous_failure = "signal";
    search.attempt = 1;
    die_in(&search, 2, 1);
    die_in(&search, 2, 1); /* told of the same end again: no second one */
    search.attempt = 2;
    struct dv_json *result = go_whole(&search);
    assert_string_equal(dv_json_get_string(iteration_of(result, 2), "status", ""), "failed");
    assert_string_equal(dv_json_get_string(iteration_of(result, 3), "status", ""), "completed");
    assert_int_equal(dv_json_count(dv_json_get(result, "iterations")), 5);
    finish(&search, result);
}

/* The journal up to where a candidate is proposed, and one entry more. */
static void rewrite_journal(const struct search *search, int64_t iteration, const char *entry)
{
    struct dv_json *entries = read_journal(search);
    const struct dv_json *end = find_entry(entries, "proposed", iteration);
    struct dv_search_journal *journal = NULL;
    struct dv_json *none = NULL;
    struct dv_json *added = NULL;
    char path[DV_PATH_SIZE];

    assert_non_null(end);
    assert_int_equal(dv_path_format(path, NULL, "%s/search.jsonl", search->folder), DV_OK);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(dv_search_journal_open(path, &journal, &none, NULL), DV_OK);
    for (size_t i = 0; dv_json_at(entries, i) != end; i++) {
        assert_int_equal(dv_search_journal_append(journal, dv_json_at(entries, i), NULL), DV_OK);
    }
    assert_int_equal(dv_json_parse(entry, strlen(entry), &added, NULL), DV_OK);
    assert_int_equal(dv_search_journal_append(journal, added, NULL), DV_OK);
    dv_search_journal_close(journal);
    dv_json_unref(none);
    dv_json_unref(added);
    dv_json_unref(entries);
}

static void it_says_why_it_stopped_proposing_when_the_best_was_trained_again(void **state)
{
    struct search search;

    (void)state;
    make_search(&search);
    die_in(&search, 4, 1);
    rewrite_journal(&search, 4, "{\"event\":\"screened\",\"reason\":\"time\"}");
    struct dv_json *result = go_whole(&search);
    assert_int_equal(dv_json_count(dv_json_get(result, "iterations")), 4);
    assert_string_equal(dv_json_get_string(iteration_of(result, 4), "operator", ""), "retrain");
    assert_string_equal(dv_json_get_string(result, "ended", ""), "time");
    finish(&search, result);
}

static void one_that_kills_two_workers_when_it_is_measured_is_given_up(void **state)
{
    struct search search;
    bool is_judged = false;

    (void)state;
    make_search(&search);
    for (uint64_t after = 1; !is_judged; after++) {
        die_in(&search, 2, after);
        struct dv_json *entries = read_journal(&search);
        is_judged = find_entry(entries, "judged", 2) != NULL;
        assert_null(find_entry(entries, "measured", 2));
        dv_json_unref(entries);
    }
    search.previous_failure = "signal";
    search.attempt = 1;
    die_in(&search, 2, 1);
    search.attempt = 2;
    struct dv_json *result = go_whole(&search);
    const struct dv_json *failed = iteration_of(result, 2);
    assert_string_equal(dv_json_get_string(failed, "status", ""), "failed");
    assert_string_equal(dv_json_get_string(failed, "verdict", "?"), "");
    assert_true(strlen(dv_json_get_string(failed, "failure", "")) > 0);
    assert_false(has_candidate_folder(&search, 2));
    assert_string_equal(dv_json_get_string(iteration_of(result, 3), "status", ""), "completed");
    assert_int_not_equal(dv_json_get_integer(result, "best_iteration", 0), 2);
    finish(&search, result);
}

static void after_a_worker_without_memory_only_that_candidate_has_half_the_batch(void **state)
{
    struct search search;

    (void)state;
    make_search(&search);
    dv_json_set_integer(dv_json_get(search.job, "hyperparameters"), "batch_size", 16);
    die_in(&search, 2, 1);
    search.previous_failure = "oom";
    search.attempt = 1;
    struct dv_json *result = go_whole(&search);
    for (size_t i = 1; i <= 4; i++) {
        const struct dv_json *used = dv_json_get(iteration_of(result, i), "hyperparameters");
        assert_int_equal(dv_json_get_integer(used, "batch_size", 0), i == 2 ? 8 : 16);
    }
    finish(&search, result);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_search_tries_the_default_then_others_then_the_best_again),
        cmocka_unit_test(what_was_set_by_hand_holds_for_all_candidates),
        cmocka_unit_test(a_target_that_is_reached_ends_it),
        cmocka_unit_test(a_search_killed_at_thirty_moments_ends_with_the_same_weights),
        cmocka_unit_test(a_search_whose_disk_fails_now_and_then_ends_with_the_same_weights),
        cmocka_unit_test(a_stopped_search_leaves_a_model_of_the_best_so_far),
        cmocka_unit_test(what_cannot_be_read_of_a_stopped_search_is_not_called_nothing),
        cmocka_unit_test(a_search_of_another_job_is_not_gone_on_with),
        cmocka_unit_test(a_replay_gives_the_same_candidates_and_weights),
        cmocka_unit_test(what_diverges_is_a_candidate_that_failed_and_what_is_refused_is_replaced),
        cmocka_unit_test(a_search_whose_default_fails_goes_on_and_one_of_which_all_fail_says_so),
        cmocka_unit_test(a_candidate_that_kills_two_workers_is_given_up),
        cmocka_unit_test(it_says_why_it_stopped_proposing_when_the_best_was_trained_again),
        cmocka_unit_test(one_that_kills_two_workers_when_it_is_measured_is_given_up),
        cmocka_unit_test(after_a_worker_without_memory_only_that_candidate_has_half_the_batch),
    };
    return cmocka_run_group_tests(tests, make_dataset, remove_all);
}
