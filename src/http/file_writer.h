/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DV_HTTP_FILE_WRITER_H
#define DV_HTTP_FILE_WRITER_H

/*
 * Threads that wait for the disk, so that those of the HTTP server need not. A piece of work is the
 * caller's memory, handed over until `done` is called with it, on one of these threads. Pieces of
 * one file are not ordered among each other: the caller hands over one at a time.
 *
 * Life:    dv_file_writer_create(), dv_file_writer_submit(), dv_file_writer_destroy(), which does
 *          what was handed over first.
 * Threads: submit from any.
 */

#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct dv_file_writer;

struct dv_file_work {
    int fd;
    const void *data;
    size_t size;     /* 0: nothing to write */
    uint64_t offset; /* where in the file this is; it is written at the descriptor's position */
    bool is_sync;    /* then make all of the file durable */
    void (*done)(struct dv_file_work *work, enum dv_status status);
    void *user;
    struct dv_error error;     /* when `done` says that it failed */
    struct dv_file_work *next; /* the writer's */
};

DV_MUST_CHECK enum dv_status dv_file_writer_create(
    struct dv_file_writer **ret_writer, struct dv_error *reterr);
struct dv_file_writer *dv_file_writer_destroy(struct dv_file_writer *writer);

void dv_file_writer_submit(struct dv_file_writer *writer, struct dv_file_work *work);

#endif
