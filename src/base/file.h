/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DV_BASE_FILE_H
#define DV_BASE_FILE_H

/*
 * Files and folders: whole reads with a limit, exact reads and writes, and the one durable way to
 * make a file: temporary name in the same folder, write, fsync, rename, fsync of the folder.
 * Descriptors are opened close-on-exec. A full disk is DV_NO_SPACE.
 */

#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Room for any path the program makes, its NUL included. */
#define DV_PATH_SIZE 4096

/* --- Paths ------------------------------------------------------------------------------ */

/* printf into a path; DV_TOO_LARGE when it does not fit. */
DV_MUST_CHECK enum dv_status dv_path_format(char ret_path[static DV_PATH_SIZE],
    struct dv_error *reterr, const char *format, ...) DV_PRINTF(3, 4);

bool dv_path_exists(const char *path);
bool dv_path_is_folder(const char *path);

/* --- Whole files ------------------------------------------------------------------------ */

/* All of a file, with a NUL after it; dv_free(). DV_TOO_LARGE: more than `size_max` bytes. */
DV_MUST_CHECK enum dv_status dv_file_read(
    const char *path, size_t size_max, char **ret_data, size_t *ret_size, struct dv_error *reterr);

/* Make or replace a file so that after a crash either the old or the new one is there. */
DV_MUST_CHECK enum dv_status dv_file_write(
    const char *path, const void *data, size_t size, struct dv_error *reterr);

/* --- Descriptors ------------------------------------------------------------------------ */

/* DV_INVALID: a folder, a pipe or a device. */
DV_MUST_CHECK enum dv_status dv_file_open_read(
    const char *path, int *ret_fd, struct dv_error *reterr);

/* A new file, or an old one emptied. */
DV_MUST_CHECK enum dv_status dv_file_create(const char *path, int *ret_fd, struct dv_error *reterr);

/* Exactly `size` bytes at `offset`; DV_CORRUPT when the file ends before. */
DV_MUST_CHECK enum dv_status dv_file_pread(
    int fd, void *data, size_t size, uint64_t offset, struct dv_error *reterr);

DV_MUST_CHECK enum dv_status dv_file_write_all(
    int fd, const void *data, size_t size, struct dv_error *reterr);

DV_MUST_CHECK enum dv_status dv_file_size(int fd, uint64_t *ret_size, struct dv_error *reterr);
DV_MUST_CHECK enum dv_status dv_file_sync(int fd, struct dv_error *reterr);

/*
 * Wait until these bytes of what was written are on the disk, and let the kernel forget them. It is
 * no dv_file_sync(): where they lie is not durable yet. A failed write that is told here is not
 * told again there.
 */
DV_MUST_CHECK enum dv_status dv_file_let_go(
    int fd, uint64_t offset, uint64_t size, struct dv_error *reterr);

/* Close and set to -1; -1 is fine. For DV_CLEANUP too. */
void dv_file_closep(int *fd);

/* Rename, then make the rename durable. The target is replaced if it is a file. */
DV_MUST_CHECK enum dv_status dv_file_rename(
    const char *from, const char *to, struct dv_error *reterr);

/* --- Folders ---------------------------------------------------------------------------- */

/* Make a folder and those above it, durably; one that exists is fine. Mode 0700. */
DV_MUST_CHECK enum dv_status dv_folder_make(const char *path, struct dv_error *reterr);

/*
 * Remove a folder and everything in it, following no link; one that is not there is fine, and so is
 * somebody else who removes it at the same time.
 */
DV_MUST_CHECK enum dv_status dv_folder_remove(const char *path, struct dv_error *reterr);

/* The same, of at most `count_max` files and folders now; *ret_is_gone: that was all of it. */
DV_MUST_CHECK enum dv_status dv_folder_remove_some(
    const char *path, unsigned count_max, bool *ret_is_gone, struct dv_error *reterr);

DV_MUST_CHECK enum dv_status dv_folder_sync(const char *path, struct dv_error *reterr);

/* Bytes free for this user on the disk that holds `path`. */
DV_MUST_CHECK enum dv_status dv_folder_free_space(
    const char *path, uint64_t *ret_size, struct dv_error *reterr);

#endif
