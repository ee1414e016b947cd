/* SPDX-License-Identifier: Apache-2.0 */
#include "job/gate.h"

#include "base/clock.h"
#include "base/log.h"

#include <assert.h>
#include <stddef.h>

#define DELAY_FIRST_MS 100u
#define DELAY_MAX_MS 5000u

bool dv_gate_is_open(const struct dv_gate *gate)
{
    assert(gate);
    return gate->open_ns == 0 || dv_clock_monotonic_ns() >= gate->open_ns;
}

int dv_gate_patience_ms(const struct dv_gate *gate)
{
    uint64_t now_ns = dv_clock_monotonic_ns();

    assert(gate);
    return gate->open_ns <= now_ns ? 0 : (int)((gate->open_ns - now_ns) / 1000000u) + 1;
}

static bool is_away(enum dv_status status)
{
    return status == DV_UNAVAILABLE || status == DV_NO_SPACE || status == DV_IO ||
           status == DV_TIMEOUT || status == DV_NOMEM;
}

bool dv_gate_must_wait(struct dv_gate *gate, enum dv_status status, const struct dv_error *reterr)
{
    assert(gate);
    if (!is_away(status)) {
        if (gate->delay_ms > 0) {
            dv_log(DV_LOG_WARNING, "the database is there again");
        }
        *gate = (struct dv_gate){0};
        return false;
    }
    if (gate->delay_ms == 0) {
        dv_log(DV_LOG_WARNING, "%s; what matters is kept until the database is there again",
            reterr ? reterr->text : dv_status_text(status));
    }
    gate->delay_ms = gate->delay_ms == 0 ? DELAY_FIRST_MS : 2 * gate->delay_ms;
    gate->delay_ms = gate->delay_ms > DELAY_MAX_MS ? DELAY_MAX_MS : gate->delay_ms;
    gate->open_ns = dv_clock_monotonic_ns() + (uint64_t)gate->delay_ms * 1000000u;
    return true;
}
