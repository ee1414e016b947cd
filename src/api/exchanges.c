/* SPDX-License-Identifier: Apache-2.0 */

/* What a job asked of a language model: a page of it, or all of it as a file of lines. */

#include "store/exchanges.h"

#include "api/api_impl.h"
#include "base/alloc.h"
#include "base/buffer.h"
#include "base/file.h"
#include "base/text.h"
#include "store/jobs.h"
#include "store/runs.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

/* A row may be megabytes: an answer holds few, whatever is asked for, and says where to go on. */
#define PAGE_MAX 20

/* --- As lines --------------------------------------------------------------------------------- */

/* The value with its type as a line. */
static enum dv_status write_line(
    int fd, const char *type, const struct dv_json *value, struct dv_error *reterr)
{
    DV_CLEANUP(dv_json_unrefp) struct dv_json *line = dv_json_copy(value);

    dv_json_set_string(line, "type", type);
    DV_CLEANUP(dv_freep) char *text = dv_json_print(line);
    enum dv_status status = dv_file_write_all(fd, text, strlen(text), reterr);
    return status == DV_OK ? dv_file_write_all(fd, "\n", 1, reterr) : status;
}

typedef enum dv_status (*list_fn)(struct dv_store *store, const char *job_id,
    const struct dv_page *page, struct dv_json **ret_list, struct dv_error *reterr);

static enum dv_status write_list(const struct dv_api *api, const char *job_id, list_fn list_rows,
    const char *type, int fd, struct dv_error *reterr)
{
    DV_CLEANUP(dv_json_unrefp) struct dv_json *list = NULL;
    enum dv_status status = DV_OK;
    bool has_more = true;

    while (status == DV_OK && has_more) {
        const struct dv_page page = {
            .limit = PAGE_MAX, .cursor = dv_json_get_string(list, "next_cursor", NULL)};
        struct dv_json *next = NULL;
        status = list_rows(api->options.store, job_id, &page, &next, reterr);
        dv_json_unref(list);
        list = next;
        const struct dv_json *items = dv_json_get(list, "items");
        for (size_t i = 0; status == DV_OK && i < dv_json_count(items); i++) {
            status = write_line(fd, type, dv_json_at(items, i), reterr);
        }
        has_more = dv_json_is_string(dv_json_get(list, "next_cursor"));
    }
    return status;
}

/* The job, its runs, its exchanges: all that it takes to tell, and to run again, a search. */
static enum dv_status write_export(
    const struct dv_api *api, const struct dv_json *job, int fd, struct dv_error *reterr)
{
    const char *id = dv_json_get_string(job, "id", "");

    enum dv_status status = write_line(fd, "job", job, reterr);
    if (status == DV_OK) {
        status = write_list(api, id, dv_runs_list, "run", fd, reterr);
    }
    return status == DV_OK ? write_list(api, id, dv_exchanges_list, "exchange", fd, reterr)
                           : status;
}

static void reply_export(
    struct dv_http_request *request, const struct dv_api *api, const struct dv_json *job)
{
    /* A file without a name: it is gone with its descriptor, whatever happens. */
    DV_CLEANUP(dv_file_closep)
    int fd = open(api->options.data_folder, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    struct dv_error error = {0};
    struct stat info;

    enum dv_status status =
        fd < 0 ? dv_fail_errno(&error, errno, "cannot make a file in the data folder")
               : write_export(api, job, fd, &error);
    if (status == DV_OK && fstat(fd, &info) != 0) {
        status = dv_fail_errno(&error, errno, "cannot read what was exported");
    }
    if (status != DV_OK) {
        dv_api_fail(request, &error);
        return;
    }
    DV_CLEANUP(dv_freep)
    char *name = dv_strprintf("%s.jsonl", dv_json_get_string(job, "id", "job"));
    const struct dv_http_content content = {
        .fd = fd, .size = (uint64_t)info.st_size, .type = "application/jsonl", .name = name};
    fd = -1; /* the reply's */
    dv_http_reply_file(request, &content);
}

/* --- The call --------------------------------------------------------------------------------- */

void dv_api_jobs_exchanges(struct dv_http_request *request, void *user)
{
    static const char *const formats[] = {"json", "jsonl", NULL};
    struct dv_api *api = user;
    const char *id = dv_api_id(request, "job");
    DV_CLEANUP(dv_json_unrefp) struct dv_json *job = NULL;
    struct dv_json *list = NULL;
    struct dv_page page;
    struct dv_error error;

    if (!id || !dv_api_page(request, &page) || !dv_api_check_choice(request, "format", formats)) {
        return;
    }
    enum dv_status status = dv_jobs_get(api->options.store, id, &job, &error);
    if (status == DV_OK && dv_text_equal(dv_http_request_query(request, "format"), "jsonl")) {
        reply_export(request, api, dv_api_place(api, job));
        return;
    }
    page.limit = page.limit < PAGE_MAX ? page.limit : PAGE_MAX;
    if (status == DV_OK) {
        status = dv_exchanges_list(api->options.store, id, &page, &list, &error);
    }
    dv_api_answer(request, status, 200, list, &error);
}
