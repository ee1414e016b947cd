/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DV_TRAIN_PROPOSER_OFFLINE_H
#define DV_TRAIN_PROPOSER_OFFLINE_H

/*
 * The proposer that needs nobody: first the default network made as wide as the limits allow,
 * then drafts and hyperparameters by TPE (train/search/tpe.h) once five
 * designs are known, before that from a hand-made prior; improvements by one structural change of
 * the parent; crossovers level by level. Of four that pass the gate it takes the one with most
 * multiply-adds, as networks within a budget are small ones.
 */

#include "train/proposer.h"
#include "train/search/space.h"

struct dv_gate;

struct dv_proposer_offline {
    const struct dv_gate *gate;
    struct dv_space space;
};

/*
 * `gate` and `default_arch` must live as long. The proposer's self is `offline`, the caller's.
 * propose(): DV_NOT_FOUND: nothing that it can think of is new and within the limits.
 */
struct dv_proposer dv_proposer_offline_init(struct dv_proposer_offline *offline,
    const struct dv_gate *gate, const struct dv_arch *default_arch);

#endif
