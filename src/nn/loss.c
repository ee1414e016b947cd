/* SPDX-License-Identifier: Apache-2.0 */
#include "nn/loss.h"

#include <assert.h>
#include <math.h>
#include <string.h>

static uint32_t largest(const float *row, uint32_t class_count)
{
    uint32_t best = 0;

    for (uint32_t c = 1; c < class_count; c++) {
        best = row[c] > row[best] ? c : best;
    }
    return best;
}

/* log(sum(exp(row))), safe against overflow. */
static double log_sum_exp(const float *row, uint32_t class_count, float top)
{
    double sum = 0;

    for (uint32_t c = 0; c < class_count; c++) {
        sum += exp((double)row[c] - (double)top);
    }
    return log(sum) + (double)top;
}

struct dv_loss dv_loss_cross_entropy(const float *logits, const uint32_t *labels, uint32_t count,
    uint32_t batch, uint32_t class_count, double smoothing, float *ret_gradient)
{
    struct dv_loss result = {0, 0};

    assert(count > 0);
    assert(count <= batch);
    for (uint32_t n = 0; n < count; n++) {
        const float *row = logits + (size_t)n * class_count;
        uint32_t best = largest(row, class_count);
        double normaliser = log_sum_exp(row, class_count, row[best]);
        result.loss += normaliser - (double)row[labels[n]];
        result.correct += best == labels[n];
        for (uint32_t c = 0; ret_gradient && c < class_count; c++) {
            double target = smoothing / class_count + (c == labels[n] ? 1 - smoothing : 0);
            double gradient = (exp((double)row[c] - normaliser) - target) / count;
            ret_gradient[(size_t)n * class_count + c] = (float)gradient;
        }
    }
    if (ret_gradient) {
        memset(ret_gradient + (size_t)count * class_count, 0,
            (size_t)(batch - count) * class_count * sizeof(float));
    }
    result.loss /= count;
    return result;
}
