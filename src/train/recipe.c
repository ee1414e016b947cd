/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading order: the table of kinds, then size, network and hyperparameters as recipe.h has them.
 */
#include "train/recipe.h"

#include "base/json.h"
#include "base/text.h"
#include "spec/dataset.h"

#include <assert.h>
#include <math.h>

#define SMALL_SIZE_MAX 80u

/* Arithmetic of a default run: about six minutes at 120 GFLOP/s, which two cores sustain. */
#define BUDGET_FLOPS 45e12
#define FLOPS_PER_MAC_AND_STEP 6.0 /* two forward, four backward */

struct kind {
    double learning_rate; /* at a batch of `batch_max` */
    int64_t batch_max;
    double weight_decay;
    double dropout;
    double epochs_min; /* for data sets of `samples` or more; fewer samples get more epochs */
    double samples;
    double epochs_max;
};

/* clang-format off */
static const struct kind kinds[] = {
    [DV_RECIPE_TINY_GREY]   = {0.10, 128, 5e-4, 0.1, 12, 54000, 120},
    [DV_RECIPE_TINY_COLOUR] = {0.10, 128, 5e-4, 0.1, 10, 45000, 120},
    [DV_RECIPE_SMALL]       = {0.10, 128, 5e-4, 0.2, 10, 45000, 100},
    [DV_RECIPE_PHOTO]       = {0.10,  64, 5e-4, 0.2, 10, 50000, 120},
};
/* clang-format on */

enum dv_recipe_kind dv_recipe_kind_of(uint32_t image_size, uint32_t channels)
{
    if (image_size <= DV_DATASET_TINY_SIDE_MAX) {
        return channels == 1 ? DV_RECIPE_TINY_GREY : DV_RECIPE_TINY_COLOUR;
    }
    return image_size <= SMALL_SIZE_MAX ? DV_RECIPE_SMALL : DV_RECIPE_PHOTO;
}

/* --- Networks --------------------------------------------------------------------------- */

struct stage {
    const char *name;
    const char *op;
    int64_t out;
    int64_t kernel;
    int64_t stride;
};

/* 11 M multiply-adds at 28 px. */
static const struct stage tiny_grey[] = {
    {"stem", "conv", 32, 3, 1},
    {"down", "conv", 64, 3, 2},
    {"s1", "residual", 64, 3, 2},
    {"s2", "residual", 128, 3, 2},
};

/*
 * 44 M multiply-adds at 32 px. As many as ResNet-20, in fewer and wider layers: these learn faster
 * per epoch and keep vector units busier.
 */
static const struct stage tiny_colour[] = {
    {"stem", "conv", 32, 3, 1},
    {"s1", "residual", 64, 3, 2},
    {"s2", "residual", 128, 3, 2},
    {"s3", "residual", 256, 3, 2},
};

/* The same at 64 px, halved at once. */
static const struct stage small[] = {
    {"stem", "conv", 32, 3, 2},
    {"s1", "residual", 64, 3, 2},
    {"s2", "residual", 128, 3, 2},
    {"s3", "residual", 256, 3, 2},
};

/* 115 M multiply-adds at 128 px. */
static const struct stage photo[] = {
    {"stem", "conv", 32, 5, 2},
    {"pool", "pool", 0, 3, 2},
    {"s1", "residual", 48, 3, 1},
    {"s2", "residual", 96, 3, 2},
    {"s3", "residual", 192, 3, 2},
    {"s4", "residual", 256, 3, 2},
};

static struct dv_json *add_row(struct dv_json *layers, const char *name, const char *op)
{
    struct dv_json *row = dv_json_object();

    dv_json_set_string(row, "name", name);
    dv_json_set_string(row, "op", op);
    dv_json_append(layers, row);
    return row;
}

static void add_stage(struct dv_json *layers, const struct stage *stage)
{
    struct dv_json *row = add_row(layers, stage->name, stage->op);

    if (dv_text_equal(stage->op, "pool")) {
        dv_json_set_string(row, "pool", "max");
    } else {
        dv_json_set_integer(row, "out", stage->out);
    }
    dv_json_set_integer(row, "kernel", stage->kernel);
    dv_json_set_integer(row, "stride", stage->stride);
}

struct network {
    const char *name;
    const struct stage *stages;
    size_t count;
};

/* clang-format off */
static const struct network networks[] = {
    [DV_RECIPE_TINY_GREY]   = {"tiny_grey",   tiny_grey,   DV_ARRAY_SIZE(tiny_grey)},
    [DV_RECIPE_TINY_COLOUR] = {"tiny_colour", tiny_colour, DV_ARRAY_SIZE(tiny_colour)},
    [DV_RECIPE_SMALL]       = {"small",       small,       DV_ARRAY_SIZE(small)},
    [DV_RECIPE_PHOTO]       = {"photo",       photo,       DV_ARRAY_SIZE(photo)},
};
/* clang-format on */

struct dv_json *dv_recipe_architecture(
    const struct dv_dataset_summary *dataset, uint32_t image_size, double dropout)
{
    assert(dataset);

    const struct network *from = &networks[dv_recipe_kind_of(image_size, dataset->channels)];
    struct dv_json *network = dv_json_object();
    struct dv_json *layers = dv_json_array();

    for (size_t i = 0; i < from->count; i++) {
        add_stage(layers, &from->stages[i]);
    }
    dv_json_set_string(add_row(layers, "gap", "global_pool"), "pool", "avg");
    if (dropout > 0.0) {
        dv_json_set_number(add_row(layers, "drop", "dropout"), "drop", dropout);
    }
    dv_json_set_integer(add_row(layers, "head", "linear"), "out", dataset->class_count);
    dv_json_set_string(network, "name", from->name);
    dv_json_set(network, "layers", layers);
    return network;
}

/* --- Hyperparameters -------------------------------------------------------------------- */

static uint64_t train_count(const struct dv_dataset_summary *dataset)
{
    uint64_t count = 0;

    for (uint32_t c = 0; c < dataset->class_count; c++) {
        count += dataset->classes[c].counts[DV_SPLIT_TRAIN];
    }
    return count > 0 ? count : 1;
}

int64_t dv_recipe_batch_size(uint64_t count, int64_t batch_max)
{
    int64_t batch = 8;

    while (batch < batch_max && (uint64_t)batch * 2 * 8 <= count) {
        batch *= 2;
    }
    return batch;
}

/*
 * Epochs as the square root of how far the set is below `samples`: a set a hundred times smaller
 * is seen ten times as often in epochs, a tenth in pictures.
 */
static int64_t choose_epochs(const struct kind *kind, uint64_t count, uint64_t macs)
{
    double few = sqrt(fmax(1.0, kind->samples / (double)count));
    double epochs = fmin(kind->epochs_min * few, kind->epochs_max);
    double epoch_flops = FLOPS_PER_MAC_AND_STEP * (double)macs * (double)count;

    epochs = fmin(epochs, fmax(kind->epochs_min, BUDGET_FLOPS / fmax(1.0, epoch_flops)));
    return (int64_t)llround(epochs);
}

/* Averages over about a fiftieth of the run: long enough to smooth, short enough to follow. */
double dv_recipe_ema(double step_count)
{
    double decay = 1.0 - 50.0 / step_count;

    return fmin(0.999, fmax(0.9, round(decay * 1e4) / 1e4));
}

static enum dv_augmentation choose_augmentation(
    enum dv_recipe_kind kind, const struct dv_dataset_summary *dataset, uint64_t count)
{
    if (!dv_recipe_can_flip(dataset)) {
        return DV_AUGMENTATION_CROP;
    }
    if (kind == DV_RECIPE_PHOTO) {
        return DV_AUGMENTATION_STRONG;
    }
    /* Cutout helps where pictures are seen often; in ten epochs it only slows learning. */
    bool is_seen_often = kind != DV_RECIPE_TINY_GREY && count < 10000;
    return is_seen_often ? DV_AUGMENTATION_CUTOUT : DV_AUGMENTATION_FLIP;
}

struct dv_hyperparameters dv_recipe_hyperparameters(
    const struct dv_dataset_summary *dataset, uint32_t image_size, uint64_t macs)
{
    assert(dataset);

    enum dv_recipe_kind name = dv_recipe_kind_of(image_size, dataset->channels);
    const struct kind *kind = &kinds[name];
    uint64_t count = train_count(dataset);
    struct dv_hyperparameters h = dv_hyperparameters_default();

    h.image_size = image_size;
    h.batch_size = dv_recipe_batch_size(count, kind->batch_max);
    h.epochs = choose_epochs(kind, count, macs);
    h.optimizer = DV_OPTIMIZER_SGD;
    h.momentum = 0.9;
    /* With the square root of the batch, two digits kept: a person will read it. */
    double rate = kind->learning_rate * sqrt((double)h.batch_size / (double)kind->batch_max);
    h.learning_rate = round(rate * 1000.0) / 1000.0;
    h.weight_decay = kind->weight_decay;
    h.dropout = kind->dropout;
    h.schedule = DV_SCHEDULE_ONECYCLE;
    h.warmup_epochs = 0.0;
    h.label_smoothing = 0.1;
    h.augmentation = choose_augmentation(name, dataset, count);
    h.early_stopping_patience = 0;
    h.ema = dv_recipe_ema((double)h.epochs * fmax(1.0, (double)count / (double)h.batch_size));
    return h;
}

/* --- Class names ------------------------------------------------------------------------ */

/* ASCII, without regard to case. */
static bool contains_word(const char *text, const char *word)
{
    size_t length = strlen(word);

    for (; *text; text++) {
        size_t i = 0;
        while (i < length && text[i] && (text[i] | 0x20) == word[i]) {
            i++;
        }
        if (i == length) {
            return true;
        }
    }
    return false;
}

static bool is_letter_or_number(const char *name)
{
    bool are_digits = name[0] != '\0';

    for (const char *c = name; *c; c++) {
        are_digits = are_digits && *c >= '0' && *c <= '9';
    }
    return are_digits || strlen(name) == 1;
}

bool dv_recipe_can_flip(const struct dv_dataset_summary *dataset)
{
    static const char *const words[] = {
        "digit", "letter", "sign", "left", "right", "number", "text", "arrow", "char"};

    assert(dataset);
    for (uint32_t c = 0; c < dataset->class_count; c++) {
        const char *name = dataset->classes[c].name;
        if (is_letter_or_number(name)) {
            return false;
        }
        for (size_t w = 0; w < DV_ARRAY_SIZE(words); w++) {
            if (contains_word(name, words[w])) {
                return false;
            }
        }
    }
    return true;
}
