/* SPDX-License-Identifier: Apache-2.0 */
#include "spec/preset.h"

#include "base/json.h"
#include "base/macro.h"

#include <assert.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

enum { STAGES_MAX = 4 };

/* How many blocks each stage has tells these networks apart. */
struct preset {
    const char *name;
    struct dv_json *(*make)(const struct preset *preset);
    const char *block;
    uint32_t repeats[STAGES_MAX];
};

static struct dv_json *make_imagenet(const struct preset *preset);
static struct dv_json *make_cifar(const struct preset *preset);
static struct dv_json *make_mobilenet_v2(const struct preset *preset);
static struct dv_json *make_small(const struct preset *preset);

static const struct preset presets[] = {
    {"resnet18", make_imagenet, "residual", {2, 2, 2, 2}},
    {"resnet34", make_imagenet, "residual", {3, 4, 6, 3}},
    {"resnet50", make_imagenet, "bottleneck", {3, 4, 6, 3}},
    {"mobilenet_v2", make_mobilenet_v2, NULL, {0}},
    {"resnet20", make_cifar, "residual", {3, 3, 3}},
    {"resnet32", make_cifar, "residual", {5, 5, 5}},
    {"resnet44", make_cifar, "residual", {7, 7, 7}},
    {"resnet56", make_cifar, "residual", {9, 9, 9}},
    {"resnet110", make_cifar, "residual", {18, 18, 18}},
    {"small_cnn", make_small, NULL, {0}},
};

static struct dv_json *add_row(struct dv_json *layers, const char *name, const char *op)
{
    struct dv_json *row = dv_json_object();

    dv_json_set_string(row, "name", name);
    dv_json_set_string(row, "op", op);
    dv_json_append(layers, row);
    return row;
}

static struct dv_json *add_conv(
    struct dv_json *layers, const char *name, uint32_t out, uint32_t kernel)
{
    struct dv_json *row = add_row(layers, name, "conv");

    dv_json_set_integer(row, "out", out);
    if (kernel != 3) {
        dv_json_set_integer(row, "kernel", kernel);
    }
    return row;
}

/* layer1 ... layerN, each with twice the channels of the one before at half the size. */
static void add_stages(struct dv_json *layers, const struct preset *preset, uint32_t out)
{
    for (uint32_t i = 0; i < STAGES_MAX && preset->repeats[i] > 0; i++) {
        char name[] = "layer1";
        name[5] = (char)('1' + i);
        struct dv_json *row = add_row(layers, name, preset->block);
        dv_json_set_integer(row, "repeat", preset->repeats[i]);
        dv_json_set_integer(row, "out", (int64_t)out << i);
        if (i > 0) {
            dv_json_set_integer(row, "stride", 2);
        }
    }
}

static void add_head(struct dv_json *layers)
{
    (void)add_row(layers, "gap", "global_pool");
    (void)add_row(layers, "fc", "linear"); /* as wide as there are classes */
}

/* torchvision's resnet.py: 7x7 stem of stride 2, max pool, four stages. */
static struct dv_json *make_imagenet(const struct preset *preset)
{
    struct dv_json *layers = dv_json_array();
    bool is_bottleneck = strcmp(preset->block, "bottleneck") == 0;

    dv_json_set_integer(add_conv(layers, "stem", 64, 7), "stride", 2);
    struct dv_json *pool = add_row(layers, "maxpool", "pool");
    dv_json_set_integer(pool, "kernel", 3);
    dv_json_set_integer(pool, "stride", 2);
    dv_json_set_integer(pool, "padding", 1);
    add_stages(layers, preset, is_bottleneck ? 256 : 64);
    add_head(layers);
    return layers;
}

/*
 * He et al. 2015, section 4.2, for 32 px: three stages of 16, 32 and 64 channels, shortcuts without
 * parameters (their option A).
 */
static struct dv_json *make_cifar(const struct preset *preset)
{
    struct dv_json *layers = dv_json_array();

    (void)add_conv(layers, "stem", 16, 3);
    add_stages(layers, preset, 16);
    for (size_t i = 2; i < dv_json_count(layers); i++) { /* those that grow */
        dv_json_set_string(dv_json_at(layers, i), "shortcut", "pad");
    }
    add_head(layers);
    return layers;
}

/* Sandler et al. 2018, table 2, as torchvision's mobilenetv2.py has it. */
static struct dv_json *make_mobilenet_v2(const struct preset *preset)
{
    static const struct {
        const char *name;
        uint8_t expand, repeat, stride;
        uint16_t out;
    } stages[] = {
        {"s1", 1, 1, 1, 16},
        {"s2", 6, 2, 2, 24},
        {"s3", 6, 3, 2, 32},
        {"s4", 6, 4, 2, 64},
        {"s5", 6, 3, 1, 96},
        {"s6", 6, 3, 2, 160},
        {"s7", 6, 1, 1, 320},
    };
    struct dv_json *layers = dv_json_array();

    (void)preset;
    dv_json_set_integer(add_conv(layers, "stem", 32, 3), "stride", 2);
    for (size_t i = 0; i < DV_ARRAY_SIZE(stages); i++) {
        struct dv_json *row = add_row(layers, stages[i].name, "mbconv");
        dv_json_set_integer(row, "repeat", stages[i].repeat);
        dv_json_set_integer(row, "out", stages[i].out);
        dv_json_set_integer(row, "stride", stages[i].stride);
        dv_json_set_integer(row, "expand", stages[i].expand);
    }
    (void)add_conv(layers, "last", 1280, 1);
    for (size_t i = 0; i < dv_json_count(layers); i++) {
        dv_json_set_string(dv_json_at(layers, i), "act", "relu6");
    }
    add_head(layers);
    dv_json_set_number(dv_json_at(layers, dv_json_count(layers) - 1), "drop", 0.2);
    return layers;
}

/* Two convolutions a stage, for tiny pictures; global pooling, so any size goes. */
static struct dv_json *make_small(const struct preset *preset)
{
    struct dv_json *layers = dv_json_array();

    (void)preset;
    dv_json_set_integer(add_conv(layers, "conv1", 32, 3), "repeat", 2);
    (void)add_row(layers, "pool1", "pool");
    dv_json_set_integer(add_conv(layers, "conv2", 64, 3), "repeat", 2);
    (void)add_row(layers, "pool2", "pool");
    (void)add_conv(layers, "conv3", 128, 3);
    (void)add_row(layers, "gap", "global_pool");
    dv_json_set_number(add_row(layers, "drop", "dropout"), "drop", 0.2);
    (void)add_row(layers, "head", "linear");
    return layers;
}

struct dv_json *dv_preset_make(const char *name)
{
    assert(name);

    for (size_t i = 0; i < DV_ARRAY_SIZE(presets); i++) {
        if (strcmp(presets[i].name, name) == 0) {
            struct dv_json *json = dv_json_object();
            dv_json_set_string(json, "name", name);
            dv_json_set(json, "layers", presets[i].make(&presets[i]));
            return json;
        }
    }
    return NULL;
}

const char *dv_preset_name(size_t index)
{
    return index < DV_ARRAY_SIZE(presets) ? presets[index].name : NULL;
}
