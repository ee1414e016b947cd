/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Convolutions and linear layers as oneDNN primitives (API of 2.6). The only file that sees
 * dnnl.h. Read conv_plan() first: it makes the three primitives of an op and fixes the layout of
 * the weights, which is what forward wants; backward passes that want another get a reorder.
 *
 * Data layouts are always given, never left open: with few input channels an open one ends in
 * oneDNN's reference kernel, 500 times slower.
 */
#include "nn/backend/onednn/onednn_private.h"

#include "base/alloc.h"
#include "base/text.h"
#include "nn/kernels.h"
#include "spec/fusion.h"

#include <assert.h>
#include <dnnl.h>
#include <omp.h>
#include <stdio.h>
#include <string.h>

enum { PASS_FORWARD, PASS_DATA, PASS_WEIGHTS, PASS_COUNT };

/* Executing one primitive: its arguments in oneDNN's memory objects, whose pointers are set late.
 */
struct reorder {
    dnnl_primitive_t primitive; /* NULL: the layouts are equal */
    dnnl_memory_t from, to;
};

struct conv {
    struct dv_op base;
    dnnl_primitive_desc_t descriptions[PASS_COUNT];
    dnnl_primitive_t passes[PASS_COUNT];
    dnnl_memory_t source, target, weight, bias;     /* forward */
    dnnl_memory_t data_weight;                      /* in backward data's layout */
    dnnl_memory_t source_gradient, target_gradient; /* backward */
    dnnl_memory_t weight_gradient, bias_gradient;   /* in backward weights' layout */
    dnnl_memory_t scratchpads[PASS_COUNT];
    struct reorder to_data_weight, from_weight_gradient;
    struct reorder import, export; /* canonical to own, and back */
    bool has_own_weights_pass;     /* the gradients of weights and bias are our kernel's */
    /* The parts of the scratch, in bytes from its start. */
    size_t at_data_weight, at_weight_gradient, at_source_gradient, at_target_gradient, at_partial;
};

static dnnl_engine_t engine; /* the CPU: one for the process, made by the first op */
static dnnl_stream_t stream;

static struct conv *conv_from_op(struct dv_op *op)
{
    assert(op->backend == &dv_backend_onednn);
    return (struct conv *)op;
}

static enum dv_status check(dnnl_status_t result, const char *what, struct dv_error *reterr)
{
    if (result == dnnl_success) {
        return DV_OK;
    }
    return dv_fail(reterr, result == dnnl_out_of_memory ? DV_NOMEM : DV_UNSUPPORTED,
        "oneDNN cannot %s (status %d)", what, (int)result);
}

static enum dv_status open_engine(struct dv_error *reterr)
{
    enum dv_status status = DV_OK;

    if (!engine) {
        status = check(dnnl_engine_create(&engine, dnnl_cpu, 0), "open the processor", reterr);
    }
    if (status == DV_OK && !stream) {
        status = check(
            dnnl_stream_create(&stream, engine, dnnl_stream_in_order), "open a stream", reterr);
    }
    return status;
}

void dv_onednn_library(char *ret_text, size_t size)
{
    const dnnl_version_t *version = dnnl_version();

    (void)snprintf(
        ret_text, size, "oneDNN %d.%d.%d", version->major, version->minor, version->patch);
}

/* --- Descriptions ---------------------------------------------------------------------------- */

/* The shapes of one op for oneDNN. */
struct shapes {
    dnnl_memory_desc_t source, target, weight_any, weight_plain, bias;
    dnnl_dims_t strides, dilations, padding_left, padding_right;
};

static dnnl_status_t describe(
    dnnl_memory_desc_t *ret, int rank, const dnnl_dims_t dims, dnnl_format_tag_t tag)
{
    return dnnl_memory_desc_init_by_tag(ret, rank, dims, dnnl_f32, tag);
}

static void conv_shapes(const struct dv_op_desc *d, struct shapes *s)
{
    dnnl_format_tag_t tag = d->layout == DV_LAYOUT_BLOCKED ? dnnl_nChw16c : dnnl_nhwc;
    dnnl_dims_t in = {d->batch, d->inputs[0].channels, d->inputs[0].rows, d->inputs[0].columns};
    dnnl_dims_t out = {d->batch, d->output.channels, d->output.rows, d->output.columns};
    dnnl_dims_t plain = {d->output.channels, d->inputs[0].channels, d->kernel, d->kernel};
    dnnl_dims_t grouped = {d->groups, d->output.channels / d->groups,
        d->inputs[0].channels / d->groups, d->kernel, d->kernel};
    dnnl_dims_t bias = {d->output.channels};
    bool has_groups = d->groups > 1;

    (void)describe(&s->source, 4, in, tag);
    (void)describe(&s->target, 4, out, tag);
    (void)describe(
        &s->weight_any, has_groups ? 5 : 4, has_groups ? grouped : plain, dnnl_format_tag_any);
    (void)describe(&s->weight_plain, has_groups ? 5 : 4, has_groups ? grouped : plain,
        has_groups ? dnnl_goihw : dnnl_oihw);
    (void)describe(&s->bias, 1, bias, dnnl_a);
    for (int i = 0; i < 2; i++) {
        dnnl_dim_t in_side = i == 0 ? d->inputs[0].rows : d->inputs[0].columns;
        dnnl_dim_t out_side = i == 0 ? d->output.rows : d->output.columns;
        s->strides[i] = d->stride;
        s->dilations[i] = 0;
        s->padding_left[i] = d->padding;
        s->padding_right[i] =
            (out_side - 1) * (dnnl_dim_t)d->stride + d->kernel - in_side - (dnnl_dim_t)d->padding;
    }
}

static void linear_shapes(const struct dv_op_desc *d, struct shapes *s)
{
    dnnl_dims_t in = {d->batch, d->inputs[0].channels};
    dnnl_dims_t out = {d->batch, d->output.channels};
    dnnl_dims_t weight = {d->output.channels, d->inputs[0].channels};
    dnnl_dims_t bias = {d->output.channels};

    (void)describe(&s->source, 2, in, dnnl_ab);
    (void)describe(&s->target, 2, out, dnnl_ab);
    (void)describe(&s->weight_any, 2, weight, dnnl_ab);
    (void)describe(&s->weight_plain, 2, weight, dnnl_ab);
    (void)describe(&s->bias, 1, bias, dnnl_a);
}

/* A description of one pass, as the union that dnnl_primitive_desc_create() takes. */
union pass_desc {
    dnnl_convolution_desc_t conv;
    dnnl_inner_product_desc_t linear;
};

static dnnl_status_t describe_conv_pass(
    const struct dv_op_desc *d, const struct shapes *s, int pass, dnnl_convolution_desc_t *ret)
{
    const dnnl_memory_desc_t *bias = d->has_bias ? &s->bias : NULL;

    switch (pass) {
    case PASS_FORWARD:
        return dnnl_dilated_convolution_forward_desc_init(ret,
            d->is_training ? dnnl_forward_training : dnnl_forward_inference,
            dnnl_convolution_direct, &s->source, &s->weight_any, bias, &s->target, s->strides,
            s->dilations, s->padding_left, s->padding_right);
    case PASS_DATA:
        return dnnl_dilated_convolution_backward_data_desc_init(ret, dnnl_convolution_direct,
            &s->source, &s->weight_any, &s->target, s->strides, s->dilations, s->padding_left,
            s->padding_right);
    default:
        return dnnl_dilated_convolution_backward_weights_desc_init(ret, dnnl_convolution_direct,
            &s->source, &s->weight_any, bias, &s->target, s->strides, s->dilations, s->padding_left,
            s->padding_right);
    }
}

static dnnl_status_t describe_linear_pass(
    const struct dv_op_desc *d, const struct shapes *s, int pass, dnnl_inner_product_desc_t *ret)
{
    const dnnl_memory_desc_t *bias = d->has_bias ? &s->bias : NULL;

    switch (pass) {
    case PASS_FORWARD:
        return dnnl_inner_product_forward_desc_init(ret,
            d->is_training ? dnnl_forward_training : dnnl_forward_inference, &s->source,
            &s->weight_any, bias, &s->target);
    case PASS_DATA:
        return dnnl_inner_product_backward_data_desc_init(
            ret, &s->source, &s->weight_any, &s->target);
    default:
        return dnnl_inner_product_backward_weights_desc_init(
            ret, &s->source, &s->weight_any, bias, &s->target);
    }
}

/* An activation in oneDNN's words, applied one after the other. */
struct eltwise {
    dnnl_alg_kind_t kind; /* dnnl_alg_kind_undef: no more */
    float alpha, beta;
};

static const struct eltwise eltwises[DV_ACT_COUNT][2] = {
    [DV_ACT_RELU] = {{dnnl_eltwise_relu, 0, 0}},
    [DV_ACT_RELU6] = {{dnnl_eltwise_clip, 0, 6}},
    [DV_ACT_LEAKY_RELU] = {{dnnl_eltwise_relu, DV_LEAKY_RELU_SLOPE, 0}},
    [DV_ACT_SILU] = {{dnnl_eltwise_swish, 1, 0}},
    [DV_ACT_GELU] = {{dnnl_eltwise_gelu_erf, 0, 0}},
    [DV_ACT_HARDSWISH] = {{dnnl_eltwise_hardswish, 0, 0}},
    [DV_ACT_SIGMOID] = {{dnnl_eltwise_logistic, 0, 0}},
    [DV_ACT_HARDSIGMOID] = {{dnnl_eltwise_linear, 1.0f / 6.0f, 0.5f}, {dnnl_eltwise_clip, 0, 1}},
};

static dnnl_status_t append_activation(enum dv_activation act, dnnl_primitive_attr_t attributes)
{
    dnnl_post_ops_t post_ops = NULL;
    dnnl_status_t result = dnnl_post_ops_create(&post_ops);

    for (size_t i = 0; i < 2 && result == dnnl_success; i++) {
        const struct eltwise *e = &eltwises[act][i];
        if (e->kind != dnnl_alg_kind_undef) {
            result = dnnl_post_ops_append_eltwise(post_ops, 1.0f, e->kind, e->alpha, e->beta);
        }
    }
    if (result == dnnl_success) {
        result = dnnl_primitive_attr_set_post_ops(attributes, post_ops);
    }
    (void)dnnl_post_ops_destroy(post_ops);
    return result;
}

/* Scratch memory is ours to plan; the activation is fused into forward. */
static dnnl_status_t make_attributes(enum dv_activation act, dnnl_primitive_attr_t *ret)
{
    dnnl_status_t result = dnnl_primitive_attr_create(ret);

    if (result == dnnl_success) {
        result = dnnl_primitive_attr_set_scratchpad_mode(*ret, dnnl_scratchpad_mode_user);
    }
    if (result == dnnl_success && act != DV_ACT_NONE) {
        result = append_activation(act, *ret);
    }
    return result;
}

static enum dv_status make_pass(
    struct conv *conv, const struct shapes *s, int pass, struct dv_error *reterr)
{
    const struct dv_op_desc *d = &conv->base.desc;
    union pass_desc desc;
    dnnl_primitive_attr_t attributes = NULL;
    dnnl_status_t result = d->op == DV_NODE_CONV ? describe_conv_pass(d, s, pass, &desc.conv)
                                                 : describe_linear_pass(d, s, pass, &desc.linear);

    if (result == dnnl_success) {
        result = make_attributes(pass == PASS_FORWARD ? d->act : DV_ACT_NONE, &attributes);
    }
    if (result == dnnl_success) {
        result = dnnl_primitive_desc_create(&conv->descriptions[pass], &desc, attributes, engine,
            pass == PASS_FORWARD ? NULL : conv->descriptions[PASS_FORWARD]);
    }
    if (result == dnnl_success) {
        result = dnnl_primitive_create(&conv->passes[pass], conv->descriptions[pass]);
    }
    (void)dnnl_primitive_attr_destroy(attributes);
    return check(result, "plan a layer", reterr);
}

/*
 * The gradient of the weights: for depthwise convolutions oneDNN has a kernel for windows of 3x3,
 * and else takes what is several times slower than ours, or its reference.
 */
static enum dv_status make_weights_pass(
    struct conv *conv, const struct shapes *s, struct dv_error *reterr)
{
    const struct dv_op_desc *d = &conv->base.desc;
    bool is_depthwise = d->op == DV_NODE_CONV && d->groups > 1 &&
                        d->groups == d->inputs[0].channels && d->groups == d->output.channels;
    const char *name = "";
    enum dv_status status = make_pass(conv, s, PASS_WEIGHTS, reterr);

    if (status != DV_OK || !is_depthwise) {
        return status;
    }
    (void)dnnl_primitive_desc_query(
        conv->descriptions[PASS_WEIGHTS], dnnl_query_impl_info_str, 0, &name);
    if (!dv_text_has_prefix(name, "jit_dw")) {
        (void)dnnl_primitive_destroy(conv->passes[PASS_WEIGHTS]);
        (void)dnnl_primitive_desc_destroy(conv->descriptions[PASS_WEIGHTS]);
        conv->passes[PASS_WEIGHTS] = NULL;
        conv->descriptions[PASS_WEIGHTS] = NULL;
        conv->has_own_weights_pass = true;
    }
    return DV_OK;
}

/* --- Memory objects ------------------------------------------------------------------------- */

static dnnl_status_t make_memory(const dnnl_memory_desc_t *desc, dnnl_memory_t *ret)
{
    return dnnl_memory_create(ret, desc, engine, DNNL_MEMORY_NONE);
}

static const dnnl_memory_desc_t *asked(const struct conv *conv, int pass, dnnl_query_t what)
{
    return dnnl_primitive_desc_query_md(conv->descriptions[pass], what, 0);
}

static dnnl_status_t make_reorder(
    const dnnl_memory_desc_t *from, const dnnl_memory_desc_t *to, struct reorder *ret)
{
    dnnl_primitive_desc_t desc = NULL;
    dnnl_status_t result;

    if (dnnl_memory_desc_equal(from, to)) {
        return dnnl_success;
    }
    result = dnnl_reorder_primitive_desc_create(&desc, from, engine, to, engine, NULL);
    if (result == dnnl_success) {
        result = dnnl_primitive_create(&ret->primitive, desc);
    }
    if (result == dnnl_success) {
        result = make_memory(from, &ret->from);
    }
    if (result == dnnl_success) {
        result = make_memory(to, &ret->to);
    }
    (void)dnnl_primitive_desc_destroy(desc);
    return result;
}

static size_t take(size_t *size, size_t more)
{
    size_t start = *size;

    *size += (more + 63) / 64 * 64;
    return start;
}

static enum dv_status make_memories(struct conv *c, const struct shapes *s, struct dv_error *reterr)
{
    const dnnl_memory_desc_t *own = asked(c, PASS_FORWARD, dnnl_query_weights_md);
    dnnl_status_t result = make_memory(&s->source, &c->source);

    result = result ? result : make_memory(&s->target, &c->target);
    result = result ? result : make_memory(own, &c->weight);
    result = result ? result : make_memory(&s->bias, &c->bias);
    result = result ? result : make_memory(&s->source, &c->source_gradient);
    result = result ? result : make_memory(&s->target, &c->target_gradient);
    result = result ? result : make_memory(&s->bias, &c->bias_gradient);
    result = result ? result : make_reorder(&s->weight_plain, own, &c->import);
    result = result ? result : make_reorder(own, &s->weight_plain, &c->export);
    for (int pass = 0; pass < PASS_COUNT && !result; pass++) {
        if (c->passes[pass]) {
            result = make_memory(asked(c, pass, dnnl_query_scratchpad_md), &c->scratchpads[pass]);
        }
    }
    if (c->passes[PASS_WEIGHTS] && !result) {
        const dnnl_memory_desc_t *gradient = asked(c, PASS_WEIGHTS, dnnl_query_diff_weights_md);
        result = make_memory(gradient, &c->weight_gradient);
        result = result ? result : make_reorder(gradient, own, &c->from_weight_gradient);
    }
    if (c->passes[PASS_DATA] && !result) {
        const dnnl_memory_desc_t *data = asked(c, PASS_DATA, dnnl_query_weights_md);
        result = make_memory(data, &c->data_weight);
        result = result ? result : make_reorder(own, data, &c->to_data_weight);
    }
    return check(result, "plan a layer's memory", reterr);
}

static void plan_scratch(struct conv *c)
{
    struct dv_op *op = &c->base;
    size_t size = 0;
    size_t scratchpad = 0;

    for (int pass = 0; pass < PASS_COUNT; pass++) {
        if (c->passes[pass]) {
            size_t need = dnnl_memory_desc_get_size(asked(c, pass, dnnl_query_scratchpad_md));
            scratchpad = need > scratchpad ? need : scratchpad;
        }
    }
    (void)take(&size, scratchpad); /* first: the primitives' own, shared by the passes */
    if (c->to_data_weight.primitive) {
        c->at_data_weight =
            take(&size, dnnl_memory_desc_get_size(asked(c, PASS_DATA, dnnl_query_weights_md)));
    }
    if (c->has_own_weights_pass) {
        size_t taps = (size_t)op->desc.kernel * op->desc.kernel;
        size_t channels = op->desc.output.channels;
        size_t threads = (size_t)omp_get_max_threads();
        c->at_weight_gradient = take(&size, channels * taps * sizeof(float));
        c->at_partial = take(&size, threads * channels * (taps + 1) * sizeof(float));
    }
    if (c->from_weight_gradient.primitive) {
        c->at_weight_gradient = take(
            &size, dnnl_memory_desc_get_size(asked(c, PASS_WEIGHTS, dnnl_query_diff_weights_md)));
    }
    if (c->passes[PASS_DATA]) {
        c->at_source_gradient = take(&size, dv_op_input_floats(&op->desc, 0) * sizeof(float));
    }
    if (op->desc.act != DV_ACT_NONE && op->desc.is_training) {
        c->at_target_gradient = take(&size, dv_op_output_floats(&op->desc) * sizeof(float));
    }
    op->scratch_size = size;
}

static void note_kernels(struct conv *c)
{
    const char *names[PASS_COUNT] = {"-", "-", "-"};

    if (c->has_own_weights_pass) {
        names[PASS_WEIGHTS] = dv_kernels()->name;
    }
    for (int pass = 0; pass < PASS_COUNT; pass++) {
        if (c->passes[pass]) {
            (void)dnnl_primitive_desc_query(
                c->descriptions[pass], dnnl_query_impl_info_str, 0, &names[pass]);
            c->base.is_fallback = c->base.is_fallback || dv_text_has_prefix(names[pass], "ref");
        }
    }
    (void)snprintf(c->base.kernels, sizeof(c->base.kernels), "%.40s %.40s %.40s", names[0],
        names[1], names[2]);
}

static enum dv_status conv_plan(struct conv *conv, struct dv_error *reterr)
{
    const struct dv_op_desc *d = &conv->base.desc;
    struct shapes s;

    if (d->op == DV_NODE_CONV) {
        conv_shapes(d, &s);
    } else {
        linear_shapes(d, &s);
    }
    enum dv_status status = make_pass(conv, &s, PASS_FORWARD, reterr);
    if (status == DV_OK && d->is_training) {
        status = make_weights_pass(conv, &s, reterr);
    }
    if (status == DV_OK && d->is_training && d->needs_input_gradient) {
        status = make_pass(conv, &s, PASS_DATA, reterr);
    }
    if (status == DV_OK) {
        status = make_memories(conv, &s, reterr);
    }
    return status;
}

enum dv_status dv_onednn_conv_create(
    const struct dv_op_desc *desc, struct dv_op **ret_op, struct dv_error *reterr)
{
    if (!dv_node_can_activate(desc->op, desc->act, desc->is_training)) {
        return dv_fail(reterr, DV_UNSUPPORTED, "this op does not apply this activation");
    }
    enum dv_status status = open_engine(reterr);
    if (status != DV_OK) {
        return status;
    }

    struct conv *conv = dv_alloc(sizeof(*conv));
    conv->base.backend = &dv_backend_onednn;
    conv->base.desc = *desc;
    status = conv_plan(conv, reterr);
    if (status != DV_OK) {
        dv_onednn_conv_destroy(&conv->base);
        return status;
    }
    plan_scratch(conv);
    note_kernels(conv);
    conv->base.backward_needs_input = true;
    conv->base.backward_needs_output = desc->act != DV_ACT_NONE;
    conv->base.tensor_floats[DV_TENSOR_WEIGHT] =
        dnnl_memory_desc_get_size(asked(conv, PASS_FORWARD, dnnl_query_weights_md)) / sizeof(float);
    conv->base.tensor_floats[DV_TENSOR_BIAS] = dv_op_tensor_floats(desc, DV_TENSOR_BIAS);
    *ret_op = &conv->base;
    return DV_OK;
}

static void reorder_finish(struct reorder *r)
{
    (void)dnnl_primitive_destroy(r->primitive);
    (void)dnnl_memory_destroy(r->from);
    (void)dnnl_memory_destroy(r->to);
}

void dv_onednn_conv_destroy(struct dv_op *op)
{
    struct conv *c = conv_from_op(op);
    dnnl_memory_t memories[] = {c->source, c->target, c->weight, c->bias, c->data_weight,
        c->source_gradient, c->target_gradient, c->weight_gradient, c->bias_gradient,
        c->scratchpads[0], c->scratchpads[1], c->scratchpads[2]};

    for (int pass = 0; pass < PASS_COUNT; pass++) {
        (void)dnnl_primitive_destroy(c->passes[pass]);
        (void)dnnl_primitive_desc_destroy(c->descriptions[pass]);
    }
    for (size_t i = 0; i < DV_ARRAY_SIZE(memories); i++) {
        (void)dnnl_memory_destroy(memories[i]);
    }
    reorder_finish(&c->to_data_weight);
    reorder_finish(&c->from_weight_gradient);
    reorder_finish(&c->import);
    reorder_finish(&c->export);
    dv_free(c);
}

/* --- Running: nothing here can fail but by our own mistake --------------------------------- */

static void point(dnnl_memory_t memory, const void *data)
{
    if (memory) {
        dnnl_status_t result = dnnl_memory_set_data_handle_v2(memory, (void *)data, stream);
        assert(result == dnnl_success);
        (void)result;
    }
}

static void execute(dnnl_primitive_t primitive, int count, const dnnl_exec_arg_t *arguments)
{
    dnnl_status_t result = dnnl_primitive_execute(primitive, stream, count, arguments);

    assert(result == dnnl_success);
    (void)result;
}

static void reorder(struct reorder *r, const float *from, float *to)
{
    point(r->from, from);
    point(r->to, to);
    dnnl_exec_arg_t arguments[] = {{DNNL_ARG_FROM, r->from}, {DNNL_ARG_TO, r->to}};
    execute(r->primitive, 2, arguments);
}

static void *scratch_at(const struct dv_op_args *a, size_t offset)
{
    return (char *)a->scratch + offset;
}

void dv_onednn_conv_forward(struct dv_op *op, const struct dv_op_args *a)
{
    struct conv *c = conv_from_op(op);
    dnnl_exec_arg_t arguments[] = {{DNNL_ARG_SRC, c->source}, {DNNL_ARG_DST, c->target},
        {DNNL_ARG_WEIGHTS, c->weight}, {DNNL_ARG_SCRATCHPAD, c->scratchpads[PASS_FORWARD]},
        {DNNL_ARG_BIAS, c->bias}};

    point(c->source, a->inputs[0]);
    point(c->target, a->output);
    point(c->weight, a->tensors[DV_TENSOR_WEIGHT]);
    point(c->scratchpads[PASS_FORWARD], a->scratch);
    if (op->desc.has_bias) {
        point(c->bias, a->tensors[DV_TENSOR_BIAS]);
    }
    execute(c->passes[PASS_FORWARD], op->desc.has_bias ? 5 : 4, arguments);
}

static void backward_weights(struct conv *c, const struct dv_op_args *a)
{
    bool is_direct = !c->from_weight_gradient.primitive;
    float *own = a->tensor_gradients[DV_TENSOR_WEIGHT];
    float *gradient = is_direct ? own : scratch_at(a, c->at_weight_gradient);
    dnnl_exec_arg_t arguments[] = {{DNNL_ARG_SRC, c->source},
        {DNNL_ARG_DIFF_DST, c->target_gradient}, {DNNL_ARG_DIFF_WEIGHTS, c->weight_gradient},
        {DNNL_ARG_SCRATCHPAD, c->scratchpads[PASS_WEIGHTS]},
        {DNNL_ARG_DIFF_BIAS, c->bias_gradient}};

    point(c->source, a->inputs[0]);
    point(c->weight_gradient, gradient);
    point(c->scratchpads[PASS_WEIGHTS], a->scratch);
    if (c->base.desc.has_bias) {
        point(c->bias_gradient, a->tensor_gradients[DV_TENSOR_BIAS]);
    }
    execute(c->passes[PASS_WEIGHTS], c->base.desc.has_bias ? 5 : 4, arguments);
    if (!is_direct) {
        reorder(&c->from_weight_gradient, gradient, own);
    }
}

static void backward_own_weights(
    struct conv *c, const struct dv_op_args *a, const float *target_gradient)
{
    const struct dv_op_desc *d = &c->base.desc;
    const struct dv_view in = dv_onednn_view(d, d->inputs[0]);
    const struct dv_window window = dv_onednn_window(d);
    float *own = a->tensor_gradients[DV_TENSOR_WEIGHT];
    float *plain = c->import.primitive ? scratch_at(a, c->at_weight_gradient) : own;

    dv_kernels()->depthwise_weights(&in, &window, a->inputs[0], target_gradient,
        scratch_at(a, c->at_partial), plain,
        d->has_bias ? a->tensor_gradients[DV_TENSOR_BIAS] : NULL);
    if (c->import.primitive) {
        reorder(&c->import, plain, own);
    }
}

static void backward_data(struct conv *c, const struct dv_op_args *a)
{
    const float *weight = a->tensors[DV_TENSOR_WEIGHT];
    float *gradient =
        a->accumulates[0] ? scratch_at(a, c->at_source_gradient) : a->input_gradients[0];
    dnnl_exec_arg_t arguments[] = {{DNNL_ARG_DIFF_SRC, c->source_gradient},
        {DNNL_ARG_DIFF_DST, c->target_gradient}, {DNNL_ARG_WEIGHTS, c->data_weight},
        {DNNL_ARG_SCRATCHPAD, c->scratchpads[PASS_DATA]}};

    if (c->to_data_weight.primitive) {
        reorder(&c->to_data_weight, weight, scratch_at(a, c->at_data_weight));
        weight = scratch_at(a, c->at_data_weight);
    }
    point(c->source_gradient, gradient);
    point(c->data_weight, weight);
    point(c->scratchpads[PASS_DATA], a->scratch);
    execute(c->passes[PASS_DATA], 4, arguments);
    if (a->accumulates[0]) {
        dv_kernels()->pass_gradient(dv_op_input_floats(&c->base.desc, 0), NULL, DV_ACT_NONE,
            gradient, true, a->input_gradients[0]);
    }
}

void dv_onednn_conv_backward(struct dv_op *op, const struct dv_op_args *a)
{
    struct conv *c = conv_from_op(op);
    const float *target_gradient = a->output_gradient;

    if (op->desc.act != DV_ACT_NONE) {
        float *passed = scratch_at(a, c->at_target_gradient);
        dv_kernels()->pass_gradient(dv_op_output_floats(&op->desc), a->output, op->desc.act,
            target_gradient, false, passed);
        target_gradient = passed;
    }
    point(c->target_gradient, target_gradient);
    if (c->has_own_weights_pass) {
        backward_own_weights(c, a, target_gradient);
    } else {
        backward_weights(c, a);
    }
    if (a->input_gradients[0]) {
        backward_data(c, a);
    }
}

static void convert(
    struct dv_op *op, enum dv_tensor_role role, struct reorder *r, const float *from, float *to)
{
    if (role == DV_TENSOR_WEIGHT && r->primitive) {
        reorder(r, from, to);
    } else {
        memcpy(to, from, dv_op_tensor_floats(&op->desc, role) * sizeof(float));
    }
}

void dv_onednn_conv_import(
    struct dv_op *op, enum dv_tensor_role role, const float *canonical, float *own)
{
    convert(op, role, &conv_from_op(op)->import, canonical, own);
}

void dv_onednn_conv_export(
    struct dv_op *op, enum dv_tensor_role role, const float *own, float *canonical)
{
    convert(op, role, &conv_from_op(op)->export, own, canonical);
}
