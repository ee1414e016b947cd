/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Holds every compute backend to `ref`, op by op on random shapes, and `ref` to finite
 * differences. The seed of a failing case is printed; DV_TEST_SEED=n runs from there.
 */
#include "base/alloc.h"
#include "base/random.h"
#include "base/text.h"
#include "nn/backend.h"
#include "nn/backend_impl.h"
#include "spec/fusion.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

/* One op with all its memory, on one backend. Blocks hold NHWC values; `own` ones the op's. */
struct bench {
    struct dv_op *op;
    struct dv_op_args args;
    float *inputs[DV_ARCH_INPUTS_MAX], *gradients[DV_ARCH_INPUTS_MAX];
    float *output, *output_gradient;
};

static float *floats(size_t count)
{
    void *memory;
    assert_int_equal(dv_try_alloc_aligned((count + 16) * sizeof(float), &memory, NULL), DV_OK);
    return memory;
}

static size_t input_floats(const struct bench *b, uint32_t k)
{
    return dv_op_input_floats(&b->op->desc, k);
}

static void to_layout(const struct dv_op_desc *d, struct dv_shape s, enum dv_layout layout,
    bool back, const float *from, float *to)
{
    size_t places = (size_t)s.rows * s.columns;

    for (size_t i = 0; i < d->batch * places * s.channels; i++) {
        size_t c = i % s.channels;
        size_t p = i / s.channels % places;
        size_t n = i / s.channels / places;
        size_t blocked = ((n * (s.channels / 16) + c / 16) * places + p) * 16 + c % 16;
        size_t there = layout == DV_LAYOUT_BLOCKED ? blocked : i;
        to[back ? i : there] = from[back ? there : i];
    }
}

/* `is_coarse`: of nine values, so that there are equal ones (which does a max pool take?) and 0. */
static float random_value(struct dv_random *random, bool is_coarse)
{
    double value = 2 * dv_random_unit(random) - 1;

    return (float)(is_coarse ? round(4 * value) / 4 : value);
}

static void fill(struct dv_random *random, bool is_coarse, float *values, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        values[i] = random_value(random, is_coarse);
    }
}

static float *bench_input(const struct bench *b, uint32_t k)
{
    return (float *)b->args.inputs[k];
}

/* Make the op, fill everything from `seed`: the same numbers whatever the backend and layout. */
static bool bench_open(struct bench *b, const struct dv_backend_impl *backend,
    const struct dv_op_desc *desc, uint64_t seed)
{
    struct dv_random random = dv_random_make(seed, DV_RANDOM_INIT, 7, 0);
    size_t output = dv_op_output_floats(desc);
    bool is_coarse = seed % 4 == 0 || seed % 4 == 3;

    memset(b, 0, sizeof(*b));
    if (backend->op_create(desc, &b->op, NULL) != DV_OK) {
        return false;
    }
    for (uint32_t k = 0; k < desc->input_count; k++) {
        float *plain = floats(input_floats(b, k));
        b->args.inputs[k] = floats(input_floats(b, k));
        fill(&random, is_coarse, plain, input_floats(b, k));
        to_layout(desc, desc->inputs[k], desc->layout, false, plain, bench_input(b, k));
        if (desc->needs_input_gradient) {
            b->args.input_gradients[k] = floats(input_floats(b, k));
            b->args.accumulates[k] = k % 2 == 1 || seed % 3 == 0;
            fill(&random, is_coarse, plain, input_floats(b, k));
            to_layout(
                desc, desc->inputs[k], desc->layout, false, plain, b->args.input_gradients[k]);
        }
        dv_free(plain);
    }
    float *plain = floats(output);
    b->args.output = floats(output);
    b->args.output_gradient = floats(output);
    fill(&random, is_coarse, plain, output);
    to_layout(desc, desc->output, desc->layout_out, false, plain, (float *)b->args.output_gradient);
    dv_free(plain);
    for (int role = 0; role < DV_TENSOR_ROLE_COUNT; role++) {
        size_t count = dv_op_tensor_floats(desc, (enum dv_tensor_role)role);
        float *canonical = floats(count);
        b->args.tensors[role] = floats(b->op->tensor_floats[role]);
        b->args.tensor_gradients[role] = floats(b->op->tensor_floats[role]);
        fill(&random, is_coarse, canonical, count);
        for (size_t i = 0; role == DV_TENSOR_RUNNING_VAR && i < count; i++) {
            canonical[i] = fabsf(canonical[i]) + 0.1f;
        }
        if (count > 0) {
            backend->tensor_import(
                b->op, (enum dv_tensor_role)role, canonical, b->args.tensors[role]);
        }
        dv_free(canonical);
    }
    b->args.saved = floats(b->op->saved_size / sizeof(float) + 1);
    b->args.scratch = floats(b->op->scratch_size / sizeof(float) + 1);
    b->args.dropout_key = seed * 77;
    return true;
}

static void bench_close(struct bench *b)
{
    for (int i = 0; i < DV_ARCH_INPUTS_MAX; i++) {
        dv_free((void *)b->args.inputs[i]);
        dv_free(b->args.input_gradients[i]);
        dv_free(b->args.tensors[i]);
        dv_free(b->args.tensor_gradients[i]);
    }
    dv_free(b->args.output);
    dv_free((void *)b->args.output_gradient);
    dv_free(b->args.saved);
    dv_free(b->args.scratch);
    b->op->backend->op_destroy(b->op);
}

static void run(struct bench *b, bool is_inference)
{
    b->args.is_inference = is_inference;
    b->op->backend->op_forward(b->op, &b->args);
    if (!is_inference) {
        b->op->backend->op_backward(b->op, &b->args);
    }
}

/* Largest difference, relative to the largest value. */
static void expect_close(
    const char *what, const struct bench *b, const float *found, const float *wanted, size_t count)
{
    double scale = 1e-6;
    double difference = 0;

    for (size_t i = 0; i < count; i++) {
        scale = fmax(scale, fabs((double)wanted[i]));
        difference = fmax(difference, fabs((double)found[i] - (double)wanted[i]));
    }
    if (!(difference <= 2e-5 * scale * 4)) {
        print_error("%s of %s (%s) is off by %g of %g\n", what, dv_node_op_name(b->op->desc.op),
            b->op->kernels, difference, scale);
        fail();
    }
}

static void compare_values(const char *what, const struct bench *b, struct dv_shape shape,
    enum dv_layout layout, const float *found, const float *wanted)
{
    size_t count = (size_t)b->op->desc.batch * shape.channels * shape.rows * shape.columns;
    float *plain = floats(count);

    to_layout(&b->op->desc, shape, layout, true, found, plain);
    expect_close(what, b, plain, wanted, count);
    dv_free(plain);
}

static void compare_tensors(
    const char *what, const struct bench *b, const struct bench *ref, bool gradients)
{
    for (int role = 0; role < (gradients ? DV_TENSOR_RUNNING_MEAN : DV_TENSOR_ROLE_COUNT); role++) {
        size_t count = dv_op_tensor_floats(&ref->op->desc, (enum dv_tensor_role)role);
        float *canonical = floats(count);
        if (count > 0) {
            b->op->backend->tensor_export(b->op, (enum dv_tensor_role)role,
                gradients ? b->args.tensor_gradients[role] : b->args.tensors[role], canonical);
            expect_close(what, b, canonical,
                gradients ? ref->args.tensor_gradients[role] : ref->args.tensors[role], count);
        }
        dv_free(canonical);
    }
}

static void compare(
    const struct dv_backend_impl *backend, const struct dv_op_desc *desc, uint64_t seed)
{
    for (int is_inference = !desc->is_training; is_inference < 2; is_inference++) {
        struct dv_op_desc plain = *desc;
        struct bench ours;
        struct bench ref;
        plain.layout = DV_LAYOUT_NHWC;
        plain.layout_out = DV_LAYOUT_NHWC;
        assert_true(bench_open(&ref, &dv_backend_ref, &plain, seed));
        if (!bench_open(&ours, backend, desc, seed)) {
            bench_close(&ref);
            assert_true(desc->layout == DV_LAYOUT_BLOCKED || desc->op == DV_NODE_INPUT);
            return; /* not in this layout */
        }
        if (ours.op->is_fallback && desc->layout == DV_LAYOUT_NHWC) {
            fail_msg("%s of %u to %u channels, kernel %u, groups %u runs on %s",
                dv_node_op_name(desc->op), desc->inputs[0].channels, desc->output.channels,
                desc->kernel, desc->groups, ours.op->kernels);
        }
        run(&ours, is_inference);
        run(&ref, is_inference);
        compare_values(
            "output", &ours, desc->output, desc->layout_out, ours.args.output, ref.args.output);
        for (uint32_t k = 0; k < desc->input_count && !is_inference && desc->needs_input_gradient;
             k++) {
            compare_values("input gradient", &ours, desc->inputs[k], desc->layout,
                ours.args.input_gradients[k], ref.args.input_gradients[k]);
        }
        if (!is_inference) {
            compare_tensors("tensor gradient", &ours, &ref, true);
        }
        compare_tensors("tensor", &ours, &ref, false);
        bench_close(&ours);
        bench_close(&ref);
    }
}

/* --- Random ops ------------------------------------------------------------------------------- */

static uint32_t pick(struct dv_random *random, uint32_t low, uint32_t high)
{
    return low + (uint32_t)dv_random_below(random, high - low + 1);
}

/* `padding_max` 0: up to half the kernel. */
static void make_window(
    struct dv_random *random, struct dv_op_desc *d, uint32_t kernel_max, uint32_t padding_max)
{
    do {
        d->kernel = pick(random, 1, kernel_max);
        d->stride = pick(random, 1, 2);
        d->padding = pick(random, 0, padding_max ? padding_max : d->kernel / 2);
    } while (d->inputs[0].rows + 2 * d->padding < d->kernel ||
             d->inputs[0].columns + 2 * d->padding < d->kernel);
    d->output.rows = (d->inputs[0].rows + 2 * d->padding - d->kernel) / d->stride + 1;
    d->output.columns = (d->inputs[0].columns + 2 * d->padding - d->kernel) / d->stride + 1;
}

/* A number of groups that divides the channels on both sides. */
static uint32_t pick_groups(struct dv_random *random, const struct dv_op_desc *d)
{
    uint32_t groups = pick(random, 1, d->inputs[0].channels);

    while (d->inputs[0].channels % groups != 0 || d->output.channels % groups != 0) {
        groups--;
    }
    return groups;
}

/* Groups of at least four numbers: of one alone, all gradients are 0 and rounding is all there is.
 */
static void make_groups(struct dv_random *random, struct dv_op_desc *d)
{
    bool is_flat = pick(random, 0, 3) == 0;

    d->groups = pick_groups(random, d);
    if (is_flat) {
        d->inputs[0].channels *= 4;
        d->inputs[0].rows = d->inputs[0].columns = 1;
    } else {
        d->inputs[0].rows++;
        d->inputs[0].columns++;
    }
    d->output = d->inputs[0];
}

/* One that the op can apply itself, or none. */
static enum dv_activation pick_activation(struct dv_random *random, const struct dv_op_desc *d)
{
    enum dv_activation act = (enum dv_activation)pick(random, 0, DV_ACT_COUNT - 1);

    return dv_node_can_activate(d->op, act, d->is_training) ? act : DV_ACT_NONE;
}

static struct dv_op_desc random_op(enum dv_node_op op, struct dv_random *random, bool is_blocked)
{
    uint32_t unit = is_blocked ? 16 : 1;
    struct dv_shape shape = {
        unit * pick(random, 1, is_blocked ? 3 : 20), pick(random, 1, 9), pick(random, 1, 9)};
    struct dv_op_desc d = {.op = op,
        .batch = pick(random, 1, 5),
        .inputs = {shape},
        .input_count = 1,
        .output = shape,
        .groups = 1,
        .is_training = pick(random, 0, 3) > 0,
        .needs_input_gradient = pick(random, 0, 4) > 0,
        .layout = is_blocked ? DV_LAYOUT_BLOCKED : DV_LAYOUT_NHWC};

    d.layout_out = d.layout;
    switch (op) {
    case DV_NODE_CONV:
        make_window(random, &d, 11, pick(random, 0, 3) == 0 ? 11 : 0);
        d.output.channels = unit * pick(random, 1, is_blocked ? 3 : 20);
        d.groups = pick_groups(random, &d);
        if (pick(random, 0, 2) == 0) { /* depthwise */
            d.output.channels = d.groups = d.inputs[0].channels;
        }
        d.has_bias = pick(random, 0, 1);
        d.act = pick_activation(random, &d);
        break;
    case DV_NODE_POOL:
        make_window(random, &d, 3, 0);
        d.pooling = pick(random, 0, 1) ? DV_POOLING_MAX : DV_POOLING_AVG;
        break;
    case DV_NODE_GLOBAL_POOL:
        d.pooling = pick(random, 0, 1) ? DV_POOLING_MAX : DV_POOLING_AVG;
        d.output.rows = d.output.columns = 1;
        break;
    case DV_NODE_BATCH_NORM:
        d.batch += 3;
        d.act = pick_activation(random, &d);
        break;
    case DV_NODE_ADD:
    case DV_NODE_CONCAT:
        d.input_count = pick(random, 2, 4);
        for (uint32_t k = 1; k < d.input_count; k++) {
            d.inputs[k] = shape;
            if (op == DV_NODE_CONCAT) {
                d.inputs[k].channels = unit * pick(random, 1, 3);
                d.output.channels += d.inputs[k].channels;
            }
        }
        d.act = pick_activation(random, &d);
        break;
    case DV_NODE_DROPOUT:
        d.drop = 0.3;
        break;
    case DV_NODE_ACTIVATION:
        d.act = (enum dv_activation)pick(random, 1, DV_ACT_COUNT - 1);
        break;
    case DV_NODE_FLATTEN:
        d.output = (struct dv_shape){shape.channels * shape.rows * shape.columns, 1, 1};
        break;
    case DV_NODE_LINEAR:
        d.inputs[0].rows = d.inputs[0].columns = 1;
        d.output = (struct dv_shape){unit * pick(random, 1, 20), 1, 1};
        d.has_bias = pick(random, 0, 1);
        d.act = pick_activation(random, &d);
        break;
    case DV_NODE_GROUP_NORM:
        make_groups(random, &d);
        d.act = pick_activation(random, &d);
        break;
    case DV_NODE_SCALE:
        d.input_count = 2;
        d.inputs[1] = (struct dv_shape){shape.channels, 1, 1};
        break;
    case DV_NODE_DROP_PATH:
        d.batch += 3;
        d.drop = 0.4;
        break;
    case DV_NODE_PAD_SHORTCUT:
        d.stride = pick(random, 1, 2);
        d.output.channels += unit * pick(random, 0, 3);
        d.output.rows = (shape.rows - 1) / d.stride + 1;
        d.output.columns = (shape.columns - 1) / d.stride + 1;
        break;
    case DV_NODE_INPUT:
        d.layout_out = is_blocked ? DV_LAYOUT_NHWC : DV_LAYOUT_BLOCKED;
        d.inputs[0].channels = d.output.channels = 16 * pick(random, 1, 3);
        break;
    default:
        break;
    }
    if (dv_op_tensor_floats(&d, DV_TENSOR_WEIGHT) == 0) {
        d.needs_input_gradient = true; /* there is nothing else to do */
    }
    return d;
}

static void every_backend_agrees_with_ref_on_random_ops(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 120; seed++) {
        for (int op = 0; op < DV_NODE_OP_COUNT; op++) {
            struct dv_random random = dv_random_make(seed, DV_RANDOM_SAMPLE, (uint64_t)op, 0);
            struct dv_op_desc desc = random_op((enum dv_node_op)op, &random, seed % 2 == 0);
            for (size_t i = 0; dv_backend_at(i); i++) {
                compare(dv_backend_at(i), &desc, seed);
            }
        }
    }
}

/* --- Finite differences: is `ref` itself right? --------------------------------------------- */

/* The scalar whose gradient backward computes: sum of output times output gradient. */
static double objective(struct bench *b)
{
    double sum = 0;

    b->op->backend->op_forward(b->op, &b->args);
    for (size_t i = 0; i < dv_op_output_floats(&b->op->desc); i++) {
        sum += (double)b->args.output[i] * (double)b->args.output_gradient[i];
    }
    return sum;
}

static void expect_slope(struct bench *b, float *at, float gradient, const char *what)
{
    const float h = 2e-3f;
    float before = *at;

    *at = before + h;
    double up = objective(b);
    *at = before - h;
    double down = objective(b);
    *at = before;
    double middle = objective(b);
    double slope = (up - down) / (2 * (double)h);
    double bend = fabs((up - middle) - (middle - down)) / (double)h;
    /* A kink (relu, max) within h shows as a bend: such a place proves nothing. */
    if (bend < 0.02 && fabs(slope - (double)gradient) > 0.02 + 0.02 * fabs(slope)) {
        print_error("%s of %s: slope %g, gradient %g\n", what, dv_node_op_name(b->op->desc.op),
            slope, (double)gradient);
        fail();
    }
}

static void ref_gradients_equal_finite_differences(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 12; seed++) {
        for (int op = 0; op < DV_NODE_OP_COUNT; op++) {
            struct dv_random random = dv_random_make(seed, DV_RANDOM_SAMPLE, (uint64_t)op, 1);
            struct dv_op_desc desc = random_op((enum dv_node_op)op, &random, false);
            struct bench b;
            desc.layout_out = DV_LAYOUT_NHWC;
            desc.is_training = true;
            /* Not coarse: at 0, where many would be, an activation may have two slopes. */
            assert_true(bench_open(&b, &dv_backend_ref, &desc, 4 * seed + 1));
            memset(b.args.accumulates, 0, sizeof(b.args.accumulates));
            run(&b, false);
            for (uint32_t k = 0; k < desc.input_count && desc.needs_input_gradient; k++) {
                for (int probe = 0; probe < 5; probe++) {
                    size_t i = (size_t)dv_random_below(&random, input_floats(&b, k));
                    expect_slope(&b, bench_input(&b, k) + i, b.args.input_gradients[k][i], "input");
                }
            }
            for (int role = 0; role < DV_TENSOR_RUNNING_MEAN; role++) {
                size_t count = dv_op_tensor_floats(&desc, (enum dv_tensor_role)role);
                for (int probe = 0; probe < 5 && count > 0; probe++) {
                    size_t i = (size_t)dv_random_below(&random, count);
                    expect_slope(
                        &b, b.args.tensors[role] + i, b.args.tensor_gradients[role][i], "tensor");
                }
            }
            bench_close(&b);
        }
    }
}

/* --- What is no number ---------------------------------------------------------------------- */

/* With no number in any place of its input, is there none in any of its output? */
static void expect_no_numbers(const struct dv_op_desc *desc)
{
    for (size_t k = 0; dv_backend_at(k); k++) {
        struct bench b;
        size_t found = 0;
        if (!bench_open(&b, dv_backend_at(k), desc, 1)) {
            continue; /* not in this layout */
        }
        for (size_t n = 0; n < input_floats(&b, 0); n++) {
            bench_input(&b, 0)[n] = NAN;
        }
        run(&b, false);
        for (size_t n = 0; n < dv_op_output_floats(desc); n++) {
            found += isnan(b.args.output[n]) != 0;
        }
        if (found != dv_op_output_floats(desc)) {
            fail_msg("%s of %s, activation %d: %zu of %zu are no numbers",
                dv_node_op_name(desc->op), dv_backend_at(k)->name, (int)desc->act, found,
                dv_op_output_floats(desc));
        }
        bench_close(&b);
    }
}

/*
 * A run that has gone wrong is found by its loss. That needs every op to hand on what is no
 * number: a relu that made a zero of it would hide it. (The one that oneDNN fuses into a
 * convolution does; for that the trainer looks at the weights, too.)
 */
static void what_is_no_number_stays_no_number(void **state)
{
    static const enum dv_node_op kinds[] = {DV_NODE_CONV, DV_NODE_BATCH_NORM, DV_NODE_ADD,
        DV_NODE_ACTIVATION, DV_NODE_LINEAR, DV_NODE_GLOBAL_POOL, DV_NODE_GROUP_NORM, DV_NODE_SCALE,
        DV_NODE_DROP_PATH};

    (void)state;
    for (size_t i = 0; i < 2 * DV_ARRAY_SIZE(kinds); i++) {
        struct dv_random random = dv_random_make(1, DV_RANDOM_SAMPLE, i, 2);
        struct dv_op_desc desc = random_op(kinds[i / 2], &random, i % 2 == 1);
        bool is_library = desc.op == DV_NODE_CONV || desc.op == DV_NODE_LINEAR;
        desc.is_training = true;
        for (int act = 0; act < DV_ACT_COUNT; act++) {
            desc.act = (enum dv_activation)act;
            if (dv_node_can_activate(desc.op, desc.act, true) && !(is_library && act > 0)) {
                expect_no_numbers(&desc);
            }
        }
    }
}

/* A layer of some network, at a batch of 64. */
struct layer {
    enum dv_node_op op;
    uint32_t in, side, out, side_out, kernel, stride, groups;
};

static enum dv_status make_layer(const struct layer *l, enum dv_layout layout, bool is_training,
    enum dv_activation act, struct dv_op **ret_op)
{
    const struct dv_op_desc desc = {.op = l->op,
        .batch = 64,
        .inputs = {{l->in, l->side, l->side}},
        .input_count = 1,
        .output = {l->out, l->side_out, l->side_out},
        .kernel = l->kernel,
        .stride = l->stride,
        .padding = l->kernel / 2,
        .groups = l->groups,
        .act = act,
        .is_training = is_training,
        .needs_input_gradient = l->in > 3,
        .layout = layout,
        .layout_out = layout};

    return dv_backend_onednn.op_create(&desc, ret_op, NULL);
}

/* Does this layer run on a fast kernel, in training and when it only answers? */
static void expect_fast_kernels(const struct layer *l, enum dv_activation act, bool is_training)
{
    bool has_avx512 = false;

    for (int layout = DV_LAYOUT_NHWC; layout < DV_LAYOUT_COUNT; layout++) {
        struct dv_op *op = NULL;
        if (make_layer(l, (enum dv_layout)layout, is_training, act, &op) != DV_OK) {
            continue; /* not in this layout, or not with this activation */
        }
        has_avx512 = has_avx512 || strstr(op->kernels, "avx512");
        assert_int_equal(op->is_fallback, strstr(op->kernels, "ref:") != NULL);
        /* Blocks of sixteen are made for registers of sixteen, and for no smaller groups. */
        bool may_fall = layout == DV_LAYOUT_BLOCKED && (!has_avx512 || l->groups > 1);
        if (op->is_fallback && !may_fall) {
            fail_msg("%u to %u channels, kernel %u, groups %u, activation %d: %s", l->in, l->out,
                l->kernel, l->groups, (int)act, op->kernels);
        }
        dv_backend_onednn.op_destroy(op);
    }
}

/* In NHWC none does, so that there is always a layout to choose. */
static void no_layer_of_common_networks_falls_to_a_reference_kernel(void **state)
{
    static const struct layer layers[] = {
        {DV_NODE_CONV, 3, 64, 64, 32, 7, 2, 1},
        {DV_NODE_CONV, 3, 32, 16, 32, 3, 1, 1},
        {DV_NODE_CONV, 1, 28, 32, 28, 3, 1, 1},
        {DV_NODE_CONV, 32, 28, 64, 14, 3, 2, 1},
        {DV_NODE_CONV, 64, 14, 128, 7, 1, 2, 1},
        {DV_NODE_CONV, 512, 2, 512, 2, 3, 1, 1},
        {DV_NODE_CONV, 128, 8, 128, 8, 3, 1, 32}, /* ResNeXt */
        {DV_NODE_CONV, 96, 16, 96, 16, 3, 1, 96}, /* MobileNet */
        {DV_NODE_CONV, 144, 16, 144, 8, 5, 2, 144},
        {DV_NODE_CONV, 24, 16, 144, 16, 1, 1, 1},
        {DV_NODE_CONV, 144, 1, 8, 1, 1, 1, 1}, /* squeeze-and-excitation */
        {DV_NODE_CONV, 8, 1, 144, 1, 1, 1, 1},
        {DV_NODE_CONV, 30, 9, 20, 5, 3, 2, 5},
        {DV_NODE_CONV, 3, 32, 9, 32, 5, 1, 3},
        {DV_NODE_CONV, 3, 32, 8, 32, 11, 1, 1},
        {DV_NODE_LINEAR, 512, 1, 10, 1, 0, 0, 1},
    };

    (void)state;
    for (size_t i = 0; i < DV_ARRAY_SIZE(layers); i++) {
        for (int act = 0; act < DV_ACT_COUNT; act++) {
            expect_fast_kernels(&layers[i], (enum dv_activation)act, true);
            expect_fast_kernels(&layers[i], (enum dv_activation)act, false);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_backend_agrees_with_ref_on_random_ops),
        cmocka_unit_test(ref_gradients_equal_finite_differences),
        cmocka_unit_test(what_is_no_number_stays_no_number),
        cmocka_unit_test(no_layer_of_common_networks_falls_to_a_reference_kernel),
    };

    return cmocka_run_group_tests_name("backend ops", tests, NULL, NULL);
}
