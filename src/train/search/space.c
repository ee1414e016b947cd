/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading order: the tables, dimensions and their levels, then reading a network and writing one.
 */
#include "train/search/space.h"

#include "base/arena.h"
#include "base/json.h"
#include "base/text.h"
#include "spec/arch.h"
#include "spec/limits.h"
#include "spec/problem.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

/* --- Tables ----------------------------------------------------------------------------- */

/* A family is a line here; one that the language lacks is passed over until it has it. */
struct family {
    const char *op;
    double prior;
    int64_t expand; /* 0: the field is not said */
    bool can_gate;  /* takes `se` */
};

/* clang-format off */
static const struct family families[] = {
    {"residual",   3.0, 0, true},
    {"conv",       1.0, 0, false},
    {"bottleneck", 1.0, 2, true},
    {"mbconv",     1.5, 4, true},
    {"dwsep",      0.5, 0, false},
};

static const struct {
    const char *name;
    double prior;
} activations[] = {
    {"relu", 3.0}, {"silu", 1.5}, {"gelu", 1.0}, {"hardswish", 1.0}, {"leaky_relu", 0.5},
};
/* clang-format on */

static const double depths[] = {1, 2, 3, 4};
static const double widths[] = {0.5, 0.75, 1.0, 1.25, 1.5, 2.0}; /* of the template's */
static const double kernels[] = {3, 5};
static const double gates[] = {0.0, 0.25};
static const double dropouts[] = {0.0, 0.1, 0.2, 0.3, 0.4, 0.5};
static const double rates[] = {-1.0, -0.833, -0.667, -0.5, -0.333, -0.167, 0.0, 0.167, 0.333, 0.5,
    0.667, 0.833, 1.0};                                     /* powers of ten, on the default's */
static const double decays[] = {-1.0, -0.5, 0.0, 0.5, 1.0}; /* likewise */
static const double batches[] = {0.5, 1.0, 2.0};
static const double smoothings[] = {0.0, 0.05, 0.1, 0.2};
static const enum dv_schedule_kind schedules[] = {DV_SCHEDULE_ONECYCLE, DV_SCHEDULE_COSINE};

/* What a rate or a decay of sgd is multiplied with to be about as good for another. */
static const struct {
    enum dv_optimizer_kind kind;
    double rate, decay;
} optimizers[] = {{DV_OPTIMIZER_SGD, 1.0, 1.0}, {DV_OPTIMIZER_ADAMW, 0.03, 100.0}};

_Static_assert(DV_ARRAY_SIZE(families) <= 8 && DV_ARRAY_SIZE(activations) <= 8, "has_op, has_act");
_Static_assert(DV_ARRAY_SIZE(rates) <= DV_SPACE_LEVELS_MAX, "levels of a dimension");

struct scale {
    const double *values;
    size_t count;
    double likely; /* the value that is tried most */
    double spread; /* in levels: how fast the prior falls */
};

#define SCALE(array, likely, spread)                                                               \
    {                                                                                              \
        array, DV_ARRAY_SIZE(array), likely, spread                                                \
    }

static const struct scale stage_scales[DV_SPACE_STAGE_DIMENSIONS] = {
    [DV_SPACE_DEPTH] = SCALE(depths, 1, 1.0),
    [DV_SPACE_WIDTH] = SCALE(widths, 1.25, 1.5),
    [DV_SPACE_KERNEL] = SCALE(kernels, 3, 0.7),
    [DV_SPACE_GATE] = SCALE(gates, 0.0, 1.0),
};

static const struct scale scales[DV_SPACE_DIMENSIONS] = {
    [DV_SPACE_DROPOUT] = SCALE(dropouts, 0.1, 1.5),
    [DV_SPACE_LEARNING_RATE] = SCALE(rates, 0.0, 2.0),
    [DV_SPACE_WEIGHT_DECAY] = SCALE(decays, 0.0, 1.0),
    [DV_SPACE_BATCH] = SCALE(batches, 1.0, 0.7),
    [DV_SPACE_SMOOTHING] = SCALE(smoothings, 0.1, 1.5),
};

/* Without a mirror where the default has none: it knows from the names of the classes. */
static size_t list_augmentations(const struct dv_space *space, enum dv_augmentation ret_list[4])
{
    bool can_flip = space->defaults.augmentation != DV_AUGMENTATION_CROP &&
                    space->defaults.augmentation != DV_AUGMENTATION_NONE;
    size_t count = 0;

    if (!can_flip) {
        ret_list[count++] = DV_AUGMENTATION_NONE;
        ret_list[count++] = DV_AUGMENTATION_CROP;
        return count;
    }
    ret_list[count++] = DV_AUGMENTATION_FLIP;
    ret_list[count++] = DV_AUGMENTATION_CUTOUT;
    ret_list[count++] = DV_AUGMENTATION_STRONG;
    return count;
}

/* --- What the language has -------------------------------------------------------------- */

static bool can_parse(const char *text)
{
    DV_CLEANUP(dv_arena_destroyp) struct dv_arena *arena = dv_arena_create(0);
    DV_CLEANUP(dv_json_unrefp) struct dv_json *json = NULL;
    struct dv_problems problems;
    struct dv_arch *arch;

    dv_problems_init(&problems, arena, DV_ARCH_PROBLEMS_MAX);
    return dv_json_parse(text, strlen(text), &json, NULL) == DV_OK &&
           dv_arch_parse(json, arena, &problems, &arch, NULL) == DV_OK;
}

/* Rows such as {"name": "a", "op": OP, MORE}. */
static bool has_row(struct dv_arena *arena, const char *op, const char *more)
{
    return can_parse(dv_arena_printf(arena,
        "{\"name\":\"probe\",\"layers\":[{\"name\":\"stem\",\"op\":\"conv\",\"out\":16},"
        "{\"name\":\"a\",\"op\":\"%s\",\"out\":16%s},{\"name\":\"gap\",\"op\":\"global_pool\","
        "\"pool\":\"avg\"},{\"name\":\"head\",\"op\":\"linear\"}]}",
        op, more));
}

bool dv_space_is_stage(const struct dv_arch_row *row)
{
    for (size_t i = 0; i < DV_ARRAY_SIZE(families); i++) {
        if (dv_text_equal(dv_arch_op_name(row->op), families[i].op)) {
            return true;
        }
    }
    return false;
}

void dv_space_init(
    struct dv_space *space, const struct dv_arch *base, const struct dv_hyperparameters *defaults)
{
    DV_CLEANUP(dv_arena_destroyp) struct dv_arena *arena = dv_arena_create(0);
    bool has_stem = false;

    assert(space);
    assert(base);
    *space = (struct dv_space){.base = base, .defaults = *defaults};
    for (size_t i = 0; i < DV_ARRAY_SIZE(families); i++) {
        space->has_op[i] = has_row(arena, families[i].op, "");
    }
    for (size_t i = 0; i < DV_ARRAY_SIZE(activations); i++) {
        space->has_act[i] =
            has_row(arena, "conv", dv_arena_printf(arena, ",\"act\":\"%s\"", activations[i].name));
    }
    space->has_gate = has_row(arena, "residual", ",\"se\":0.25");
    for (uint32_t i = 0; i < base->row_count; i++) {
        if (dv_space_is_stage(&base->rows[i])) {
            if (has_stem && space->stage_count < DV_SPACE_STAGES_MAX) {
                space->stages[space->stage_count++] = i;
            }
            has_stem = true;
        }
    }
}

const char *dv_space_family_name(const struct dv_space *space, size_t index)
{
    for (size_t i = 0; i < DV_ARRAY_SIZE(families); i++) {
        if (space->has_op[i] && index-- == 0) {
            return families[i].op;
        }
    }
    return NULL;
}

const char *dv_space_activation_name(const struct dv_space *space, size_t index)
{
    for (size_t i = 0; i < DV_ARRAY_SIZE(activations); i++) {
        if (space->has_act[i] && index-- == 0) {
            return activations[i].name;
        }
    }
    return NULL;
}

/* --- Dimensions ------------------------------------------------------------------------- */

static bool is_of_stage(size_t dimension)
{
    return dimension >= DV_SPACE_DIMENSIONS;
}

static enum dv_space_stage_dimension stage_part(size_t dimension)
{
    return (dimension - DV_SPACE_DIMENSIONS) % DV_SPACE_STAGE_DIMENSIONS;
}

static size_t at_stage(uint32_t stage, enum dv_space_stage_dimension part)
{
    return DV_SPACE_DIMENSIONS + stage * DV_SPACE_STAGE_DIMENSIONS + part;
}

static const struct scale *scale_of(size_t dimension)
{
    const struct scale *scale =
        is_of_stage(dimension) ? &stage_scales[stage_part(dimension)] : &scales[dimension];

    return scale->count > 0 ? scale : NULL;
}

size_t dv_space_dimension_count(const struct dv_space *space)
{
    return DV_SPACE_DIMENSIONS + space->stage_count * DV_SPACE_STAGE_DIMENSIONS;
}

size_t dv_space_level_count(const struct dv_space *space, size_t dimension)
{
    const struct scale *scale = scale_of(dimension);
    enum dv_augmentation augmentation[4];

    if (scale) {
        return scale->count;
    }
    if (is_of_stage(dimension)) {
        return DV_ARRAY_SIZE(families);
    }
    switch (dimension) {
    case DV_SPACE_ACTIVATION:
        return DV_ARRAY_SIZE(activations);
    case DV_SPACE_AUGMENTATION:
        return list_augmentations(space, augmentation);
    case DV_SPACE_SCHEDULE:
        return DV_ARRAY_SIZE(schedules);
    default:
        assert(dimension == DV_SPACE_OPTIMIZER);
        return DV_ARRAY_SIZE(optimizers);
    }
}

bool dv_space_is_ordinal(const struct dv_space *space, size_t dimension)
{
    (void)space;
    return scale_of(dimension) != NULL;
}

bool dv_space_is_structural(const struct dv_space *space, size_t dimension)
{
    (void)space;
    return is_of_stage(dimension) || dimension <= DV_SPACE_DROPOUT;
}

static int nearest_level(const struct scale *scale, double value)
{
    size_t nearest = 0;

    if (!isfinite(value)) {
        return DV_SPACE_UNKNOWN;
    }
    for (size_t i = 1; i < scale->count; i++) {
        if (fabs(scale->values[i] - value) < fabs(scale->values[nearest] - value)) {
            nearest = i;
        }
    }
    return (int)nearest;
}

static double prior_of_scale(const struct scale *scale, double likely, int level)
{
    double distance = (double)(level - nearest_level(scale, likely)) / scale->spread;

    return exp(-0.5 * distance * distance);
}

/* A template that is deep, or has wide windows, has them for a reason. */
static double likely_value(const struct dv_space *space, size_t dimension)
{
    if (is_of_stage(dimension)) {
        uint32_t stage = (uint32_t)(dimension - DV_SPACE_DIMENSIONS) / DV_SPACE_STAGE_DIMENSIONS;
        const struct dv_arch_row *base = &space->base->rows[space->stages[stage]];
        switch (stage_part(dimension)) {
        case DV_SPACE_DEPTH:
            return base->repeat;
        case DV_SPACE_KERNEL:
            return base->kernel;
        default:
            break;
        }
    }
    return scale_of(dimension)->likely;
}

double dv_space_prior(const struct dv_space *space, size_t dimension, int level)
{
    const struct scale *scale = scale_of(dimension);
    enum dv_augmentation augmentation[4];

    assert(level >= 0 && (size_t)level < dv_space_level_count(space, dimension));
    if (is_of_stage(dimension) && stage_part(dimension) == DV_SPACE_FAMILY) {
        return space->has_op[level] ? families[level].prior : 0.0;
    }
    if (is_of_stage(dimension) && stage_part(dimension) == DV_SPACE_GATE && !space->has_gate) {
        return level == 0 ? 1.0 : 0.0;
    }
    if (scale) {
        return prior_of_scale(scale, likely_value(space, dimension), level);
    }
    switch (dimension) {
    case DV_SPACE_ACTIVATION:
        return space->has_act[level] ? activations[level].prior : 0.0;
    case DV_SPACE_AUGMENTATION:
        (void)list_augmentations(space, augmentation);
        return augmentation[level] == space->defaults.augmentation ? 2.0 : 1.0;
    case DV_SPACE_SCHEDULE:
        return schedules[level] == space->defaults.schedule ? 2.0 : 1.0;
    default:
        return optimizers[level].kind == space->defaults.optimizer ? 3.0 : 1.0;
    }
}

/* --- Reading ---------------------------------------------------------------------------- */

static int family_of(const struct dv_arch_row *row)
{
    for (size_t i = 0; i < DV_ARRAY_SIZE(families); i++) {
        if (dv_text_equal(dv_arch_op_name(row->op), families[i].op)) {
            return (int)i;
        }
    }
    return DV_SPACE_UNKNOWN;
}

/* Fields that this struct has no place for are read from the row as a file has it. */
static void read_stage(const struct dv_space *space, const struct dv_arch_row *row,
    const struct dv_json *json, uint32_t stage, struct dv_point *point)
{
    const struct dv_arch_row *base = &space->base->rows[space->stages[stage]];
    double width = base->out > 0 && row->out > 0 ? (double)row->out / base->out : NAN;

    point->levels[at_stage(stage, DV_SPACE_FAMILY)] = family_of(row);
    point->levels[at_stage(stage, DV_SPACE_DEPTH)] =
        nearest_level(&stage_scales[DV_SPACE_DEPTH], row->repeat);
    point->levels[at_stage(stage, DV_SPACE_WIDTH)] =
        nearest_level(&stage_scales[DV_SPACE_WIDTH], width);
    point->levels[at_stage(stage, DV_SPACE_KERNEL)] =
        nearest_level(&stage_scales[DV_SPACE_KERNEL], row->kernel);
    point->levels[at_stage(stage, DV_SPACE_GATE)] =
        nearest_level(&stage_scales[DV_SPACE_GATE], dv_json_get_number(json, "se", 0.0));
}

static int read_activation(const struct dv_json *layers, uint32_t row)
{
    const char *name = dv_json_get_string(dv_json_at(layers, row), "act", "relu");

    for (size_t i = 0; i < DV_ARRAY_SIZE(activations); i++) {
        if (dv_text_equal(activations[i].name, name)) {
            return (int)i;
        }
    }
    return DV_SPACE_UNKNOWN;
}

static void read_network(
    const struct dv_space *space, const struct dv_arch *arch, struct dv_point *point)
{
    DV_CLEANUP(dv_json_unrefp) struct dv_json *json = dv_arch_to_json(arch);
    const struct dv_json *layers = dv_json_get(json, "layers");
    uint32_t stages[DV_SPACE_STAGES_MAX];
    uint32_t count = 0;

    for (uint32_t i = 0; i < arch->row_count; i++) {
        if (dv_space_is_stage(&arch->rows[i])) {
            if (count > 0 && count <= DV_SPACE_STAGES_MAX) {
                stages[count - 1] = i;
            }
            count++;
        }
    }
    bool is_alike = count == space->stage_count + 1;
    for (uint32_t i = 0; is_alike && i < space->stage_count; i++) {
        read_stage(space, &arch->rows[stages[i]], dv_json_at(layers, stages[i]), i, point);
    }
    if (is_alike && space->stage_count > 0) {
        point->levels[DV_SPACE_ACTIVATION] = read_activation(layers, stages[0]);
    }
}

static void read_hyperparameters(
    const struct dv_space *space, const struct dv_hyperparameters *h, struct dv_point *point)
{
    const struct dv_hyperparameters *defaults = &space->defaults;
    enum dv_augmentation augmentation[4];
    size_t count = list_augmentations(space, augmentation);
    double rate = defaults->learning_rate;
    double decay = defaults->weight_decay;

    for (size_t i = 0; i < DV_ARRAY_SIZE(optimizers); i++) {
        if (optimizers[i].kind == h->optimizer) {
            point->levels[DV_SPACE_OPTIMIZER] = (int)i;
            rate *= optimizers[i].rate;
            decay *= optimizers[i].decay;
        }
    }
    for (size_t i = 0; i < count; i++) {
        if (augmentation[i] == h->augmentation) {
            point->levels[DV_SPACE_AUGMENTATION] = (int)i;
        }
    }
    for (size_t i = 0; i < DV_ARRAY_SIZE(schedules); i++) {
        if (schedules[i] == h->schedule) {
            point->levels[DV_SPACE_SCHEDULE] = (int)i;
        }
    }
    point->levels[DV_SPACE_DROPOUT] = nearest_level(&scales[DV_SPACE_DROPOUT], h->dropout);
    point->levels[DV_SPACE_LEARNING_RATE] =
        nearest_level(&scales[DV_SPACE_LEARNING_RATE], log10(h->learning_rate / rate));
    point->levels[DV_SPACE_WEIGHT_DECAY] =
        nearest_level(&scales[DV_SPACE_WEIGHT_DECAY], log10(fmax(h->weight_decay, 1e-9) / decay));
    point->levels[DV_SPACE_BATCH] = nearest_level(
        &scales[DV_SPACE_BATCH], (double)h->batch_size / (double)defaults->batch_size);
    point->levels[DV_SPACE_SMOOTHING] =
        nearest_level(&scales[DV_SPACE_SMOOTHING], h->label_smoothing);
}

void dv_space_read(const struct dv_space *space, const struct dv_arch *arch,
    const struct dv_hyperparameters *hyperparameters, struct dv_point *ret_point)
{
    assert(space);
    assert(arch);
    assert(hyperparameters);
    assert(ret_point);

    for (size_t i = 0; i < DV_SPACE_POINT_SIZE; i++) {
        ret_point->levels[i] = DV_SPACE_UNKNOWN;
    }
    read_network(space, arch, ret_point);
    read_hyperparameters(space, hyperparameters, ret_point);
}

/* --- Writing ---------------------------------------------------------------------------- */

static double value_at(size_t dimension, const struct dv_point *point)
{
    const struct scale *scale = scale_of(dimension);
    int level = point->levels[dimension];

    assert(scale);
    assert(level >= 0 && (size_t)level < scale->count);
    return scale->values[level];
}

void dv_space_set_family(struct dv_json *row, const char *family)
{
    static const char *const special[] = {
        "expand", "groups", "padding", "se", "drop", "shortcut", "pool"};

    for (size_t i = 0; i < DV_ARRAY_SIZE(special); i++) {
        dv_json_remove(row, special[i]);
    }
    dv_json_set_string(row, "op", family);
    for (size_t i = 0; i < DV_ARRAY_SIZE(families); i++) {
        if (dv_text_equal(families[i].op, family) && families[i].expand > 0) {
            dv_json_set_integer(row, "expand", families[i].expand);
        }
    }
}

/* The rows again, with one of dropout before the last. */
static struct dv_json *with_dropout(const struct dv_json *layers, double rate)
{
    struct dv_json *made = dv_json_array();
    size_t count = dv_json_count(layers);

    for (size_t i = 0; i < count; i++) {
        if (i + 1 == count) {
            struct dv_json *row = dv_json_object();
            dv_json_set_string(row, "name", "searched_dropout");
            dv_json_set_string(row, "op", "dropout");
            dv_json_set_number(row, "drop", rate);
            dv_json_append(made, row);
        }
        dv_json_append(made, dv_json_copy(dv_json_at(layers, i)));
    }
    return made;
}

void dv_space_set_dropout(struct dv_json *architecture, double rate)
{
    const struct dv_json *layers = dv_json_get(architecture, "layers");
    size_t count = dv_json_count(layers);
    struct dv_json *row = NULL;

    for (size_t i = 0; i < count; i++) {
        if (dv_text_equal(dv_json_get_string(dv_json_at(layers, i), "op", ""), "dropout")) {
            row = dv_json_at(layers, i);
        }
    }
    if (row) {
        dv_json_set_number(row, "drop", rate);
    } else if (rate > 0.0 && count > 1 && !dv_json_get(dv_json_at(layers, count - 1), "from")) {
        dv_json_set(architecture, "layers", with_dropout(layers, rate));
    }
}

static void write_stage(
    const struct dv_space *space, uint32_t stage, const struct dv_point *point, struct dv_json *row)
{
    const struct dv_arch_row *base = &space->base->rows[space->stages[stage]];
    const struct family *family = &families[point->levels[at_stage(stage, DV_SPACE_FAMILY)]];
    double out = (double)base->out * value_at(at_stage(stage, DV_SPACE_WIDTH), point);
    double gate = value_at(at_stage(stage, DV_SPACE_GATE), point);
    double repeat = value_at(at_stage(stage, DV_SPACE_DEPTH), point);
    double kernel = value_at(at_stage(stage, DV_SPACE_KERNEL), point);
    const char *act = activations[point->levels[DV_SPACE_ACTIVATION]].name;

    dv_space_set_family(row, family->op);
    dv_json_set_integer(row, "repeat", (int64_t)repeat);
    if (base->out > 0) {
        dv_json_set_integer(row, "out", (int64_t)fmax(8.0, round(out / 8.0) * 8.0));
    }
    dv_json_set_integer(row, "kernel", (int64_t)kernel);
    dv_json_set_string(row, "act", act);
    if (gate > 0.0 && family->can_gate && space->has_gate) {
        dv_json_set_number(row, "se", gate);
    }
}

struct dv_json *dv_space_architecture(const struct dv_space *space, const struct dv_point *point)
{
    struct dv_json *json = dv_arch_to_json(space->base);
    struct dv_json *layers = dv_json_get(json, "layers");

    for (uint32_t i = 0; i < space->stage_count; i++) {
        write_stage(space, i, point, dv_json_at(layers, space->stages[i]));
    }
    dv_space_set_dropout(json, value_at(DV_SPACE_DROPOUT, point));
    dv_json_remove(json, "name");
    return json;
}

/* Two digits: a person will read it. */
static double rounded(double value)
{
    char text[32];
    double read = value;

    (void)snprintf(text, sizeof(text), "%.2g", value);
    return dv_text_to_double(text, &read) ? read : value;
}

struct dv_json *dv_space_hyperparameters(const struct dv_space *space, const struct dv_point *point)
{
    const struct dv_hyperparameters *defaults = &space->defaults;
    struct dv_json *json = dv_json_object();
    enum dv_augmentation augmentation[4];
    size_t optimizer = (size_t)point->levels[DV_SPACE_OPTIMIZER];
    double rate = defaults->learning_rate * optimizers[optimizer].rate *
                  pow(10.0, value_at(DV_SPACE_LEARNING_RATE, point));
    double decay = fmin(1.0, defaults->weight_decay * optimizers[optimizer].decay *
                                 pow(10.0, value_at(DV_SPACE_WEIGHT_DECAY, point)));
    double batch = (double)defaults->batch_size * value_at(DV_SPACE_BATCH, point);

    (void)list_augmentations(space, augmentation);
    dv_json_set_number(json, "learning_rate", fmin(10.0, rounded(rate)));
    dv_json_set_number(json, "weight_decay", decay > 0.0 ? rounded(decay) : 0.0);
    dv_json_set_integer(json, "batch_size", (int64_t)fmin(4096.0, fmax(1.0, batch)));
    dv_json_set_number(json, "label_smoothing", value_at(DV_SPACE_SMOOTHING, point));
    dv_json_set_string(json, "augmentation",
        dv_augmentation_name(augmentation[point->levels[DV_SPACE_AUGMENTATION]]));
    dv_json_set_string(
        json, "schedule", dv_schedule_kind_name(schedules[point->levels[DV_SPACE_SCHEDULE]]));
    dv_json_set_string(json, "optimizer", dv_optimizer_kind_name(optimizers[optimizer].kind));
    return json;
}
