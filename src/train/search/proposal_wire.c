/* SPDX-License-Identifier: Apache-2.0 */
#include "train/search/proposal_wire.h"

#include "base/arena.h"
#include "base/json.h"
#include "base/json_schema.h"
#include "base/macro.h"
#include "base/text.h"
#include "spec/arch.h"
#include "spec/arch_wire.h"
#include "spec/hyperparameters.h"

#include <assert.h>
#include <math.h>

#define HYPOTHESIS_SIZE_MAX 200

static const struct dv_json *find_named(const struct dv_json *list, const char *name)
{
    for (size_t i = 0; i < dv_json_count(list); i++) {
        const struct dv_json *item = dv_json_at(list, i);
        if (dv_text_equal(dv_json_get_string(item, "name", ""), name)) {
            return item;
        }
    }
    return NULL;
}

struct dv_json *dv_proposal_wire_catalogue(void)
{
    const struct dv_hyperparameters defaults = dv_hyperparameters_default();
    const struct dv_candidate any = {.hyperparameters = defaults};
    DV_CLEANUP(dv_json_unrefp) struct dv_json *all = dv_hyperparameters_catalogue(&defaults);
    DV_CLEANUP(dv_json_unrefp) struct dv_json *recipe = dv_candidate_recipe(&any);
    struct dv_json *settable = dv_json_array();

    for (size_t i = 0; i < dv_json_count(all); i++) {
        struct dv_json *item = dv_json_at(all, i);
        if (dv_json_get(recipe, dv_json_get_string(item, "name", ""))) {
            dv_json_append(settable, dv_json_ref(item));
        }
    }
    return settable;
}

/* --- Schema ----------------------------------------------------------------------------- */

static struct dv_json *train_schema(void)
{
    DV_CLEANUP(dv_json_unrefp) struct dv_json *catalogue = dv_proposal_wire_catalogue();
    struct dv_json *properties = dv_json_object();

    for (size_t i = 0; i < dv_json_count(catalogue); i++) {
        const struct dv_json *item = dv_json_at(catalogue, i);
        const struct dv_json *choices = dv_json_get(item, "choices");
        dv_json_set(properties, dv_json_get_string(item, "name", ""),
            choices ? dv_json_schema_choice(dv_json_ref(choices))
                    : dv_json_schema(dv_json_get_string(item, "type", "")));
    }
    return dv_json_schema_object(properties);
}

struct dv_json *dv_proposal_wire_schema(enum dv_operator operation)
{
    struct dv_json *properties = dv_json_object();

    dv_json_set(properties, "thought", dv_json_schema("string"));
    dv_json_set(properties, "change", dv_json_schema("string"));
    if (operation != DV_OPERATOR_TUNE) {
        dv_json_set(properties, "model", dv_arch_wire_schema());
    }
    dv_json_set(properties, "train", train_schema());
    return dv_json_schema_object(properties);
}

/* --- Writing ---------------------------------------------------------------------------- */

struct dv_json *dv_proposal_wire_write(const struct dv_candidate *candidate)
{
    struct dv_json *json = dv_json_object();

    assert(candidate);
    dv_json_set(json, "model", dv_arch_to_json(candidate->arch));
    dv_json_set(json, "train", dv_candidate_recipe(candidate));
    return json;
}

/* --- Reading ---------------------------------------------------------------------------- */

/* What else models call it. */
static const char *canonical(const char *key)
{
    static const struct {
        const char *alias, *name;
    } aliases[] = {{"lr", "learning_rate"}, {"batch", "batch_size"}, {"wd", "weight_decay"},
        {"scheduler", "schedule"}, {"warmup", "warmup_epochs"}};

    for (size_t i = 0; i < DV_ARRAY_SIZE(aliases); i++) {
        if (dv_text_equal(key, aliases[i].alias)) {
            return aliases[i].name;
        }
    }
    return key;
}

/* 128.0 for 128. */
static struct dv_json *read_value(const struct dv_json *item, const struct dv_json *value)
{
    double number = dv_json_to_number(value, NAN);
    bool is_wanted = dv_text_equal(dv_json_get_string(item, "type", ""), "integer");
    bool is_whole = fabs(number) < 1e15 && !(trunc(number) < number) && !(trunc(number) > number);

    return is_wanted && is_whole ? dv_json_integer((int64_t)number) : dv_json_ref(value);
}

static void lay_over(struct dv_json *recipe, const struct dv_json *said)
{
    DV_CLEANUP(dv_json_unrefp) struct dv_json *catalogue = dv_proposal_wire_catalogue();

    for (void *i = dv_json_first(said); i; i = dv_json_next(said, i)) {
        const char *name = canonical(dv_json_key(i));
        const struct dv_json *item = find_named(catalogue, name);
        if (item && !dv_json_is_null(dv_json_value(i))) {
            dv_json_set(recipe, name, read_value(item, dv_json_value(i)));
        }
    }
}

static struct dv_json *read_hyperparameters(
    const struct dv_json *said, const struct dv_candidate *parent)
{
    if (said && !dv_json_is_object(said) && !dv_json_is_null(said)) {
        return dv_json_ref(said);
    }
    struct dv_json *recipe = parent ? dv_candidate_recipe(parent) : dv_json_object();
    lay_over(recipe, said);
    return recipe;
}

static struct dv_json *read_architecture(
    const struct dv_json *said, const struct dv_slot *slot, const struct dv_candidate *parent)
{
    bool is_parents = slot->operation == DV_OPERATOR_TUNE && parent;

    if (is_parents) {
        return dv_arch_to_json(parent->arch);
    }
    return said ? dv_arch_wire_read(said) : dv_json_null();
}

static const struct dv_json *either(
    const struct dv_json *answer, const char *name, const char *other_name)
{
    const struct dv_json *member = dv_json_get(answer, name);

    return member ? member : dv_json_get(answer, other_name);
}

static const char *read_hypothesis(const struct dv_json *answer, struct dv_arena *arena)
{
    const char *change = dv_json_get_string(answer, "change", "");
    const char *said = change[0] ? change : dv_json_get_string(answer, "thought", "");
    char *text = dv_arena_strdup(arena, said);

    (void)dv_text_clip(text, HYPOTHESIS_SIZE_MAX);
    dv_text_make_printable(text);
    return text[0] ? text : NULL;
}

void dv_proposal_wire_read(const struct dv_json *answer, const struct dv_search_history *history,
    const struct dv_slot *slot, struct dv_arena *arena, struct dv_proposal *ret_proposal)
{
    assert(history);
    assert(slot);
    assert(ret_proposal);
    const struct dv_candidate *parent = dv_search_history_find(history, slot->parents[0]);

    *ret_proposal = (struct dv_proposal){.operation = slot->operation,
        .source = DV_PROPOSAL_SOURCE_LLM,
        .parents = {slot->parents[0], slot->parents[1]},
        .hypothesis = read_hypothesis(answer, arena),
        .architecture = read_architecture(either(answer, "model", "architecture"), slot, parent),
        .hyperparameters =
            read_hyperparameters(either(answer, "train", "hyperparameters"), parent)};
}
