/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DV_SPEC_DATASET_H
#define DV_SPEC_DATASET_H

/*
 * The words in which data sets are described: splits, findings, classes with their counts, and the
 * summary that ingest leaves behind (`dataset.json`), which is also what the API shows.
 */

#include "base/hash.h"
#include "base/status.h"

#include <stdbool.h>
#include <stdint.h>

struct dv_arena;
struct dv_json;

enum dv_split { DV_SPLIT_TRAIN, DV_SPLIT_VAL, DV_SPLIT_TEST, DV_SPLIT_COUNT };

/* What can be wrong with one file. The first group refuses the file, the second only remarks. */
/* clang-format off */
#define DV_FINDING_MAP(X)                                     \
    X(CORRUPT_IMAGE,      "corrupt_image",      true)         \
    X(UNSUPPORTED_FORMAT, "unsupported_format", true)         \
    X(UNSUPPORTED_FEATURE,"unsupported_feature",true)         \
    X(TOO_LARGE,          "too_large",          true)         \
    X(EMPTY_FILE,         "empty_file",         true)         \
    X(NO_CLASS,           "no_class",           true)         \
    X(UNSAFE_PATH,        "unsafe_path",        true)         \
    X(ENCRYPTED,          "encrypted",          true)         \
    X(CORRUPT_ENTRY,      "corrupt_entry",      true)         \
    X(DUPLICATE,          "duplicate",          true)         \
    X(CONFLICTING_LABELS, "conflicting_labels", true)         \
    X(LEAK_ACROSS_SPLITS, "leak_across_splits", true)         \
    X(NEAR_DUPLICATE,     "near_duplicate",     false)        \
    X(TRAILING_DATA,      "trailing_data",      false)        \
    X(IGNORED,            "ignored",            false)
/* clang-format on */

enum dv_finding_code {
#define X(code, text, refuses) DV_FINDING_##code,
    DV_FINDING_MAP(X)
#undef X
    DV_FINDING_CODE_COUNT,
};

const char *dv_split_name(enum dv_split split); /* "train" */

/* False if there is no such split. */
DV_MUST_CHECK bool dv_split_from_name(const char *name, enum dv_split *ret_split);
const char *dv_finding_code_name(enum dv_finding_code code);
bool dv_finding_code_refuses(enum dv_finding_code code);

struct dv_class_summary {
    const char *name;
    uint64_t counts[DV_SPLIT_COUNT];
};

/* What a data set is once it is ready. */
struct dv_dataset_summary {
    const char *id;
    const char *name;
    struct dv_class_summary *classes; /* sorted by name, bytewise */
    uint32_t class_count;
    uint64_t total_samples;
    uint64_t size_bytes;  /* of the original picture bytes */
    uint32_t channels;    /* 1 when every picture is grey, else 3 */
    uint32_t side_min, side_max; /* smallest and largest side of any picture */
    uint32_t side_median;        /* median of the short sides */
    bool has_one_size;           /* every picture has the same rows and columns */
    char content_hash[DV_SHA256_TEXT_SIZE]; /* of names, classes, splits and picture hashes */
    char source_hash[DV_SHA256_TEXT_SIZE];  /* of the uploaded file; "" for a folder */
    const char *created_at;
};

/* {"id", "name", "classes": [{"name", "count", "train", "val", "test"}], ...}; the caller's. */
struct dv_json *dv_dataset_summary_to_json(const struct dv_dataset_summary *summary);

/* Pictures up to this side are taken as they are. */
#define DV_DATASET_TINY_SIDE_MAX 40u

/* The side, in pixels, at which pictures of this set go into a network unless the user says another. */
uint32_t dv_dataset_image_size(const struct dv_dataset_summary *summary);

DV_MUST_CHECK enum dv_status dv_dataset_summary_parse(const struct dv_json *json,
    struct dv_arena *arena, struct dv_dataset_summary *ret_summary, struct dv_error *reterr);

#endif
