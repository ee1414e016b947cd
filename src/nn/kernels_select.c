/* SPDX-License-Identifier: Apache-2.0 */
#include "nn/kernels.h"

const struct dv_kernels *dv_kernels(void)
{
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
        __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq")) {
        return &dv_kernels_avx512;
    }
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) {
        return &dv_kernels_avx2;
    }
#endif
    return &dv_kernels_baseline;
}
