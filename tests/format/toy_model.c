/* SPDX-License-Identifier: Apache-2.0 */
#include "toy_model.h"

#include "base/arena.h"
#include "base/json.h"
#include "base/random.h"
#include "spec/arch.h"
#include "spec/graph.h"
#include "spec/problem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Names that would hurt if they became code, markup or a path. */
static const char *class_names[] = {"cat", "\"); import os; os.system('true') #",
    "<b>|*\\u0041\n`x`", "h\xc3\xa9ron \xf0\x9f\x90\xa6", "../../etc"};

static void end(const char *what, const char *message)
{
    (void)fprintf(stderr, "%s: %s\n", what, message);
    exit(1);
}

static void build(struct toy_model *model, const struct toy_model_options *options)
{
    DV_CLEANUP(dv_json_unrefp) struct dv_json *json = NULL;
    struct dv_shape input = {options->channels, options->rows, options->columns};
    struct dv_problems problems;
    struct dv_error error;
    struct dv_arch *arch = NULL;
    struct dv_graph *graph = NULL;

    dv_problems_init(&problems, model->arena, 5);
    enum dv_status status = dv_json_parse(options->arch, strlen(options->arch), &json, &error);
    if (status == DV_OK) {
        status = dv_arch_parse(json, model->arena, &problems, &arch, &error);
    }
    if (status == DV_OK) {
        status = dv_graph_build(
            arch, input, DV_ARRAY_SIZE(class_names), model->arena, &problems, &graph, &error);
    }
    if (status != DV_OK) {
        end(options->arch, problems.count > 0 ? problems.items[0].message : error.text);
    }
    for (uint32_t i = 0; options->hides_blocks && i < arch->row_count; i++) {
        arch->rows[i].op = DV_ARCH_FLATTEN; /* the graph is made already */
    }
    model->content.arch = arch;
    model->content.graph = graph;
}

/* Weights about as large as trained ones, variances positive. */
static float *make_values(const struct dv_graph *graph, struct dv_arena *arena)
{
    size_t count = 0;

    for (uint32_t t = 0; t < graph->tensor_count; t++) {
        count += (size_t)graph->tensors[t].count;
    }
    float *values = dv_arena_array(arena, count + 1, sizeof(*values));
    float *at = values;
    for (uint32_t t = 0; t < graph->tensor_count; t++) {
        const struct dv_graph_tensor *tensor = &graph->tensors[t];
        struct dv_random random = dv_random_make(7, DV_RANDOM_INIT, t, 0);
        bool is_matrix = tensor->rank > 1;
        double fan_in = is_matrix ? (double)tensor->count / tensor->shape[0] : 1.0;
        for (uint64_t i = 0; i < tensor->count; i++) {
            double value = dv_random_unit(&random) - 0.5;
            value = is_matrix ? value * 6.0 / fan_in
                    : tensor->role == DV_TENSOR_RUNNING_VAR || tensor->role == DV_TENSOR_WEIGHT
                        ? 1.0 + value
                        : value;
            *at++ = (float)value;
        }
    }
    return values;
}

static struct dv_json *parse(const char *text)
{
    struct dv_json *json = NULL;

    if (dv_json_parse(text, strlen(text), &json, NULL) != DV_OK) {
        end(text, "not JSON");
    }
    return json;
}

void toy_model_init(struct toy_model *model, const struct toy_model_options *options)
{
    *model = (struct toy_model){.arena = dv_arena_create(0)};
    build(model, options);
    model->preprocessing = (struct dv_preprocessing){.rows = options->rows,
        .columns = options->columns,
        .resize = options->resize,
        .channels = options->channels,
        .mean = {0.4f, 0.5f, 0.6f},
        .std = {0.2f, 0.25f, 0.3f},
        .classes = class_names,
        .class_count = DV_ARRAY_SIZE(class_names)};
    model->metrics =
        parse("{\"split\":\"test\",\"accuracy\":0.75,\"loss\":0.5,\"test\":{\"total\":8},"
              "\"confusion\":[[2,0,1,0,0],[0,1,0,0,0],[3,0,0,0,0],[0,0,0,1,0],[0,0,0,0,1]]}");
    model->history = parse("[{\"epoch\":1,\"train_loss\":1.0},{\"epoch\":2,\"train_loss\":0.5}]");
    model->hyperparameters = parse("{\"learning_rate\":0.1,\"optimizer\":\"sgd\"}");
    model->content.name = "toy \"\"\" # model";
    model->content.preprocessing = &model->preprocessing;
    model->content.values = make_values(model->content.graph, model->arena);
    model->content.strategy = "native";
    model->content.metrics = model->metrics;
    model->content.history = model->history;
    model->content.hyperparameters = model->hyperparameters;
}

void toy_model_finish(struct toy_model *model)
{
    dv_json_unref(model->metrics);
    dv_json_unref(model->history);
    dv_json_unref(model->hyperparameters);
    dv_arena_destroy(model->arena);
}
