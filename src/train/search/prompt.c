/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading order: the first message, what the second is made of (task, limits, history, parents,
 * wish), the questions.
 */
#include "train/search/prompt.h"

#include "base/alloc.h"
#include "base/arena.h"
#include "base/buffer.h"
#include "base/json.h"
#include "base/macro.h"
#include "base/text.h"
#include "spec/arch.h"
#include "spec/arch_wire.h"
#include "spec/dataset.h"
#include "spec/problem.h"
#include "train/search/proposal_wire.h"

#include <assert.h>
#include <string.h>

#define CLASSES_SHOWN_MAX 20
#define CLASS_NAME_SIZE_MAX 40
#define NOTE_SIZE_MAX 120     /* of what was tried, or how it failed */
#define HISTORY_SIZE_MAX 3000 /* bytes of all candidates */
#define SHORT_HISTORY_SIZE_MAX 700
#define LINE_SIZE_MAX 600      /* of one network */
#define DOCUMENT_SIZE_MAX 6000 /* of one network in full */
#define PROBLEM_SIZE_MAX 500
#define FAILURES_SHOWN_MAX 4

/* --- The first message -------------------------------------------------------------------- */

static const char role[] =
    "You design convolutional networks that classify pictures, and how they are trained. Answer "
    "with one JSON "
    "object and no other text:\n"
    "{\"thought\": what the history shows, two sentences at most, \"change\": what you change and "
    "why it should "
    "help, one sentence, \"model\": a network, \"train\": hyperparameters}\n\n"
    "NETWORK {\"name\", \"layers\": [row, ...]}. A row has \"name\" (a-z, 0-9, _; 24 letters at "
    "most; unique), "
    "\"op\", \"from\" and fields. \"from\" lists names of earlier rows, \"input\" being the "
    "picture; [] is the row "
    "before. add and concat take 2 to 4 rows, all others one. Write 0 or \"none\" for what an op "
    "does not take or "
    "where you want its default. Fields, and the ops that take them:\n";

static const char ops[] =
    "conv: convolution, norm, act, then 2x2 pooling unless pool is none. residual: two "
    "convolutions and a "
    "shortcut. bottleneck: 1x1 to out/expand channels, kernel, 1x1, and a shortcut. mbconv: 1x1 to "
    "expand times "
    "the input's channels, depthwise kernel, 1x1, a shortcut where shapes agree. dwsep: depthwise "
    "kernel, 1x1. "
    "repeat: so many in a row, the first with the stride. out: channels; 0 on the last row is the "
    "number of "
    "classes. kernel defaults to 3 (pool: 2), stride of a pool to its kernel. drop: the rate of "
    "dropout; of "
    "residual, bottleneck and mbconv the rate at which the branch is skipped. add wants equal "
    "shapes, concat equal "
    "rows and columns. The last row is linear, with global_pool or flatten before it.\n\n"
    "TRAIN, all of them numbers or words:\n";

static const char advice[] =
    "\nWHAT TENDS TO WORK\n"
    "- Double the width where rows and columns are halved; keep at least 4x4 before global_pool.\n"
    "- Start with a conv of 16-64 channels, then 2-4 stages; repeats add depth, residual and "
    "mbconv train well deep.\n"
    "- batch norm with relu or silu; no bias is needed beside a norm.\n"
    "- sgd with onecycle and learning_rate 0.05-0.4 at batch 128, or adamw with 0.001-0.003; lower "
    "it after a divergence.\n"
    "- More augmentation, label smoothing, dropout or weight decay only where training is far "
    "above validation; more "
    "width or depth where both are low.\n"
    "- Mirrored letters, digits and signs are other pictures: crop rather than flip for them.\n"
    "- Small, cheap networks get more from few epochs; limits are hard.\n\n"
    "EXAMPLE (fields that are 0 or none left out)\n"
    "{\"thought\": \"Validation follows training closely, so there is room for more capacity.\", "
    "\"change\": \"s3 96 "
    "-> 128 channels and squeeze-and-excitation in it, since the last stage has the features that "
    "classes need.\", "
    "\"model\": {\"name\": \"res_se\", \"layers\": [{\"name\": \"stem\", \"op\": \"conv\", "
    "\"from\": [], \"out\": 32}, "
    "{\"name\": \"s1\", \"op\": \"residual\", \"from\": [], \"out\": 32}, {\"name\": \"s2\", "
    "\"op\": \"residual\", "
    "\"from\": [], \"out\": 64, \"repeat\": 2, \"stride\": 2}, {\"name\": \"s3\", \"op\": "
    "\"residual\", \"from\": [], "
    "\"out\": 128, \"stride\": 2, \"se\": 0.25}, {\"name\": \"gap\", \"op\": \"global_pool\", "
    "\"from\": [], \"pool\": "
    "\"avg\"}, {\"name\": \"head\", \"op\": \"linear\", \"from\": []}]}, \"train\": "
    "{\"learning_rate\": 0.2, "
    "\"batch_size\": 128, \"optimizer\": \"sgd\", \"momentum\": 0.9, \"weight_decay\": 0.0005, "
    "\"schedule\": "
    "\"onecycle\", \"warmup_epochs\": 1, \"label_smoothing\": 0.1, \"augmentation\": \"crop\"}}\n";

static void describe_hyperparameters(struct dv_buffer *buffer)
{
    DV_CLEANUP(dv_json_unrefp) struct dv_json *catalogue = dv_proposal_wire_catalogue();

    for (size_t i = 0; i < dv_json_count(catalogue); i++) {
        const struct dv_json *item = dv_json_at(catalogue, i);
        const struct dv_json *choices = dv_json_get(item, "choices");
        dv_buffer_printf(buffer, "%s: ", dv_json_get_string(item, "name", ""));
        for (size_t c = 0; c < dv_json_count(choices); c++) {
            dv_buffer_printf(
                buffer, "%s%s", c > 0 ? "|" : "", dv_json_to_string(dv_json_at(choices, c), ""));
        }
        if (!choices) {
            dv_buffer_printf(buffer, "%s %g-%g", dv_json_get_string(item, "type", ""),
                dv_json_get_number(item, "minimum", 0.0), dv_json_get_number(item, "maximum", 0.0));
        }
        dv_buffer_printf(buffer, ". %s\n", dv_json_get_string(item, "meaning", ""));
    }
}

static void write_system(struct dv_buffer *buffer)
{
    dv_buffer_append_text(buffer, role);
    dv_arch_wire_describe(buffer);
    dv_buffer_append_text(buffer, ops);
    describe_hyperparameters(buffer);
    dv_buffer_append_text(buffer, advice);
}

/* --- Task and limits ---------------------------------------------------------------------- */

static void write_clipped(struct dv_buffer *buffer, const char *text, size_t size_max)
{
    DV_CLEANUP(dv_freep) char *copy = dv_strdup(text);
    bool is_cut = dv_text_clip(copy, size_max);

    dv_text_make_printable(copy);
    dv_buffer_printf(buffer, "%s%s", copy, is_cut ? "..." : "");
}

/* Other people's words, as a JSON string. */
static void write_quoted(struct dv_buffer *buffer, const char *text, size_t size_max)
{
    struct dv_buffer clipped = DV_BUFFER_INIT(1024);

    write_clipped(&clipped, text, size_max);
    DV_CLEANUP(dv_json_unrefp) struct dv_json *string = dv_json_text(dv_buffer_text(&clipped));
    DV_CLEANUP(dv_freep) char *quoted = dv_json_print(string);
    dv_buffer_append_text(buffer, quoted);
    dv_buffer_finish(&clipped);
}

static void write_task(struct dv_buffer *buffer, const struct dv_search_history *history)
{
    const struct dv_dataset_summary *dataset = history->dataset;
    uint64_t counts[DV_SPLIT_COUNT] = {0};
    long long side = (long long)history->defaults->image_size;

    dv_buffer_printf(buffer, "TASK %u classes: ", dataset->class_count);
    for (uint32_t c = 0; c < dataset->class_count; c++) {
        for (int split = 0; split < DV_SPLIT_COUNT; split++) {
            counts[split] += dataset->classes[c].counts[split];
        }
        if (c < CLASSES_SHOWN_MAX) {
            dv_buffer_append_text(buffer, c > 0 ? ", " : "");
            write_quoted(buffer, dataset->classes[c].name, CLASS_NAME_SIZE_MAX);
        }
    }
    if (dataset->class_count > CLASSES_SHOWN_MAX) {
        dv_buffer_printf(buffer, " and %u more", dataset->class_count - CLASSES_SHOWN_MAX);
    }
    dv_buffer_printf(buffer,
        ". Pictures of %lldx%lld, %u channel%s; %llu for training, %llu for validation. What "
        "counts "
        "is validation accuracy.\n",
        side, side, dataset->channels, dataset->channels == 1 ? "" : "s",
        (unsigned long long)counts[DV_SPLIT_TRAIN], (unsigned long long)counts[DV_SPLIT_VAL]);
}

static void write_limits(struct dv_buffer *buffer, const struct dv_slot *slot)
{
    const struct dv_search_limits *limits = slot->limits;
    char memory[16];

    dv_text_size(limits->memory_max, memory);
    dv_buffer_printf(buffer,
        "LIMITS parameters <= %.2f M, multiply-adds of a picture <= %.1f M, memory of training <= "
        "%s",
        (double)limits->parameters_max * 1e-6, (double)limits->macs_max * 1e-6, memory);
    if (limits->cost_max > 0.0) {
        dv_buffer_printf(buffer, ", an epoch's time <= %.3g of the default's", limits->cost_max);
    }
    dv_buffer_printf(
        buffer, ". Each candidate trains for %lld epochs.\n", (long long)limits->epochs);
}

static void write_state(
    struct dv_buffer *buffer, const struct dv_search_history *history, const struct dv_slot *slot)
{
    DV_CLEANUP(dv_json_unrefp)
    struct dv_json *defaults =
        dv_candidate_recipe(&(struct dv_candidate){.hyperparameters = *history->defaults});
    DV_CLEANUP(dv_freep) char *text = dv_json_print(defaults);

    dv_buffer_printf(buffer, "SEARCH candidate %u of %u.", slot->iteration, slot->slot_count);
    if (history->target_accuracy > 0.0) {
        dv_buffer_printf(buffer, " Target %.4f.", history->target_accuracy);
    }
    if (history->deviation > 0.0) {
        dv_buffer_printf(buffer, " Differences below %.4f are ties: noise, nothing to follow.",
            DV_TIE_DEVIATIONS * history->deviation);
    }
    dv_buffer_printf(buffer, "\nDEFAULT TRAIN %s\n", text);
}

/* --- History ------------------------------------------------------------------------------ */

/* The hyperparameters that are not the defaults', "learning_rate 0.05, optimizer adamw". */
static void write_differences(struct dv_buffer *buffer, const struct dv_search_history *history,
    const struct dv_candidate *candidate)
{
    DV_CLEANUP(dv_json_unrefp)
    struct dv_json *defaults =
        dv_candidate_recipe(&(struct dv_candidate){.hyperparameters = *history->defaults});
    DV_CLEANUP(dv_json_unrefp) struct dv_json *recipe = dv_candidate_recipe(candidate);
    const char *before = "";

    for (void *i = dv_json_first(recipe); i; i = dv_json_next(recipe, i)) {
        DV_CLEANUP(dv_freep) char *value = dv_json_print(dv_json_value(i));
        DV_CLEANUP(dv_freep) char *usual = dv_json_print(dv_json_get(defaults, dv_json_key(i)));
        if (!dv_text_equal(value, usual)) {
            dv_buffer_printf(buffer, "%s%s %s", before, dv_json_key(i), value);
            before = ", ";
        }
    }
    if (before[0] == '\0') {
        dv_buffer_append_text(buffer, "default train");
    }
}

static void write_network_line(struct dv_buffer *buffer, const struct dv_arch *arch)
{
    struct dv_buffer line = DV_BUFFER_INIT(65536);

    dv_arch_line(arch, &line);
    if (line.size > LINE_SIZE_MAX) {
        dv_buffer_printf(buffer, "%.*s...", LINE_SIZE_MAX, dv_buffer_text(&line));
    } else {
        dv_buffer_append_text(buffer, dv_buffer_text(&line));
    }
    dv_buffer_finish(&line);
}

static void write_outcome(struct dv_buffer *buffer, const struct dv_search_history *history,
    const struct dv_candidate *candidate)
{
    if (candidate->status == DV_CANDIDATE_FAILED) {
        dv_buffer_append_text(buffer, "FAILED: ");
        write_quoted(buffer, candidate->failure ? candidate->failure : "", NOTE_SIZE_MAX);
        return;
    }
    dv_buffer_printf(buffer, "training %.4f, validation %.4f%s", candidate->train_accuracy,
        candidate->val_accuracy, candidate->iteration == history->best ? " BEST" : "");
}

/* Where it came from, and what came of that. */
static void write_lineage(struct dv_buffer *buffer, const struct dv_candidate *candidate)
{
    dv_buffer_append_text(buffer, dv_operator_name(candidate->operation));
    if (candidate->parents[0] > 0) {
        dv_buffer_printf(buffer, " of #%u", candidate->parents[0]);
    }
    if (candidate->parents[1] > 0) {
        dv_buffer_printf(buffer, " and #%u", candidate->parents[1]);
    }
    if (candidate->verdict != DV_VERDICT_NONE) {
        dv_buffer_printf(buffer, ": %s", dv_verdict_name(candidate->verdict));
    }
    if (candidate->hypothesis) {
        dv_buffer_append_text(buffer, " ");
        write_quoted(buffer, candidate->hypothesis, NOTE_SIZE_MAX);
    }
}

static void write_candidate(struct dv_buffer *buffer, const struct dv_search_history *history,
    const struct dv_candidate *candidate)
{
    dv_buffer_printf(buffer, "#%u ", candidate->iteration);
    write_network_line(buffer, candidate->arch);
    dv_buffer_printf(buffer, " | %.2f M, %.1f M | ", (double)candidate->parameter_count * 1e-6,
        (double)candidate->macs * 1e-6);
    write_outcome(buffer, history, candidate);
    dv_buffer_append_text(buffer, " | ");
    write_differences(buffer, history, candidate);
    dv_buffer_append_text(buffer, " | ");
    write_lineage(buffer, candidate);
    dv_buffer_append_text(buffer, "\n");
}

/* Accuracy first, the youngest of equal ones first; what failed comes last. */
static bool comes_before(const struct dv_candidate *a, const struct dv_candidate *b)
{
    bool is_a = a->status == DV_CANDIDATE_COMPLETED;
    bool is_b = b->status == DV_CANDIDATE_COMPLETED;

    if (is_a != is_b) {
        return is_a;
    }
    if (is_a && (a->val_accuracy > b->val_accuracy || a->val_accuracy < b->val_accuracy)) {
        return a->val_accuracy > b->val_accuracy;
    }
    return a->iteration > b->iteration;
}

static size_t sort_history(
    const struct dv_search_history *history, const struct dv_candidate **ret_sorted)
{
    for (size_t i = 0; i < history->count; i++) {
        size_t at = i;
        while (at > 0 && comes_before(&history->candidates[i], ret_sorted[at - 1])) {
            ret_sorted[at] = ret_sorted[at - 1];
            at--;
        }
        ret_sorted[at] = &history->candidates[i];
    }
    return history->count;
}

/* As many of the best as there is room for, after a few of what failed; worst first. */
static void write_history(
    struct dv_buffer *buffer, const struct dv_search_history *history, size_t size_max)
{
    DV_CLEANUP(dv_arena_destroyp) struct dv_arena *arena = dv_arena_create(0);
    const struct dv_candidate **sorted = dv_arena_array(arena, history->count + 1, sizeof(*sorted));
    const char **lines = dv_arena_array(arena, history->count + 1, sizeof(*lines));
    size_t count = sort_history(history, sorted);
    size_t shown = 0;
    size_t failures = 0;
    size_t size = 0;

    for (size_t i = 0; i < count && size < size_max; i++) {
        struct dv_buffer line = DV_BUFFER_INIT(4096);
        failures += sorted[i]->status == DV_CANDIDATE_FAILED;
        if (failures <= FAILURES_SHOWN_MAX) {
            write_candidate(&line, history, sorted[i]);
            lines[shown++] = dv_arena_strdup(arena, dv_buffer_text(&line));
            size += line.size;
        }
        dv_buffer_finish(&line);
    }
    dv_buffer_printf(buffer,
        "HISTORY, %zu of %zu, worst first: network | parameters, multiply-adds | accuracy | train "
        "| "
        "what it was\n",
        shown, count);
    while (shown > 0) {
        dv_buffer_append_text(buffer, lines[--shown]);
    }
}

static void write_running(struct dv_buffer *buffer, const struct dv_search_history *history)
{
    if (history->running) {
        dv_buffer_printf(buffer, "UNDER WAY #%u ", history->running->iteration);
        write_network_line(buffer, history->running->arch);
        dv_buffer_append_text(buffer, " | ");
        write_differences(buffer, history, history->running);
        dv_buffer_append_text(buffer, "\n");
    }
}

/* --- Parents and wish --------------------------------------------------------------------- */

static void write_parent(
    struct dv_buffer *buffer, const struct dv_search_history *history, uint32_t iteration)
{
    const struct dv_candidate *parent = dv_search_history_find(history, iteration);

    if (!parent) {
        return;
    }
    DV_CLEANUP(dv_json_unrefp) struct dv_json *json = dv_proposal_wire_write(parent);
    DV_CLEANUP(dv_freep) char *text = dv_json_print(json);
    if (strlen(text) <= DOCUMENT_SIZE_MAX) {
        dv_buffer_printf(buffer, "PARENT #%u %s\n", iteration, text);
    }
}

static void write_wish(struct dv_buffer *buffer, const struct dv_slot *slot)
{
    switch (slot->operation) {
    case DV_OPERATOR_IMPROVE:
        dv_buffer_printf(buffer,
            "WANTED an improvement of #%u: exactly one structural change of its network, "
            "everything else as it is.\n",
            slot->parents[0]);
        break;
    case DV_OPERATOR_CROSSOVER:
        dv_buffer_printf(buffer,
            "WANTED a crossover of #%u and #%u: one network with what each does well.\n",
            slot->parents[0], slot->parents[1]);
        break;
    case DV_OPERATOR_TUNE:
        dv_buffer_printf(buffer,
            "WANTED other hyperparameters for #%u: its network stays, so leave \"model\" out; one "
            "to three changes in "
            "\"train\".\n",
            slot->parents[0]);
        break;
    default:
        dv_buffer_append_text(buffer, "WANTED a new design: another family of blocks, depth or "
                                      "width than the history has.\n");
    }
}

/* --- Questions ---------------------------------------------------------------------------- */

static void append_message(struct dv_json *messages, const char *speaker, struct dv_buffer *text)
{
    struct dv_json *message = dv_json_object();

    dv_json_set_string(message, "role", speaker);
    dv_json_set_string(message, "content", dv_buffer_text(text));
    dv_json_append(messages, message);
    dv_buffer_finish(text);
}

/* Both messages; takes the second. */
static struct dv_json *make_messages(struct dv_buffer *user)
{
    struct dv_buffer first = DV_BUFFER_INIT(DV_PROMPT_SIZE_MAX);
    struct dv_json *messages = dv_json_array();

    write_system(&first);
    assert(!first.is_over && !user->is_over);
    append_message(messages, "system", &first);
    append_message(messages, "user", user);
    return messages;
}

static struct dv_json *make_question(struct dv_json *messages, struct dv_json *short_messages,
    enum dv_operator operation, double temperature, int64_t seed)
{
    struct dv_json *question = dv_json_object();

    dv_json_set(question, "messages", messages);
    dv_json_set(question, "short_messages", short_messages);
    dv_json_set(question, "schema", dv_proposal_wire_schema(operation));
    dv_json_set_string(question, "schema_name", "proposal");
    dv_json_set_number(question, "temperature", temperature);
    dv_json_set_integer(question, "output_max", 0);
    dv_json_set_integer(question, "seed", seed);
    return question;
}

static int64_t seed_of(const struct dv_search_history *history, const struct dv_slot *slot)
{
    return (history->seed + slot->iteration) & INT32_MAX; /* some endpoints keep it in 32 bits */
}

static double temperature_of(enum dv_operator operation)
{
    return operation == DV_OPERATOR_TUNE ? 0.2 : operation == DV_OPERATOR_IMPROVE ? 0.4 : 0.7;
}

static struct dv_json *messages_of(
    const struct dv_search_history *history, const struct dv_slot *slot, size_t history_size)
{
    struct dv_buffer user = DV_BUFFER_INIT(DV_PROMPT_SIZE_MAX);

    write_task(&user, history);
    write_limits(&user, slot);
    write_state(&user, history, slot);
    write_history(&user, history, history_size);
    write_running(&user, history);
    write_parent(&user, history, slot->parents[0]);
    write_parent(&user, history, slot->parents[1]);
    write_wish(&user, slot);
    return make_messages(&user);
}

struct dv_json *dv_prompt_question(
    const struct dv_search_history *history, const struct dv_slot *slot)
{
    assert(history);
    assert(slot);
    return make_question(messages_of(history, slot, HISTORY_SIZE_MAX),
        messages_of(history, slot, SHORT_HISTORY_SIZE_MAX), slot->operation,
        temperature_of(slot->operation), seed_of(history, slot));
}

static void write_refused(struct dv_buffer *buffer, const struct dv_proposal *refused)
{
    DV_CLEANUP(dv_json_unrefp) struct dv_json *json = dv_json_object();

    dv_json_set(json, "model", dv_json_ref(refused->architecture));
    dv_json_set(json, "train", dv_json_ref(refused->hyperparameters));
    DV_CLEANUP(dv_freep) char *text = dv_json_print(json);
    if (strlen(text) <= DOCUMENT_SIZE_MAX) {
        dv_buffer_printf(buffer, "REFUSED %s\n", text);
    } else {
        dv_buffer_append_text(buffer, "REFUSED a proposal that is too long to repeat\n");
    }
}

static void write_problems(struct dv_buffer *buffer, const struct dv_problems *problems)
{
    dv_buffer_append_text(buffer, "PROBLEMS\n");
    for (size_t i = 0; i < problems->count; i++) {
        const struct dv_problem *problem = &problems->items[i];
        dv_buffer_printf(buffer, "- %s ", problem->code);
        write_clipped(buffer, problem->message, PROBLEM_SIZE_MAX);
        dv_buffer_append_text(buffer, problem->fix[0] ? " Fix: " : "");
        write_clipped(buffer, problem->fix, PROBLEM_SIZE_MAX);
        dv_buffer_append_text(buffer, "\n");
    }
}

struct dv_json *dv_prompt_repair(const struct dv_search_history *history,
    const struct dv_slot *slot, const struct dv_proposal *refused,
    const struct dv_problems *problems)
{
    struct dv_buffer user = DV_BUFFER_INIT(DV_PROMPT_SIZE_MAX);

    assert(history);
    assert(slot);
    assert(refused);
    assert(problems);
    write_task(&user, history);
    write_limits(&user, slot);
    write_refused(&user, refused);
    write_problems(&user, problems);
    dv_buffer_append_text(
        &user, slot->operation == DV_OPERATOR_TUNE
                   ? "WANTED the same object with these problems mended, \"model\" left out.\n"
                   : "WANTED the whole object again with these problems mended and nothing else "
                     "changed.\n");
    return make_question(make_messages(&user), dv_json_null(), slot->operation,
        temperature_of(DV_OPERATOR_TUNE), seed_of(history, slot));
}
