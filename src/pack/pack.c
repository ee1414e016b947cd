/* SPDX-License-Identifier: Apache-2.0 */
#include "pack/pack.h"

#include "base/alloc.h"
#include "base/file.h"
#include "base/text.h"
#include "pack/pack_format.h"
#include "spec/limits.h"

#include <assert.h>
#include <string.h>

#define MANIFEST_SIZE_MAX ((size_t)16 << 30)

const uint32_t dv_pack_preview_sides[DV_PACK_PREVIEW_COUNT] = {96, 256};

struct dv_pack {
    unsigned char *manifest; /* the whole of manifest.bin; the pointers below lead into it */
    size_t manifest_size;
    const unsigned char *file_sizes;
    const unsigned char *classes;
    const unsigned char *records;
    const unsigned char *findings;
    const char *text;
    uint64_t text_size;
    uint64_t sample_count;
    uint64_t finding_count;
    uint32_t class_count;
    uint32_t file_count;
    uint32_t code_count;
    uint64_t split_first[DV_SPLIT_COUNT + 1];
    int *files; /* descriptors */
};

static const unsigned char *record_at(const struct dv_pack *pack, uint64_t index)
{
    assert(index < pack->sample_count);
    return pack->records + index * DV_PACK_RECORD_SIZE;
}

/* --- Opening: afterwards every number in the manifest is known to be in its range --------- */

static enum dv_status check_seal(const struct dv_pack *pack, struct dv_error *reterr)
{
    unsigned char digest[DV_SHA256_SIZE];

    if (pack->manifest_size < DV_PACK_HEADER_SIZE + DV_SHA256_SIZE) {
        return dv_fail(reterr, DV_CORRUPT, "the manifest is cut short");
    }
    if (memcmp(pack->manifest, DV_PACK_MAGIC, 8) != 0) {
        return dv_fail(reterr, DV_CORRUPT, "the manifest is not one");
    }

    size_t size = pack->manifest_size - DV_SHA256_SIZE;
    dv_sha256(pack->manifest, size, digest);
    if (memcmp(pack->manifest + size, digest, DV_SHA256_SIZE) != 0) {
        return dv_fail(reterr, DV_CORRUPT, "the manifest does not match its own hash");
    }

    uint32_t version = dv_pack_get32(pack->manifest + DV_PACK_AT_VERSION);
    if (version != DV_PACK_VERSION) {
        return dv_fail(reterr, DV_UNSUPPORTED,
            "the manifest has version %u, this program reads version %u", (unsigned)version,
            DV_PACK_VERSION);
    }
    return DV_OK;
}

static enum dv_status read_header(struct dv_pack *pack, struct dv_error *reterr)
{
    const unsigned char *header = pack->manifest;

    pack->class_count = dv_pack_get32(header + DV_PACK_AT_CLASSES);
    pack->sample_count = dv_pack_get64(header + DV_PACK_AT_SAMPLES);
    pack->finding_count = dv_pack_get64(header + DV_PACK_AT_FINDINGS);
    pack->text_size = dv_pack_get64(header + DV_PACK_AT_TEXT_SIZE);
    pack->file_count = dv_pack_get32(header + DV_PACK_AT_FILES);
    pack->code_count = dv_pack_get32(header + DV_PACK_AT_CODES);
    if (pack->class_count > DV_CLASSES_MAX || pack->sample_count > DV_PACK_SAMPLES_MAX ||
        pack->finding_count > DV_FINDINGS_MAX || pack->file_count > DV_PACK_FILES_MAX ||
        pack->text_size > pack->manifest_size ||
        pack->code_count > (DV_PACK_HEADER_SIZE - DV_PACK_AT_FINDING_TOTALS) / 8) {
        return dv_fail(reterr, DV_CORRUPT, "the manifest's header is over a limit");
    }

    /* The limits above keep this sum far below 2^64. */
    uint64_t at_classes = DV_PACK_HEADER_SIZE + 8ull * pack->file_count;
    uint64_t at_records = at_classes + 8ull * pack->class_count;
    uint64_t at_findings = at_records + pack->sample_count * DV_PACK_RECORD_SIZE;
    uint64_t at_text = at_findings + pack->finding_count * DV_PACK_FINDING_SIZE;
    if (at_text + pack->text_size + DV_SHA256_SIZE != pack->manifest_size) {
        return dv_fail(reterr, DV_CORRUPT, "the manifest's tables do not fill it");
    }
    pack->file_sizes = pack->manifest + DV_PACK_HEADER_SIZE;
    pack->classes = pack->manifest + at_classes;
    pack->records = pack->manifest + at_records;
    pack->findings = pack->manifest + at_findings;
    pack->text = (const char *)pack->manifest + at_text;
    if (pack->text_size > 0 && pack->text[pack->text_size - 1] != '\0') {
        return dv_fail(reterr, DV_CORRUPT, "the manifest's last string does not end");
    }
    return DV_OK;
}

/* The text block ends in NUL, so any offset inside it begins a string that ends inside it. */
static bool is_string(const struct dv_pack *pack, uint64_t offset)
{
    return offset < pack->text_size &&
           dv_text_is_utf8(pack->text + offset, strlen(pack->text + offset));
}

static enum dv_status check_strings(const struct dv_pack *pack, struct dv_error *reterr)
{
    for (uint32_t i = 0; i < pack->class_count; i++) {
        if (!is_string(pack, dv_pack_get64(pack->classes + 8 * (size_t)i))) {
            return dv_fail(reterr, DV_CORRUPT, "the name of class %u is damaged", (unsigned)i);
        }
    }
    for (uint64_t i = 0; i < pack->finding_count; i++) {
        const unsigned char *finding = pack->findings + i * DV_PACK_FINDING_SIZE;
        if (!is_string(pack, dv_pack_get64(finding + DV_PACK_FINDING_PATH)) ||
            !is_string(pack, dv_pack_get64(finding + DV_PACK_FINDING_MESSAGE)) ||
            dv_pack_get32(finding + DV_PACK_FINDING_CODE) >= DV_FINDING_CODE_COUNT) {
            return dv_fail(reterr, DV_CORRUPT, "finding %llu is damaged", (unsigned long long)i);
        }
    }
    return DV_OK;
}

static bool is_record_in_range(const struct dv_pack *pack, const unsigned char *record)
{
    uint32_t file = dv_pack_get32(record + DV_PACK_RECORD_FILE);
    uint32_t channels = dv_pack_get32(record + DV_PACK_RECORD_CHANNELS);

    if (file >= pack->file_count) {
        return false;
    }

    uint64_t left = dv_pack_get64(pack->file_sizes + 8 * (size_t)file);
    uint64_t parts[] = {
        dv_pack_get64(record + DV_PACK_RECORD_OFFSET),
        dv_pack_get64(record + DV_PACK_RECORD_SIZE_BYTES),
        dv_pack_get32(record + DV_PACK_RECORD_PREVIEW_SIZES),
        dv_pack_get32(record + DV_PACK_RECORD_PREVIEW_SIZES + 4),
    };
    for (size_t i = 0; i < DV_ARRAY_SIZE(parts); i++) {
        if (parts[i] > left) {
            return false;
        }
        left -= parts[i];
    }
    return is_string(pack, dv_pack_get64(record + DV_PACK_RECORD_NAME)) &&
           dv_pack_get32(record + DV_PACK_RECORD_CLASS) < pack->class_count &&
           dv_pack_get32(record + DV_PACK_RECORD_SPLIT) < DV_SPLIT_COUNT &&
           dv_pack_get32(record + DV_PACK_RECORD_ROWS) > 0 &&
           dv_pack_get32(record + DV_PACK_RECORD_COLUMNS) > 0 && (channels == 1 || channels == 3);
}

/* Sorted by split and class, and as many in each split as the header says. */
static enum dv_status check_records(struct dv_pack *pack, struct dv_error *reterr)
{
    uint64_t counts[DV_SPLIT_COUNT] = {0};
    uint64_t key_before = 0;

    for (uint64_t i = 0; i < pack->sample_count; i++) {
        const unsigned char *record = record_at(pack, i);
        if (!is_record_in_range(pack, record)) {
            return dv_fail(
                reterr, DV_CORRUPT, "the record of sample %llu is damaged", (unsigned long long)i);
        }
        uint32_t split = dv_pack_get32(record + DV_PACK_RECORD_SPLIT);
        uint64_t key = (uint64_t)split << 32 | dv_pack_get32(record + DV_PACK_RECORD_CLASS);
        if (key < key_before) {
            return dv_fail(
                reterr, DV_CORRUPT, "sample %llu is out of order", (unsigned long long)i);
        }
        key_before = key;
        counts[split]++;
    }
    for (size_t i = 0; i < DV_SPLIT_COUNT; i++) {
        if (dv_pack_get64(pack->manifest + DV_PACK_AT_SPLIT_COUNTS + 8 * i) != counts[i]) {
            return dv_fail(reterr, DV_CORRUPT, "the manifest's split counts are wrong");
        }
        pack->split_first[i + 1] = pack->split_first[i] + counts[i];
    }
    return DV_OK;
}

static enum dv_status open_files(struct dv_pack *pack, const char *folder, struct dv_error *reterr)
{
    char path[DV_PATH_SIZE];
    uint64_t size;

    pack->files = dv_alloc((pack->file_count + 1) * sizeof(*pack->files));
    for (uint32_t i = 0; i < pack->file_count; i++) {
        pack->files[i] = -1;
    }
    for (uint32_t i = 0; i < pack->file_count; i++) {
        enum dv_status status =
            dv_path_format(path, reterr, "%s/packs/%03u.pack", folder, (unsigned)i);
        if (status == DV_OK) {
            status = dv_file_open_read(path, &pack->files[i], reterr);
        }
        if (status == DV_OK) {
            status = dv_file_size(pack->files[i], &size, reterr);
        }
        if (status != DV_OK) {
            return status;
        }
        uint64_t expected = dv_pack_get64(pack->file_sizes + 8 * (size_t)i);
        if (size != expected) {
            return dv_fail(reterr, DV_CORRUPT, "%s has %llu bytes instead of %llu", path,
                (unsigned long long)size, (unsigned long long)expected);
        }
    }
    return DV_OK;
}

static enum dv_status load(struct dv_pack *pack, const char *folder, struct dv_error *reterr)
{
    char path[DV_PATH_SIZE];
    char *data;

    enum dv_status status = dv_path_format(path, reterr, "%s/manifest.bin", folder);
    if (status == DV_OK) {
        status = dv_file_read(path, MANIFEST_SIZE_MAX, &data, &pack->manifest_size, reterr);
    }
    if (status != DV_OK) {
        return status;
    }
    pack->manifest = (unsigned char *)data;

    status = check_seal(pack, reterr);
    if (status == DV_OK) {
        status = read_header(pack, reterr);
    }
    if (status == DV_OK) {
        status = check_strings(pack, reterr);
    }
    if (status == DV_OK) {
        status = check_records(pack, reterr);
    }
    if (status != DV_OK) {
        dv_error_prefix(reterr, "%s", path);
        return status;
    }
    return open_files(pack, folder, reterr);
}

enum dv_status dv_pack_open(const char *folder, struct dv_pack **ret_pack, struct dv_error *reterr)
{
    assert(folder);
    assert(ret_pack);

    struct dv_pack *pack = dv_alloc(sizeof(*pack));
    enum dv_status status = load(pack, folder, reterr);
    if (status != DV_OK) {
        dv_pack_close(pack);
        return status;
    }
    *ret_pack = pack;
    return DV_OK;
}

struct dv_pack *dv_pack_close(struct dv_pack *pack)
{
    if (pack) {
        for (uint32_t i = 0; pack->files && i < pack->file_count; i++) {
            dv_file_closep(&pack->files[i]);
        }
        dv_free(pack->files);
        dv_free(pack->manifest);
        dv_free(pack);
    }
    return NULL;
}

void dv_pack_closep(struct dv_pack **pack)
{
    *pack = dv_pack_close(*pack);
}

/* --- Queries ------------------------------------------------------------------------------ */

uint32_t dv_pack_file_count(const struct dv_pack *pack)
{
    return pack->file_count;
}

uint32_t dv_pack_class_count(const struct dv_pack *pack)
{
    return pack->class_count;
}

const char *dv_pack_class_name(const struct dv_pack *pack, uint32_t class_index)
{
    assert(class_index < pack->class_count);
    return pack->text + dv_pack_get64(pack->classes + 8 * (size_t)class_index);
}

uint64_t dv_pack_sample_count(const struct dv_pack *pack)
{
    return pack->sample_count;
}

void dv_pack_split_range(
    const struct dv_pack *pack, enum dv_split split, uint64_t *ret_first, uint64_t *ret_count)
{
    assert(split < DV_SPLIT_COUNT);
    *ret_first = pack->split_first[split];
    *ret_count = pack->split_first[split + 1] - pack->split_first[split];
}

/* The first sample of the split whose class is `class_index` or above. */
static uint64_t find_class(const struct dv_pack *pack, enum dv_split split, uint32_t class_index)
{
    uint64_t low = pack->split_first[split];
    uint64_t high = pack->split_first[split + 1];

    while (low < high) {
        uint64_t middle = low + (high - low) / 2;
        if (dv_pack_get32(record_at(pack, middle) + DV_PACK_RECORD_CLASS) < class_index) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

void dv_pack_class_range(const struct dv_pack *pack, enum dv_split split, uint32_t class_index,
    uint64_t *ret_first, uint64_t *ret_count)
{
    assert(split < DV_SPLIT_COUNT);
    assert(class_index < pack->class_count);
    *ret_first = find_class(pack, split, class_index);
    *ret_count = find_class(pack, split, class_index + 1) - *ret_first;
}

void dv_pack_sample(const struct dv_pack *pack, uint64_t index, struct dv_pack_sample *ret_sample)
{
    const unsigned char *record = record_at(pack, index);

    *ret_sample = (struct dv_pack_sample){
        .name = pack->text + dv_pack_get64(record + DV_PACK_RECORD_NAME),
        .class_index = dv_pack_get32(record + DV_PACK_RECORD_CLASS),
        .split = (enum dv_split)dv_pack_get32(record + DV_PACK_RECORD_SPLIT),
        .rows = dv_pack_get32(record + DV_PACK_RECORD_ROWS),
        .columns = dv_pack_get32(record + DV_PACK_RECORD_COLUMNS),
        .channels = dv_pack_get32(record + DV_PACK_RECORD_CHANNELS),
        .size = dv_pack_get64(record + DV_PACK_RECORD_SIZE_BYTES),
        .group = dv_pack_get32(record + DV_PACK_RECORD_GROUP),
    };
    memcpy(ret_sample->hash, record + DV_PACK_RECORD_HASH, DV_SHA256_SIZE);
}

uint64_t dv_pack_finding_count(const struct dv_pack *pack)
{
    return pack->finding_count;
}

void dv_pack_finding(
    const struct dv_pack *pack, uint64_t index, struct dv_pack_finding *ret_finding)
{
    assert(index < pack->finding_count);

    const unsigned char *finding = pack->findings + index * DV_PACK_FINDING_SIZE;
    *ret_finding = (struct dv_pack_finding){
        .path = pack->text + dv_pack_get64(finding + DV_PACK_FINDING_PATH),
        .message = pack->text + dv_pack_get64(finding + DV_PACK_FINDING_MESSAGE),
        .code = (enum dv_finding_code)dv_pack_get32(finding + DV_PACK_FINDING_CODE),
    };
}

uint64_t dv_pack_finding_total(const struct dv_pack *pack, enum dv_finding_code code)
{
    assert(code < DV_FINDING_CODE_COUNT);
    if ((uint32_t)code >= pack->code_count) {
        return 0; /* written before this code was there */
    }
    return dv_pack_get64(pack->manifest + DV_PACK_AT_FINDING_TOTALS + 8 * (size_t)code);
}

/* --- Bytes -------------------------------------------------------------------------------- */

enum dv_status dv_pack_read(
    const struct dv_pack *pack, uint64_t index, void *data, struct dv_error *reterr)
{
    const unsigned char *record = record_at(pack, index);
    const char *name = pack->text + dv_pack_get64(record + DV_PACK_RECORD_NAME);
    unsigned char digest[DV_SHA256_SIZE];

    assert(data);

    size_t size = (size_t)dv_pack_get64(record + DV_PACK_RECORD_SIZE_BYTES);
    enum dv_status status = dv_file_pread(pack->files[dv_pack_get32(record + DV_PACK_RECORD_FILE)],
        data, size, dv_pack_get64(record + DV_PACK_RECORD_OFFSET), reterr);
    if (status != DV_OK) {
        dv_error_prefix(reterr, "the stored picture '%s'", name);
        return status;
    }
    dv_sha256(data, size, digest);
    if (memcmp(digest, record + DV_PACK_RECORD_HASH, DV_SHA256_SIZE) != 0) {
        return dv_fail(reterr, DV_CORRUPT, "the stored picture '%s' is damaged", name);
    }
    return DV_OK;
}

static enum dv_status read_preview(const struct dv_pack *pack, const unsigned char *record,
    size_t which, unsigned char **ret_data, size_t *ret_size, struct dv_error *reterr)
{
    const unsigned char *sizes = record + DV_PACK_RECORD_PREVIEW_SIZES;
    DV_CLEANUP(dv_freep) void *data = NULL;

    /* A picture that is no larger than the preview before has no other. */
    while (which > 0 && dv_pack_get32(sizes + 4 * which) == 0) {
        which--;
    }
    size_t size = dv_pack_get32(sizes + 4 * which);
    if (size == 0) {
        return dv_fail(reterr, DV_NOT_FOUND, "there is no preview of this picture");
    }
    uint64_t offset = dv_pack_get64(record + DV_PACK_RECORD_OFFSET) +
                      dv_pack_get64(record + DV_PACK_RECORD_SIZE_BYTES);
    for (size_t i = 0; i < which; i++) {
        offset += dv_pack_get32(sizes + 4 * i);
    }
    enum dv_status status = dv_try_alloc(size, 1, &data, reterr);
    if (status == DV_OK) {
        status = dv_file_pread(
            pack->files[dv_pack_get32(record + DV_PACK_RECORD_FILE)], data, size, offset, reterr);
    }
    if (status != DV_OK) {
        return status;
    }
    if (dv_crc32(0, data, size) !=
        dv_pack_get32(record + DV_PACK_RECORD_PREVIEW_CRCS + 4 * which)) {
        return dv_fail(reterr, DV_CORRUPT, "a stored preview is damaged");
    }
    *ret_data = data;
    *ret_size = size;
    data = NULL;
    return DV_OK;
}

enum dv_status dv_pack_read_preview(const struct dv_pack *pack, uint64_t index, uint32_t side,
    unsigned char **ret_data, size_t *ret_size, struct dv_error *reterr)
{
    assert(ret_data);
    assert(ret_size);

    for (size_t i = 0; i < DV_PACK_PREVIEW_COUNT; i++) {
        if (dv_pack_preview_sides[i] == side) {
            return read_preview(pack, record_at(pack, index), i, ret_data, ret_size, reterr);
        }
    }
    return dv_fail(reterr, DV_INVALID, "there are no previews of %u pixels", (unsigned)side);
}
