/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DV_LLM_REQUEST_H
#define DV_LLM_REQUEST_H

/*
 * The body of one chat completion: what is asked, in the words that this model takes.
 */

#include "llm/preset.h"

#include <stddef.h>
#include <stdint.h>

struct dv_json;

struct dv_llm_request {
    const char *model;
    const struct dv_json *messages; /* [{"role", "content"}, ...] */
    const struct dv_json *schema;   /* NULL: any object */
    const char *schema_name;        /* NULL: "answer" */
    double temperature;
    int64_t output_max; /* tokens */
    int64_t seed;       /* below 0: none */
    const char *effort; /* "low", "medium", "high"; NULL: not said */
};

/*
 * dv_free(). Where the schema is not sent as such, it is added to the last message, and the word
 * that json_object insists on with it.
 */
char *dv_llm_request_print(
    const struct dv_llm_request *request, const struct dv_llm_capability *capability);

#endif
