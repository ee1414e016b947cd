/* SPDX-License-Identifier: Apache-2.0 */
#include "train/search/mutation.h"

#include "base/arena.h"
#include "base/json.h"
#include "base/macro.h"
#include "base/random.h"
#include "base/text.h"
#include "spec/arch.h"
#include "train/search/space.h"

#include <assert.h>
#include <math.h>

#define WIDER 1.5
#define REPEAT_MAX 6
#define GATE_RATIO 0.25

struct change {
    const struct dv_space *space;
    const struct dv_arch *arch;
    struct dv_json *json; /* the network, to be changed */
    struct dv_random *random;
    struct dv_arena *arena;
    const char *hypothesis;
    uint32_t row; /* a stage, drawn for all */
};

static struct dv_json *json_row(struct change *change)
{
    return dv_json_at(dv_json_get(change->json, "layers"), change->row);
}

static const struct dv_arch_row *row_of(const struct change *change)
{
    return &change->arch->rows[change->row];
}

/* --- Changes: false when it does not apply ------------------------------------------------ */

static bool change_width(struct change *change)
{
    const struct dv_arch_row *row = row_of(change);
    bool is_wider = dv_random_below(change->random, 3) > 0; /* there is room more often than not */
    double out = is_wider ? (double)row->out * WIDER : (double)row->out / WIDER;
    int64_t rounded = (int64_t)(fmax(8.0, round(out / 8.0) * 8.0));

    if (row->out == 0 || rounded == (int64_t)row->out) {
        return false;
    }
    dv_json_set_integer(json_row(change), "out", rounded);
    change->hypothesis = dv_arena_printf(change->arena, "%s %s: %u to %lld channels", row->name,
        is_wider ? "wider" : "narrower", row->out, (long long)rounded);
    return true;
}

static bool change_depth(struct change *change)
{
    const struct dv_arch_row *row = row_of(change);
    bool is_deeper = row->repeat == 1 || dv_random_below(change->random, 3) > 0;
    uint32_t repeat = is_deeper ? row->repeat + 1 : row->repeat - 1;

    if (repeat > REPEAT_MAX) {
        return false;
    }
    dv_json_set_integer(json_row(change), "repeat", repeat);
    change->hypothesis = dv_arena_printf(change->arena, "%s %s: %u to %u blocks", row->name,
        is_deeper ? "deeper" : "shallower", row->repeat, repeat);
    return true;
}

static bool change_kernel(struct change *change)
{
    const struct dv_arch_row *row = row_of(change);
    uint32_t kernel = row->kernel == 3 ? 5 : 3;

    dv_json_remove(json_row(change), "padding");
    dv_json_set_integer(json_row(change), "kernel", kernel);
    change->hypothesis = dv_arena_printf(
        change->arena, "%s with windows of %u instead of %u", row->name, kernel, row->kernel);
    return true;
}

static bool change_family(struct change *change)
{
    const struct dv_arch_row *row = row_of(change);
    const char *now = dv_arch_op_name(row->op);
    size_t count = 0;

    while (dv_space_family_name(change->space, count)) {
        count++;
    }
    const char *family =
        dv_space_family_name(change->space, dv_random_below(change->random, count));
    if (dv_text_equal(family, now)) {
        return false;
    }
    dv_space_set_family(json_row(change), family);
    change->hypothesis =
        dv_arena_printf(change->arena, "%s of %s instead of %s blocks", row->name, family, now);
    return true;
}

/* Of all stages: one that differs from the others is rarely better. */
static bool change_activation(struct change *change)
{
    struct dv_json *layers = dv_json_get(change->json, "layers");
    const char *now = dv_json_get_string(json_row(change), "act", "relu");
    size_t count = 0;

    while (dv_space_activation_name(change->space, count)) {
        count++;
    }
    const char *act =
        dv_space_activation_name(change->space, dv_random_below(change->random, count));
    if (dv_text_equal(act, now) || dv_text_equal(now, "none")) {
        return false;
    }
    /* Before `now`, which lies in the row, is replaced. */
    change->hypothesis = dv_arena_printf(change->arena, "%s instead of %s as activation", act, now);
    for (uint32_t i = 0; i < change->arch->row_count; i++) {
        struct dv_json *row = dv_json_at(layers, i);
        bool has_act = !dv_text_equal(dv_json_get_string(row, "act", "relu"), "none");
        if (dv_space_is_stage(&change->arch->rows[i]) && has_act) {
            dv_json_set_string(row, "act", act);
        }
    }
    return true;
}

static bool change_gate(struct change *change)
{
    struct dv_json *row = json_row(change);
    bool has_gate = dv_json_get_number(row, "se", 0.0) > 0.0;

    if (!change->space->has_gate) {
        return false;
    }
    if (has_gate) {
        dv_json_remove(row, "se");
    } else {
        dv_json_set_number(row, "se", GATE_RATIO);
    }
    change->hypothesis = dv_arena_printf(change->arena, "%s %s squeeze-and-excitation",
        row_of(change)->name, has_gate ? "without" : "with");
    return true;
}

static bool change_dropout(struct change *change)
{
    static const double rates[] = {0.0, 0.1, 0.2, 0.3, 0.4};
    double now = dv_arch_dropout(change->arch);
    double rate = rates[dv_random_below(change->random, DV_ARRAY_SIZE(rates))];
    if (fabs(rate - now) < 1e-9) {
        return false;
    }
    dv_space_set_dropout(change->json, rate);
    change->hypothesis =
        dv_arena_printf(change->arena, "dropout of %g instead of %g before the head", rate, now);
    return true;
}

static bool (*const changes[])(struct change *change) = {
    change_width,
    change_width, /* twice as often: what is most often worth it */
    change_depth,
    change_kernel,
    change_family,
    change_activation,
    change_gate,
    change_dropout,
};

/* A stage that is not the stem, unless that is all there is. */
static bool draw_row(struct change *change)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < change->arch->row_count; i++) {
        count += dv_space_is_stage(&change->arch->rows[i]);
    }
    if (count == 0) {
        return false;
    }
    uint64_t wanted = count == 1 ? 0 : 1 + dv_random_below(change->random, count - 1);
    for (uint32_t i = 0; i < change->arch->row_count; i++) {
        if (dv_space_is_stage(&change->arch->rows[i]) && wanted-- == 0) {
            change->row = i;
            break;
        }
    }
    return true;
}

struct dv_json *dv_mutation_make(const struct dv_space *space, const struct dv_arch *arch,
    struct dv_random *random, struct dv_arena *arena, const char **ret_hypothesis)
{
    struct change change = {.space = space, .arch = arch, .random = random, .arena = arena};

    assert(space);
    assert(arch);
    assert(ret_hypothesis);
    if (!draw_row(&change)) {
        return NULL;
    }
    change.json = dv_arch_to_json(arch);
    dv_json_remove(change.json, "name");
    if (!changes[dv_random_below(random, DV_ARRAY_SIZE(changes))](&change)) {
        return dv_json_unref(change.json);
    }
    *ret_hypothesis = change.hypothesis;
    return change.json;
}
