/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DV_LLM_SCHEMA_H
#define DV_LLM_SCHEMA_H

/*
 * The part of JSON Schema that every provider takes: type, properties, required, items, enum,
 * additionalProperties: false. What an endpoint promises to keep to is checked here all the same.
 */

#include "base/status.h"

struct dv_json;

/* DV_INVALID: the value breaks the schema, and where: "/model/layers/3/op: ...". */
DV_MUST_CHECK enum dv_status dv_llm_schema_check(
    const struct dv_json *schema, const struct dv_json *value, struct dv_error *reterr);

/* Is the schema made of the above alone? DV_INVALID: another keyword, which some refuse. */
DV_MUST_CHECK enum dv_status dv_llm_schema_validate(
    const struct dv_json *schema, struct dv_error *reterr);

#endif
