/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DV_API_API_IMPL_H
#define DV_API_API_IMPL_H

/*
 * What the files of this folder share: the API itself, the callbacks of its routes, and how a
 * failure becomes an answer.
 *
 * Adding a call: its handler in the file of its resource, declared below; a line in api/routes.c;
 * its entry in contract/openapi.json, which a test holds against that table.
 */

#include "api/api.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/status.h"
#include "http/route.h"
#include "spec/job_spec.h"
#include "store/logs.h"
#include "store/store.h"

#include <stdatomic.h>

struct dv_problems;

enum dv_role { DV_ROLE_NONE, DV_ROLE_VIEWER, DV_ROLE_EDITOR, DV_ROLE_OWNER };

/* What a route takes to be called: dv_http_route.data points at one. */
struct dv_api_access {
    enum dv_role role; /* NONE: anyone */
};

struct dv_api {
    struct dv_api_options options;
    char started_at[DV_TIME_TEXT_SIZE];
    struct dv_pack_cache *packs;
    struct dv_capabilities capabilities;
    const char **strategies; /* what the above points at */
    struct dv_json *strategy_list; /* as they are shown */
    char **page_tags;        /* hashes of the page's files */
    atomic_bool is_testing;  /* the language model is being called */
    _Atomic(struct dv_http_server *) server; /* NULL until it is started */
    atomic_uint_fast64_t request_count;
    atomic_uint_fast64_t error_count; /* answers of 500 and above */
};

extern const struct dv_http_route dv_api_routes[];

/* --- Who calls (api/access.c) ----------------------------------------------------------------- */

/* Lets in who may, replies 401 or 403 to who may not. Given to the server as `admit`. */
void dv_api_admit(struct dv_http_request *request, void *user);

/* Is what let this request in still in force? For streams, which live long. */
struct dv_api_caller;
struct dv_api_caller *dv_api_caller_copy(const struct dv_http_request *request);
void dv_api_caller_destroy(struct dv_api_caller *caller);
bool dv_api_caller_is_valid(struct dv_api *api, const struct dv_api_caller *caller);

/* --- Places (api/answer.c) --------------------------------------------------------------------- */

/*
 * Rows say where files are within DATA, so that it can be moved; people are told the whole path.
 * Changes `file_path`, `model_path` and the paths of versions and results in a row, or in the items
 * of a list. Returns what it was given, NULL too.
 */
struct dv_json *dv_api_place(const struct dv_api *api, struct dv_json *row);

/*
 * The supervisor takes the files of a deleted row out of their place in its own time, usually at
 * once: wait for that a moment, so that who asked finds them gone.
 */
void dv_api_wait_removed(const struct dv_api *api, const char *kind, const char *id);

/* --- Answers (api/answer.c) ------------------------------------------------------------------- */

/* The problem document that a failure stands for: 404, 409, 422, 503, 507, ... */
void dv_api_fail(struct dv_http_request *request, const struct dv_error *error);

/* `row` (taken) with `code` when `status` is DV_OK, else the failure. */
void dv_api_answer(struct dv_http_request *request, enum dv_status status, int code,
    struct dv_json *row, const struct dv_error *error);

/* One thing is wrong at `pointer`. */
void dv_api_refuse(
    struct dv_http_request *request, int code, const char *pointer, const char *message);

/* 422 with every problem. */
void dv_api_refuse_problems(struct dv_http_request *request, const struct dv_problems *problems);

/* --- Reading requests (api/body.c) ------------------------------------------------------------ */

/* The path's `{id}`, or NULL and a 404 when it is no id. */
const char *dv_api_id(struct dv_http_request *request, const char *noun);

/* limit, cursor and sort; false and a 422 when they are wrong. */
bool dv_api_page(struct dv_http_request *request, struct dv_page *ret_page);

/* A member of a JSON body that may be there. */
enum dv_api_type { DV_API_TEXT, DV_API_NAME, DV_API_OBJECT };
struct dv_api_field {
    const char *name;
    enum dv_api_type type;
    size_t size_max;             /* of a text, in bytes */
    const char *const *words;    /* of a choice; NULL at the end; NULL: any text */
};

/* All members are known and of their type; false and a 422 that names every one that is not. */
bool dv_api_check_body(
    struct dv_http_request *request, const struct dv_api_field *fields, size_t count);

/* The same checks for one text that came as a form field; NULL value: fine. */
bool dv_api_check_text(
    struct dv_http_request *request, const struct dv_api_field *field, const char *value);

/* A query parameter that takes one of `words`; false and a 422 when it has another value. */
bool dv_api_check_choice(
    struct dv_http_request *request, const char *name, const char *const *words);

/* The same for one that is an id. */
bool dv_api_check_query_id(struct dv_http_request *request, const char *name);

/* A query parameter that is a number from `minimum`; `*ret_value` stays when it is not given. */
bool dv_api_query_integer(struct dv_http_request *request, const char *name, int64_t minimum,
    int64_t maximum, int64_t *ret_value);

/* --- Event streams (api/events.c) ------------------------------------------------------------- */

/* Stream what happens to one job or data set, from its beginning or from Last-Event-ID. */
void dv_api_stream_subject(
    struct dv_api *api, struct dv_http_request *request, const char *subject_id);

/* Stream the log lines of a job that pass the filter. */
void dv_api_stream_logs(struct dv_api *api, struct dv_http_request *request, const char *job_id,
    const struct dv_log_filter *filter);

/* --- The page (api/page.c) -------------------------------------------------------------------- */

/* The ETag of each of its files, in its order. */
char **dv_api_page_tags(void);
char **dv_api_page_tags_free(char **tags); /* returns NULL */

/* --- Handlers --------------------------------------------------------------------------------- */

#define DV_API_HANDLER_MAP(X)                                                                      \
    X(datasets_list)                                                                               \
    X(datasets_create)                                                                             \
    X(datasets_get)                                                                                \
    X(datasets_update)                                                                             \
    X(datasets_rename)                                                                             \
    X(datasets_delete)                                                                             \
    X(samples_list)                                                                                \
    X(samples_image)                                                                               \
    X(datasets_events)                                                                             \
    X(models_list)                                                                                 \
    X(models_get)                                                                                  \
    X(models_update)                                                                               \
    X(models_rename)                                                                               \
    X(models_delete)                                                                               \
    X(models_download)                                                                             \
    X(models_metrics)                                                                              \
    X(jobs_create)                                                                                 \
    X(jobs_list)                                                                                   \
    X(jobs_get)                                                                                    \
    X(jobs_cancel)                                                                                 \
    X(jobs_resume)                                                                                 \
    X(jobs_logs)                                                                                   \
    X(jobs_events)                                                                                 \
    X(jobs_runs)                                                                                   \
    X(jobs_exchanges)                                                                              \
    X(strategies_list)                                                                             \
    X(system_health)                                                                               \
    X(system_metrics)                                                                              \
    X(system_info)                                                                                 \
    X(system_llm_test)                                                                             \
    X(metrics_text)                                                                                \
    X(events_all)                                                                                  \
    X(session_create)                                                                              \
    X(session_delete)                                                                              \
    X(page_get)

#define X(name) void dv_api_##name(struct dv_http_request *request, void *user);
DV_API_HANDLER_MAP(X)
#undef X

/* Of the upload of POST /api/datasets. */
enum dv_status dv_api_datasets_open_file(struct dv_http_request *request,
    const struct dv_http_part *part, struct dv_http_file *ret_file, void *user);
void dv_api_datasets_close_file(
    struct dv_http_request *request, struct dv_http_file *file, bool is_whole, void *user);

#endif
