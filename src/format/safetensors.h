/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DV_FORMAT_SAFETENSORS_H
#define DV_FORMAT_SAFETENSORS_H

/*
 * The safetensors file: eight bytes of header length, a JSON header, raw little-endian values.
 * Model files and checkpoints are written with it. The reader is strict: every byte after the
 * header belongs to exactly one tensor, sizes agree with shapes, and nothing is allocated for a
 * length before that length was checked.
 *
 * Life:    dv_safetensors_open(), queries and reads, dv_safetensors_close().
 * Threads: a reader belongs to one thread at a time; dv_safetensors_read() may be called from any.
 * Limits:  header 16 MiB, 100,000 tensors, rank 8; past one of them DV_TOO_LARGE.
 */

#include "base/status.h"

#include <stddef.h>
#include <stdint.h>

struct dv_json;
struct dv_safetensors;

#define DV_SAFETENSORS_HEADER_SIZE_MAX (16u << 20)
#define DV_SAFETENSORS_COUNT_MAX 100000u
#define DV_SAFETENSORS_RANK_MAX 8u

/* One tensor, as it is written and as it is found. */
struct dv_safetensor {
    const char *name;
    uint32_t rank;
    uint64_t shape[DV_SAFETENSORS_RANK_MAX];
    const float *values; /* writing: borrowed; reading: NULL, see dv_safetensors_read() */
    const char *type;    /* reading: "F32", "BF16", ...; writing: ignored, always F32 */
};

/* --- Writing ----------------------------------------------------------------------------- */

/*
 * Make or replace the file at `path`: streamed into a temporary file, made durable, renamed.
 * `metadata` is an object of strings, or NULL. `ret_hash` gets the SHA-256 of the whole file as
 * text (DV_SHA256_TEXT_SIZE bytes) and may be NULL. DV_INVALID: a name occurs twice or is not
 * UTF-8.
 */
DV_MUST_CHECK enum dv_status dv_safetensors_write(const char *path,
    const struct dv_safetensor *tensors, size_t count, const struct dv_json *metadata,
    char *ret_hash, struct dv_error *reterr);

/* --- Reading ----------------------------------------------------------------------------- */

/*
 * Read and check the header of the file that lies in `size` bytes of `fd` from `offset` on. The
 * descriptor is borrowed until dv_safetensors_close(). DV_CORRUPT: a rule of the format is broken.
 */
DV_MUST_CHECK enum dv_status dv_safetensors_open(int fd, uint64_t offset, uint64_t size,
    struct dv_safetensors **ret_file, struct dv_error *reterr);

/* NULL is fine. Returns NULL. */
struct dv_safetensors *dv_safetensors_close(struct dv_safetensors *file);
void dv_safetensors_closep(struct dv_safetensors **file);

/* The tensors in the order of their bytes; borrowed for the life of the reader. */
size_t dv_safetensors_count(const struct dv_safetensors *file);
const struct dv_safetensor *dv_safetensors_at(const struct dv_safetensors *file, size_t index);

/* The tensor of that name, or NULL. A search by halves. */
const struct dv_safetensor *dv_safetensors_find(
    const struct dv_safetensors *file, const char *name);

/* The `__metadata__` object, or NULL; borrowed. */
const struct dv_json *dv_safetensors_metadata(const struct dv_safetensors *file);

/* The product of the shape. */
uint64_t dv_safetensor_value_count(const struct dv_safetensor *tensor);

/*
 * The values of a tensor that dv_safetensors_at() or _find() gave, into room for
 * dv_safetensor_value_count() floats. DV_UNSUPPORTED: its type is not F32.
 */
DV_MUST_CHECK enum dv_status dv_safetensors_read(const struct dv_safetensors *file,
    const struct dv_safetensor *tensor, float *ret_values, struct dv_error *reterr);

#endif
