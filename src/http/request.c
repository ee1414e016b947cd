/* SPDX-License-Identifier: Apache-2.0 */
#include "http/request.h"

#include "base/alloc.h"
#include "base/arena.h"
#include "base/json.h"
#include "base/text.h"
#include "http/connection.h"
#include "http/field.h"
#include "http/server_impl.h"
#include "http/upload.h"

#include <assert.h>
#include <string.h>

struct dv_http_request *dv_http_request_create(struct dv_http_server *server,
    struct dv_http_connection *connection, struct MHD_Connection *mhd, const char *target)
{
    struct dv_http_request *request = dv_alloc(sizeof(*request));

    request->server = server;
    request->connection = connection;
    request->mhd = mhd;
    request->arena = dv_arena_create(0);
    request->head.target = target;
    request->head.whole_target = dv_arena_strdup(request->arena, target);
    request->head.fields = request->fields;
    request->body = (struct dv_buffer)DV_BUFFER_INIT(server->options.limits.json_size);
    request->reply.fd = -1;
    return request;
}

struct dv_http_request *dv_http_request_destroy(struct dv_http_request *request)
{
    if (!request) {
        return NULL;
    }
    request->upload = dv_http_upload_destroy(request->upload);
    if (request->free_data) {
        request->free_data(request->data);
    }
    dv_http_reply_finish(&request->reply);
    request->json = dv_json_unref(request->json);
    dv_buffer_finish(&request->body);
    dv_http_server_give_memory(request->server, request->body_memory);
    request->arena = dv_arena_destroy(request->arena);
    return dv_free(request);
}

bool dv_http_request_has_body(const struct dv_http_request *request)
{
    return request->framing.is_chunked || request->framing.length > 0;
}

/* --- What handlers ask ------------------------------------------------------------------------ */

const struct dv_http_route *dv_http_request_route(const struct dv_http_request *request)
{
    return request->match.route;
}

const char *dv_http_request_method(const struct dv_http_request *request)
{
    return request->head.method;
}

const char *dv_http_request_path(const struct dv_http_request *request)
{
    return request->target.path;
}

const char *dv_http_request_address(const struct dv_http_request *request)
{
    return request->connection->address;
}

static const char *find_pair(const struct dv_http_pair *pairs, size_t count, const char *name)
{
    for (size_t i = 0; i < count; i++) {
        if (dv_text_equal(pairs[i].name, name)) {
            return pairs[i].value;
        }
    }
    return NULL;
}

const char *dv_http_request_parameter(const struct dv_http_request *request, const char *name)
{
    const char *value = find_pair(request->match.parameters, request->match.parameter_count, name);

    assert(value); /* the pattern has no such parameter */
    return value;
}

const char *dv_http_request_query(const struct dv_http_request *request, const char *name)
{
    return find_pair(request->target.query, request->target.query_count, name);
}

bool dv_http_request_query_at(const struct dv_http_request *request, size_t index,
    const char **ret_name, const char **ret_value)
{
    if (index >= request->target.query_count) {
        return false;
    }
    *ret_name = request->target.query[index].name;
    *ret_value = request->target.query[index].value;
    return true;
}

const char *dv_http_request_header(const struct dv_http_request *request, const char *name)
{
    for (size_t i = 0; i < request->head.field_count; i++) {
        const struct dv_http_head_field *field = &request->fields[i];
        if (dv_text_equal_nocase(field->name, name)) {
            size_t size = field->value_size;
            while (size > 0 && strchr(" \t", field->value[size - 1])) {
                size--;
            }
            return size == field->value_size
                       ? field->value
                       : dv_arena_printf(request->arena, "%.*s", (int)size, field->value);
        }
    }
    return NULL;
}

const char *dv_http_request_cookie(const struct dv_http_request *request, const char *name)
{
    const char *header = dv_http_request_header(request, "Cookie");

    if (!header) {
        return NULL;
    }
    size_t size = strlen(header) + 1;
    char *value = dv_arena_alloc(request->arena, size);
    return dv_field_cookie(header, name, value, size) ? value : NULL;
}

const struct dv_json *dv_http_request_json(const struct dv_http_request *request)
{
    return request->json;
}

const char *dv_http_request_field(const struct dv_http_request *request, const char *name)
{
    const char *field_name;
    const char *value;

    for (size_t i = 0; dv_http_request_field_at(request, i, &field_name, &value); i++) {
        if (dv_text_equal(field_name, name)) {
            return value;
        }
    }
    return NULL;
}

bool dv_http_request_field_at(const struct dv_http_request *request, size_t index,
    const char **ret_name, const char **ret_value)
{
    return request->upload && dv_http_upload_field_at(request->upload, index, ret_name, ret_value);
}

const struct dv_http_file *dv_http_request_file(const struct dv_http_request *request)
{
    return request->upload ? dv_http_upload_file(request->upload) : NULL;
}

void dv_http_request_set_data(
    struct dv_http_request *request, void *data, void (*free_data)(void *))
{
    assert(!request->free_data); /* set once */
    request->data = data;
    request->free_data = free_data;
}

void *dv_http_request_data(const struct dv_http_request *request)
{
    return request->data;
}

bool dv_http_request_is_replied(const struct dv_http_request *request)
{
    return request->reply.code != 0;
}
