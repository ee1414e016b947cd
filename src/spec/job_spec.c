/* SPDX-License-Identifier: Apache-2.0 */
#include "spec/job_spec.h"

#include "base/arena.h"
#include "base/hash.h"
#include "base/json.h"
#include "base/macro.h"
#include "base/text.h"
#include "spec/arch.h"
#include "spec/check.h"
#include "spec/hyperparameters.h"
#include "spec/limits.h"
#include "spec/problem.h"

#include <assert.h>
#include <string.h>

enum { STRATEGIES_MAX = 16 };

/* --- The table of numbers ------------------------------------------------------------------ */

struct number_field {
    const char *name;
    size_t offset;
    bool is_integer;
    double minimum, maximum;
};

#define AT(member) offsetof(struct dv_job_spec, member)

static const struct number_field numbers[] = {
    {"max_iterations", AT(max_iterations), true, 0, 1000},
    {"target_accuracy", AT(target_accuracy), false, 0, 1},
    {"timeout_seconds", AT(timeout_seconds), true, 0, 31536000 /* a year */},
    {"seed", AT(seed), true, 0, 9007199254740992.0 /* 2^53, as the hyperparameter */},
    {"priority", AT(priority), true, -1000, 1000},
    {"max_restarts", AT(max_restarts), true, 0, 100},
};

static const char *const members[] = {
    "dataset_id",
    "name",
    "strategy",
    "hyperparameters",
    "max_iterations",
    "target_accuracy",
    "timeout_seconds",
    "device",
    "architecture",
    "base_model_id",
    "replay_of",
    "seed",
    "priority",
    "max_restarts",
};

static const char *const strategies[] = {"auto", "native", "llm", "search", "transfer"};
static const char *const devices[] = {"auto", "cpu", "cuda"};

/* --- Reading ------------------------------------------------------------------------------ */

struct reader {
    const struct dv_json *json;
    const struct dv_capabilities *capabilities;
    struct dv_arena *arena;
    struct dv_problems *problems;
    struct dv_job_spec *spec;
};

static void problem(
    struct reader *reader, const char *code, const char *member, const char *legal, const char *fix)
{
    struct dv_arena *arena = reader->problems->arena;

    dv_problems_add(reader->problems, code, dv_check_pointer(arena, "", member), fix,
        "%s: found %s. Legal: %s.", member,
        dv_check_value(arena, dv_json_get(reader->json, member)), legal);
}

/* Integers are compared as such: 2^53 + 1 is no double. */
static bool is_within(const struct number_field *field, const struct dv_json *value)
{
    if (field->is_integer) {
        int64_t integer = dv_json_to_integer(value, 0);
        return integer >= (int64_t)field->minimum && integer <= (int64_t)field->maximum;
    }
    double number = dv_json_to_number(value, 0);
    return number >= field->minimum && number <= field->maximum;
}

static void read_number(struct reader *reader, const struct number_field *field)
{
    const struct dv_json *value = dv_json_get(reader->json, field->name);
    struct dv_arena *arena = reader->problems->arena;
    double number = dv_json_to_number(value, 0);
    void *member = (char *)reader->spec + field->offset;

    if (!value) {
        return;
    }
    bool has_type = field->is_integer ? dv_json_is_integer(value) : dv_json_is_number(value);
    if (has_type && is_within(field, value)) {
        if (field->is_integer) {
            *(int64_t *)member = dv_json_to_integer(value, 0);
        } else {
            *(double *)member = number;
        }
        return;
    }
    double nearest = number >= field->maximum ? field->maximum : field->minimum;
    const char *legal =
        dv_arena_printf(arena, "%s, %s to %s", field->is_integer ? "an integer" : "a number",
            dv_check_number(arena, field->minimum), dv_check_number(arena, field->maximum));
    const char *fix =
        has_type ? dv_arena_printf(arena, "set %s=%s", field->name, dv_check_number(arena, nearest))
                 : dv_arena_printf(arena, "remove \"%s\"", field->name);
    problem(reader, has_type ? "E_VALUE" : "E_TYPE", field->name, legal, fix);
}

/* A UUID, or NULL; ids become parts of paths, so nothing else passes. */
static const char *read_id(struct reader *reader, const char *member)
{
    const struct dv_json *value = dv_json_get(reader->json, member);
    const char *text = dv_json_to_string(value, NULL);

    if (!value) {
        return NULL;
    }
    if (!text || !dv_uuid_is_valid(text)) {
        problem(reader, text ? "E_VALUE" : "E_TYPE", member, "an id, a UUID in lower case", "");
        return NULL;
    }
    return dv_arena_strdup(reader->arena, text);
}

static const char *read_name(struct reader *reader)
{
    const struct dv_json *value = dv_json_get(reader->json, "name");
    const char *text = dv_json_to_string(value, NULL);

    if (!value) {
        return NULL;
    }
    if (!text || text[0] == '\0' || strlen(text) > DV_NAME_SIZE_MAX) {
        problem(reader, text ? "E_VALUE" : "E_TYPE", "name",
            dv_arena_printf(reader->arena, "text of 1 to %u bytes", DV_NAME_SIZE_MAX),
            "remove \"name\"");
        return NULL;
    }
    return dv_arena_strdup(reader->arena, text);
}

static const char *read_word(
    struct reader *reader, const char *member, const char *const *words, size_t count)
{
    const struct dv_json *value = dv_json_get(reader->json, member);
    const char *text = dv_json_to_string(value, "");

    if (!value) {
        return words[0];
    }
    for (size_t i = 0; i < count; i++) {
        if (dv_text_equal_nocase(text, words[i])) {
            return words[i];
        }
    }
    const char *nearest = dv_check_nearest(text, words, count);
    problem(reader, dv_json_is_string(value) ? "E_VALUE" : "E_TYPE", member,
        dv_check_list(reader->arena, words, count),
        dv_arena_printf(reader->arena, "set %s=\"%s\"", member, nearest ? nearest : words[0]));
    return words[0];
}

static bool has_strategy(const struct dv_capabilities *capabilities, const char *name)
{
    for (size_t i = 0; capabilities->strategies[i]; i++) {
        if (strcmp(capabilities->strategies[i], name) == 0) {
            return true;
        }
    }
    return false;
}

static void read_strategy(struct reader *reader)
{
    const struct dv_capabilities *capabilities = reader->capabilities;
    struct dv_job_spec *spec = reader->spec;
    const char *words[DV_ARRAY_SIZE(strategies) + STRATEGIES_MAX];
    size_t count = DV_ARRAY_SIZE(strategies);

    memcpy(words, strategies, sizeof(strategies));
    for (size_t i = 0; capabilities->strategies[i] && count < DV_ARRAY_SIZE(words); i++) {
        words[count++] = capabilities->strategies[i]; /* a test's own */
    }
    const char *name = dv_json_get_string(reader->json, "strategy", "");
    bool is_own = has_strategy(capabilities, name);
    spec->strategy = dv_arena_strdup(reader->arena,
        read_word(reader, "strategy", words, is_own ? count : DV_ARRAY_SIZE(strategies)));
    if (strcmp(spec->strategy, "auto") != 0 && !has_strategy(capabilities, spec->strategy)) {
        dv_problems_add(reader->problems, "E_UNSUPPORTED", "/strategy", "set strategy=\"auto\"",
            "strategy \"%s\" is not in this version yet.", spec->strategy);
    } else if (strcmp(spec->strategy, "llm") == 0 && !capabilities->has_llm) {
        dv_problems_add(reader->problems, "E_UNSUPPORTED", "/strategy", "set strategy=\"auto\"",
            "strategy \"llm\" needs a language model's endpoint: set DV_LLM_BASE_URL.");
    }
}

static void read_device(struct reader *reader)
{
    reader->spec->device = read_word(reader, "device", devices, DV_ARRAY_SIZE(devices));
    if (strcmp(reader->spec->device, "cuda") == 0 && !reader->capabilities->has_cuda) {
        dv_problems_add(reader->problems, "E_UNSUPPORTED", "/device", "set device=\"cpu\"",
            "device \"cuda\": there is no GPU here that this version can use.");
    }
}

static void check_hyperparameters(struct reader *reader)
{
    struct dv_hyperparameters scratch = dv_hyperparameters_default();

    /* What is wrong is in the problems. */
    (void)!dv_hyperparameters_merge(&scratch, dv_json_get(reader->json, "hyperparameters"),
        "/hyperparameters", reader->problems, NULL);
    reader->spec->hyperparameters = dv_json_get(reader->json, "hyperparameters");
}

static void check_architecture(struct reader *reader)
{
    const struct dv_json *value = dv_json_get(reader->json, "architecture");
    size_t count_before = reader->problems->count;
    struct dv_arch *arch = NULL;

    if (!value) {
        return;
    }
    (void)!dv_arch_parse(value, reader->arena, reader->problems, &arch, NULL);
    dv_problems_prefix(reader->problems, count_before, "/architecture");
    reader->spec->architecture = value;
}

static void check_members(struct reader *reader)
{
    for (void *i = dv_json_first(reader->json); i; i = dv_json_next(reader->json, i)) {
        bool is_known = false;
        for (size_t j = 0; j < DV_ARRAY_SIZE(members); j++) {
            is_known = is_known || strcmp(members[j], dv_json_key(i)) == 0;
        }
        if (!is_known) {
            dv_check_unknown(reader->problems, reader->json, "", "", dv_json_key(i), members,
                DV_ARRAY_SIZE(members));
        }
    }
}

/* No strategy but `transfer` looks at it: nothing may seem to start from it and not do so. */
static void check_base_model(struct reader *reader)
{
    const struct dv_job_spec *spec = reader->spec;
    const char *strategy = dv_job_spec_strategy(spec, reader->capabilities);

    if (spec->base_model_id && strcmp(strategy, "transfer") != 0) {
        dv_problems_add(reader->problems, "E_UNSUPPORTED", "/base_model_id",
            "remove \"base_model_id\"",
            "strategy \"%s\" starts from nothing: a base model needs strategy \"transfer\"%s.",
            strategy,
            has_strategy(reader->capabilities, "transfer") ? ""
                                                           : ", which is not in this version yet");
    }
}

/* A search's candidates are all that can be tried again, and nobody is asked for them. */
static void check_replay(struct reader *reader)
{
    const struct dv_job_spec *spec = reader->spec;

    if (spec->replay_of &&
        strcmp(dv_job_spec_strategy(spec, reader->capabilities), "search") != 0) {
        dv_problems_add(reader->problems, "E_UNSUPPORTED", "/replay_of", "set strategy=\"search\"",
            "strategy \"%s\" does not replay: only \"search\" does, whatever the other job's was.",
            spec->strategy);
    }
}

static void read_all(struct reader *reader)
{
    struct dv_job_spec *spec = reader->spec;

    check_members(reader);
    spec->dataset_id = read_id(reader, "dataset_id");
    if (!dv_json_get(reader->json, "dataset_id")) {
        dv_problems_add(reader->problems, "E_FIELD", "/dataset_id", "",
            "the field \"dataset_id\" is missing. Legal: the id of a data set.");
    }
    spec->name = read_name(reader);
    read_strategy(reader);
    check_hyperparameters(reader);
    for (size_t i = 0; i < DV_ARRAY_SIZE(numbers); i++) {
        read_number(reader, &numbers[i]);
    }
    read_device(reader);
    check_architecture(reader);
    spec->base_model_id = read_id(reader, "base_model_id");
    spec->replay_of = read_id(reader, "replay_of");
    check_base_model(reader);
    check_replay(reader);
}

enum dv_status dv_job_spec_parse(const struct dv_json *json,
    const struct dv_capabilities *capabilities, struct dv_arena *arena,
    struct dv_problems *problems, struct dv_job_spec **ret_spec, struct dv_error *reterr)
{
    struct reader reader = {
        .json = json, .capabilities = capabilities, .arena = arena, .problems = problems};

    assert(capabilities);
    assert(capabilities->strategies);
    assert(arena);
    assert(problems);
    assert(ret_spec);

    size_t count_before = problems->count;
    if (!dv_json_is_object(json)) {
        dv_problems_add(problems, "E_TYPE", "", "", "a job must be an object, found %s.",
            dv_json_type_name(json));
        return dv_check_finish(problems, count_before, reterr);
    }
    reader.spec = dv_arena_alloc(arena, sizeof(*reader.spec));
    reader.spec->max_restarts = DV_MAX_RESTARTS_DEFAULT;
    read_all(&reader);
    enum dv_status status = dv_check_finish(problems, count_before, reterr);
    if (status == DV_OK) {
        *ret_spec = reader.spec;
    }
    return status;
}

/* --- Writing ------------------------------------------------------------------------------ */

static void set_text(struct dv_json *json, const char *member, const char *text)
{
    if (text) {
        dv_json_set_string(json, member, text);
    }
}

static void set_copy(struct dv_json *json, const char *member, const struct dv_json *value)
{
    if (value) {
        dv_json_set(json, member, dv_json_copy(value));
    }
}

struct dv_json *dv_job_spec_to_json(const struct dv_job_spec *spec)
{
    struct dv_json *json = dv_json_object();

    assert(spec);

    set_text(json, "dataset_id", spec->dataset_id);
    set_text(json, "name", spec->name);
    set_text(json, "strategy", spec->strategy);
    set_copy(json, "hyperparameters", spec->hyperparameters);
    set_copy(json, "architecture", spec->architecture);
    set_text(json, "base_model_id", spec->base_model_id);
    set_text(json, "replay_of", spec->replay_of);
    set_text(json, "device", spec->device);
    for (size_t i = 0; i < DV_ARRAY_SIZE(numbers); i++) {
        const void *member = (const char *)spec + numbers[i].offset;
        if (numbers[i].is_integer) {
            dv_json_set_integer(json, numbers[i].name, *(const int64_t *)member);
        } else {
            dv_json_set_number(json, numbers[i].name, *(const double *)member);
        }
    }
    return json;
}

const char *dv_job_spec_strategy(
    const struct dv_job_spec *spec, const struct dv_capabilities *capabilities)
{
    assert(spec);
    assert(capabilities);

    if (strcmp(spec->strategy, "auto") != 0) {
        return spec->strategy;
    }
    const struct {
        const char *name;
        bool is_wanted;
    } order[] = {
        {"search", spec->replay_of != NULL},
        {"transfer", spec->base_model_id != NULL},
        {"llm", capabilities->has_llm},
        {"search", spec->max_iterations > 1},
        {"native", true},
    };
    for (size_t i = 0; i < DV_ARRAY_SIZE(order); i++) {
        if (order[i].is_wanted && has_strategy(capabilities, order[i].name)) {
            return order[i].name;
        }
    }
    return "native";
}
