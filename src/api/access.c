/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Who may call what. A route's role stands in the table of routes; here it is held against the
 * caller's, before a byte of the body is read. A caller is a bearer token or the page's session
 * cookie; of both only the hash is known to the store.
 */

#include "api/access.h"

#include "api/api_impl.h"
#include "base/alloc.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/text.h"
#include "store/tokens.h"

#include <assert.h>
#include <string.h>

#define TOKEN_SECRET_SIZE 32u
#define TOKEN_FILE_SIZE_MAX 4096u
#define BEARER "Bearer "

static const char *const role_names[] = {
    [DV_ROLE_NONE] = "none",
    [DV_ROLE_VIEWER] = "viewer",
    [DV_ROLE_EDITOR] = "editor",
    [DV_ROLE_OWNER] = "owner",
};

struct dv_api_caller {
    char hash[DV_SHA256_TEXT_SIZE];
    bool is_session;
    bool is_anyone; /* the server asks nobody */
    enum dv_role role; /* that the route takes */
};

/* --- Secrets ---------------------------------------------------------------------------------- */

void dv_api_secret_hash(const char *secret, char ret_text[static DV_SHA256_TEXT_SIZE])
{
    unsigned char digest[DV_SHA256_SIZE];

    dv_sha256(secret, strlen(secret), digest);
    dv_text_hex(digest, sizeof(digest), ret_text);
}

char *dv_api_secret_make(void)
{
    unsigned char secret[TOKEN_SECRET_SIZE];
    char text[2 * TOKEN_SECRET_SIZE + 1];

    dv_secret_bytes(secret, sizeof(secret));
    dv_text_hex(secret, sizeof(secret), text);
    char *token = dv_strprintf(DV_API_TOKEN_PREFIX "%s", text);
    explicit_bzero(secret, sizeof(secret));
    explicit_bzero(text, sizeof(text));
    return token;
}

/* --- The owner's token ------------------------------------------------------------------------ */

static enum dv_status read_token(const char *path, char **ret_token, struct dv_error *reterr)
{
    char *token;
    size_t size;

    enum dv_status status = dv_file_read(path, TOKEN_FILE_SIZE_MAX, &token, &size, reterr);
    if (status != DV_OK) {
        return status;
    }
    token[strcspn(token, "\r\n")] = '\0';
    if (!dv_text_has_prefix(token, DV_API_TOKEN_PREFIX) ||
        strlen(token) < sizeof(DV_API_TOKEN_PREFIX) + 2 * TOKEN_SECRET_SIZE - 1) {
        dv_free(token);
        return dv_fail(reterr, DV_CORRUPT,
            "%s holds no token: remove the file, and a new one is made", path);
    }
    *ret_token = token;
    return DV_OK;
}

static enum dv_status make_token(const char *path, char **ret_token, struct dv_error *reterr)
{
    char *token = dv_api_secret_make();

    DV_CLEANUP(dv_freep) char *line = dv_strprintf("%s\n", token);
    enum dv_status status = dv_file_write(path, line, strlen(line), reterr);
    if (status != DV_OK) {
        dv_free(token);
        return status;
    }
    *ret_token = token;
    return DV_OK;
}

enum dv_status dv_api_owner_token(
    struct dv_store *store, const char *data_folder, char **ret_token, struct dv_error *reterr)
{
    char path[DV_PATH_SIZE], hash[DV_SHA256_TEXT_SIZE];
    char *token = NULL;

    assert(ret_token);
    enum dv_status status = dv_path_format(path, reterr, "%s/owner-token", data_folder);
    if (status != DV_OK) {
        return status;
    }
    status = dv_path_exists(path) ? read_token(path, &token, reterr) : make_token(path, &token, reterr);
    if (status != DV_OK) {
        return status;
    }
    dv_api_secret_hash(token, hash);
    status = dv_tokens_create(store, "owner", role_names[DV_ROLE_OWNER], hash, reterr);
    if (status != DV_OK) {
        dv_free(token);
        return status;
    }
    *ret_token = token;
    return DV_OK;
}

/* --- The caller ------------------------------------------------------------------------------- */

static enum dv_role role_of_name(const char *name)
{
    for (size_t i = 0; i < DV_ARRAY_SIZE(role_names); i++) {
        if (dv_text_equal(role_names[i], name)) {
            return (enum dv_role)i;
        }
    }
    return DV_ROLE_NONE;
}

/* Fill in hash and kind; false: there is neither token nor cookie. */
static bool read_secret(const struct dv_http_request *request, struct dv_api_caller *ret_caller)
{
    const char *authorization = dv_http_request_header(request, "Authorization");
    const char *cookie = dv_http_request_cookie(request, DV_API_COOKIE);

    if (authorization && strncasecmp(authorization, BEARER, strlen(BEARER)) == 0) {
        dv_api_secret_hash(authorization + strlen(BEARER), ret_caller->hash);
        return true;
    }
    if (!authorization && cookie) {
        dv_api_secret_hash(cookie, ret_caller->hash);
        ret_caller->is_session = true;
        return true;
    }
    return false;
}

static enum dv_status find_role(struct dv_api *api, const struct dv_api_caller *caller,
    enum dv_role *ret_role, struct dv_error *reterr)
{
    DV_CLEANUP(dv_json_unrefp) struct dv_json *row = NULL;
    struct dv_store *store = api->options.store;

    enum dv_status status = caller->is_session
                                ? dv_sessions_find(store, caller->hash, &row, reterr)
                                : dv_tokens_find(store, caller->hash, &row, reterr);
    if (status == DV_OK) {
        *ret_role = role_of_name(dv_json_get_string(row, "role", ""));
    }
    return status;
}

/* "localhost:8080", "127.0.0.1", "[::1]:8080": what no other site can be called. */
static bool is_loopback_authority(const char *authority)
{
    static const char *const names[] = {"localhost", "[::1]"};

    for (size_t i = 0; authority && i < DV_ARRAY_SIZE(names); i++) {
        size_t size = strlen(names[i]);
        if (strncasecmp(authority, names[i], size) == 0 &&
            (authority[size] == '\0' || authority[size] == ':')) {
            return true;
        }
    }
    return authority && dv_text_has_prefix(authority, "127.") &&
           strspn(authority, "0123456789.") == strcspn(authority, ":");
}

/* Does a request that brings the page's cookie come from the page? (cross-site requests bring it too) */
static bool is_from_page(const struct dv_http_request *request)
{
    const char *site = dv_http_request_header(request, "Sec-Fetch-Site");
    const char *origin = dv_http_request_header(request, "Origin");
    const char *host = dv_http_request_header(request, "Host");
    const char *method = dv_http_request_method(request);

    if (dv_text_equal(method, "GET") || dv_text_equal(method, "HEAD")) {
        return true;
    }
    if (site) {
        return dv_text_equal(site, "same-origin") || dv_text_equal(site, "none");
    }
    const char *authority = origin ? strstr(origin, "://") : NULL;
    return authority && host && dv_text_equal_nocase(authority + 3, host);
}

/*
 * A server that asks nobody is reached by every page that a browser on this machine shows: by a form
 * that another site sends, and by a name of that site's which leads here. Programs send neither of
 * these fields.
 */
static bool is_from_elsewhere(const struct dv_http_request *request)
{
    const char *host = dv_http_request_header(request, "Host");
    bool has_origin = dv_http_request_header(request, "Sec-Fetch-Site") ||
                      dv_http_request_header(request, "Origin");

    return !is_loopback_authority(host) || (has_origin && !is_from_page(request));
}

static void refuse_nameless(struct dv_http_request *request)
{
    dv_http_reply_header(request, "WWW-Authenticate", "Bearer realm=\"DeepVariance\"");
    dv_http_reply_problem(request, 401,
        "This call needs a token: send 'Authorization: Bearer dv_...'; the owner's is in "
        "DATA/owner-token.",
        NULL);
}

/* What was sent is not repeated: it may be another's. */
static void refuse_unknown(struct dv_http_request *request, const struct dv_api_caller *caller)
{
    dv_http_reply_header(
        request, "WWW-Authenticate", "Bearer realm=\"DeepVariance\", error=\"invalid_token\"");
    dv_http_reply_problem(request, 401,
        caller->is_session ? "This session has ended: sign in again."
                           : "There is no such token here, or it was revoked; the owner's is in "
                             "DATA/owner-token.",
        NULL);
}

static void free_caller(void *caller)
{
    dv_free(caller);
}

void dv_api_admit(struct dv_http_request *request, void *user)
{
    struct dv_api *api = user;
    const struct dv_api_access *access = dv_http_request_route(request)->data;
    struct dv_api_caller caller = {.is_anyone = api->options.is_open, .role = access->role};
    enum dv_role role = DV_ROLE_NONE;
    struct dv_error error;

    if (access->role == DV_ROLE_NONE) {
        return;
    }
    if (caller.is_anyone && is_from_elsewhere(request)) {
        dv_http_reply_problem(request, 403,
            "A server without tokens answers its own page and programs on this machine: call it by "
            "its loopback address.",
            NULL);
        return;
    }
    if (!caller.is_anyone) {
        if (!read_secret(request, &caller)) {
            refuse_nameless(request);
            return;
        }
        enum dv_status status = find_role(api, &caller, &role, &error);
        if (status == DV_NOT_FOUND) {
            refuse_unknown(request, &caller);
            return;
        }
        if (status != DV_OK) {
            dv_api_fail(request, &error);
            return;
        }
        if (role < access->role || (caller.is_session && !is_from_page(request))) {
            dv_http_reply_problem(request, 403,
                role < access->role ? "This token's role does not allow this call."
                                    : "The page's cookie is taken only from the page itself.",
                NULL);
            return;
        }
    }
    struct dv_api_caller *kept = dv_alloc(sizeof(*kept));
    *kept = caller;
    dv_http_request_set_data(request, kept, free_caller);
}

struct dv_api_caller *dv_api_caller_copy(const struct dv_http_request *request)
{
    const struct dv_api_caller *caller = dv_http_request_data(request);
    struct dv_api_caller *copy = dv_alloc(sizeof(*copy));

    assert(caller);
    *copy = *caller;
    return copy;
}

void dv_api_caller_destroy(struct dv_api_caller *caller)
{
    dv_free(caller);
}

bool dv_api_caller_is_valid(struct dv_api *api, const struct dv_api_caller *caller)
{
    enum dv_role role = DV_ROLE_NONE;

    if (caller->is_anyone) {
        return true;
    }
    enum dv_status status = find_role(api, caller, &role, NULL);
    /* A database that is away for a moment withdraws no right. */
    return status == DV_UNAVAILABLE || (status == DV_OK && role >= caller->role);
}
