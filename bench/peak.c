/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The machine's own limit: what a pure loop of fused multiply-adds reaches on THREADS threads, in
 * GFLOP/s, with the widest registers the processor has. Best of five. Prints one JSON object.
 */
#include "base/clock.h"
#include "base/text.h"

#include <omp.h>
#include <stdio.h>

enum { CHAINS = 12, ROUNDS = 4000000 };

/* Twelve independent chains hide the latency of the multiply-add on every x86-64 core known. */
#define FMA_LOOP(name, instructions, width)                                                        \
    typedef float name##_vector __attribute__((vector_size(4 * (width))));                         \
    __attribute__((target(instructions))) static double name(void)                                 \
    {                                                                                              \
        name##_vector sums[CHAINS];                                                                \
        name##_vector factor = {0};                                                                \
        factor += 0.999999f;                                                                       \
        for (int i = 0; i < CHAINS; i++) {                                                         \
            sums[i] = factor * (float)i;                                                           \
        }                                                                                          \
        for (long round = 0; round < ROUNDS; round++) {                                            \
            for (int i = 0; i < CHAINS; i++) {                                                     \
                sums[i] = sums[i] * factor + factor;                                               \
            }                                                                                      \
        }                                                                                          \
        float total = 0;                                                                           \
        for (int i = 0; i < CHAINS; i++) {                                                         \
            total += sums[i][0];                                                                   \
        }                                                                                          \
        return (double)total;                                                                      \
    }

FMA_LOOP(loop_avx512, "avx512f", 16)
FMA_LOOP(loop_avx2, "avx2,fma", 8)

static double run(double (*loop)(void), int width, int threads)
{
    double best = 0;

    for (int attempt = 0; attempt < 5; attempt++) {
        volatile double sink = 0;
        uint64_t start = dv_clock_monotonic_ns();
#pragma omp parallel num_threads(threads)
        {
            double result = loop();
#pragma omp critical
            sink = sink + result;
        }
        double flops = 2.0 * CHAINS * width * ROUNDS * threads;
        double rate = flops / dv_clock_seconds_since(start) * 1e-9;
        best = rate > best ? rate : best;
    }
    return best;
}

int main(int argc, char **argv)
{
    int64_t threads = omp_get_num_procs();

    if (argc > 1 && (!dv_text_to_int64(argv[1], &threads) || threads < 1 || threads > 1024)) {
        return 2;
    }
    bool has_avx512 = __builtin_cpu_supports("avx512f");
    double rate = has_avx512 ? run(loop_avx512, 16, (int)threads) : run(loop_avx2, 8, (int)threads);
    (void)printf(
        "{\"gflops\": %.1f, \"instruction_set\": \"%s\"}\n", rate, has_avx512 ? "avx512" : "avx2");
    return 0;
}
