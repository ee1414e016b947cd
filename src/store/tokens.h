/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DV_STORE_TOKENS_H
#define DV_STORE_TOKENS_H

/*
 * Who may call: `tokens` and the page's `sessions`, both stored as SHA-256 only; and `trash`, the
 * folders whose rows are gone.
 */

#include "base/hash.h"
#include "base/status.h"
#include "store/store.h"

/* Insert, or do nothing where a token with this hash is there already. */
DV_MUST_CHECK enum dv_status dv_tokens_create(struct dv_store *store, const char *name,
    const char *role, const char *hash, struct dv_error *reterr);

/* {"id", "name", "role"} of the token or the session with this hash that is in force. */
DV_MUST_CHECK enum dv_status dv_tokens_find(struct dv_store *store, const char *hash,
    struct dv_json **ret_row, struct dv_error *reterr);

/* A token has at most so many: the oldest go, as do those that have ended. */
#define DV_SESSIONS_MAX 100
DV_MUST_CHECK enum dv_status dv_sessions_create(struct dv_store *store, const char *token_id,
    const char *hash, int64_t lifetime_seconds, struct dv_error *reterr);
DV_MUST_CHECK enum dv_status dv_sessions_find(struct dv_store *store, const char *hash,
    struct dv_json **ret_row, struct dv_error *reterr);
DV_MUST_CHECK enum dv_status dv_sessions_delete(
    struct dv_store *store, const char *hash, struct dv_error *reterr);

/* Paths under DATA to be removed, and the note that one has been. */
DV_MUST_CHECK enum dv_status dv_trash_list(
    struct dv_store *store, struct dv_json **ret_paths, struct dv_error *reterr);
DV_MUST_CHECK enum dv_status dv_trash_has(
    struct dv_store *store, const char *path, bool *ret_has, struct dv_error *reterr);
DV_MUST_CHECK enum dv_status dv_trash_remove(
    struct dv_store *store, const char *path, struct dv_error *reterr);

#endif
