/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The hyperparameters. In reading order: the table, then what it drives: merge, --set, JSON,
 * catalogue. Nothing below the table names a single hyperparameter.
 */
#include "spec/hyperparameters.h"

#include "base/alloc.h"
#include "base/arena.h"
#include "base/json.h"
#include "base/macro.h"
#include "base/text.h"
#include "spec/check.h"
#include "spec/problem.h"

#include <assert.h>
#include <string.h>

enum parameter_type { TYPE_INTEGER, TYPE_NUMBER, TYPE_CHOICE };

struct parameter {
    const char *name;
    enum parameter_type type;
    size_t offset;
    double minimum, maximum;
    double gap_below;           /* 0 is legal too, but nothing else below this; 0: no such gap */
    const char *const *choices; /* in the order of the enum, NULL at the end */
    const char *title;
    const char *meaning;
};

static const char *const optimizers[] = {"sgd", "adam", "adamw", "rmsprop", NULL};
static const char *const schedules[] = {"onecycle", "cosine", "step", "constant", NULL};
static const char *const augmentations[] = {"none", "flip", "crop", "cutout", "strong", NULL};
_Static_assert(DV_ARRAY_SIZE(optimizers) == DV_OPTIMIZER_RMSPROP + 2, "an optimizer's name");
_Static_assert(DV_ARRAY_SIZE(schedules) == DV_SCHEDULE_CONSTANT + 2, "a schedule's name");
_Static_assert(DV_ARRAY_SIZE(augmentations) == DV_AUGMENTATION_STRONG + 2, "an augmentation's");

#define AT(member) offsetof(struct dv_hyperparameters, member)

#define INTEGER(name, minimum, maximum) #name, TYPE_INTEGER, AT(name), minimum, maximum, 0, NULL
#define NUMBER(name, minimum, maximum) #name, TYPE_NUMBER, AT(name), minimum, maximum, 0, NULL
#define CHOICE(name, choices) #name, TYPE_CHOICE, AT(name), 0, 0, 0, choices

/* clang-format off */
static const struct parameter parameters[] = {
    {NUMBER(learning_rate, 1e-7, 10), "Learning rate",
        "Highest learning rate of the schedule."},
    {INTEGER(batch_size, 1, 4096), "Batch size",
        "Pictures per step."},
    {CHOICE(optimizer, optimizers), "Optimizer",
        "How gradients become new weights; sgd uses Nesterov momentum."},
    {NUMBER(momentum, 0, 0.9999), "Momentum",
        "Of sgd (Nesterov) and rmsprop; the first beta of adam and adamw."},
    {NUMBER(weight_decay, 0, 1), "Weight decay",
        "Pull of the weights towards zero; biases and norms are left alone."},
    {NUMBER(dropout, 0, 0.9), "Dropout",
        "Share of features dropped before the head of a default network."},
    {INTEGER(epochs, 1, 10000), "Epochs",
        "Times that each training picture is seen."},
    {CHOICE(schedule, schedules), "Schedule",
        "How the learning rate moves from the first step to the last."},
    {NUMBER(warmup_epochs, 0, 1000), "Warm-up epochs",
        "Epochs, or a part of one, in which the learning rate rises from near zero."},
    {NUMBER(label_smoothing, 0, 0.5), "Label smoothing",
        "Share of each target that is spread over all classes."},
    {CHOICE(augmentation, augmentations), "Augmentation",
        "none; crop: pad and crop; flip: that and mirroring; cutout: that and a hole; "
        "strong: resized crops, mirroring, colours and a hole, for photographs."},
    {"image_size", TYPE_INTEGER, AT(image_size), 0, 1024, 8, NULL, "Picture size",
        "Side in pixels that pictures are brought to; 0: chosen for the data set."},
    {INTEGER(early_stopping_patience, 0, 10000), "Early stopping",
        "Epochs without a better validation accuracy after which to stop; 0: never."},
    {NUMBER(ema, 0, 0.99999), "Weight averaging",
        "Decay per step of the averaged weights that are kept in the end; 0: none."},
    /* 2^53 survives readers that keep numbers as double. */
    {INTEGER(seed, 0, 9007199254740992.0), "Seed",
        "Of everything random; the same seed gives the same model."},
};
/* clang-format on */
#undef INTEGER
#undef NUMBER
#undef CHOICE

struct dv_hyperparameters dv_hyperparameters_default(void)
{
    return (struct dv_hyperparameters){
        .learning_rate = 0.1,
        .batch_size = 128,
        .optimizer = DV_OPTIMIZER_SGD,
        .momentum = 0.9,
        .weight_decay = 5e-4,
        .dropout = 0,
        .epochs = 20,
        .schedule = DV_SCHEDULE_ONECYCLE,
        .warmup_epochs = 2,
        .label_smoothing = 0.1,
        .augmentation = DV_AUGMENTATION_NONE,
        .image_size = 0,
        .early_stopping_patience = 0,
        .ema = 0,
        .seed = 0,
    };
}

const char *dv_optimizer_kind_name(enum dv_optimizer_kind kind)
{
    assert((size_t)kind < DV_ARRAY_SIZE(optimizers) - 1);

    return optimizers[kind];
}

const char *dv_schedule_kind_name(enum dv_schedule_kind kind)
{
    assert((size_t)kind < DV_ARRAY_SIZE(schedules) - 1);

    return schedules[kind];
}

const char *dv_augmentation_name(enum dv_augmentation augmentation)
{
    assert((size_t)augmentation < DV_ARRAY_SIZE(augmentations) - 1);

    return augmentations[augmentation];
}

/* --- The table's accessors ---------------------------------------------------------------- */

/* A choice is kept as its enum: 32 bits, numbered as in the table. */
union value {
    int64_t integer;
    double number;
    uint32_t choice;
};

static size_t value_size(const struct parameter *parameter)
{
    _Static_assert(sizeof(enum dv_schedule_kind) == sizeof(uint32_t), "enums are 32 bits");

    return parameter->type == TYPE_CHOICE ? sizeof(uint32_t) : sizeof(int64_t);
}

static union value get(
    const struct parameter *parameter, const struct dv_hyperparameters *hyperparameters)
{
    union value value = {0};

    memcpy(&value, (const char *)hyperparameters + parameter->offset, value_size(parameter));
    return value;
}

static void set(const struct parameter *parameter, struct dv_hyperparameters *hyperparameters,
    union value value)
{
    memcpy((char *)hyperparameters + parameter->offset, &value, value_size(parameter));
}

static const struct parameter *find(const char *name)
{
    for (size_t i = 0; i < DV_ARRAY_SIZE(parameters); i++) {
        if (strcmp(parameters[i].name, name) == 0) {
            return &parameters[i];
        }
    }
    return NULL;
}

static size_t choice_count(const struct parameter *parameter)
{
    size_t count = 0;

    while (parameter->choices[count]) {
        count++;
    }
    return count;
}

/* "0.1 to 10", "0, or 8 to 1024", "sgd, adam". */
static const char *legal_values(struct dv_arena *arena, const struct parameter *parameter)
{
    if (parameter->type == TYPE_CHOICE) {
        return dv_check_list(arena, parameter->choices, choice_count(parameter));
    }
    const char *maximum = dv_check_number(arena, parameter->maximum);
    if (parameter->gap_below > 0) {
        return dv_arena_printf(
            arena, "0, or %s to %s", dv_check_number(arena, parameter->gap_below), maximum);
    }
    return dv_arena_printf(arena, "%s to %s", dv_check_number(arena, parameter->minimum), maximum);
}

/* --- Reading ------------------------------------------------------------------------------ */

static bool is_in_range(const struct parameter *parameter, double number)
{
    if (!(number >= parameter->minimum && number <= parameter->maximum)) {
        return false;
    }
    return !(number > 0 && number < parameter->gap_below);
}

/* The legal number that is nearest, for the fix. */
static double into_range(const struct parameter *parameter, double number)
{
    if (number > 0 && number < parameter->gap_below) {
        return parameter->gap_below;
    }
    if (number > parameter->maximum) {
        return parameter->maximum;
    }
    return number >= parameter->minimum ? number : parameter->minimum;
}

static const char *type_text(const struct parameter *parameter)
{
    static const char *const texts[] = {
        [TYPE_INTEGER] = "an integer",
        [TYPE_NUMBER] = "a number",
        [TYPE_CHOICE] = "a string",
    };

    return texts[parameter->type];
}

static bool find_choice(const struct parameter *parameter, const char *text, union value *ret_value)
{
    for (uint32_t i = 0; parameter->choices[i]; i++) {
        if (dv_text_equal_nocase(parameter->choices[i], text)) {
            *ret_value = (union value){.choice = i};
            return true;
        }
    }
    return false;
}

/* What to write instead: the nearest legal value, or the platform's own. */
static const char *legal_instead(
    struct dv_arena *arena, const struct parameter *parameter, const struct dv_json *json)
{
    const struct dv_hyperparameters defaults = dv_hyperparameters_default();
    union value usual = get(parameter, &defaults);

    if (parameter->type == TYPE_CHOICE) {
        const char *text = dv_json_to_string(json, "");
        const char *nearest = dv_check_nearest(text, parameter->choices, choice_count(parameter));
        return dv_arena_printf(
            arena, "\"%s\"", nearest ? nearest : parameter->choices[usual.choice]);
    }
    bool is_integer = parameter->type == TYPE_INTEGER;
    double number = is_integer ? (double)usual.integer : usual.number;
    if (is_integer ? dv_json_is_integer(json) : dv_json_is_number(json)) {
        number = into_range(parameter, dv_json_to_number(json, number));
    }
    return dv_check_number(arena, number);
}

static bool read_value(
    const struct parameter *parameter, const struct dv_json *json, union value *ret_value)
{
    switch (parameter->type) {
    case TYPE_CHOICE:
        return dv_json_is_string(json) &&
               find_choice(parameter, dv_json_to_string(json, ""), ret_value);
    case TYPE_INTEGER:
        *ret_value = (union value){.integer = dv_json_to_integer(json, 0)};
        return dv_json_is_integer(json) && is_in_range(parameter, (double)ret_value->integer);
    case TYPE_NUMBER:
        *ret_value = (union value){.number = dv_json_to_number(json, 0)};
        return dv_json_is_number(json) && is_in_range(parameter, ret_value->number);
    }
    return false;
}

static void value_problem(struct dv_problems *problems, const char *pointer,
    const struct parameter *parameter, const struct dv_json *json)
{
    struct dv_arena *arena = problems->arena;
    const char *fix =
        dv_arena_printf(arena, "set %s=%s", parameter->name, legal_instead(arena, parameter, json));
    const char *legal = legal_values(arena, parameter);
    bool has_type = parameter->type == TYPE_CHOICE    ? dv_json_is_string(json)
                    : parameter->type == TYPE_INTEGER ? dv_json_is_integer(json)
                                                      : dv_json_is_number(json);

    if (!has_type) {
        dv_problems_add(problems, "E_TYPE", pointer, fix, "%s must be %s, found %s. Legal: %s.",
            parameter->name, type_text(parameter), dv_check_value(arena, json), legal);
    } else if (parameter->type == TYPE_CHOICE) {
        dv_problems_add(problems, "E_VALUE", pointer, fix, "%s %s is not known. Legal: %s.",
            parameter->name, dv_check_value(arena, json), legal);
    } else {
        dv_problems_add(problems, "E_VALUE", pointer, fix, "%s=%s is out of range. Legal: %s.",
            parameter->name, dv_check_value(arena, json), legal);
    }
}

static void unknown_problem(struct dv_problems *problems, const struct dv_json *overrides,
    const char *pointer_prefix, const char *key)
{
    const char *names[DV_ARRAY_SIZE(parameters)];

    for (size_t i = 0; i < DV_ARRAY_SIZE(parameters); i++) {
        names[i] = parameters[i].name;
    }
    dv_check_unknown(problems, overrides, pointer_prefix, "", key, names, DV_ARRAY_SIZE(names));
}

enum dv_status dv_hyperparameters_merge(struct dv_hyperparameters *hyperparameters,
    const struct dv_json *overrides, const char *pointer_prefix, struct dv_problems *problems,
    struct dv_error *reterr)
{
    assert(hyperparameters);
    assert(pointer_prefix);
    assert(problems);

    size_t count_before = problems->count;
    struct dv_hyperparameters merged = *hyperparameters;
    if (overrides && !dv_json_is_object(overrides)) {
        dv_problems_add(problems, "E_TYPE", pointer_prefix, "write {}",
            "hyperparameters must be an object, found %s.", dv_json_type_name(overrides));
    }
    for (void *i = dv_json_first(overrides); i; i = dv_json_next(overrides, i)) {
        const char *key = dv_json_key(i);
        const struct parameter *parameter = find(key);
        union value value;
        if (!parameter) {
            unknown_problem(problems, overrides, pointer_prefix, key);
        } else if (read_value(parameter, dv_json_value(i), &value)) {
            set(parameter, &merged, value);
        } else {
            value_problem(problems, dv_check_pointer(problems->arena, pointer_prefix, key),
                parameter, dv_json_value(i));
        }
    }
    enum dv_status status = dv_check_finish(problems, count_before, reterr);
    if (status == DV_OK) {
        *hyperparameters = merged;
    }
    return status;
}

/* --- Text --------------------------------------------------------------------------------- */

/* The text as the JSON that the parameter wants, or as a string that it will refuse. */
static struct dv_json *text_to_json(const struct parameter *parameter, const char *text)
{
    int64_t integer;
    double number;
    union value choice;

    if (parameter->type == TYPE_INTEGER && dv_text_to_int64(text, &integer)) {
        return dv_json_integer(integer);
    }
    if (parameter->type == TYPE_NUMBER && dv_text_to_double(text, &number)) {
        return dv_json_number(number);
    }
    if (parameter->type == TYPE_CHOICE && find_choice(parameter, text, &choice)) {
        return dv_json_string(parameter->choices[choice.choice]);
    }
    return dv_json_string(text);
}

enum dv_status dv_hyperparameters_set_text(
    struct dv_json *overrides, const char *assignment, struct dv_error *reterr)
{
    DV_CLEANUP(dv_arena_destroyp) struct dv_arena *arena = dv_arena_create(0);
    DV_CLEANUP(dv_json_unrefp) struct dv_json *one = dv_json_object();
    struct dv_hyperparameters scratch = dv_hyperparameters_default();
    struct dv_problems problems;

    assert(dv_json_is_object(overrides));
    assert(assignment);

    if (!dv_text_is_utf8(assignment, strlen(assignment))) {
        return dv_fail(reterr, DV_INVALID, "a key or value is not UTF-8");
    }
    const char *equals = strchr(assignment, '=');
    if (!equals) {
        return dv_fail(reterr, DV_INVALID, "\"%s\" is no key=value, such as epochs=10",
            dv_check_text(arena, assignment));
    }
    char *key = dv_arena_strdup(arena, assignment);
    key[equals - assignment] = '\0';
    const struct parameter *parameter = find(key);
    dv_json_set(one, key, parameter ? text_to_json(parameter, equals + 1) : dv_json_null());
    dv_problems_init(&problems, arena, 1);
    enum dv_status status = dv_hyperparameters_merge(&scratch, one, "", &problems, reterr);
    if (status != DV_OK) {
        return status;
    }
    dv_json_set(overrides, key, dv_json_ref(dv_json_get(one, key)));
    return DV_OK;
}

/* --- Writing ------------------------------------------------------------------------------ */

static struct dv_json *value_to_json(const struct parameter *parameter, union value value)
{
    switch (parameter->type) {
    case TYPE_INTEGER:
        return dv_json_integer(value.integer);
    case TYPE_NUMBER:
        return dv_json_number(value.number);
    case TYPE_CHOICE:
        return dv_json_string(parameter->choices[value.choice]);
    }
    return dv_json_null();
}

struct dv_json *dv_hyperparameters_to_json(const struct dv_hyperparameters *hyperparameters)
{
    struct dv_json *json = dv_json_object();

    assert(hyperparameters);

    for (size_t i = 0; i < DV_ARRAY_SIZE(parameters); i++) {
        const struct parameter *parameter = &parameters[i];
        dv_json_set(
            json, parameter->name, value_to_json(parameter, get(parameter, hyperparameters)));
    }
    return json;
}

static void set_bounds(struct dv_json *item, const struct parameter *parameter)
{
    if (parameter->type == TYPE_CHOICE) {
        struct dv_json *choices = dv_json_array();
        for (size_t i = 0; parameter->choices[i]; i++) {
            dv_json_append(choices, dv_json_string(parameter->choices[i]));
        }
        dv_json_set(item, "choices", choices);
    } else if (parameter->type == TYPE_INTEGER) {
        dv_json_set_integer(item, "minimum", (int64_t)parameter->minimum);
        dv_json_set_integer(item, "maximum", (int64_t)parameter->maximum);
    } else {
        dv_json_set_number(item, "minimum", parameter->minimum);
        dv_json_set_number(item, "maximum", parameter->maximum);
    }
}

struct dv_json *dv_hyperparameters_catalogue(const struct dv_hyperparameters *defaults)
{
    static const char *const types[] = {
        [TYPE_INTEGER] = "integer", [TYPE_NUMBER] = "number", [TYPE_CHOICE] = "choice"};
    struct dv_json *list = dv_json_array();

    assert(defaults);

    for (size_t i = 0; i < DV_ARRAY_SIZE(parameters); i++) {
        const struct parameter *parameter = &parameters[i];
        struct dv_json *item = dv_json_object();
        dv_json_set_string(item, "name", parameter->name);
        dv_json_set_string(item, "type", types[parameter->type]);
        dv_json_set(item, "default", value_to_json(parameter, get(parameter, defaults)));
        set_bounds(item, parameter);
        dv_json_set_string(item, "title", parameter->title);
        dv_json_set_string(item, "meaning", parameter->meaning);
        dv_json_append(list, item);
    }
    return list;
}
