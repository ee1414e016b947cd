/* SPDX-License-Identifier: Apache-2.0 */
#include "nn/kernels.h"

const struct dv_kernels *dv_kernels_at(size_t index)
{
    const struct dv_kernels *sets[3];
    size_t count = 0;

#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
        __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq")) {
        sets[count++] = &dv_kernels_avx512;
    }
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) {
        sets[count++] = &dv_kernels_avx2;
    }
#endif
    sets[count++] = &dv_kernels_baseline;
    return index < count ? sets[index] : NULL;
}

const struct dv_kernels *dv_kernels(void)
{
    return dv_kernels_at(0);
}
