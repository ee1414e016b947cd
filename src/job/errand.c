/* SPDX-License-Identifier: Apache-2.0 */
#include "job/errand.h"

#include <assert.h>
#include <stddef.h>

int dv_errand_least_ms(int a_ms, int b_ms)
{
    return a_ms < 0 ? b_ms : b_ms < 0 || a_ms < b_ms ? a_ms : b_ms;
}

void dv_errand_step(struct dv_errand *errand)
{
    assert(errand);
    if (errand->talk) {
        dv_talk_step(errand->talk);
    }
    if (!errand->is_over) {
        errand->impl->step(errand);
    }
}

int dv_errand_patience_ms(const struct dv_errand *errand)
{
    assert(errand);
    if (errand->is_over) {
        return 0;
    }
    int patience_ms = errand->impl->patience_ms(errand);
    return errand->talk ? dv_errand_least_ms(patience_ms, dv_talk_patience_ms(errand->talk))
                        : patience_ms;
}

void dv_errand_order(struct dv_errand *errand, enum dv_errand_order order)
{
    assert(errand);
    if (!errand->is_over) {
        errand->impl->order(errand, order);
    }
}

struct dv_errand *dv_errand_destroy(struct dv_errand *errand)
{
    if (errand) {
        errand->impl->destroy(errand);
    }
    return NULL;
}
