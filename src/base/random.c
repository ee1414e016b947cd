/* SPDX-License-Identifier: Apache-2.0 */
#include "base/random.h"

#include <assert.h>
#include <math.h>

static uint64_t mix(uint64_t z)
{
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

struct dv_random dv_random_make(uint64_t seed, enum dv_random_stream stream, uint64_t a, uint64_t b)
{
    uint64_t key = mix(seed + 0x9e3779b97f4a7c15u);

    key = mix(key ^ ((uint64_t)stream * 0xd1342543de82ef95u));
    key = mix(key ^ (a * 0xaf251af3b0f025b5u));
    key = mix(key ^ (b * 0x2545f4914f6cdd1du));
    return (struct dv_random){.state = key};
}

uint64_t dv_random_u64(struct dv_random *random)
{
    random->state += 0x9e3779b97f4a7c15u;
    return mix(random->state);
}

uint64_t dv_random_below(struct dv_random *random, uint64_t limit)
{
    assert(limit > 0);

    uint64_t reject_below = -limit % limit; /* 2^64 mod limit */
    uint64_t value;
    do {
        value = dv_random_u64(random);
    } while (value < reject_below);
    return value % limit;
}

double dv_random_unit(struct dv_random *random)
{
    return (double)(dv_random_u64(random) >> 11) * 0x1p-53;
}

double dv_random_normal(struct dv_random *random)
{
    /* Box-Muller; one of the pair is dropped, so that a draw always costs two numbers. */
    double radius = sqrt(-2.0 * log(1.0 - dv_random_unit(random)));

    return radius * cos(6.283185307179586 * dv_random_unit(random));
}

void dv_random_shuffle(struct dv_random *random, uint32_t *values, size_t count)
{
    for (size_t i = count; i > 1; i--) {
        size_t j = (size_t)dv_random_below(random, i);
        uint32_t value = values[i - 1];
        values[i - 1] = values[j];
        values[j] = value;
    }
}
