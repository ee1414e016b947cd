/* SPDX-License-Identifier: Apache-2.0 */
#include "app/machine.h"

#include "base/text.h"

#include <assert.h>
#include <sched.h>
#include <stdlib.h>

int64_t dv_machine_processors(void)
{
    cpu_set_t set;

    return sched_getaffinity(0, sizeof(set), &set) == 0 ? CPU_COUNT(&set) : 1;
}

enum dv_status dv_machine_worker_memory(int64_t *ret_size, struct dv_error *reterr)
{
    const char *text = getenv("DV_WORKER_MEMORY");
    int64_t size = 0;

    assert(ret_size);
    if (text && (!dv_text_to_int64(text, &size) || size <= 0)) {
        return dv_fail(
            reterr, DV_INVALID, "DV_WORKER_MEMORY is '%.40s': it takes a number of bytes", text);
    }
    *ret_size = size;
    return DV_OK;
}
