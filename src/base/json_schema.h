/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DV_BASE_JSON_SCHEMA_H
#define DV_BASE_JSON_SCHEMA_H

/*
 * Schemas made of the part of JSON Schema that every endpoint with structured output takes: type,
 * properties, required, items, enum, additionalProperties: false.
 */

struct dv_json;

/* {"type": type}, of which more can be said; the caller's. */
struct dv_json *dv_json_schema(const char *type);

/* One of these strings, an array (taken). */
struct dv_json *dv_json_schema_choice(struct dv_json *words);

/* An array of what `items` (taken) allows. */
struct dv_json *dv_json_schema_list(struct dv_json *items);

/* An object that has exactly the members of `properties` (taken). */
struct dv_json *dv_json_schema_object(struct dv_json *properties);

#endif
