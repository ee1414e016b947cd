/* SPDX-License-Identifier: Apache-2.0 */
#include "train/search/search_journal.h"

#include "base/alloc.h"
#include "base/file.h"
#include "base/json.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#define JOURNAL_SIZE_MAX ((size_t)64 << 20)

struct dv_search_journal {
    int fd;
    size_t size;
};

/* *ret_size: of the lines that are sound. */
static enum dv_status read_lines(
    const char *path, struct dv_json *entries, size_t *ret_size, struct dv_error *reterr)
{
    DV_CLEANUP(dv_freep) char *text = NULL;
    size_t size = 0;

    *ret_size = 0;
    if (!dv_path_exists(path)) {
        return DV_OK;
    }
    enum dv_status status = dv_file_read(path, JOURNAL_SIZE_MAX, &text, &size, reterr);
    if (status != DV_OK) {
        return status;
    }
    for (const char *line = text; line < text + size;) {
        const char *end = memchr(line, '\n', (size_t)(text + size - line));
        struct dv_json *entry = NULL;
        if (!end) {
            return DV_OK;
        }
        if (dv_json_parse(line, (size_t)(end - line), &entry, NULL) != DV_OK) {
            bool is_last = end + 1 == text + size;
            return is_last
                       ? DV_OK
                       : dv_fail(reterr, DV_CORRUPT, "line %zu of the search's journal is not JSON",
                             dv_json_count(entries) + 1);
        }
        dv_json_append(entries, entry);
        line = end + 1;
        *ret_size = (size_t)(line - text);
    }
    return DV_OK;
}

enum dv_status dv_search_journal_read(
    const char *path, struct dv_json **ret_entries, struct dv_error *reterr)
{
    DV_CLEANUP(dv_json_unrefp) struct dv_json *entries = dv_json_array();
    size_t size;

    assert(path);
    assert(ret_entries);
    enum dv_status status = read_lines(path, entries, &size, reterr);
    if (status == DV_OK) {
        *ret_entries = dv_json_ref(entries);
    }
    return status;
}

/* The entry in its folder must last too: a new file is made by a durable rename. */
static enum dv_status open_file(const char *path, size_t size, int *ret_fd, struct dv_error *reterr)
{
    if (!dv_path_exists(path)) {
        enum dv_status status = dv_file_write(path, "", 0, reterr);
        if (status != DV_OK) {
            return status;
        }
    }
    int fd = open(path, O_WRONLY | O_APPEND | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0) {
        return dv_fail_errno(reterr, errno, "cannot open %s", path);
    }
    if (ftruncate(fd, (off_t)size) != 0) {
        int error = errno;
        dv_file_closep(&fd);
        return dv_fail_errno(reterr, error, "cannot cut %s", path);
    }
    *ret_fd = fd;
    return DV_OK;
}

enum dv_status dv_search_journal_open(const char *path, struct dv_search_journal **ret_journal,
    struct dv_json **ret_entries, struct dv_error *reterr)
{
    DV_CLEANUP(dv_json_unrefp) struct dv_json *entries = dv_json_array();
    size_t size = 0;
    int fd = -1;

    assert(path);
    assert(ret_journal);
    assert(ret_entries);
    enum dv_status status = read_lines(path, entries, &size, reterr);
    if (status == DV_OK) {
        status = open_file(path, size, &fd, reterr);
    }
    if (status != DV_OK) {
        return status;
    }
    struct dv_search_journal *journal = dv_alloc(sizeof(*journal));
    *journal = (struct dv_search_journal){.fd = fd, .size = size};
    *ret_journal = journal;
    *ret_entries = dv_json_ref(entries);
    return DV_OK;
}

enum dv_status dv_search_journal_append(
    struct dv_search_journal *journal, const struct dv_json *entry, struct dv_error *reterr)
{
    DV_CLEANUP(dv_freep) char *text = NULL;
    DV_CLEANUP(dv_freep) char *line = NULL;

    assert(journal);
    assert(entry);
    text = dv_json_print(entry);
    line = dv_strprintf("%s\n", text);
    size_t size = strlen(line);
    if (size > JOURNAL_SIZE_MAX - journal->size) {
        return dv_fail(reterr, DV_TOO_LARGE, "the search's journal is full");
    }
    enum dv_status status = dv_file_write_all(journal->fd, line, size, reterr);
    if (status == DV_OK) {
        status = dv_file_sync(journal->fd, reterr);
    }
    if (status == DV_OK) {
        journal->size += size;
    }
    return status;
}

struct dv_search_journal *dv_search_journal_close(struct dv_search_journal *journal)
{
    if (!journal) {
        return NULL;
    }
    dv_file_closep(&journal->fd);
    return dv_free(journal);
}
