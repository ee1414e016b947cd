/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DV_HTTP_ROUTER_H
#define DV_HTTP_ROUTER_H

/*
 * Finds the route of a request in a table. A literal segment goes before a parameter, a parameter
 * before a star.
 */

#include "http/http_limits.h"
#include "http/target.h"

#include <stdbool.h>
#include <stddef.h>

struct dv_arena;
struct dv_http_route;
struct dv_http_router;

/* Borrows the table, which ends with an entry without a method; a malformed one is our mistake. */
struct dv_http_router *dv_http_router_create(const struct dv_http_route *routes);
struct dv_http_router *dv_http_router_destroy(struct dv_http_router *router);

struct dv_http_match {
    const struct dv_http_route *route; /* NULL: no such path, or not with this method */
    const char *allow;                 /* methods the path has, "GET, HEAD"; NULL: no such path */
    struct dv_http_pair parameters[DV_HTTP_PARAMETER_COUNT_MAX]; /* decoded */
    size_t parameter_count;
    bool is_malformed; /* a parameter does not decode */
};

/* Strings live in the arena. HEAD is answered by a route for GET. */
void dv_http_router_find(const struct dv_http_router *router, const char *method,
    const struct dv_http_target *target, struct dv_arena *arena, struct dv_http_match *ret_match);

#endif
