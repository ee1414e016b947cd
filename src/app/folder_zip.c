/* SPDX-License-Identifier: Apache-2.0 */
#include "app/folder_zip.h"

#include "app/session.h"
#include "base/alloc.h"
#include "base/text.h"
#include "base/zip_writer.h"

#include <assert.h>
#include <errno.h>
#include <fts.h>
#include <string.h>

static int compare_names(const FTSENT **a, const FTSENT **b)
{
    return strcmp((*a)->fts_name, (*b)->fts_name);
}

static void leave_out(struct dv_session *session, const char *name, const char *reason)
{
    DV_CLEANUP(dv_freep) char *text = dv_strprintf("left out: %s: %s", name, reason);

    dv_session_say(session, "warning", text);
}

static enum dv_status add_file(struct dv_session *session, struct dv_zip_writer *writer,
    const FTSENT *entry, const char *name, struct dv_error *reterr)
{
    if (!dv_text_is_utf8(name, strlen(name))) {
        leave_out(session, name, "its name is not UTF-8");
        return DV_OK;
    }
    if (dv_session_is_interrupted(session)) {
        return dv_fail(reterr, DV_CANCELLED, "interrupted");
    }
    return dv_zip_writer_add_file(writer, name, entry->fts_path, reterr);
}

/* One step of the walk; `root_size` bytes of a path are the folder's own. */
static enum dv_status take_entry(struct dv_session *session, struct dv_zip_writer *writer,
    FTS *walk, FTSENT *entry, size_t root_size, struct dv_error *reterr)
{
    const char *name = entry->fts_path + root_size + strspn(entry->fts_path + root_size, "/");

    if (entry->fts_level > 0 && entry->fts_name[0] == '.') {
        (void)fts_set(walk, entry, FTS_SKIP);
        return DV_OK;
    }
    switch (entry->fts_info) {
    case FTS_F:
        return add_file(session, writer, entry, name, reterr);
    case FTS_D:
    case FTS_DP:
        return DV_OK;
    case FTS_DNR:
    case FTS_ERR:
    case FTS_NS:
        return dv_fail_errno(reterr, entry->fts_errno, "cannot read %s", entry->fts_path);
    default:
        leave_out(session, name, "neither a file nor a folder");
        return DV_OK;
    }
}

static enum dv_status add_all(struct dv_session *session, struct dv_zip_writer *writer,
    const char *folder, struct dv_error *reterr)
{
    char *const roots[] = {(char *)folder, NULL};
    enum dv_status status = DV_OK;

    FTS *walk = fts_open(roots, FTS_COMFOLLOW | FTS_PHYSICAL | FTS_NOCHDIR, compare_names);
    if (!walk) {
        return dv_fail_errno(reterr, errno, "cannot read %s", folder);
    }
    while (status == DV_OK) {
        errno = 0;
        FTSENT *entry = fts_read(walk);
        if (!entry) {
            status = errno ? dv_fail_errno(reterr, errno, "cannot read %s", folder) : DV_OK;
            break;
        }
        status = take_entry(session, writer, walk, entry, strlen(folder), reterr);
    }
    (void)fts_close(walk);
    return status;
}

enum dv_status dv_folder_zip(struct dv_session *session, const char *folder, const char *path,
    struct dv_error *reterr)
{
    DV_CLEANUP(dv_zip_writer_closep) struct dv_zip_writer *writer = NULL;

    assert(session);
    enum dv_status status = dv_zip_writer_open(path, &writer, reterr);
    if (status == DV_OK) {
        status = add_all(session, writer, folder, reterr);
    }
    return status == DV_OK ? dv_zip_writer_finish(writer, reterr) : status;
}
