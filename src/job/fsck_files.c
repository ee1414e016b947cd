/* SPDX-License-Identifier: Apache-2.0 */

/* The bytes themselves: of data sets, and of versions of models; job/fsck_impl.h. */

#include "base/alloc.h"
#include "base/file.h"
#include "base/folder_hash.h"
#include "base/json.h"
#include "base/text.h"
#include "job/fsck_impl.h"
#include "pack/pack.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define SUMMARY_SIZE_MAX (64u << 20)
#define DAMAGED_SAMPLES_MAX 20u /* that are named, of one data set */

#define ADVICE_DATASET "restore its folder from a backup, or delete it and upload it again"
#define ADVICE_VERSION "restore its folder from a backup, or delete the model and train it again"
#define ADVICE_NAME "if you do not know what it is for, move it out of the data folder"

/* --- Names ------------------------------------------------------------------------------ */

/* What a file that we know is called while it is written (dv_file_write()). */
static bool is_half_written(struct dv_fsck *fsck, const char *name, const char *place,
    bool (*is_known)(struct dv_fsck *fsck, const char *name, const void *user), const void *user)
{
    static const char suffix[] = ".tmp";
    DV_CLEANUP(dv_freep) char *stem = dv_strdup(name);

    if (!dv_text_has_suffix_nocase(name, suffix)) {
        return false;
    }
    stem[strlen(name) - strlen(suffix)] = '\0';
    if (!is_known(fsck, stem, user)) {
        return false;
    }
    dv_fsck_leave(fsck, place, "being written, or left by one that was killed");
    return true;
}

void dv_fsck_names(struct dv_fsck *fsck, const char *path, const char *id,
    bool (*is_known)(struct dv_fsck *fsck, const char *name, const void *user), const void *user)
{
    DV_CLEANUP(dv_freep) char *whole = dv_strprintf("%s/%s", fsck->data_folder, path);
    DIR *stream = opendir(whole);
    struct dirent *entry;

    if (!stream && errno != ENOENT) {
        const struct dv_fsck_finding finding = {
            .code = "unreadable", .path = path, .id = id, .advice = "see what is wrong with it"};
        dv_fsck_find(fsck, &finding, "it cannot be listed: %s", strerror(errno));
    }
    while (stream && (entry = readdir(stream))) {
        const char *name = entry->d_name;
        if (dv_text_equal(name, ".") || dv_text_equal(name, "..") || is_known(fsck, name, user)) {
            continue;
        }
        DV_CLEANUP(dv_freep)
        char *place = dv_strprintf("%s%s%s", path, path[0] ? "/" : "", name);
        const struct dv_fsck_finding finding = {
            .code = "unknown_file", .path = place, .id = id, .advice = ADVICE_NAME};
        if (!is_half_written(fsck, name, place, is_known, user)) {
            dv_fsck_find(fsck, &finding, "nothing of this name is kept here");
        }
    }
    if (stream) {
        (void)closedir(stream);
    }
}

/* --- Data sets -------------------------------------------------------------------------- */

struct dataset {
    struct dv_fsck *fsck;
    const struct dv_json *row;
    struct dv_pack *pack;
    char *path;  /* under DATA */
    char *whole; /* the same with DATA */
};

static void find_damage(const struct dataset *dataset, const char *code, const char *text)
{
    const struct dv_fsck_finding finding = {.code = code,
        .path = dataset->path,
        .id = dv_json_get_string(dataset->row, "id", NULL),
        .advice = ADVICE_DATASET};

    dv_fsck_find(dataset->fsck, &finding, "%s", text);
}

/* dataset.json says what the row says. */
static void check_summary(const struct dataset *dataset)
{
    static const char *const numbers[] = {"total_samples", "size_bytes"};
    DV_CLEANUP(dv_freep) char *path = dv_strprintf("%s/dataset.json", dataset->whole);
    DV_CLEANUP(dv_json_unrefp) struct dv_json *summary = NULL;
    struct dv_error error = {0};

    if (dv_json_read_file(path, SUMMARY_SIZE_MAX, &summary, &error) != DV_OK) {
        find_damage(dataset, "damaged", error.text);
        return;
    }
    bool is_same = dv_text_equal(dv_json_get_string(summary, "content_hash", ""),
        dv_json_get_string(dataset->row, "content_hash", NULL));
    for (size_t i = 0; i < DV_ARRAY_SIZE(numbers); i++) {
        is_same = is_same && dv_json_get_integer(summary, numbers[i], -1) ==
                                 dv_json_get_integer(dataset->row, numbers[i], -2);
    }
    if (!is_same) {
        find_damage(dataset, "mismatch", "dataset.json and the row speak of different data sets");
    }
}

static void hash_text(struct dv_sha256 *hash, const char *text)
{
    dv_sha256_update(hash, text, strlen(text) + 1);
}

/* As data/ingest_summary.c makes it: classes, then split, class, name and hash of each picture. */
static void check_content_hash(const struct dataset *dataset)
{
    const struct dv_pack *pack = dataset->pack;
    unsigned char digest[DV_SHA256_SIZE];
    char text[DV_SHA256_TEXT_SIZE];
    struct dv_sha256 hash;

    dv_sha256_init(&hash);
    for (uint32_t i = 0; i < dv_pack_class_count(pack); i++) {
        hash_text(&hash, dv_pack_class_name(pack, i));
    }
    for (uint64_t i = 0; i < dv_pack_sample_count(pack); i++) {
        struct dv_pack_sample sample;
        dv_pack_sample(pack, i, &sample);
        hash_text(&hash, dv_split_name(sample.split));
        hash_text(&hash, dv_pack_class_name(pack, sample.class_index));
        hash_text(&hash, sample.name);
        dv_sha256_update(&hash, sample.hash, DV_SHA256_SIZE);
    }
    dv_sha256_finish(&hash, digest);
    dv_text_hex(digest, sizeof(digest), text);
    if (!dv_text_equal(text, dv_json_get_string(dataset->row, "content_hash", NULL))) {
        find_damage(dataset, "mismatch", "its manifest is not that of the data set in the row");
    }
}

static enum dv_status read_sample(
    const struct dataset *dataset, uint64_t index, struct dv_error *reterr)
{
    struct dv_pack_sample sample;
    DV_CLEANUP(dv_freep) void *data = NULL;

    dv_pack_sample(dataset->pack, index, &sample);
    enum dv_status status = dv_try_alloc((size_t)sample.size, 1, &data, reterr);
    if (status == DV_OK) {
        status = dv_pack_read(dataset->pack, index, data, reterr);
    }
    dataset->fsck->byte_count += sample.size;
    for (size_t i = 0; status == DV_OK && i < DV_PACK_PREVIEW_COUNT; i++) {
        DV_CLEANUP(dv_freep) unsigned char *preview = NULL;
        size_t size = 0;
        status = dv_pack_read_preview(
            dataset->pack, index, dv_pack_preview_sides[i], &preview, &size, reterr);
        status = status == DV_NOT_FOUND ? DV_OK : status; /* not every picture has one */
    }
    return status;
}

static void check_samples(const struct dataset *dataset)
{
    uint64_t count = dv_pack_sample_count(dataset->pack);
    uint64_t damaged = 0;
    char text[80];

    for (uint64_t i = 0; i < count; i++) {
        struct dv_error error = {0};
        if (read_sample(dataset, i, &error) != DV_OK && damaged++ < DAMAGED_SAMPLES_MAX) {
            find_damage(dataset, "damaged", error.text);
        }
    }
    if (damaged > DAMAGED_SAMPLES_MAX) {
        (void)snprintf(text, sizeof(text), "%" PRIu64 " of its %" PRIu64 " pictures are damaged",
            damaged, count);
        find_damage(dataset, "damaged", text);
    }
}

static bool is_known_in_dataset(struct dv_fsck *fsck, const char *name, const void *user)
{
    static const char *const known[] = {"dataset.json", "manifest.bin", "packs"};

    (void)fsck;
    (void)user;
    for (size_t i = 0; i < DV_ARRAY_SIZE(known); i++) {
        if (dv_text_equal(known[i], name)) {
            return true;
        }
    }
    return false;
}

/* The pack has opened: 000.pack to the last one are there, and an extra one is nobody's. */
static bool is_known_pack(struct dv_fsck *fsck, const char *name, const void *user)
{
    const uint32_t *count = user;
    char expected[16];

    (void)fsck;
    for (uint32_t i = 0; i < *count; i++) {
        (void)snprintf(expected, sizeof(expected), "%03u.pack", (unsigned)i);
        if (dv_text_equal(expected, name)) {
            return true;
        }
    }
    return false;
}

static void check_pack(struct dataset *dataset)
{
    DV_CLEANUP(dv_freep) char *packs = dv_strprintf("%s/packs", dataset->path);
    struct dv_error error = {0};

    if (dv_pack_open(dataset->whole, &dataset->pack, &error) != DV_OK) {
        find_damage(dataset, "damaged", error.text);
        return;
    }
    uint32_t count = dv_pack_file_count(dataset->pack);
    dv_fsck_names(dataset->fsck, packs, dv_json_get_string(dataset->row, "id", NULL),
        is_known_pack, &count);
    check_content_hash(dataset);
    check_samples(dataset);
    dataset->pack = dv_pack_close(dataset->pack);
}

void dv_fsck_dataset_files(struct dv_fsck *fsck, const struct dv_json *row)
{
    const char *id = dv_json_get_string(row, "id", "");
    DV_CLEANUP(dv_freep) char *path = dv_strprintf("datasets/%s", id);
    DV_CLEANUP(dv_freep) char *whole = dv_strprintf("%s/%s", fsck->data_folder, path);
    struct dataset dataset = {.fsck = fsck, .row = row, .path = path, .whole = whole};

    if (!dv_path_is_folder(whole)) {
        find_damage(&dataset, "missing", "the data set's folder is gone");
        return;
    }
    check_summary(&dataset);
    check_pack(&dataset);
    dv_fsck_names(fsck, path, id, is_known_in_dataset, NULL);
}

/* --- Versions of models ----------------------------------------------------------------- */

void dv_fsck_version_files(struct dv_fsck *fsck, const char *id, const struct dv_json *version)
{
    DV_CLEANUP(dv_freep)
    char *path = dv_strprintf("models/%s/versions/%" PRId64, id,
        dv_json_get_integer(version, "version", 0));
    DV_CLEANUP(dv_freep) char *whole = dv_strprintf("%s/%s", fsck->data_folder, path);
    const char *expected = dv_json_get_string(version, "content_hash", NULL);
    struct dv_fsck_finding finding = {
        .code = "missing", .path = path, .id = id, .advice = ADVICE_VERSION};
    char hash[DV_SHA256_TEXT_SIZE];
    struct dv_error error = {0};
    uint64_t size = 0;

    if (!dv_path_is_folder(whole)) {
        dv_fsck_find(fsck, &finding, "the folder of the version is gone");
        return;
    }
    enum dv_status status = dv_folder_hash(whole, hash, &size, &error);
    fsck->byte_count += size;
    if (status != DV_OK) {
        finding.code = "damaged";
        dv_fsck_find(fsck, &finding, "its files cannot be read: %s", error.text);
    } else if (!expected) {
        finding.code = "no_hash";
        finding.advice = "its files cannot be proven: train it again if it matters";
        dv_fsck_find(fsck, &finding, "no hash was written down for the version");
    } else if (!dv_text_equal(hash, expected)) {
        finding.code = "damaged";
        dv_fsck_find(fsck, &finding, "its files do not have the hash of the version");
    }
}
