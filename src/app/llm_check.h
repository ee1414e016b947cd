/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DV_APP_LLM_CHECK_H
#define DV_APP_LLM_CHECK_H

/*
 * One small call to the configured language model, through `dv llm` as every other. For
 * `dv doctor` and the server.
 *
 * Threads: one that lives longer than the call, as of job/child.h.
 */

#include <stdint.h>

struct dv_json;
struct dv_llm_settings;

/*
 * {"is_configured", "base_url"|null, "model"|null, "outcome"|null, "reason"|null, "rung"|null,
 * "latency_ms"|null, "summary"}; the caller's. The outcome is "answered", or what went wrong.
 */
struct dv_json *dv_llm_check(const struct dv_llm_settings *settings, int64_t patience_ms);

/* The same with the settings of the environment, which are taken out of it: from the main thread. */
struct dv_json *dv_llm_check_environment(void);

#endif
