/* SPDX-License-Identifier: Apache-2.0 */
#include "base/fault.h"

#include <assert.h>
#include <stdatomic.h>
#include <stddef.h>
#include <string.h>

static _Atomic(const char *) armed_name;
static atomic_uint calls_left;

void dv_fault_arm(const char *name, unsigned nth)
{
    assert(name);
    assert(nth > 0);

    atomic_store(&calls_left, nth);
    atomic_store(&armed_name, name);
}

bool dv_fault_disarm(void)
{
    atomic_store(&armed_name, NULL);
    return atomic_exchange(&calls_left, 0) == 0;
}

bool dv_fault_hits(const char *name)
{
    const char *armed = atomic_load_explicit(&armed_name, memory_order_relaxed);

    if (!armed || strcmp(armed, name) != 0) {
        return false;
    }

    unsigned left = atomic_load(&calls_left);
    while (left > 0 && !atomic_compare_exchange_weak(&calls_left, &left, left - 1)) {
    }
    return left == 1;
}
