/* SPDX-License-Identifier: Apache-2.0 */
#include "base/json_schema.h"

#include "base/json.h"

struct dv_json *dv_json_schema(const char *type)
{
    struct dv_json *schema = dv_json_object();

    dv_json_set_string(schema, "type", type);
    return schema;
}

struct dv_json *dv_json_schema_choice(struct dv_json *words)
{
    struct dv_json *schema = dv_json_schema("string");

    dv_json_set(schema, "enum", words);
    return schema;
}

struct dv_json *dv_json_schema_list(struct dv_json *items)
{
    struct dv_json *schema = dv_json_schema("array");

    dv_json_set(schema, "items", items);
    return schema;
}

struct dv_json *dv_json_schema_object(struct dv_json *properties)
{
    struct dv_json *schema = dv_json_schema("object");
    struct dv_json *required = dv_json_array();

    for (void *i = dv_json_first(properties); i; i = dv_json_next(properties, i)) {
        dv_json_append(required, dv_json_string(dv_json_key(i)));
    }
    dv_json_set(schema, "properties", properties);
    dv_json_set(schema, "required", required);
    dv_json_set_bool(schema, "additionalProperties", false);
    return schema;
}
