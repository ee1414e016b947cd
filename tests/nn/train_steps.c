/* SPDX-License-Identifier: Apache-2.0 */
/*
 * train_steps FOLDER ARCH OPTIMIZER: a few steps on made-up pictures. ARCH is an architecture, or a
 * graph for graph_json_read(). Leaves in FOLDER what tests/python needs to take the same steps with
 * PyTorch: graph.json, and as safetensors before, after (all tensors), batches (pixels, labels, and
 * the factors [step, node, picture] of drop_path) and answers (the logits of the last batch by a
 * network that only answers). Prints the losses as a JSON array.
 */
#include "../format/graph_json.h"

#include "base/alloc.h"
#include "base/arena.h"
#include "base/file.h"
#include "base/json.h"
#include "base/random.h"
#include "base/text.h"
#include "format/safetensors.h"
#include "nn/dropout.h"
#include "nn/network.h"
#include "nn/optimizer.h"
#include "spec/arch.h"
#include "spec/graph.h"
#include "spec/problem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { STEPS = 6, BATCH = 12, SIDE = 10, CHANNELS = 3, CLASSES = 5, SEED = 6 };

#define PIXELS ((size_t)BATCH * SIDE * SIDE * CHANNELS)

struct run {
    const char *folder;
    struct dv_arena *arena;
    struct dv_graph *graph;
    struct dv_network *network;
    struct dv_optimizer *optimizer;
    float *pixels; /* [step, picture, row, column, channel] */
    float *labels; /* [step, picture]: whole numbers */
};

static void must(enum dv_status status, const struct dv_error *error)
{
    if (status != DV_OK) {
        (void)fprintf(stderr, "train_steps: %s\n", error->text);
        exit(1);
    }
}

static void make_graph(struct run *run, const char *text)
{
    DV_CLEANUP(dv_json_unrefp) struct dv_json *json = NULL;
    struct dv_problems problems;
    struct dv_arch *arch = NULL;
    struct dv_error error = {0};
    struct dv_shape input = {CHANNELS, SIDE, SIDE};

    dv_problems_init(&problems, run->arena, 5);
    must(dv_json_parse(text, strlen(text), &json, &error), &error);
    if (dv_json_get(json, "nodes")) {
        run->graph = graph_json_read(json, run->arena);
        return;
    }
    must(dv_arch_parse(json, run->arena, &problems, &arch, &error), &error);
    must(dv_graph_build(arch, input, CLASSES, run->arena, &problems, &run->graph, &error), &error);
}

static struct dv_network *make_network(const struct run *run, bool is_training)
{
    struct dv_network_options options = {.backend = "onednn",
        .batch_size = BATCH,
        .thread_count = 2,
        .is_training = is_training,
        .seed = SEED};
    struct dv_network *network = NULL;
    struct dv_error error = {0};

    must(dv_network_create(run->graph, &options, &network, &error), &error);
    return network;
}

static void make_optimizer(struct run *run, enum dv_optimizer_kind kind)
{
    struct dv_optimizer_options options = {.kind = kind,
        .count = dv_network_flat_count(run->network),
        .decay_mask = dv_network_decay_mask(run->network),
        .momentum = 0.9,
        .weight_decay = 0.01};
    struct dv_error error = {0};

    must(dv_optimizer_create(&options, &run->optimizer, &error), &error);
}

static void make_batches(struct run *run)
{
    struct dv_random random = dv_random_make(5, DV_RANDOM_SAMPLE, 0, 0);

    run->pixels = dv_arena_array(run->arena, STEPS * PIXELS, sizeof(float));
    run->labels = dv_arena_array(run->arena, (size_t)STEPS * BATCH, sizeof(float));
    for (size_t i = 0; i < STEPS * PIXELS; i++) {
        run->pixels[i] = (float)dv_random_normal(&random);
    }
    for (size_t i = 0; i < (size_t)STEPS * BATCH; i++) {
        run->labels[i] = (float)dv_random_below(&random, CLASSES);
    }
}

static void write_file(
    const struct run *run, const char *name, const struct dv_safetensor *tensors, size_t count)
{
    char path[DV_PATH_SIZE];
    struct dv_error error = {0};

    must(dv_path_format(path, &error, "%s/%s.safetensors", run->folder, name), &error);
    must(dv_safetensors_write(path, tensors, count, NULL, NULL, &error), &error);
}

/* All tensors of the network; the values, in the arena. */
static const float *write_tensors(const struct run *run, const char *name)
{
    uint32_t count = run->graph->tensor_count;
    struct dv_safetensor *tensors = dv_arena_array(run->arena, count, sizeof(*tensors));
    float *values =
        dv_arena_array(run->arena, dv_network_tensor_floats(run->network), sizeof(*values));
    const float *at = values;

    dv_network_get_tensors(run->network, NULL, values);
    for (uint32_t t = 0; t < count; t++) {
        const struct dv_graph_tensor *tensor = &run->graph->tensors[t];
        tensors[t] =
            (struct dv_safetensor){.name = tensor->name, .rank = tensor->rank, .values = at};
        for (uint32_t d = 0; d < tensor->rank; d++) {
            tensors[t].shape[d] = tensor->shape[d];
        }
        at += tensor->count;
    }
    write_file(run, name, tensors, count);
    return values;
}

/* What each drop_path multiplies each picture with; 1 for other nodes. */
static float *make_factors(const struct run *run)
{
    uint32_t nodes = run->graph->node_count;
    float *factors = dv_arena_array(run->arena, (size_t)STEPS * nodes * BATCH, sizeof(*factors));

    for (size_t i = 0; i < (size_t)STEPS * nodes; i++) {
        const struct dv_node *node = &run->graph->nodes[i % nodes];
        struct dv_random random =
            dv_random_make(SEED, DV_RANDOM_DROPOUT, i / nodes, (uint64_t)(i % nodes));
        uint64_t key = dv_random_u64(&random);
        for (size_t n = 0; n < BATCH; n++) {
            bool drops = node->op == DV_NODE_DROP_PATH;
            factors[i * BATCH + n] = drops ? dv_dropout_factor(key, n, node->drop) : 1;
        }
    }
    return factors;
}

static void write_batches(const struct run *run)
{
    const struct dv_safetensor tensors[] = {
        {.name = "pixels",
            .rank = 5,
            .shape = {STEPS, BATCH, SIDE, SIDE, CHANNELS},
            .values = run->pixels},
        {.name = "labels", .rank = 2, .shape = {STEPS, BATCH}, .values = run->labels},
        {.name = "factors",
            .rank = 3,
            .shape = {STEPS, run->graph->node_count, BATCH},
            .values = make_factors(run)},
    };

    write_file(run, "batches", tensors, 3);
}

static void write_answers(const struct run *run, const float *values)
{
    float *logits = dv_arena_array(run->arena, (size_t)BATCH * CLASSES, sizeof(*logits));
    const struct dv_safetensor tensor = {
        .name = "logits", .rank = 2, .shape = {BATCH, CLASSES}, .values = logits};
    struct dv_network *network = make_network(run, false);

    dv_network_set_tensors(network, NULL, values);
    dv_network_infer(network, run->pixels + (STEPS - 1) * PIXELS, logits);
    write_file(run, "answers", &tensor, 1);
    dv_network_destroy(network);
}

static void train(struct run *run)
{
    struct dv_json *losses = dv_json_array();

    for (uint64_t step = 0; step < STEPS; step++) {
        uint32_t labels[BATCH];
        uint32_t correct;
        for (size_t i = 0; i < BATCH; i++) {
            labels[i] = (uint32_t)run->labels[step * BATCH + i];
        }
        double loss = dv_network_train(
            run->network, run->pixels + step * PIXELS, labels, BATCH, 0.1, step, &correct);
        dv_optimizer_step(run->optimizer, 0.01, dv_network_parameters(run->network),
            dv_network_gradients(run->network));
        dv_json_append(losses, dv_json_number(loss));
    }
    DV_CLEANUP(dv_freep) char *text = dv_json_print(losses);
    (void)puts(text);
    dv_json_unref(losses);
}

int main(int argc, char **argv)
{
    char path[DV_PATH_SIZE];
    struct dv_error error = {0};

    if (argc != 4) {
        (void)fputs("usage: train_steps FOLDER ARCH OPTIMIZER\n", stderr);
        return 2;
    }
    struct run run = {.folder = argv[1], .arena = dv_arena_create(0)};
    must(dv_folder_make(run.folder, &error), &error);
    must(dv_path_format(path, &error, "%s/graph.json", run.folder), &error);
    make_graph(&run, argv[2]);
    must(graph_json_write(run.graph, path, &error), &error);
    make_batches(&run);
    run.network = make_network(&run, true);
    make_optimizer(&run, dv_text_equal(argv[3], "adamw") ? DV_OPTIMIZER_ADAMW : DV_OPTIMIZER_SGD);
    dv_network_init(run.network, 1);
    write_batches(&run);
    (void)write_tensors(&run, "before");
    train(&run);
    write_answers(&run, write_tensors(&run, "after"));
    dv_optimizer_destroy(run.optimizer);
    dv_network_destroy(run.network);
    dv_arena_destroy(run.arena);
    return 0;
}
