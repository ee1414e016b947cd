/* SPDX-License-Identifier: Apache-2.0 */
#include "wire/failure.h"

#include "base/text.h"

#include <assert.h>

static const char *const names[] = {
#define X(code, text) text,
    DV_FAILURE_MAP(X)
#undef X
};

_Static_assert(DV_ARRAY_SIZE(names) == DV_FAILURE_COUNT, "each reason has a name");

const char *dv_failure_reason_name(enum dv_failure_reason reason)
{
    assert((unsigned)reason < DV_FAILURE_COUNT);
    return names[reason];
}

bool dv_failure_reason_from_name(const char *name, enum dv_failure_reason *ret_reason)
{
    assert(ret_reason);

    for (unsigned i = 0; i < DV_FAILURE_COUNT; i++) {
        if (dv_text_equal(names[i], name)) {
            *ret_reason = (enum dv_failure_reason)i;
            return true;
        }
    }
    return false;
}

enum dv_failure_reason dv_failure_reason_from_status(enum dv_status status)
{
    switch (status) {
    case DV_NOMEM:
        return DV_FAILURE_OOM;
    case DV_NO_SPACE:
        return DV_FAILURE_DISK_FULL;
    case DV_DIVERGED:
        return DV_FAILURE_DIVERGED;
    case DV_TIMEOUT:
        return DV_FAILURE_TIMEOUT;
    case DV_CANCELLED:
        return DV_FAILURE_CANCELLED;
    case DV_CORRUPT:
        return DV_FAILURE_BAD_DATA;
    default:
        return DV_FAILURE_ERROR;
    }
}
