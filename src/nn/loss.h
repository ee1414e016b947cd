/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DV_NN_LOSS_H
#define DV_NN_LOSS_H

/*
 * Softmax cross-entropy over class logits, with label smoothing as torch.nn.CrossEntropyLoss does
 * it: the target is (1 - smoothing) on the label plus smoothing / classes everywhere.
 */

#include <stddef.h>
#include <stdint.h>

/* What a batch of logits amounts to. */
struct dv_loss {
    double loss;      /* mean over the pictures, without smoothing */
    uint32_t correct; /* pictures whose largest logit (the first of equals) is the label's */
};

/*
 * `logits` [batch, class]. Where `ret_gradient` is given it becomes the gradient of the mean
 * smoothed loss over the first `count` pictures, and 0 for the rest up to `batch`.
 */
struct dv_loss dv_loss_cross_entropy(const float *logits, const uint32_t *labels, uint32_t count,
    uint32_t batch, uint32_t class_count, double smoothing, float *ret_gradient);

#endif
