/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Every call there is, with the role it takes. What is not in this table does not exist; what is
 * in it has an entry in contract/openapi.json (a test compares the two).
 */

#include "api/api_impl.h"

static const struct dv_api_access anyone = {DV_ROLE_NONE};
static const struct dv_api_access viewer = {DV_ROLE_VIEWER};
static const struct dv_api_access editor = {DV_ROLE_EDITOR};

/* clang-format off */
#define CALL(role_, method_, pattern_, body_, name_) \
    {.method = (method_), .pattern = (pattern_), .body = DV_HTTP_BODY_##body_, .data = &(role_), \
     .handle = dv_api_##name_}

const struct dv_http_route dv_api_routes[] = {
    CALL(viewer, "GET",    "/api/datasets",                             NONE, datasets_list),
    {.method = "POST", .pattern = "/api/datasets", .body = DV_HTTP_BODY_MULTIPART, .data = &editor,
     .handle = dv_api_datasets_create, .open_file = dv_api_datasets_open_file,
     .close_file = dv_api_datasets_close_file},
    CALL(viewer, "GET",    "/api/datasets/{id}",                        NONE, datasets_get),
    CALL(editor, "PUT",    "/api/datasets/{id}",                        JSON, datasets_update),
    CALL(editor, "PATCH",  "/api/datasets/{id}/name",                   JSON, datasets_rename),
    CALL(editor, "DELETE", "/api/datasets/{id}",                        NONE, datasets_delete),
    CALL(viewer, "GET",    "/api/datasets/{id}/samples",                NONE, samples_list),
    CALL(viewer, "GET",    "/api/datasets/{id}/samples/{sample}/image", NONE, samples_image),
    CALL(viewer, "GET",    "/api/datasets/{id}/events",                 NONE, datasets_events),

    CALL(viewer, "GET",    "/api/models",                               NONE, models_list),
    CALL(viewer, "GET",    "/api/models/{id}",                          NONE, models_get),
    CALL(editor, "PUT",    "/api/models/{id}",                          JSON, models_update),
    CALL(editor, "PATCH",  "/api/models/{id}/name",                     JSON, models_rename),
    CALL(editor, "DELETE", "/api/models/{id}",                          NONE, models_delete),
    CALL(viewer, "GET",    "/api/models/{id}/download",                 NONE, models_download),
    CALL(viewer, "GET",    "/api/models/{id}/metrics",                  NONE, models_metrics),

    CALL(editor, "POST",   "/api/jobs",                                 JSON, jobs_create),
    CALL(viewer, "GET",    "/api/jobs",                                 NONE, jobs_list),
    CALL(viewer, "GET",    "/api/jobs/{id}",                            NONE, jobs_get),
    CALL(editor, "DELETE", "/api/jobs/{id}",                            NONE, jobs_cancel),
    CALL(editor, "POST",   "/api/jobs/{id}/resume",                     NONE, jobs_resume),
    CALL(viewer, "GET",    "/api/jobs/{id}/logs",                       NONE, jobs_logs),
    CALL(viewer, "GET",    "/api/jobs/{id}/events",                     NONE, jobs_events),
    CALL(viewer, "GET",    "/api/jobs/{id}/runs",                       NONE, jobs_runs),
    CALL(viewer, "GET",    "/api/jobs/{id}/exchanges",                  NONE, jobs_exchanges),
    CALL(viewer, "GET",    "/api/strategies",                           NONE, strategies_list),

    CALL(anyone, "GET",    "/api/system/health",                        NONE, system_health),
    CALL(viewer, "GET",    "/api/system/metrics",                       NONE, system_metrics),
    CALL(viewer, "GET",    "/api/system/info",                          NONE, system_info),
    CALL(editor, "POST",   "/api/system/llm/test",                      NONE, system_llm_test),
    CALL(viewer, "GET",    "/metrics",                                  NONE, metrics_text),
    CALL(viewer, "GET",    "/api/events",                               NONE, events_all),
    CALL(anyone, "POST",   "/api/session",                              JSON, session_create),
    CALL(viewer, "DELETE", "/api/session",                              NONE, session_delete),
    CALL(viewer, "GET",    "/api/openapi.json",                         NONE, page_get),
    CALL(viewer, "GET",    "/api/docs",                                 NONE, page_get),

    CALL(anyone, "GET",    "/",                                         NONE, page_get),
    CALL(anyone, "GET",    "/assets/{name}",                            NONE, page_get),
    {0},
};
/* clang-format on */
