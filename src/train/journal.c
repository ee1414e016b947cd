/* SPDX-License-Identifier: Apache-2.0 */
#include "train/journal.h"

#include "base/alloc.h"
#include "base/buffer.h"
#include "base/file.h"
#include "base/json.h"

#include <assert.h>

#define JOURNAL_SIZE_MAX (1u << 20)

static enum dv_status read_text(
    const char *job_folder, char **ret_text, size_t *ret_size, struct dv_error *reterr)
{
    char path[DV_PATH_SIZE];
    enum dv_status status = dv_path_format(path, reterr, "%s/journal.jsonl", job_folder);

    if (status == DV_OK && !dv_path_exists(path)) {
        *ret_text = dv_strdup("");
        *ret_size = 0;
        return DV_OK;
    }
    return status == DV_OK ? dv_file_read(path, JOURNAL_SIZE_MAX, ret_text, ret_size, reterr)
                           : status;
}

enum dv_status dv_journal_read(
    const char *job_folder, struct dv_json **ret_entries, struct dv_error *reterr)
{
    DV_CLEANUP(dv_freep) char *text = NULL;
    DV_CLEANUP(dv_json_unrefp) struct dv_json *entries = dv_json_array();
    size_t size = 0;

    assert(job_folder);
    assert(ret_entries);
    enum dv_status status = read_text(job_folder, &text, &size, reterr);
    if (status != DV_OK) {
        return status;
    }
    for (const char *line = text; line < text + size;) {
        const char *end = memchr(line, '\n', (size_t)(text + size - line));
        struct dv_json *entry = NULL;
        if (!end) {
            return dv_fail(reterr, DV_CORRUPT, "the journal's last line has no end");
        }
        status = dv_json_parse(line, (size_t)(end - line), &entry, reterr);
        if (status != DV_OK) {
            return dv_fail(reterr, DV_CORRUPT, "the journal has a line that is not JSON");
        }
        dv_json_append(entries, entry);
        line = end + 1;
    }
    *ret_entries = dv_json_ref(entries);
    return DV_OK;
}

enum dv_status dv_journal_append(
    const char *job_folder, const struct dv_json *entry, struct dv_error *reterr)
{
    DV_CLEANUP(dv_freep) char *text = NULL;
    DV_CLEANUP(dv_freep) char *line = NULL;
    struct dv_buffer whole = DV_BUFFER_INIT(JOURNAL_SIZE_MAX);
    char path[DV_PATH_SIZE];
    size_t size = 0;

    assert(job_folder);
    assert(entry);
    enum dv_status status = dv_path_format(path, reterr, "%s/journal.jsonl", job_folder);
    if (status == DV_OK) {
        status = read_text(job_folder, &text, &size, reterr);
    }
    if (status != DV_OK) {
        return status;
    }

    /* Rewritten whole: it has a handful of lines, and a torn one could not be told from a lie. */
    line = dv_json_print(entry);
    dv_buffer_append(&whole, text, size);
    dv_buffer_append_text(&whole, line);
    dv_buffer_append_text(&whole, "\n");
    status = whole.is_over ? dv_fail(reterr, DV_TOO_LARGE, "the journal is full")
                           : dv_file_write(path, whole.data, whole.size, reterr);
    dv_buffer_finish(&whole);
    return status;
}
