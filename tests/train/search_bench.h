/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DV_TESTS_TRAIN_SEARCH_BENCH_H
#define DV_TESTS_TRAIN_SEARCH_BENCH_H

/* A search without training: a data set of two classes, a gate, the offline proposer, a history. */

#include "spec/dataset.h"
#include "train/search/gate.h"
#include "train/search/proposer_offline.h"

struct dv_arena;
struct dv_json;

struct search_bench {
    struct dv_arena *arena;
    struct dv_class_summary classes[2];
    struct dv_dataset_summary dataset;
    struct dv_hyperparameters defaults;
    struct dv_arch *arch;
    struct dv_graph *graph;
    struct dv_gate gate;
    struct dv_search_limits limits;
    struct dv_proposer_offline offline;
    struct dv_proposer proposer;
    struct dv_candidate candidates[64];
    struct dv_search_history history;
};

/* Set-up and tear-down of cmocka: *state is a struct search_bench. */
int search_bench_make(void **state);
int search_bench_drop(void **state);

/* Fails the test where the text is no JSON. */
struct dv_json *search_bench_parse(const char *text);

#endif
