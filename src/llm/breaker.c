/* SPDX-License-Identifier: Apache-2.0 */
#include "llm/breaker.h"

bool dv_llm_breaker_admits(struct dv_llm_breaker *breaker)
{
    if (breaker->skips == 0) {
        return true;
    }
    breaker->skips--;
    return false;
}

void dv_llm_breaker_note(struct dv_llm_breaker *breaker, bool is_success)
{
    breaker->failures = is_success ? 0 : breaker->failures + 1;
    if (breaker->failures >= DV_LLM_BREAKER_FAILURES) {
        breaker->failures = DV_LLM_BREAKER_FAILURES - 1; /* the one question to see trips it again */
        breaker->skips = DV_LLM_BREAKER_SKIPS;
    }
}
