/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DV_DATA_SPLIT_H
#define DV_DATA_SPLIT_H

/*
 * Who is trained on, who chooses, who judges. Where the upload names the splits they are kept, and
 * where it names train and test alone a tenth of train becomes val; where it names none, each
 * class is split 80/10/10. Both are stratified, seeded, and never divide a group of duplicates.
 * The same names, classes and seed give the same split, in whatever order the files came.
 */

#include "base/status.h"
#include "spec/dataset.h"

#include <stdint.h>

struct dv_split_item {
    uint32_t class_index;
    uint32_t group;      /* the smallest item number of its group: <= its own number */
    enum dv_split split; /* as given, or DV_SPLIT_TRAIN; overwritten with the result */
};

/*
 * Items are in an order that depends on names alone. DV_INVALID: the upload names val and test but
 * no train split.
 */
DV_MUST_CHECK enum dv_status dv_split_assign(struct dv_split_item *items, uint32_t count,
    uint32_t class_count, uint64_t seed, struct dv_error *reterr);

#endif
