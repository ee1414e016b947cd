/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DV_BASE_ZIP_WRITER_H
#define DV_BASE_ZIP_WRITER_H

/*
 * Writes a ZIP archive whose entries are stored, not compressed (pictures and weights do not
 * compress), with ZIP64 where it is needed. The same entries give the same bytes: times are fixed.
 * The archive grows under a temporary name beside its own and appears by rename, so that a failure
 * (a full disk is DV_NO_SPACE) leaves nothing half-made.
 *
 * Life:    dv_zip_writer_open(), entries, dv_zip_writer_finish(), dv_zip_writer_close().
 * Threads: a writer belongs to one thread.
 */

#include "base/status.h"

#include <stddef.h>
#include <stdint.h>

struct dv_zip_writer;

/* An archive that is at `path` is replaced. DV_CONFLICT: a folder, a pipe or a device is there. */
DV_MUST_CHECK enum dv_status dv_zip_writer_open(
    const char *path, struct dv_zip_writer **ret_writer, struct dv_error *reterr);

/* Give up what was not finished, free the rest; NULL is fine. Returns NULL. */
struct dv_zip_writer *dv_zip_writer_close(struct dv_zip_writer *writer);
void dv_zip_writer_closep(struct dv_zip_writer **writer); /* for DV_CLEANUP */

/* One whole entry. `name` is UTF-8, relative, '/' between segments. */
DV_MUST_CHECK enum dv_status dv_zip_writer_add(struct dv_zip_writer *writer, const char *name,
    const void *data, size_t size, struct dv_error *reterr);

/*
 * One entry in pieces: begin with the exact size, append that many bytes, end. DV_INVALID at the
 * end: another number of bytes was appended.
 */
DV_MUST_CHECK enum dv_status dv_zip_writer_begin(
    struct dv_zip_writer *writer, const char *name, uint64_t size, struct dv_error *reterr);
DV_MUST_CHECK enum dv_status dv_zip_writer_append(
    struct dv_zip_writer *writer, const void *data, size_t size, struct dv_error *reterr);
DV_MUST_CHECK enum dv_status dv_zip_writer_end(
    struct dv_zip_writer *writer, struct dv_error *reterr);

/* One entry with the bytes of the file at `path`. */
DV_MUST_CHECK enum dv_status dv_zip_writer_add_file(
    struct dv_zip_writer *writer, const char *name, const char *path, struct dv_error *reterr);

/* Write the directory, make the archive durable and give it its name. Only close() may follow. */
DV_MUST_CHECK enum dv_status dv_zip_writer_finish(
    struct dv_zip_writer *writer, struct dv_error *reterr);

#endif
