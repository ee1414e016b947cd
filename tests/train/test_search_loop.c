/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The loop of a search with a proposer that says what the test has written down: what it is asked
 * and shown, what happens with what it says, and who takes its place when it fails.
 */
#include "base/alloc.h"
#include "base/arena.h"
#include "base/file.h"
#include "base/json.h"
#include "base/text.h"
#include "data/ingest.h"
#include "data/sample_shapes.h"
#include "pack/pack.h"
#include "spec/arch.h"
#include "spec/dataset.h"
#include "spec/job_spec.h"
#include "spec/limits.h"
#include "spec/problem.h"
#include "train/recipe.h"
#include "train/search/search.h"
#include "train/search/search_journal.h"
#include "train/task.h"
#include "train/worker.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdlib.h>

static char root[] = "/tmp/dv-search-loop-XXXXXX";
static char dataset_folder[DV_PATH_SIZE];
static char plans[DV_PATH_SIZE];
static struct dv_dataset_summary dataset;
static struct dv_arena *dataset_arena;
static unsigned folder_number;

static int make_dataset(void **state)
{
    struct dv_sample_shapes_options shapes = {.class_count = 2, .picture_count = 80, .seed = 1};
    struct dv_ingest_options ingest = {
        .folder = dataset_folder, .id = "d", .name = "shapes", .seed = 1};
    char zip[DV_PATH_SIZE];

    (void)state;
    dataset_arena = dv_arena_create(0);
    if (!mkdtemp(root) || dv_path_format(zip, NULL, "%s/shapes.zip", root) != DV_OK ||
        dv_path_format(dataset_folder, NULL, "%s/dataset", root) != DV_OK ||
        dv_path_format(plans, NULL, "%s/plans", root) != DV_OK ||
        dv_sample_shapes_write(zip, &shapes, NULL) != DV_OK ||
        dv_folder_make(dataset_folder, NULL) != DV_OK) {
        return -1;
    }
    ingest.source_path = zip;
    return dv_ingest_run(&ingest, dataset_arena, &dataset, NULL) == DV_OK ? 0 : -1;
}

static int remove_all(void **state)
{
    (void)state;
    dv_arena_destroy(dataset_arena);
    return dv_folder_remove(root, NULL) == DV_OK ? 0 : -1;
}

/* --- A proposer with a script --------------------------------------------------------------- */

#define NETWORK(width)                                                                             \
    "{\"layers\":[{\"name\":\"stem\",\"op\":\"conv\",\"out\":8,\"stride\":2},"                     \
    "{\"name\":\"s1\",\"op\":\"conv\",\"out\":" width ",\"stride\":2},"                            \
    "{\"name\":\"gap\",\"op\":\"global_pool\",\"pool\":\"avg\"},"                                  \
    "{\"name\":\"head\",\"op\":\"linear\"}]}"

/* What it says to one question: a network, or how it fails. */
struct answer {
    const char *architecture; /* NULL: `status` */
    const char *hyperparameters;
    enum dv_status status;
};

#define ANSWERS_MAX 8

struct script {
    const struct answer *answers;
    size_t count;
    size_t next;
    unsigned expected, proposed, repaired; /* calls */
    struct dv_slot expected_slot;
    uint32_t seen_max;           /* candidates that it was shown, at most */
    char codes[ANSWERS_MAX][24]; /* of the first problem of each repair */
};

static void look_at(struct script *script, const struct dv_search_history *history)
{
    assert_int_equal(history->dataset->class_count, 2);
    assert_non_null(history->default_arch);
    for (size_t i = 0; i < history->count; i++) {
        const struct dv_candidate *candidate = &history->candidates[i];
        assert_int_equal(candidate->iteration, i + 1);
        assert_true(candidate->status == DV_CANDIDATE_COMPLETED ||
                    candidate->status == DV_CANDIDATE_FAILED);
    }
    if (history->count > 0) {
        assert_true(history->best > 0);
        assert_true(history->deviation >= 0.0);
    }
    script->seen_max =
        history->count > script->seen_max ? (uint32_t)history->count : script->seen_max;
}

static enum dv_status say(
    struct script *script, struct dv_proposal *ret_proposal, struct dv_error *reterr)
{
    assert_true(script->next < script->count);
    const struct answer *answer = &script->answers[script->next++];
    if (!answer->architecture) {
        return dv_fail(reterr, answer->status, "the script says so");
    }
    *ret_proposal = (struct dv_proposal){
        .operation = DV_OPERATOR_DRAFT, .source = DV_PROPOSAL_SOURCE_LLM, .hypothesis = "because"};
    assert_int_equal(dv_json_parse(answer->architecture, strlen(answer->architecture),
                         &ret_proposal->architecture, NULL),
        DV_OK);
    if (answer->hyperparameters) {
        assert_int_equal(dv_json_parse(answer->hyperparameters, strlen(answer->hyperparameters),
                             &ret_proposal->hyperparameters, NULL),
            DV_OK);
    }
    return DV_OK;
}

static void expect(void *self, const struct dv_search_history *history, const struct dv_slot *slot)
{
    struct script *script = self;

    look_at(script, history);
    assert_int_equal(slot->iteration, history->count + 2); /* after the one that is to be trained */
    script->expected++;
    script->expected_slot = *slot;
}

static enum dv_status propose(void *self, const struct dv_search_history *history,
    const struct dv_slot *slot, struct dv_arena *arena, struct dv_proposal *ret_proposal,
    struct dv_error *reterr)
{
    struct script *script = self;

    (void)arena;
    look_at(script, history);
    assert_int_equal(slot->iteration, history->count + 1);
    assert_int_equal(slot->iteration, script->expected_slot.iteration);
    assert_int_equal(slot->operation, script->expected_slot.operation);
    assert_memory_equal(slot->parents, script->expected_slot.parents, sizeof(slot->parents));
    assert_true(slot->limits->epochs > 0);
    assert_true(slot->limits->macs_max > 0 && slot->limits->memory_max > 0);
    script->proposed++;
    return say(script, ret_proposal, reterr);
}

static enum dv_status repair(void *self, const struct dv_search_history *history,
    const struct dv_slot *slot, const struct dv_proposal *refused,
    const struct dv_problems *problems, struct dv_arena *arena, struct dv_proposal *ret_proposal,
    struct dv_error *reterr)
{
    struct script *script = self;

    (void)arena;
    (void)slot;
    look_at(script, history);
    assert_non_null(refused->architecture);
    assert_in_range(problems->count, 1, 5);
    assert_true(dv_text_copy(script->codes[script->repaired],
        sizeof(script->codes[script->repaired]), problems->items[0].code));
    script->repaired++;
    return say(script, ret_proposal, reterr);
}

static bool make_proposer(
    void *self, const struct dv_train_task *task, struct dv_proposer *ret_proposer)
{
    (void)task;
    *ret_proposer = (struct dv_proposer){
        .name = "script", .self = self, .expect = expect, .propose = propose, .repair = repair};
    return true;
}

/* --- A search ------------------------------------------------------------------------------- */

struct run {
    char folder[DV_PATH_SIZE];
    struct dv_json *architecture;
    struct dv_json *hyperparameters;
    struct dv_job_spec job;
    struct dv_train_options options;
    struct dv_trained trained;
    struct dv_json *entries;
};

static void make_run(struct run *run, int64_t iterations)
{
    static const char network[] = NETWORK("16");
    static const char values[] = "{\"epochs\":1,\"image_size\":16}";

    *run = (struct run){0};
    assert_int_equal(dv_path_format(run->folder, NULL, "%s/job%u", root, folder_number++), DV_OK);
    assert_int_equal(dv_folder_make(run->folder, NULL), DV_OK);
    assert_int_equal(dv_json_parse(network, strlen(network), &run->architecture, NULL), DV_OK);
    assert_int_equal(dv_json_parse(values, strlen(values), &run->hyperparameters, NULL), DV_OK);
    run->job = (struct dv_job_spec){.strategy = "llm",
        .device = "cpu",
        .seed = 4,
        .max_iterations = iterations,
        .architecture = run->architecture,
        .hyperparameters = run->hyperparameters};
    run->options = (struct dv_train_options){.job_folder = run->folder, .plan_cache_folder = plans};
}

static enum dv_status go(struct run *run, struct script *script)
{
    DV_CLEANUP(dv_arena_destroyp) struct dv_arena *arena = dv_arena_create(0);
    struct dv_hyperparameters hyperparameters = dv_recipe_hyperparameters(&dataset, 16, 1000000);
    struct dv_pack *pack = NULL;
    char path[DV_PATH_SIZE];

    hyperparameters.epochs = dv_json_get_integer(run->hyperparameters, "epochs", 1);
    hyperparameters.seed = run->job.seed;
    assert_int_equal(dv_pack_open(dataset_folder, &pack, NULL), DV_OK);
    struct dv_train_task task = {.options = &run->options,
        .job = &run->job,
        .dataset = &dataset,
        .pack = pack,
        .arena = arena,
        .backend = "onednn",
        .thread_count = 1,
        .iteration = 1,
        .rate_scale = 1.0};
    struct dv_search_options options = {.task = &task,
        .strategy = "llm",
        .hyperparameters = &hyperparameters,
        .make = make_proposer,
        .self = script,
        .tune_share = 1.0};
    enum dv_status status = dv_search_run(&options, &run->trained, NULL);
    dv_pack_close(pack);
    assert_int_equal(dv_path_format(path, NULL, "%s/search.jsonl", run->folder), DV_OK);
    dv_json_unref(run->entries);
    assert_int_equal(dv_search_journal_read(path, &run->entries, NULL), DV_OK);
    return status;
}

static void finish(struct run *run)
{
    dv_trained_finish(&run->trained);
    dv_json_unref(run->architecture);
    dv_json_unref(run->hyperparameters);
    dv_json_unref(run->entries);
}

static const struct dv_json *proposed(const struct run *run, int64_t iteration)
{
    for (size_t i = 0; i < dv_json_count(run->entries); i++) {
        const struct dv_json *entry = dv_json_at(run->entries, i);
        if (dv_text_equal(dv_json_get_string(entry, "event", ""), "proposed") &&
            dv_json_get_integer(entry, "iteration", 0) == iteration) {
            return entry;
        }
    }
    return NULL;
}

static void assert_counts(
    const struct run *run, int64_t asked, int64_t first, int64_t repaired, int64_t replaced)
{
    const struct dv_json *counts = dv_json_get(run->trained.search, "proposals");

    assert_int_equal(dv_json_get_integer(counts, "asked", -1), asked);
    assert_int_equal(dv_json_get_integer(counts, "valid_first", -1), first);
    assert_int_equal(dv_json_get_integer(counts, "repaired", -1), repaired);
    assert_int_equal(dv_json_get_integer(counts, "replaced", -1), replaced);
}

/* --- Tests ---------------------------------------------------------------------------------- */

static void what_passes_is_trained_and_what_does_not_is_sent_back_with_the_reasons(void **state)
{
    static const struct answer answers[] = {
        {NETWORK("24"), "{\"learning_rate\":0.03}", DV_OK},
        {NETWORK("0.5"), NULL, DV_OK},
        {NETWORK("24"), "{\"learning_rate\":0.03}", DV_OK}, /* the same as the first */
        {NETWORK("32"), NULL, DV_OK},
    };
    struct script script = {.answers = answers, .count = DV_ARRAY_SIZE(answers)};
    struct run run;

    (void)state;
    make_run(&run, 3);
    assert_int_equal(go(&run, &script), DV_OK);
    assert_int_equal(script.proposed, 2);
    assert_int_equal(script.expected, 2);
    assert_int_equal(script.repaired, 2);
    assert_string_equal(script.codes[1], "E_DUP");
    assert_int_equal(script.seen_max, 2);
    assert_counts(&run, 4, 1, 1, 0);
    assert_string_equal(dv_json_get_string(proposed(&run, 2), "source", ""), "llm");
    assert_string_equal(dv_json_get_string(proposed(&run, 2), "hypothesis", ""), "because");
    assert_int_equal(dv_json_get_integer(proposed(&run, 3), "repairs", 0), 2);
    assert_int_equal(dv_json_count(dv_json_get(proposed(&run, 3), "refused")), 2);
    finish(&run);
}

/* The network that was given has no dropout, whatever the default's hyperparameters say. */
static void the_default_again_is_refused(void **state)
{
    static const struct answer answers[] = {
        {NETWORK("16"), NULL, DV_OK}, {NETWORK("24"), NULL, DV_OK}};
    struct script script = {.answers = answers, .count = DV_ARRAY_SIZE(answers)};
    struct run run;

    (void)state;
    make_run(&run, 2);
    assert_int_equal(go(&run, &script), DV_OK);
    assert_int_equal(script.repaired, 1);
    assert_string_equal(script.codes[0], "E_DUP");
    finish(&run);
}

static void after_two_repairs_that_do_not_pass_the_slot_is_the_offline_proposers(void **state)
{
    static const struct answer answers[] = {
        {"{}", NULL, DV_OK}, {"[]", NULL, DV_OK}, {NETWORK("\"wide\""), NULL, DV_OK}};
    struct script script = {.answers = answers, .count = DV_ARRAY_SIZE(answers)};
    struct run run;

    (void)state;
    make_run(&run, 2);
    assert_int_equal(go(&run, &script), DV_OK);
    assert_int_equal(script.repaired, 2);
    assert_counts(&run, 4, 0, 0, 1);
    assert_string_equal(dv_json_get_string(proposed(&run, 2), "source", ""), "mutation");
    finish(&run);
}

static void one_that_fails_or_is_away_costs_its_slot_and_nothing_else(void **state)
{
    static const struct answer answers[] = {{NULL, NULL, DV_UNAVAILABLE}, {NULL, NULL, DV_TIMEOUT},
        {"7", NULL, DV_OK}, {NULL, NULL, DV_UNAVAILABLE}};
    struct script script = {.answers = answers, .count = DV_ARRAY_SIZE(answers)};
    struct run run;

    (void)state;
    make_run(&run, 4);
    assert_int_equal(go(&run, &script), DV_OK);
    assert_int_equal(script.next, 4);
    assert_int_equal(dv_json_count(dv_json_get(run.trained.search, "iterations")), 4);
    for (int64_t i = 2; i <= 4; i++) {
        assert_string_not_equal(dv_json_get_string(proposed(&run, i), "source", ""), "llm");
        assert_true(dv_json_get_bool(proposed(&run, i), "replaced", false));
    }
    assert_counts(&run, 4, 0, 0, 3);
    finish(&run);
}

/* While it waits for an answer it may be told to stop; asked again it is where it was. */
static void a_stop_while_a_proposal_is_awaited_is_gone_on_from(void **state)
{
    static const struct answer stopped[] = {
        {NETWORK("24"), NULL, DV_OK}, {NULL, NULL, DV_CANCELLED}};
    static const struct answer after[] = {{NETWORK("32"), NULL, DV_OK}};
    struct script script = {.answers = stopped, .count = DV_ARRAY_SIZE(stopped)};
    struct run run;

    (void)state;
    make_run(&run, 3);
    assert_int_equal(go(&run, &script), DV_CANCELLED);
    assert_null(proposed(&run, 3));
    script = (struct script){
        .answers = after, .count = DV_ARRAY_SIZE(after), .expected_slot = script.expected_slot};
    assert_int_equal(go(&run, &script), DV_OK);
    assert_int_equal(script.proposed, 1);
    assert_int_equal(script.expected, 0); /* there is none after the last */
    assert_counts(&run, 2, 2, 0, 0);
    finish(&run);
}

/* A long schedule of one among a thousand: the journal has to hold all of them. */
static void a_long_history_is_kept_in_part_with_its_end(void **state)
{
    static const struct answer stop[] = {{NULL, NULL, DV_CANCELLED}};
    struct script script = {.answers = stop, .count = DV_ARRAY_SIZE(stop)};
    const struct dv_json *history = NULL;
    struct run run;

    (void)state;
    make_run(&run, 1000);
    dv_json_set_integer(run.hyperparameters, "epochs", 1500); /* 250 of screening */
    assert_int_equal(go(&run, &script), DV_CANCELLED);
    for (size_t i = 0; i < dv_json_count(run.entries); i++) {
        const struct dv_json *entry = dv_json_at(run.entries, i);
        history = dv_json_get(entry, "history") ? dv_json_get(entry, "history") : history;
    }
    size_t count = dv_json_count(history);
    assert_in_range(count, 50, 100);
    for (size_t i = 0; i < count; i++) {
        int64_t epoch = dv_json_get_integer(dv_json_at(history, i), "epoch", 0);
        assert_int_equal(epoch, 250 - 3 * (int64_t)(count - 1 - i));
    }
    finish(&run);
}

static void an_entry_that_cannot_be_written_ends_the_search(void **state)
{
    struct script script = {0};
    struct run run;
    char path[DV_PATH_SIZE];

    (void)state;
    make_run(&run, 2);
    assert_int_equal(dv_path_format(path, NULL, "%s/search.jsonl", run.folder), DV_OK);
    assert_int_equal(dv_file_write(path, "{\"event\":\"odd\"}\n", 16, NULL), DV_OK);
    assert_int_equal(go(&run, &script), DV_CORRUPT);
    finish(&run);
}

/* A thousand iterations are more than three seconds hold: it ends by itself, with a model. */
static void a_time_limit_ends_it_with_the_best_so_far(void **state)
{
    struct script script = {0};
    struct run run;
    bool has_ended_by_time = false;

    (void)state;
    make_run(&run, 1000);
    run.job.timeout_seconds = 3;
    static struct answer away[1000];
    for (size_t i = 0; i < DV_ARRAY_SIZE(away); i++) {
        away[i] = (struct answer){.status = DV_UNAVAILABLE};
    }
    script.answers = away;
    script.count = DV_ARRAY_SIZE(away);
    assert_int_equal(go(&run, &script), DV_OK);
    for (size_t i = 0; i < dv_json_count(run.entries); i++) {
        const struct dv_json *entry = dv_json_at(run.entries, i);
        has_ended_by_time = has_ended_by_time ||
                            (dv_text_equal(dv_json_get_string(entry, "event", ""), "over") &&
                                dv_text_equal(dv_json_get_string(entry, "reason", ""), "time"));
    }
    const struct dv_json *last = dv_json_at(run.entries, dv_json_count(run.entries) - 1);
    print_message("%zu entries, ended: %s\n", dv_json_count(run.entries),
        dv_json_get_string(last, "reason", ""));
    assert_true(has_ended_by_time);
    assert_non_null(run.trained.result.weights);
    assert_true(dv_json_count(dv_json_get(run.trained.search, "iterations")) < 1000);
    finish(&run);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_passes_is_trained_and_what_does_not_is_sent_back_with_the_reasons),
        cmocka_unit_test(the_default_again_is_refused),
        cmocka_unit_test(after_two_repairs_that_do_not_pass_the_slot_is_the_offline_proposers),
        cmocka_unit_test(one_that_fails_or_is_away_costs_its_slot_and_nothing_else),
        cmocka_unit_test(a_stop_while_a_proposal_is_awaited_is_gone_on_from),
        cmocka_unit_test(a_long_history_is_kept_in_part_with_its_end),
        cmocka_unit_test(an_entry_that_cannot_be_written_ends_the_search),
        cmocka_unit_test(a_time_limit_ends_it_with_the_best_so_far),
    };
    return cmocka_run_group_tests(tests, make_dataset, remove_all);
}
