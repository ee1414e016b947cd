/* SPDX-License-Identifier: Apache-2.0 */
#include "spec/dataset.h"

#include "base/arena.h"
#include "base/json.h"
#include "base/text.h"
#include "spec/limits.h"

#include <assert.h>
#include <string.h>

const char *dv_split_name(enum dv_split split)
{
    static const char *const names[] = {"train", "val", "test"};

    _Static_assert(DV_ARRAY_SIZE(names) == DV_SPLIT_COUNT, "each split has its name");
    assert(split < DV_SPLIT_COUNT);
    return names[split];
}

bool dv_split_from_name(const char *name, enum dv_split *ret_split)
{
    for (unsigned i = 0; i < DV_SPLIT_COUNT; i++) {
        if (dv_text_equal(dv_split_name((enum dv_split)i), name)) {
            *ret_split = (enum dv_split)i;
            return true;
        }
    }
    return false;
}

const char *dv_finding_code_name(enum dv_finding_code code)
{
    static const char *const names[] = {
#define X(code, text, refuses) text,
        DV_FINDING_MAP(X)
#undef X
    };

    assert(code < DV_FINDING_CODE_COUNT);
    return names[code];
}

bool dv_finding_code_refuses(enum dv_finding_code code)
{
    static const bool refusing[] = {
#define X(code, text, refuses) refuses,
        DV_FINDING_MAP(X)
#undef X
    };

    assert(code < DV_FINDING_CODE_COUNT);
    return refusing[code];
}

static struct dv_json *class_to_json(const struct dv_class_summary *class)
{
    struct dv_json *json = dv_json_object();
    uint64_t count = 0;

    for (int i = 0; i < DV_SPLIT_COUNT; i++) {
        count += class->counts[i];
    }
    dv_json_set_string(json, "name", class->name);
    dv_json_set_integer(json, "count", (int64_t)count);
    for (int i = 0; i < DV_SPLIT_COUNT; i++) {
        dv_json_set_integer(json, dv_split_name((enum dv_split)i), (int64_t) class->counts[i]);
    }
    return json;
}

struct dv_json *dv_dataset_summary_to_json(const struct dv_dataset_summary *summary)
{
    struct dv_json *json = dv_json_object();
    struct dv_json *classes = dv_json_array();

    assert(summary);

    for (uint32_t i = 0; i < summary->class_count; i++) {
        dv_json_append(classes, class_to_json(&summary->classes[i]));
    }
    dv_json_set_string(json, "id", summary->id);
    dv_json_set_string(json, "name", summary->name);
    dv_json_set(json, "classes", classes);
    dv_json_set_integer(json, "total_samples", (int64_t)summary->total_samples);
    dv_json_set_integer(json, "size_bytes", (int64_t)summary->size_bytes);
    dv_json_set_integer(json, "channels", summary->channels);
    dv_json_set_integer(json, "side_min", summary->side_min);
    dv_json_set_integer(json, "side_max", summary->side_max);
    dv_json_set_integer(json, "side_median", summary->side_median);
    dv_json_set_bool(json, "has_one_size", summary->has_one_size);
    dv_json_set_string(json, "content_hash", summary->content_hash);
    dv_json_set_string(json, "source_hash", summary->source_hash);
    dv_json_set_string(json, "created_at", summary->created_at);
    return json;
}

static enum dv_status parse_string(const struct dv_json *json, const char *key,
    struct dv_arena *arena, const char **ret_text, struct dv_error *reterr)
{
    const char *text = dv_json_get_string(json, key, NULL);

    if (!text) {
        return dv_fail(reterr, DV_INVALID, "the data set's '%s' is not a string", key);
    }
    *ret_text = dv_arena_strdup(arena, text);
    return DV_OK;
}

static enum dv_status parse_count(
    const struct dv_json *json, const char *key, uint64_t *ret_value, struct dv_error *reterr)
{
    int64_t value = dv_json_get_integer(json, key, -1);

    if (value < 0) {
        return dv_fail(reterr, DV_INVALID, "the data set's '%s' is not a count", key);
    }
    *ret_value = (uint64_t)value;
    return DV_OK;
}

static enum dv_status parse_u32(
    const struct dv_json *json, const char *key, uint32_t *ret_value, struct dv_error *reterr)
{
    uint64_t value = 0;

    enum dv_status status = parse_count(json, key, &value, reterr);
    if (status != DV_OK) {
        return status;
    }
    if (value > UINT32_MAX) {
        return dv_fail(reterr, DV_INVALID, "the data set's '%s' is too large", key);
    }
    *ret_value = (uint32_t)value;
    return DV_OK;
}

/* A SHA-256 in lower-case text, or "" where the summary may be without one. */
static enum dv_status parse_hash(const struct dv_json *json, const char *key, bool may_be_empty,
    char ret_hash[static DV_SHA256_TEXT_SIZE], struct dv_error *reterr)
{
    const char *text = dv_json_get_string(json, key, NULL);
    size_t size = text ? strlen(text) : 0;

    if (!text || (size == 0 && !may_be_empty) || (size > 0 && size != DV_SHA256_TEXT_SIZE - 1) ||
        strspn(text, "0123456789abcdef") != size) {
        return dv_fail(reterr, DV_INVALID, "the data set's '%s' is not a SHA-256", key);
    }
    memcpy(ret_hash, text, size + 1);
    return DV_OK;
}

static enum dv_status parse_classes(const struct dv_json *json, struct dv_arena *arena,
    struct dv_dataset_summary *summary, struct dv_error *reterr)
{
    const struct dv_json *array = dv_json_get(json, "classes");
    enum dv_status status = DV_OK;

    size_t count = dv_json_count(array);
    if (!dv_json_is_array(array) || count > DV_CLASSES_MAX) {
        return dv_fail(reterr, DV_INVALID, "the data set's 'classes' is not a list of at most %u",
            DV_CLASSES_MAX);
    }
    summary->class_count = (uint32_t)count;
    summary->classes = dv_arena_array(arena, count, sizeof(*summary->classes));
    for (size_t i = 0; i < count && status == DV_OK; i++) {
        const struct dv_json *item = dv_json_at(array, i);
        status = parse_string(item, "name", arena, &summary->classes[i].name, reterr);
        for (int j = 0; j < DV_SPLIT_COUNT && status == DV_OK; j++) {
            status = parse_count(
                item, dv_split_name((enum dv_split)j), &summary->classes[i].counts[j], reterr);
        }
    }
    return status;
}

static enum dv_status parse_numbers(
    const struct dv_json *json, struct dv_dataset_summary *summary, struct dv_error *reterr)
{
    enum dv_status status = parse_count(json, "total_samples", &summary->total_samples, reterr);

    if (status == DV_OK) {
        status = parse_count(json, "size_bytes", &summary->size_bytes, reterr);
    }
    if (status == DV_OK) {
        status = parse_u32(json, "channels", &summary->channels, reterr);
    }
    if (status == DV_OK) {
        status = parse_u32(json, "side_min", &summary->side_min, reterr);
    }
    if (status == DV_OK) {
        status = parse_u32(json, "side_max", &summary->side_max, reterr);
    }
    if (status == DV_OK) {
        status = parse_u32(json, "side_median", &summary->side_median, reterr);
    }
    if (status == DV_OK && summary->channels != 1 && summary->channels != 3) {
        return dv_fail(reterr, DV_INVALID, "the data set's 'channels' is neither 1 nor 3");
    }
    summary->has_one_size = dv_json_get_bool(json, "has_one_size", false);
    return status;
}

static enum dv_status parse_texts(const struct dv_json *json, struct dv_arena *arena,
    struct dv_dataset_summary *summary, struct dv_error *reterr)
{
    enum dv_status status = parse_string(json, "id", arena, &summary->id, reterr);

    if (status == DV_OK) {
        status = parse_string(json, "name", arena, &summary->name, reterr);
    }
    if (status == DV_OK) {
        status = parse_string(json, "created_at", arena, &summary->created_at, reterr);
    }
    if (status == DV_OK) {
        status = parse_hash(json, "content_hash", false, summary->content_hash, reterr);
    }
    if (status == DV_OK) {
        status = parse_hash(json, "source_hash", true, summary->source_hash, reterr);
    }
    return status;
}

enum dv_status dv_dataset_summary_parse(const struct dv_json *json, struct dv_arena *arena,
    struct dv_dataset_summary *ret_summary, struct dv_error *reterr)
{
    struct dv_dataset_summary summary = {0};

    assert(arena);
    assert(ret_summary);

    if (!dv_json_is_object(json)) {
        return dv_fail(reterr, DV_INVALID, "a data set's description must be an object, not %s",
            dv_json_type_name(json));
    }

    enum dv_status status = parse_texts(json, arena, &summary, reterr);
    if (status == DV_OK) {
        status = parse_classes(json, arena, &summary, reterr);
    }
    if (status == DV_OK) {
        status = parse_numbers(json, &summary, reterr);
    }
    if (status == DV_OK) {
        *ret_summary = summary;
    }
    return status;
}

/* --- Size ------------------------------------------------------------------------------- */

#define TINY_SIZE_MIN 8u
#define SMALL_SIDE_MAX 160u
#define SMALL_SIZE 64u
#define PHOTO_SIZE 128u

uint32_t dv_dataset_image_size(const struct dv_dataset_summary *summary)
{
    assert(summary);

    if (summary->side_max <= DV_DATASET_TINY_SIDE_MAX) {
        return summary->side_max < TINY_SIZE_MIN ? TINY_SIZE_MIN : summary->side_max;
    }
    return summary->side_median <= SMALL_SIDE_MAX ? SMALL_SIZE : PHOTO_SIZE;
}
