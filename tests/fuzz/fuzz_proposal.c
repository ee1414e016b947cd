/* SPDX-License-Identifier: Apache-2.0 */

/*
 * What a language model answers, from its text to the gate: a candidate that passes is a network
 * within the limits, and what is refused can be asked again.
 */

#include "arch_mutator.h"
#include "base/alloc.h"
#include "base/arena.h"
#include "base/hash.h"
#include "base/json.h"
#include "base/macro.h"
#include "base/random.h"
#include "llm/answer.h"
#include "llm/llm.h"
#include "llm/question.h"
#include "spec/arch.h"
#include "spec/dataset.h"
#include "spec/graph.h"
#include "spec/limits.h"
#include "spec/problem.h"
#include "train/search/gate.h"
#include "train/search/prompt.h"
#include "train/search/proposal_wire.h"

#include <assert.h>
#include <stdint.h>
#include <string.h>

#define SIDE 32
#define BATCH_MAX 4096
#define MEMORY_MAX ((uint64_t)1 << 30)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t size_max);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t size_max, unsigned seed);

/* --- A search that asks ------------------------------------------------------------------- */

struct asker {
    struct dv_arena *arena;
    struct dv_class_summary classes[2];
    struct dv_dataset_summary dataset;
    struct dv_hyperparameters defaults;
    struct dv_candidate parent;
    struct dv_gate gate;
    struct dv_search_limits limits;
    struct dv_search_history history;
    struct dv_slot slot;
};

static const struct dv_arch *make_parent(struct dv_arena *arena)
{
    DV_CLEANUP(dv_json_unrefp) struct dv_json *name = dv_json_string("small_cnn");
    struct dv_problems problems;
    struct dv_arch *arch = NULL;

    dv_problems_init(&problems, arena, DV_ARCH_PROBLEMS_MAX);
    enum dv_status status = dv_arch_parse(name, arena, &problems, &arch, NULL);
    assert(status == DV_OK);
    return arch;
}

static void make_asker(struct asker *asker, enum dv_operator operation)
{
    struct dv_arena *arena = dv_arena_create(0);

    *asker = (struct asker){.arena = arena,
        .classes = {{.name = "cat", .counts = {400, 50, 50}},
            {.name = "dog", .counts = {400, 50, 50}}},
        .dataset = {.class_count = 2, .channels = 3, .side_min = SIDE, .side_max = SIDE},
        .defaults = dv_hyperparameters_default(),
        .limits = {.parameters_max = 2000000,
            .macs_max = 60000000,
            .memory_max = MEMORY_MAX,
            .epochs = 3},
        .slot = {.iteration = 2, .slot_count = 8, .operation = operation, .parents = {1, 0}}};
    asker->defaults.image_size = SIDE;
    asker->dataset.classes = asker->classes;
    asker->parent = (struct dv_candidate){.iteration = 1,
        .arch = make_parent(arena),
        .hyperparameters = asker->defaults,
        .status = DV_CANDIDATE_COMPLETED};
    asker->gate = (struct dv_gate){.dataset = &asker->dataset, .defaults = &asker->defaults};
    asker->history = (struct dv_search_history){.candidates = &asker->parent,
        .count = 1,
        .best = 1,
        .dataset = &asker->dataset,
        .defaults = &asker->defaults,
        .default_arch = asker->parent.arch};
    asker->slot.limits = &asker->limits;
}

/* --- What is done with an answer ---------------------------------------------------------- */

static void check_candidate(
    const struct asker *asker, const struct dv_candidate *candidate, const struct dv_graph *graph)
{
    const struct dv_hyperparameters *used = &candidate->hyperparameters;
    struct dv_graph_use use = {
        .batch_size = (uint32_t)used->batch_size, .optimizer_slots = 2, .has_ema = true};

    assert(used->batch_size >= 1 && used->batch_size <= BATCH_MAX);
    assert(used->epochs == asker->limits.epochs && used->image_size == SIDE);
    assert(graph->parameter_count <= asker->limits.parameters_max);
    assert(graph->macs <= asker->limits.macs_max);
    assert(dv_graph_training_memory(graph, use) <= asker->limits.memory_max);
    assert(strlen(candidate->hash) == DV_SHA256_TEXT_SIZE - 1);
}

static void check_repair(const struct asker *asker, const struct dv_proposal *refused,
    const struct dv_problems *problems)
{
    DV_CLEANUP(dv_json_unrefp)
    struct dv_json *repair = dv_prompt_repair(&asker->history, &asker->slot, refused, problems);
    struct dv_llm_question question;

    assert(problems->count > 0);
    enum dv_status status = dv_llm_question_from_json(repair, &question, NULL);
    assert(status == DV_OK);
}

static void judge(struct asker *asker, const struct dv_json *answer)
{
    struct dv_candidate candidate;
    const struct dv_graph *graph;
    struct dv_problems problems;
    struct dv_proposal proposal;

    dv_proposal_wire_read(answer, &asker->history, &asker->slot, asker->arena, &proposal);
    assert(proposal.architecture && proposal.hyperparameters);
    dv_problems_init(&problems, asker->arena, DV_ARCH_PROBLEMS_MAX);
    enum dv_status status = dv_gate_check(&asker->gate, &proposal, &asker->limits, asker->arena,
        &problems, &candidate, &graph, &(struct dv_error){0});
    assert(status == DV_OK || status == DV_INVALID);
    if (status == DV_OK) {
        check_candidate(asker, &candidate, graph);
    } else {
        check_repair(asker, &proposal, &problems);
    }
    dv_json_unref(proposal.architecture);
    dv_json_unref(proposal.hyperparameters);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const enum dv_operator operations[] = {
        DV_OPERATOR_DRAFT, DV_OPERATOR_IMPROVE, DV_OPERATOR_TUNE};
    DV_CLEANUP(dv_json_unrefp) struct dv_json *answer = NULL;

    if (dv_llm_answer_extract((const char *)data, size, &answer, NULL) == DV_OK) {
        struct asker asker;
        make_asker(&asker, operations[dv_crc32(0, data, size) % DV_ARRAY_SIZE(operations)]);
        judge(&asker, answer);
        dv_arena_destroy(asker.arena);
    }
    return 0;
}

/* --- Mutations ---------------------------------------------------------------------------- */

/* A hyperparameter as a model might set it. */
static void mutate_train(struct dv_json *answer, struct dv_random *random)
{
    static const double values[] = {-1, 0, 1e-9, 0.05, 0.5, 1, 7, 128, 4096, 4097, 1e10, 1e300};
    static const char *const words[] = {"adamw", "cosine", "strong", "lion", "", "128"};
    DV_CLEANUP(dv_json_unrefp) struct dv_json *catalogue = dv_proposal_wire_catalogue();
    const struct dv_json *item =
        dv_json_at(catalogue, dv_random_below(random, dv_json_count(catalogue)));
    struct dv_json *train = dv_json_get(answer, "train");

    if (!dv_json_is_object(train)) {
        train = dv_json_object();
        dv_json_set(answer, "train", train);
    }
    double value = values[dv_random_below(random, DV_ARRAY_SIZE(values))];
    dv_json_set(train, dv_json_get_string(item, "name", ""),
        dv_random_below(random, 3) == 0
            ? dv_json_string(words[dv_random_below(random, DV_ARRAY_SIZE(words))])
        : value > 1.0 && value < 1e12 ? dv_json_integer((int64_t)value)
                                      : dv_json_number(value));
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t size_max, unsigned seed)
{
    struct dv_random random = dv_random_make(seed, DV_RANDOM_SAMPLE, 0, 0);
    DV_CLEANUP(dv_json_unrefp) struct dv_json *answer = NULL;

    if (dv_random_below(&random, 4) == 0 ||
        dv_llm_answer_extract((const char *)data, size, &answer, NULL) != DV_OK) {
        return LLVMFuzzerMutate(data, size, size_max);
    }
    struct dv_json *model = dv_json_get(answer, "model");
    if (!model || dv_random_below(&random, 20) == 0) {
        model = arch_mutator_seed(&random);
        dv_json_set(answer, "model", model);
    }
    for (uint64_t changes = 1 + dv_random_below(&random, 4); changes > 0; changes--) {
        if (dv_random_below(&random, 4) == 0) {
            mutate_train(answer, &random);
        } else {
            arch_mutate(model, &random);
        }
    }
    DV_CLEANUP(dv_freep) char *text = dv_json_print(answer);
    size_t length = strlen(text);
    if (length > size_max) {
        return LLVMFuzzerMutate(data, size, size_max);
    }
    memcpy(data, text, length);
    return length;
}
