/* SPDX-License-Identifier: Apache-2.0 */

/* The page's sign-in: a token becomes a cookie that scripts on the page cannot read. */

#include "api/access.h"
#include "api/api_impl.h"
#include "base/alloc.h"
#include "base/text.h"
#include "store/tokens.h"

#define LIFETIME_SECONDS (30 * 24 * 3600)
#define TOKEN_SIZE_MAX 200

static const struct dv_api_field fields[] = {{"token", DV_API_NAME, TOKEN_SIZE_MAX, NULL}};

/* No prefix that needs TLS: plain http on a LAN name must work (product page, Access). */
static void set_cookie(struct dv_http_request *request, const char *secret, int lifetime_seconds)
{
    DV_CLEANUP(dv_freep)
    char *cookie = dv_strprintf(DV_API_COOKIE "=%s; Path=/; HttpOnly; SameSite=Strict; Max-Age=%d",
        secret, lifetime_seconds);

    dv_http_reply_header(request, "Set-Cookie", cookie);
}

void dv_api_session_create(struct dv_http_request *request, void *user)
{
    struct dv_api *api = user;
    char hash[DV_SHA256_TEXT_SIZE];
    DV_CLEANUP(dv_json_unrefp) struct dv_json *row = NULL;
    struct dv_error error;

    if (!dv_api_check_body(request, fields, DV_ARRAY_SIZE(fields))) {
        return;
    }
    const char *token = dv_json_get_string(dv_http_request_json(request), "token", NULL);
    if (!token) {
        dv_api_refuse(request, 422, "/token", "token is missing");
        return;
    }
    dv_api_secret_hash(token, hash);
    enum dv_status status = dv_tokens_find(api->options.store, hash, &row, &error);
    if (status == DV_NOT_FOUND) {
        dv_http_reply_problem(request, 401, "There is no such token, or it was revoked.", NULL);
        return;
    }
    DV_CLEANUP(dv_freep) char *secret = dv_api_secret_make();
    dv_api_secret_hash(secret, hash);
    if (status == DV_OK) {
        status = dv_sessions_create(api->options.store, dv_json_get_string(row, "id", ""), hash,
            LIFETIME_SECONDS, &error);
    }
    if (status != DV_OK) {
        dv_api_fail(request, &error);
        return;
    }
    set_cookie(request, secret, LIFETIME_SECONDS);
    struct dv_json *answer = dv_json_object();
    dv_json_set_string(answer, "name", dv_json_get_string(row, "name", ""));
    dv_json_set_string(answer, "role", dv_json_get_string(row, "role", ""));
    dv_http_reply_json(request, 201, answer);
}

void dv_api_session_delete(struct dv_http_request *request, void *user)
{
    struct dv_api *api = user;
    const char *cookie = dv_http_request_cookie(request, DV_API_COOKIE);
    char hash[DV_SHA256_TEXT_SIZE];
    struct dv_error error;

    if (cookie) {
        dv_api_secret_hash(cookie, hash);
        enum dv_status status = dv_sessions_delete(api->options.store, hash, &error);
        if (status != DV_OK && status != DV_NOT_FOUND) {
            dv_api_fail(request, &error);
            return;
        }
    }
    set_cookie(request, "", 0);
    dv_http_reply_bytes(request, 204, NULL, NULL, 0);
}
