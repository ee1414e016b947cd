/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DV_APP_LLM_CHECK_H
#define DV_APP_LLM_CHECK_H

/*
 * One small call to the configured language model, through `dv llm` as every other. For
 * `dv doctor`.
 *
 * Threads: from the main thread; takes the settings out of the environment.
 */

struct dv_json;

/*
 * {"is_configured", "base_url"|null, "model"|null, "outcome"|null, "reason"|null, "rung"|null,
 * "latency_ms"|null, "summary"}; the caller's. The outcome is "answered", or what went wrong.
 */
struct dv_json *dv_llm_check(void);

#endif
