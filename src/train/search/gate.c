/* SPDX-License-Identifier: Apache-2.0 */
#include "train/search/gate.h"

#include "base/alloc.h"
#include "base/arena.h"
#include "base/json.h"
#include "base/text.h"
#include "spec/arch.h"
#include "spec/check.h"
#include "spec/dataset.h"
#include "spec/graph.h"
#include "spec/problem.h"
#include "spec/time_table.h"
#include "train/recipe.h"

#include <assert.h>
#include <string.h>

#define OPTIMIZER_SLOTS_MAX 2 /* adam's; the others have fewer */

static uint64_t train_count(const struct dv_dataset_summary *dataset)
{
    uint64_t count = 0;

    for (uint32_t c = 0; c < dataset->class_count; c++) {
        count += dataset->classes[c].counts[DV_SPLIT_TRAIN];
    }
    return count;
}

/* --- Hyperparameters -------------------------------------------------------------------- */

/* What the search decides itself; not looked at, so no reason to refuse anything. */
static struct dv_json *without_searchs_own(const struct dv_json *proposed)
{
    static const char *const own[] = {"epochs", "seed", "image_size", "early_stopping_patience"};
    struct dv_json *copy = dv_json_copy(proposed);

    for (size_t i = 0; i < DV_ARRAY_SIZE(own); i++) {
        dv_json_remove(copy, own[i]);
    }
    return copy;
}

/* Averages are over a part of the run, so a shorter run has a shorter one. */
static void choose_ema(const struct dv_gate *gate, const struct dv_json *proposed,
    struct dv_hyperparameters *hyperparameters)
{
    bool is_said = dv_json_get(proposed, "ema") || dv_json_get(gate->fixed, "ema");

    if (!is_said && hyperparameters->ema > 0.0) {
        double steps = (double)hyperparameters->epochs * (double)train_count(gate->dataset) /
                       (double)hyperparameters->batch_size;
        hyperparameters->ema = dv_recipe_ema(steps);
    }
}

static enum dv_status read_hyperparameters(const struct dv_gate *gate,
    const struct dv_proposal *proposal, const struct dv_search_limits *limits,
    struct dv_problems *problems, struct dv_hyperparameters *ret_hyperparameters,
    struct dv_error *reterr)
{
    DV_CLEANUP(dv_json_unrefp) struct dv_json *proposed = NULL;
    struct dv_hyperparameters merged = *gate->defaults;
    uint64_t count = train_count(gate->dataset);
    enum dv_status status;

    if (dv_json_is_object(proposal->hyperparameters)) {
        proposed = without_searchs_own(proposal->hyperparameters);
    } else if (!dv_json_is_null(proposal->hyperparameters)) {
        dv_problems_add(problems, "E_TYPE", "/hyperparameters", "write an object",
            "hyperparameters: found %s. Legal: an object.",
            dv_json_type_name(proposal->hyperparameters));
        return dv_check_finish(problems, 0, reterr);
    }
    status = dv_hyperparameters_merge(&merged, proposed, "/hyperparameters", problems, reterr);
    if (status == DV_OK) {
        status =
            dv_hyperparameters_merge(&merged, gate->fixed, "/hyperparameters", problems, reterr);
    }
    if (status != DV_OK) {
        return status;
    }
    merged.epochs = limits->epochs;
    merged.seed = gate->defaults->seed;
    merged.image_size = gate->defaults->image_size;
    if ((uint64_t)merged.batch_size > count && count > 0) {
        merged.batch_size = (int64_t)count;
    }
    choose_ema(gate, proposed, &merged);
    *ret_hyperparameters = merged;
    return DV_OK;
}

void dv_gate_settle_dropout(
    const struct dv_gate *gate, struct dv_arch *arch, struct dv_hyperparameters *hyperparameters)
{
    assert(gate);
    assert(arch);
    assert(hyperparameters);
    for (uint32_t i = arch->row_count; i > 0; i--) {
        struct dv_arch_row *row = &arch->rows[i - 1];
        if (row->op == DV_ARCH_DROPOUT) {
            row->drop = dv_json_get_number(gate->fixed, "dropout", row->drop);
            break;
        }
    }
    hyperparameters->dropout = dv_arch_dropout(arch);
}

/* --- Budgets ---------------------------------------------------------------------------- */

enum cost { COST_PARAMETERS, COST_MACS };

static void refuse_cost(const struct dv_arch *arch, const struct dv_graph *graph, enum cost cost,
    uint64_t limit, struct dv_problems *problems)
{
    const char *name = cost == COST_MACS ? "multiply-adds" : "parameters";
    double total = (double)(cost == COST_MACS ? graph->macs : graph->parameter_count);
    double most = -1.0;
    uint32_t largest = 0;

    for (uint32_t i = 0; i < arch->row_count; i++) {
        uint64_t figures[2];
        dv_graph_row_cost(graph, i, &figures[COST_PARAMETERS], &figures[COST_MACS]);
        if ((double)figures[cost] > most) {
            most = (double)figures[cost];
            largest = i;
        }
    }
    const struct dv_arch_row *row = &arch->rows[largest];
    const char *pointer =
        dv_arena_printf(problems->arena, "/architecture/layers/%u", (unsigned)largest);
    const char *fix = dv_arena_printf(
        problems->arena, "set %s.out=%u", row->name, row->out >= 16 ? row->out / 16 * 8 : row->out);
    dv_problems_add(problems, "E_BUDGET", pointer, fix,
        "%s %.2f M > limit %.2f M. Largest: %s %.2f M (%.0f%%).", name, total * 1e-6,
        (double)limit * 1e-6, row->name, most * 1e-6, 100.0 * most / total);
}

static uint64_t memory_of(const struct dv_graph *graph, int64_t batch_size)
{
    struct dv_graph_use use = {.batch_size = (uint32_t)batch_size,
        .optimizer_slots = OPTIMIZER_SLOTS_MAX,
        .has_ema = true};

    return dv_graph_training_memory(graph, use);
}

static void refuse_memory(
    const struct dv_graph *graph, int64_t batch_size, uint64_t limit, struct dv_problems *problems)
{
    int64_t batch = batch_size;
    char needs[16];
    char may[16];

    while (batch > 1 && memory_of(graph, batch) > limit) {
        batch /= 2;
    }
    bool fits = memory_of(graph, batch) <= limit;
    dv_text_size(memory_of(graph, batch_size), needs);
    dv_text_size(limit, may);
    const char *fix =
        fits ? dv_arena_printf(problems->arena, "set batch_size=%lld", (long long)batch)
             : "make the network narrower or halve its maps earlier";
    dv_problems_add(problems, "E_MEM", "/hyperparameters/batch_size", fix,
        "training needs %s at batch %lld > limit %s.", needs, (long long)batch_size, may);
}

double dv_gate_picture_cost(
    const struct dv_gate *gate, const struct dv_graph *graph, int64_t batch_size)
{
    assert(gate);
    assert(graph);
    assert(batch_size > 0);
    return gate->times ? dv_graph_step_seconds(graph, (uint32_t)batch_size, gate->times) /
                             (double)batch_size
                       : (double)graph->macs;
}

static void check_budgets(const struct dv_candidate *candidate, const struct dv_arch *arch,
    const struct dv_graph *graph, const struct dv_search_limits *limits,
    struct dv_problems *problems)
{
    int64_t batch_size = candidate->hyperparameters.batch_size;

    if (graph->parameter_count > limits->parameters_max) {
        refuse_cost(arch, graph, COST_PARAMETERS, limits->parameters_max, problems);
    }
    if (graph->macs > limits->macs_max) {
        refuse_cost(arch, graph, COST_MACS, limits->macs_max, problems);
    }
    if (memory_of(graph, batch_size) > limits->memory_max) {
        refuse_memory(graph, batch_size, limits->memory_max, problems);
    }
    if (limits->cost_max > 0.0 && candidate->cost > limits->cost_max) {
        dv_problems_add(problems, "E_BUDGET", "/architecture",
            "make it narrower, or halve its maps earlier",
            "an epoch would take %.2f times as long as the default network's > limit %.2f.",
            candidate->cost, limits->cost_max);
    }
}

/* --- Both ------------------------------------------------------------------------------- */

static enum dv_status lower(const struct dv_gate *gate, const struct dv_proposal *proposal,
    struct dv_hyperparameters *hyperparameters, struct dv_arena *arena,
    struct dv_problems *problems, struct dv_arch **ret_arch, struct dv_graph **ret_graph,
    struct dv_error *reterr)
{
    uint32_t side = (uint32_t)gate->defaults->image_size;
    struct dv_shape input = {.channels = gate->dataset->channels, .rows = side, .columns = side};
    size_t before = problems->count;

    enum dv_status status =
        dv_arch_parse(proposal->architecture, arena, problems, ret_arch, reterr);
    if (status == DV_OK) {
        dv_gate_settle_dropout(gate, *ret_arch, hyperparameters);
        status = dv_graph_build(
            *ret_arch, input, gate->dataset->class_count, arena, problems, ret_graph, reterr);
    }
    dv_problems_prefix(problems, before, "/architecture");
    return status;
}

void dv_gate_hash(
    const char *arch_hash, const struct dv_hyperparameters *hyperparameters, char *ret_text)
{
    DV_CLEANUP(dv_json_unrefp) struct dv_json *json = dv_hyperparameters_to_json(hyperparameters);
    unsigned char digest[DV_SHA256_SIZE];

    assert(arch_hash);
    assert(ret_text);
    dv_json_remove(json, "seed");
    dv_json_remove(json, "epochs");
    dv_json_remove(json, "ema"); /* follows the epochs where nobody has set it */
    DV_CLEANUP(dv_freep) char *values = dv_json_print_canonical(json);
    DV_CLEANUP(dv_freep) char *text = dv_strprintf("%s/%s", arch_hash, values);
    dv_sha256(text, strlen(text), digest);
    dv_text_hex(digest, sizeof(digest), ret_text);
}

enum dv_status dv_gate_check(const struct dv_gate *gate, const struct dv_proposal *proposal,
    const struct dv_search_limits *limits, struct dv_arena *arena, struct dv_problems *problems,
    struct dv_candidate *ret_candidate, const struct dv_graph **ret_graph, struct dv_error *reterr)
{
    struct dv_candidate made = {.source = proposal->source};
    struct dv_arch *arch = NULL;
    struct dv_graph *graph = NULL;
    char arch_hash[DV_SHA256_TEXT_SIZE];

    assert(gate);
    assert(limits);
    assert(problems);
    assert(ret_candidate);
    /* Both are read whatever the other has, so that one repair can mend all. */
    enum dv_status values =
        read_hyperparameters(gate, proposal, limits, problems, &made.hyperparameters, reterr);
    if (values != DV_OK && values != DV_INVALID) {
        return values;
    }
    enum dv_status status =
        lower(gate, proposal, &made.hyperparameters, arena, problems, &arch, &graph, reterr);
    if (status != DV_OK || values != DV_OK) {
        return status != DV_OK ? status : values;
    }
    size_t before = problems->count;
    made.cost = gate->default_cost > 0.0
                    ? dv_gate_picture_cost(gate, graph, made.hyperparameters.batch_size) /
                          gate->default_cost
                    : 1.0;
    check_budgets(&made, arch, graph, limits, problems);
    status = dv_check_finish(problems, before, reterr);
    if (status != DV_OK) {
        return status;
    }
    made.arch = arch;
    made.hypothesis = proposal->hypothesis;
    made.parameter_count = graph->parameter_count;
    made.macs = graph->macs;
    dv_arch_hash(arch, arch_hash);
    dv_gate_hash(arch_hash, &made.hyperparameters, made.hash);
    *ret_candidate = made;
    if (ret_graph) {
        *ret_graph = graph;
    }
    return DV_OK;
}

bool dv_gate_has_seen(const struct dv_search_history *history, const struct dv_candidate *candidate,
    struct dv_problems *problems)
{
    for (size_t i = 0; i < history->count; i++) {
        const struct dv_candidate *seen = &history->candidates[i];
        if (strcmp(seen->hash, candidate->hash) != 0) {
            continue;
        }
        if (problems) {
            const char *became = seen->status == DV_CANDIDATE_FAILED ? "which failed"
                                 : seen->status == DV_CANDIDATE_COMPLETED
                                     ? dv_arena_printf(problems->arena, "validation accuracy %.4f",
                                           seen->val_accuracy)
                                     : "which is being trained";
            dv_problems_add(problems, "E_DUP", "", "change something that matters",
                "the same network and hyperparameters as #%u (%s).", seen->iteration, became);
        }
        return true;
    }
    return false;
}
