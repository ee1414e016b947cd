/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What proposals pass through and come from, without training anything: gate, journal, space, TPE
 * and the offline proposer.
 */
#include "base/alloc.h"
#include "base/arena.h"
#include "base/file.h"
#include "base/json.h"
#include "base/random.h"
#include "search_bench.h"
#include "spec/arch.h"
#include "spec/dataset.h"
#include "spec/graph.h"
#include "spec/limits.h"
#include "spec/problem.h"
#include "spec/time_table.h"
#include "train/recipe.h"
#include "train/search/gate.h"
#include "train/search/mutation.h"
#include "train/search/proposer_offline.h"
#include "train/search/search_journal.h"
#include "train/search/search_state.h"
#include "train/search/tpe.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdlib.h>

/* --- Gate --------------------------------------------------------------------------------- */

static enum dv_status check(struct search_bench *bench, const char *architecture,
    const char *hyperparameters, struct dv_problems *ret_problems,
    struct dv_candidate *ret_candidate)
{
    struct dv_proposal proposal = {.source = DV_PROPOSAL_SOURCE_LLM,
        .architecture = architecture ? search_bench_parse(architecture) : NULL,
        .hyperparameters = hyperparameters ? search_bench_parse(hyperparameters) : NULL};

    dv_problems_init(ret_problems, bench->arena, DV_ARCH_PROBLEMS_MAX);
    enum dv_status status = dv_gate_check(&bench->gate, &proposal, &bench->limits, bench->arena,
        ret_problems, ret_candidate, NULL, NULL);
    dv_json_unref(proposal.architecture);
    dv_json_unref(proposal.hyperparameters);
    return status;
}

#define ROWS(middle)                                                                               \
    "{\"layers\":[{\"name\":\"stem\",\"op\":\"conv\",\"out\":16},"                                 \
    "{\"name\":\"s1\",\"op\":\"residual\",\"out\":16," middle                                      \
    "\"stride\":2},{\"name\":\"gap\",\"op\":\"global_pool\",\"pool\":\"avg\"},"                    \
    "{\"name\":\"dp\",\"op\":\"dropout\",\"drop\":0.25},{\"name\":\"head\",\"op\":\"linear\"}]}"

static void the_gate_fills_in_what_a_proposal_does_not_say_or_may_not(void **state)
{
    struct search_bench *bench = *state;
    struct dv_candidate candidate;
    struct dv_problems problems;

    assert_int_equal(check(bench, ROWS(""),
                         "{\"learning_rate\": 0.02, \"epochs\": 999999, \"seed\": -4, "
                         "\"image_size\": 7}",
                         &problems, &candidate),
        DV_OK);
    assert_true(candidate.hyperparameters.learning_rate == 0.02);
    assert_int_equal(candidate.hyperparameters.epochs, 3);
    assert_int_equal(candidate.hyperparameters.seed, 3);
    assert_int_equal(candidate.hyperparameters.image_size, 32);
    assert_int_equal(candidate.hyperparameters.batch_size, bench->defaults.batch_size);
    assert_true(candidate.hyperparameters.dropout == 0.25);
    assert_true(candidate.macs > 0 && candidate.parameter_count > 0);
    assert_int_equal(strlen(candidate.hash), 64);
}

static void the_gate_refuses_with_the_place_and_a_fix(void **state)
{
    /* clang-format off */
    static const struct {
        const char *architecture, *hyperparameters, *code, *pointer;
    } cases[] = {
        {NULL, NULL, "", "/architecture"},
        {"[]", NULL, "", "/architecture"},
        {ROWS("\"kernel\":4,"), NULL, "E_VALUE", "/architecture/layers/1/kernel"},
        {ROWS("\"repeat\":90,"), NULL, "E_BUDGET", "/architecture/layers/1"},
        {ROWS(""), "[]", "E_TYPE", "/hyperparameters"},
        {ROWS(""), "{\"lr\": 0.1}", "E_FIELD", "/hyperparameters/lr"},
        {ROWS(""), "{\"learning_rate\": -1}", "E_VALUE", "/hyperparameters/learning_rate"},
    };
    /* clang-format on */
    struct search_bench *bench = *state;

    for (size_t i = 0; i < DV_ARRAY_SIZE(cases); i++) {
        struct dv_candidate candidate;
        struct dv_problems problems;
        assert_int_equal(
            check(bench, cases[i].architecture, cases[i].hyperparameters, &problems, &candidate),
            DV_INVALID);
        print_message("%s at %s: %s\n", problems.items[0].code, problems.items[0].pointer,
            problems.items[0].message);
        assert_true(problems.count > 0 && problems.count <= 5);
        assert_memory_equal(problems.items[0].pointer, cases[i].pointer, strlen(cases[i].pointer));
        if (cases[i].code[0]) {
            assert_string_equal(problems.items[0].code, cases[i].code);
        }
    }
}

/* With a table an epoch costs what it predicts, without one the multiply-adds. */
static void what_would_take_too_long_is_refused(void **state)
{
    struct search_bench *bench = *state;
    struct dv_time_table *table = dv_time_table_create(bench->arena);
    struct dv_proposal proposal = {.architecture = dv_arch_to_json(bench->arch)};
    struct dv_candidate made;
    struct dv_problems problems;
    int64_t batch = bench->defaults.batch_size;

    for (uint32_t i = 0; i < table->point_count; i++) {
        table->points[i].seconds = 1e-4;
    }
    for (size_t has_table = 0; has_table < 2; has_table++) {
        bench->gate.times = has_table ? table : NULL;
        double cost = dv_gate_picture_cost(&bench->gate, bench->graph, batch);
        assert_true(
            cost ==
            (has_table ? dv_graph_step_seconds(bench->graph, (uint32_t)batch, table) / (double)batch
                       : (double)bench->graph->macs));
        bench->gate.default_cost = cost / 3.0; /* as if the default were a smaller one */
        for (size_t i = 0; i < 2; i++) {
            bench->limits.cost_max = i == 0 ? 3.1 : 2.9;
            dv_problems_init(&problems, bench->arena, DV_ARCH_PROBLEMS_MAX);
            assert_int_equal(dv_gate_check(&bench->gate, &proposal, &bench->limits, bench->arena,
                                 &problems, &made, NULL, NULL),
                i == 0 ? DV_OK : DV_INVALID);
            assert_true(i > 0 || fabs(made.cost - 3.0) < 1e-9);
        }
        assert_int_equal(problems.count, 1);
        assert_string_equal(problems.items[0].code, "E_BUDGET");
        assert_string_equal(problems.items[0].pointer, "/architecture");
        assert_non_null(strstr(problems.items[0].message, "3.00 times as long"));
    }
    dv_json_unref(proposal.architecture);
}

static void want_of_memory_is_refused_with_the_batch_that_fits(void **state)
{
    struct search_bench *bench = *state;
    struct dv_candidate candidate;
    struct dv_problems problems;
    int batch = 0;

    bench->limits.memory_max = (uint64_t)16 << 20;
    assert_int_equal(
        check(bench, ROWS(""), "{\"batch_size\": 512}", &problems, &candidate), DV_INVALID);
    assert_string_equal(problems.items[0].code, "E_MEM");
    assert_int_equal(sscanf(problems.items[0].fix, "set batch_size=%d", &batch), 1);
    char *fixed = dv_strprintf("{\"batch_size\": %d}", batch);
    assert_int_equal(check(bench, ROWS(""), fixed, &problems, &candidate), DV_OK);
    dv_free(fixed);
}

static void a_second_time_is_the_same_network_with_the_same_hyperparameters(void **state)
{
    struct search_bench *bench = *state;
    struct dv_candidate again;
    struct dv_problems problems;

    assert_int_equal(check(bench, ROWS(""), NULL, &problems, &bench->candidates[0]), DV_OK);
    bench->candidates[0].iteration = 1;
    bench->candidates[0].status = DV_CANDIDATE_COMPLETED;
    bench->history.count = 1;
    bench->limits.epochs = 12;
    assert_int_equal(
        check(bench, ROWS("\"repeat\":1,"), "{\"seed\": 9}", &problems, &again), DV_OK);
    assert_true(dv_gate_has_seen(&bench->history, &again, &problems));
    assert_string_equal(problems.items[0].code, "E_DUP");
    assert_int_equal(check(bench, ROWS("\"repeat\":2,"), NULL, &problems, &again), DV_OK);
    assert_false(dv_gate_has_seen(&bench->history, &again, &problems));
    assert_int_equal(
        check(bench, ROWS(""), "{\"learning_rate\": 0.031}", &problems, &again), DV_OK);
    assert_false(dv_gate_has_seen(&bench->history, &again, &problems));
}

/* --- Journal ------------------------------------------------------------------------------ */

static char folder[] = "/tmp/dv-proposals-XXXXXX";
static char journal_path[DV_PATH_SIZE];

static size_t entry_count(enum dv_status want)
{
    struct dv_json *entries = NULL;

    assert_int_equal(dv_search_journal_read(journal_path, &entries, NULL), want);
    size_t count = dv_json_count(entries);
    dv_json_unref(entries);
    return count;
}

static void append(int64_t number, size_t count_before)
{
    struct dv_search_journal *journal = NULL;
    struct dv_json *entries = NULL;
    struct dv_json *entry = dv_json_object();

    assert_int_equal(dv_search_journal_open(journal_path, &journal, &entries, NULL), DV_OK);
    assert_int_equal(dv_json_count(entries), count_before);
    dv_json_set_integer(entry, "number", number);
    assert_int_equal(dv_search_journal_append(journal, entry, NULL), DV_OK);
    dv_json_unref(entry);
    dv_json_unref(entries);
    dv_search_journal_close(journal);
}

/* Cut at every byte of its last line; then damage in the last line, and in one before. */
static void a_line_that_was_being_written_is_cut_off_and_one_before_is_damage(void **state)
{
    char *text;
    size_t size;

    (void)state;
    append(1, 0);
    append(2, 1);
    assert_int_equal(dv_file_read(journal_path, 4096, &text, &size, NULL), DV_OK);
    size_t first = (size_t)(strchr(text, '\n') - text) + 1;
    for (size_t cut = first; cut < size; cut++) {
        assert_int_equal(dv_file_write(journal_path, text, cut, NULL), DV_OK);
        assert_int_equal(entry_count(DV_OK), 1);
        append(3, 1);
        assert_int_equal(entry_count(DV_OK), 2);
    }
    text[size - 2] = '\0';
    assert_int_equal(dv_file_write(journal_path, text, size, NULL), DV_OK);
    assert_int_equal(entry_count(DV_OK), 1);
    text[0] = 'x';
    assert_int_equal(dv_file_write(journal_path, text, size, NULL), DV_OK);
    assert_int_equal(entry_count(DV_CORRUPT), 0);
    dv_free(text);
}

static void a_journal_that_contradicts_itself_is_corrupt(void **state)
{
    static const char plan[] = "{\"event\":\"planned\",\"strategy\":\"search\",\"identity\":\"i\","
                               "\"slots\":3,\"retrains\":1,\"epochs\":3,\"screening_epochs\":1}";
    static const char *const bad[] = {
        plan, /* a second one */
        "{\"event\":\"nonsense\"}",
        "{}",
        "[]",
        "{\"event\":\"judged\",\"iteration\":1,\"status\":\"completed\",\"verdict\":\"\"}",
        "{\"event\":\"measured\",\"iteration\":1}",
        "{\"event\":\"killed\",\"iteration\":1}",
        "{\"event\":\"proposed\",\"iteration\":2}",
        "{\"event\":\"proposed\",\"iteration\":1,\"operator\":\"draft\",\"source\":\"tpe\"}",
    };
    struct search_bench *bench = *state;
    struct dv_search_state search;

    for (size_t i = 0; i < DV_ARRAY_SIZE(bad); i++) {
        struct dv_json *good = search_bench_parse(plan);
        struct dv_json *entry = search_bench_parse(bad[i]);
        dv_search_state_init(&search, bench->arena);
        assert_int_equal(dv_search_state_apply(&search, good, NULL), DV_OK);
        assert_int_equal(dv_search_state_apply(&search, entry, NULL), DV_CORRUPT);
        dv_search_state_finish(&search);
        dv_json_unref(good);
        dv_json_unref(entry);
    }
}

/* --- Choice ------------------------------------------------------------------------------- */

static struct dv_candidate completed(
    uint32_t iteration, enum dv_operator operator, double accuracy, uint64_t macs)
{
    return (struct dv_candidate){.iteration = iteration,
        .operation = operator,
        .val_accuracy = accuracy,
        .macs = macs,
        .status = DV_CANDIDATE_COMPLETED};
}

static void choice_is_by_accuracy_then_cost_and_among_whole_runs_where_there_are_such(void **state)
{
    struct dv_candidate candidates[] = {
        completed(1, DV_OPERATOR_DEFAULT, 0.80, 10),
        completed(2, DV_OPERATOR_DRAFT, 0.85, 20),
        completed(3, DV_OPERATOR_DRAFT, 0.85, 15),
        completed(4, DV_OPERATOR_DRAFT, 0.99, 5),
        completed(5, DV_OPERATOR_RETRAIN, 0.82, 15),
    };
    struct dv_search_state search = {.candidates = candidates, .count = 3};

    (void)state;
    candidates[3].status = DV_CANDIDATE_FAILED;
    assert_int_equal(dv_search_state_best_whole(&search)->iteration, 3); /* nothing is screened */
    search.plan.retrains = 1;
    assert_int_equal(dv_search_state_best(&search)->iteration, 3);
    assert_int_equal(dv_search_state_final(&search)->iteration, 3);
    assert_null(dv_search_state_best_whole(&search));
    search.count = 5;
    assert_int_equal(dv_search_state_best(&search)->iteration, 3);
    assert_int_equal(dv_search_state_final(&search)->iteration, 5);
    search.over = "target";
    assert_int_equal(dv_search_state_final(&search)->iteration, 3);
    search.over = "time";
    candidates[4].val_accuracy = 0.79; /* of a whole run, which the others had not */
    assert_int_equal(dv_search_state_final(&search)->iteration, 5);
    candidates[4].status = DV_CANDIDATE_FAILED;
    assert_int_equal(dv_search_state_final(&search)->iteration, 3);
}

static void the_default_is_trained_again_unless_another_is_better_by_a_standard_error(void **state)
{
    struct dv_candidate candidates[] = {
        completed(1, DV_OPERATOR_DEFAULT, 0.80, 10),
        completed(2, DV_OPERATOR_DRAFT, 0.81, 20),
        completed(3, DV_OPERATOR_IMPROVE, 0.82, 20),
        completed(4, DV_OPERATOR_RETRAIN, 0.90, 20),
    };
    struct dv_search_state search = {.candidates = candidates, .count = 3};

    (void)state;
    assert_int_equal(dv_search_state_to_retrain(&search, 100)->iteration, 1);
    assert_int_equal(dv_search_state_to_retrain(&search, 10000)->iteration, 3);
    candidates[0].status = DV_CANDIDATE_FAILED;
    assert_int_equal(dv_search_state_to_retrain(&search, 100)->iteration, 3);
    candidates[0].status = DV_CANDIDATE_COMPLETED;
    search.count = 4;
    candidates[3].parents[0] = 1;
    assert_int_equal(dv_search_state_to_retrain(&search, 100)->iteration, 3);
    candidates[3].parents[0] = 3;
    assert_int_equal(dv_search_state_to_retrain(&search, 10000)->iteration, 2);
    search.count = 0;
    search.candidates = candidates;
    assert_null(dv_search_state_to_retrain(&search, 100));
}

static void a_rival_has_trained_on_a_schedule_of_the_same_kind(void **state)
{
    struct dv_candidate candidates[] = {
        completed(1, DV_OPERATOR_DEFAULT, 0.70, 10),
        completed(2, DV_OPERATOR_IMPROVE, 0.60, 20),
        completed(3, DV_OPERATOR_DRAFT, 0.80, 15),
        completed(4, DV_OPERATOR_RETRAIN, 0.92, 15),
        completed(5, DV_OPERATOR_RETRAIN, 0.90, 10),
    };
    struct dv_search_state search = {.candidates = candidates,
        .plan = {.slots = 5, .retrains = 2, .epochs = 9, .screening_epochs = 3}};

    (void)state;
    candidates[1].parents[0] = 1;
    candidates[3].parents[0] = 3;
    candidates[4].parents[0] = 1;
    search.count = 1;
    assert_null(dv_search_state_rival(&search, &candidates[0]));
    search.count = 3;
    assert_int_equal(dv_search_state_rival(&search, &candidates[1])->iteration, 1);
    assert_int_equal(dv_search_state_rival(&search, &candidates[2])->iteration, 1);
    candidates[0].status = DV_CANDIDATE_FAILED;
    assert_int_equal(dv_search_state_rival(&search, &candidates[2])->iteration, 2);
    search.count = 4; /* its parent had a third of its time */
    assert_null(dv_search_state_rival(&search, &candidates[3]));
    search.count = 5;
    assert_int_equal(dv_search_state_rival(&search, &candidates[4])->iteration, 4);
    search.plan.retrains = 0; /* nothing is screened */
    search.count = 4;
    assert_int_equal(dv_search_state_rival(&search, &candidates[3])->iteration, 3);
}

static void a_verdict_is_more_than_chance_at_a_hundred_percent_too(void **state)
{
    /* clang-format off */
    static const struct {
        double accuracy, other;
        uint64_t count;
        enum dv_verdict verdict;
    } cases[] = {
        {0.80, 0.80, 200, DV_VERDICT_TIE},
        {0.86, 0.80, 200, DV_VERDICT_TIE},
        {0.92, 0.80, 200, DV_VERDICT_BETTER},
        {0.80, 0.92, 200, DV_VERDICT_WORSE},
        {0.81, 0.80, 100000, DV_VERDICT_BETTER},
        {1.0, 0.995, 200, DV_VERDICT_TIE}, /* one picture */
        {0.995, 1.0, 200, DV_VERDICT_TIE},
        {1.0, 0.95, 200, DV_VERDICT_BETTER},
        {1.0, 1.0, 200, DV_VERDICT_TIE},
    };
    /* clang-format on */

    (void)state;
    for (size_t i = 0; i < DV_ARRAY_SIZE(cases); i++) {
        assert_int_equal(dv_verdict_between(cases[i].accuracy, cases[i].other, cases[i].count),
            cases[i].verdict);
    }
}

/* --- Space, mutation, proposer ------------------------------------------------------------- */

static void what_the_space_writes_it_reads_back(void **state)
{
    struct search_bench *bench = *state;
    const struct dv_space *space = &bench->offline.space;
    size_t dimensions = dv_space_dimension_count(space);

    assert_int_equal(space->stage_count, 3);
    for (uint64_t seed = 0; seed < 200; seed++) {
        struct dv_random random = dv_random_make(seed, DV_RANDOM_SEARCH, 0, 0);
        struct dv_point point;
        struct dv_point read;
        struct dv_candidate candidate;
        struct dv_problems problems;
        dv_tpe_draw_prior(space, &random, &point);
        struct dv_proposal proposal = {.architecture = dv_space_architecture(space, &point),
            .hyperparameters = dv_space_hyperparameters(space, &point)};
        dv_problems_init(&problems, bench->arena, DV_ARCH_PROBLEMS_MAX);
        bench->limits.macs_max = UINT64_MAX;
        bench->limits.parameters_max = UINT64_MAX;
        assert_int_equal(dv_gate_check(&bench->gate, &proposal, &bench->limits, bench->arena,
                             &problems, &candidate, NULL, NULL),
            DV_OK);
        dv_space_read(space, candidate.arch, &candidate.hyperparameters, &read);
        for (size_t d = 0; d < dimensions; d++) {
            bool is_gate = d >= DV_SPACE_DIMENSIONS &&
                           (d - DV_SPACE_DIMENSIONS) % DV_SPACE_STAGE_DIMENSIONS == DV_SPACE_GATE;
            /* Convolutions have no gate, whatever was drawn. */
            assert_true(read.levels[d] == point.levels[d] || (is_gate && read.levels[d] == 0));
        }
        dv_json_unref(proposal.architecture);
        dv_json_unref(proposal.hyperparameters);
    }
}

/* Fields that have no dimension, and values between the levels. */
static const char own_template[] =
    "{\"layers\":[{\"name\":\"stem\",\"op\":\"conv\",\"out\":24,\"kernel\":2,\"padding\":0},"
    "{\"name\":\"c1\",\"op\":\"conv\",\"out\":48,\"pool\":\"max\",\"act\":\"gelu\"},"
    "{\"name\":\"r1\",\"op\":\"residual\",\"out\":96,\"stride\":2,\"shortcut\":\"pad\","
    "\"drop\":0.05,\"repeat\":6},"
    "{\"name\":\"m1\",\"op\":\"mbconv\",\"out\":96,\"kernel\":7,\"expand\":6,\"se\":0.5},"
    "{\"name\":\"p1\",\"op\":\"conv\",\"out\":96,\"groups\":4,\"act\":\"none\"},"
    "{\"name\":\"gap\",\"op\":\"global_pool\",\"pool\":\"avg\"},"
    "{\"name\":\"dp\",\"op\":\"dropout\",\"drop\":0.17},{\"name\":\"head\",\"op\":\"linear\"}]}";

static struct dv_arch *parse_arch(struct search_bench *bench, const struct dv_json *json)
{
    struct dv_problems problems;
    struct dv_arch *arch = NULL;

    dv_problems_init(&problems, bench->arena, DV_ARCH_PROBLEMS_MAX);
    if (dv_arch_parse(json, bench->arena, &problems, &arch, NULL) != DV_OK) {
        fail_msg("%s", problems.items[0].message);
    }
    return arch;
}

static void at_its_own_point_the_template_is_what_it_was(void **state)
{
    struct search_bench *bench = *state;
    DV_CLEANUP(dv_json_unrefp) struct dv_json *text = search_bench_parse(own_template);
    const struct dv_arch *base = parse_arch(bench, text);
    char before[DV_SHA256_TEXT_SIZE];
    char after[DV_SHA256_TEXT_SIZE];
    struct dv_space space;
    struct dv_point point;

    bench->defaults.dropout = 0.17;
    dv_space_init(&space, base, &bench->defaults);
    dv_space_read(&space, base, &bench->defaults, &point);
    DV_CLEANUP(dv_json_unrefp) struct dv_json *same = dv_space_architecture(&space, &point);
    dv_arch_hash(base, before);
    dv_arch_hash(parse_arch(bench, same), after);
    assert_string_equal(before, after);

    /* Another activation is one where there is one, and the rest stays. */
    point.levels[DV_SPACE_ACTIVATION] = 0;
    DV_CLEANUP(dv_json_unrefp) struct dv_json *relu = dv_space_architecture(&space, &point);
    const struct dv_arch *changed = parse_arch(bench, relu);
    assert_int_equal(changed->rows[1].act, DV_ACT_RELU);
    assert_int_equal(changed->rows[1].pooling, base->rows[1].pooling);
    assert_int_equal(changed->rows[4].act, DV_ACT_NONE);
}

static void a_mutation_changes_the_network_and_says_how(void **state)
{
    struct search_bench *bench = *state;
    char before[DV_SHA256_TEXT_SIZE];
    unsigned made = 0;
    unsigned sound = 0;

    dv_arch_hash(bench->arch, before);
    for (uint64_t seed = 0; seed < 300; seed++) {
        struct dv_random random = dv_random_make(seed, DV_RANDOM_SEARCH, 0, 0);
        const char *hypothesis = NULL;
        struct dv_problems problems;
        struct dv_arch *arch;
        struct dv_json *json = dv_mutation_make(
            &bench->offline.space, bench->arch, &random, bench->arena, &hypothesis);
        if (!json) {
            continue;
        }
        made++;
        assert_true(strlen(hypothesis) > 0);
        dv_problems_init(&problems, bench->arena, DV_ARCH_PROBLEMS_MAX);
        if (dv_arch_parse(json, bench->arena, &problems, &arch, NULL) == DV_OK) {
            char after[DV_SHA256_TEXT_SIZE];
            dv_arch_hash(arch, after);
            assert_string_not_equal(before, after);
            sound++;
        } else {
            print_message("%s: %s\n", hypothesis, problems.items[0].message);
        }
        dv_json_unref(json);
    }
    assert_true(made > 200);
    assert_true(10 * sound >= 9 * made);
}

static void another_activation_is_named_with_the_one_that_was_there(void **state)
{
    struct search_bench *bench = *state;
    DV_CLEANUP(dv_json_unrefp) struct dv_json *silu = dv_arch_to_json(bench->arch);
    struct dv_json *layers = dv_json_get(silu, "layers");
    unsigned made = 0;

    for (uint32_t i = 0; i < bench->arch->row_count; i++) {
        if (dv_space_is_stage(&bench->arch->rows[i])) {
            dv_json_set_string(dv_json_at(layers, i), "act", "silu");
        }
    }
    const struct dv_arch *arch = parse_arch(bench, silu);
    for (uint64_t seed = 0; seed < 300; seed++) {
        struct dv_random random = dv_random_make(seed, DV_RANDOM_SEARCH, 0, 0);
        const char *hypothesis = "";
        DV_CLEANUP(dv_json_unrefp)
        struct dv_json *json =
            dv_mutation_make(&bench->offline.space, arch, &random, bench->arena, &hypothesis);
        if (json && strstr(hypothesis, " as activation")) {
            assert_non_null(strstr(hypothesis, " instead of silu as activation"));
            made++;
        }
    }
    assert_true(made > 0);
}

static void propose(
    struct search_bench *bench, const struct dv_slot *slot, struct dv_candidate *ret)
{
    const struct dv_graph *graph;
    struct dv_proposal proposal;
    struct dv_problems problems;
    struct dv_error error = {0};

    if (bench->proposer.propose(bench->proposer.self, &bench->history, slot, bench->arena,
            &proposal, &error) != DV_OK) {
        fail_msg("%s", error.text);
    }
    dv_problems_init(&problems, bench->arena, DV_ARCH_PROBLEMS_MAX);
    assert_int_equal(dv_gate_check(&bench->gate, &proposal, &bench->limits, bench->arena, &problems,
                         ret, &graph, NULL),
        DV_OK);
    ret->iteration = slot->iteration;
    ret->operation = proposal.operation;
    dv_json_unref(proposal.architecture);
    dv_json_unref(proposal.hyperparameters);
}

/*
 * Accuracy as a formula: best away from where the prior is highest, with what a larger network
 * gains and noise as of a thousand validation pictures.
 */
static double true_accuracy(const struct search_bench *bench, const struct dv_candidate *candidate)
{
    const struct dv_hyperparameters *h = &candidate->hyperparameters;
    struct dv_point point;
    double rate = log10(h->learning_rate / bench->defaults.learning_rate);
    double size = (double)candidate->macs / (double)bench->graph->macs;
    double accuracy = 0.92 - 0.08 * (rate - 0.6) * (rate - 0.6) + 0.02 * log2(size);

    dv_space_read(&bench->offline.space, candidate->arch, h, &point);
    accuracy -= 0.02 * (h->optimizer == DV_OPTIMIZER_SGD);
    accuracy -= 0.03 * fabs(h->dropout - 0.4);
    for (uint32_t i = 0; i < bench->offline.space.stage_count; i++) {
        size_t at = DV_SPACE_DIMENSIONS + i * DV_SPACE_STAGE_DIMENSIONS;
        accuracy -= 0.01 * (point.levels[at + DV_SPACE_KERNEL] != 1);
        accuracy -= 0.01 * abs(point.levels[at + DV_SPACE_FAMILY] - 1);
    }
    return accuracy;
}

#define TRIALS 20u

/* The true value of what looked best after TRIALS proposals. */
static double search_formula(struct search_bench *bench, int64_t seed, bool is_random)
{
    uint64_t noise_seed = (uint64_t)seed * 1000;
    double best = -INFINITY;
    double truth = 0.0;

    bench->history.seed = seed;
    bench->history.count = 0;
    for (uint32_t i = 1; i <= TRIALS; i++) {
        struct dv_candidate *candidate = &bench->candidates[i - 1];
        struct dv_random noise = dv_random_make(noise_seed + i, DV_RANDOM_SAMPLE, 0, 0);
        struct dv_slot slot = {.iteration = i, .slot_count = TRIALS, .limits = &bench->limits};
        bool is_improved = i > 5 && i % 3 == 0; /* 30 % of the slots, as the search has it */
        slot.operation = is_improved ? DV_OPERATOR_IMPROVE : DV_OPERATOR_DRAFT;
        slot.parents[0] = is_improved ? bench->history.best : 0;
        bench->history.count = is_random ? 0 : i - 1;
        propose(bench, &slot, candidate);
        double value = true_accuracy(bench, candidate);
        candidate->status = DV_CANDIDATE_COMPLETED;
        candidate->val_accuracy = value + 0.008 * dv_random_normal(&noise);
        if (candidate->val_accuracy > best) {
            best = candidate->val_accuracy;
            truth = value;
            bench->history.best = i;
        }
    }
    return truth;
}

/* "Random" is the same proposer that is shown no history: prior and choice of four are alike. */
static void what_was_learned_is_worth_more_than_drawing_at_random(void **state)
{
    struct search_bench *bench = *state;
    double learned = 0.0;
    double drawn = 0.0;
    unsigned won = 0;
    const unsigned count = 40;

    for (int64_t seed = 1; seed <= count; seed++) {
        double with = search_formula(bench, seed, false);
        double without = search_formula(bench, seed, true);
        learned += with / count;
        drawn += without / count;
        won += with > without;
    }
    print_message("after %u trials: %.4f, at random %.4f, better in %u of %u\n", TRIALS, learned,
        drawn, won, count);
    assert_true(learned > drawn + 0.005);
    assert_true(3 * won >= 2 * count);
}

static void the_same_history_gives_the_same_proposal_and_none_is_made_twice(void **state)
{
    struct search_bench *bench = *state;
    char hashes[TRIALS][DV_SHA256_TEXT_SIZE];

    (void)search_formula(bench, 5, false);
    for (uint32_t i = 0; i < TRIALS; i++) {
        memcpy(hashes[i], bench->candidates[i].hash, sizeof(hashes[i]));
        for (uint32_t k = 0; k < i; k++) {
            assert_string_not_equal(hashes[i], hashes[k]);
        }
    }
    (void)search_formula(bench, 5, false);
    for (uint32_t i = 0; i < TRIALS; i++) {
        assert_string_equal(hashes[i], bench->candidates[i].hash);
    }
}

static void each_operator_keeps_to_what_it_says(void **state)
{
    struct search_bench *bench = *state;
    char parent_arch[DV_SHA256_TEXT_SIZE];
    char made_arch[DV_SHA256_TEXT_SIZE];

    (void)search_formula(bench, 7, false);
    bench->history.count = TRIALS;
    dv_arch_hash(bench->candidates[2].arch, parent_arch);
    for (uint32_t i = TRIALS + 1; i <= TRIALS + 8; i++) {
        struct dv_candidate made;
        struct dv_slot slot = {.iteration = i,
            .slot_count = 64,
            .limits = &bench->limits,
            .operation = DV_OPERATOR_TUNE,
            .parents = {3}};
        propose(bench, &slot, &made);
        dv_arch_hash(made.arch, made_arch);
        assert_string_equal(made_arch, parent_arch);

        slot.operation = DV_OPERATOR_IMPROVE;
        propose(bench, &slot, &made);
        dv_arch_hash(made.arch, made_arch);
        assert_string_not_equal(made_arch, parent_arch);
        assert_true(made.hyperparameters.learning_rate ==
                    bench->candidates[2].hyperparameters.learning_rate);
        assert_int_equal(
            made.hyperparameters.optimizer, bench->candidates[2].hyperparameters.optimizer);
    }
}

/* Of one parent there are only so many improvements: the slots after these are drafts. */
static void a_parent_that_has_no_more_neighbours_does_not_end_the_search(void **state)
{
    struct search_bench *bench = *state;
    struct dv_candidate *candidates = bench->candidates;
    unsigned drafts = 0;

    for (uint32_t i = 1; i <= DV_ARRAY_SIZE(bench->candidates); i++) {
        struct dv_slot slot = {.iteration = i,
            .slot_count = 64,
            .limits = &bench->limits,
            .operation = i == 1 ? DV_OPERATOR_DRAFT : DV_OPERATOR_IMPROVE,
            .parents = {i > 1}};
        bench->history.count = i - 1;
        bench->limits.macs_max = i == 1 ? UINT64_MAX : candidates[0].macs;
        propose(bench, &slot, &candidates[i - 1]);
        assert_false(dv_gate_has_seen(&bench->history, &candidates[i - 1], NULL));
        candidates[i - 1].status = DV_CANDIDATE_FAILED;
        drafts += i > 1 && candidates[i - 1].operation == DV_OPERATOR_DRAFT;
    }
    print_message("%u of 63 are drafts\n", drafts);
    assert_in_range(drafts, 1, 62);
}

static void tuning_keeps_what_it_does_not_change(void **state)
{
    struct search_bench *bench = *state;
    struct dv_candidate *parent = &bench->candidates[0];
    unsigned same_rate = 0;
    unsigned other_rate = 0;

    *parent = (struct dv_candidate){.iteration = 1,
        .arch = bench->arch,
        .hyperparameters = bench->defaults,
        .status = DV_CANDIDATE_COMPLETED,
        .val_accuracy = 0.5};
    parent->hyperparameters.momentum = 0.8;
    parent->hyperparameters.warmup_epochs = 0.5;
    parent->hyperparameters.learning_rate *= 1.0321; /* between two levels */
    bench->history.count = 1;
    for (uint32_t i = 4; i < 60; i++) {
        struct dv_candidate tuned;
        struct dv_slot slot = {.iteration = i,
            .slot_count = 64,
            .operation = DV_OPERATOR_TUNE,
            .parents = {1},
            .limits = &bench->limits};
        propose(bench, &slot, &tuned);
        bool is_same = tuned.hyperparameters.learning_rate == parent->hyperparameters.learning_rate;
        assert_int_equal(tuned.operation, DV_OPERATOR_TUNE);
        assert_true(tuned.hyperparameters.momentum == 0.8);
        assert_true(tuned.hyperparameters.warmup_epochs == 0.5);
        same_rate += is_same;
        other_rate += !is_same;
    }
    print_message("the rate stayed in %u of %u\n", same_rate, same_rate + other_rate);
    assert_true(same_rate > 0);
    assert_true(other_rate > 0);
}

/* What the offline proposer says for a slot, as a candidate that has passed. */
static struct dv_candidate propose_in_slot(struct search_bench *bench, uint32_t iteration)
{
    const struct dv_slot slot = {.iteration = iteration,
        .slot_count = 8,
        .operation = DV_OPERATOR_DRAFT,
        .limits = &bench->limits};
    struct dv_candidate candidate;
    struct dv_problems problems;
    struct dv_proposal proposal;

    assert_int_equal(bench->proposer.propose(bench->proposer.self, &bench->history, &slot,
                         bench->arena, &proposal, NULL),
        DV_OK);
    dv_problems_init(&problems, bench->arena, DV_ARCH_PROBLEMS_MAX);
    assert_int_equal(dv_gate_check(&bench->gate, &proposal, &bench->limits, bench->arena, &problems,
                         &candidate, NULL, NULL),
        DV_OK);
    candidate.operation = proposal.operation;
    candidate.parents[0] = proposal.parents[0];
    dv_json_unref(proposal.architecture);
    dv_json_unref(proposal.hyperparameters);
    return candidate;
}

static void it_begins_with_the_default_as_deep_and_as_wide_as_the_limits_allow(void **state)
{
    struct search_bench *bench = *state;

    bench->candidates[0] = (struct dv_candidate){.iteration = 1,
        .arch = bench->arch,
        .hyperparameters = bench->defaults,
        .status = DV_CANDIDATE_COMPLETED,
        .val_accuracy = 0.5};
    bench->history.count = 1;
    struct dv_candidate deep = propose_in_slot(bench, 2);
    struct dv_candidate wide = propose_in_slot(bench, 3);
    for (uint32_t i = 0; i < bench->arch->row_count; i++) {
        const struct dv_arch_row *row = &bench->arch->rows[i];
        assert_int_equal(deep.arch->rows[i].out, row->out);
        assert_int_equal(wide.arch->rows[i].repeat, row->repeat);
        assert_true(wide.arch->rows[i].out >= row->out);
    }
    assert_true(deep.macs > bench->graph->macs && wide.macs > bench->graph->macs * 3 / 2);
    assert_int_equal(deep.operation, DV_OPERATOR_IMPROVE);
    assert_string_not_equal(deep.arch->name, bench->arch->name);
    assert_int_equal(wide.parents[0], 1);
    assert_true(wide.hyperparameters.learning_rate == bench->defaults.learning_rate);

    /* Less room: only the first stages are deeper. */
    bench->limits.macs_max = deep.macs - 1;
    struct dv_candidate less = propose_in_slot(bench, 2);
    assert_true(less.macs > bench->graph->macs && less.macs < deep.macs);
}

static void nothing_that_fits_is_said_and_not_searched_for_ever(void **state)
{
    struct search_bench *bench = *state;
    struct dv_proposal proposal;
    struct dv_slot slot = {
        .iteration = 2, .slot_count = 3, .operation = DV_OPERATOR_DRAFT, .limits = &bench->limits};

    bench->limits.macs_max = 1000;
    assert_int_equal(bench->proposer.propose(bench->proposer.self, &bench->history, &slot,
                         bench->arena, &proposal, NULL),
        DV_NOT_FOUND);
}

static int make_folder(void **state)
{
    (void)state;
    return mkdtemp(folder) && dv_path_format(journal_path, NULL, "%s/search.jsonl", folder) == DV_OK
               ? 0
               : -1;
}

static int remove_folder(void **state)
{
    (void)state;
    return dv_folder_remove(folder, NULL) == DV_OK ? 0 : -1;
}

#define BENCH_TEST(test) cmocka_unit_test_setup_teardown(test, search_bench_make, search_bench_drop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        BENCH_TEST(the_gate_fills_in_what_a_proposal_does_not_say_or_may_not),
        BENCH_TEST(the_gate_refuses_with_the_place_and_a_fix),
        BENCH_TEST(what_would_take_too_long_is_refused),
        BENCH_TEST(want_of_memory_is_refused_with_the_batch_that_fits),
        BENCH_TEST(a_second_time_is_the_same_network_with_the_same_hyperparameters),
        cmocka_unit_test(a_line_that_was_being_written_is_cut_off_and_one_before_is_damage),
        BENCH_TEST(a_journal_that_contradicts_itself_is_corrupt),
        cmocka_unit_test(the_default_is_trained_again_unless_another_is_better_by_a_standard_error),
        cmocka_unit_test(choice_is_by_accuracy_then_cost_and_among_whole_runs_where_there_are_such),
        cmocka_unit_test(a_rival_has_trained_on_a_schedule_of_the_same_kind),
        cmocka_unit_test(a_verdict_is_more_than_chance_at_a_hundred_percent_too),
        BENCH_TEST(what_the_space_writes_it_reads_back),
        BENCH_TEST(at_its_own_point_the_template_is_what_it_was),
        BENCH_TEST(a_mutation_changes_the_network_and_says_how),
        BENCH_TEST(another_activation_is_named_with_the_one_that_was_there),
        BENCH_TEST(what_was_learned_is_worth_more_than_drawing_at_random),
        BENCH_TEST(the_same_history_gives_the_same_proposal_and_none_is_made_twice),
        BENCH_TEST(each_operator_keeps_to_what_it_says),
        BENCH_TEST(a_parent_that_has_no_more_neighbours_does_not_end_the_search),
        BENCH_TEST(nothing_that_fits_is_said_and_not_searched_for_ever),
        BENCH_TEST(tuning_keeps_what_it_does_not_change),
        BENCH_TEST(it_begins_with_the_default_as_deep_and_as_wide_as_the_limits_allow),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
