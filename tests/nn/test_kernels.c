/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every set of kernels that this processor can run against plain sums in double: tests/conformance
 * sees only the best set. Widths of planes are those around the strips' sixteen lanes.
 */
#include "base/alloc.h"
#include "base/random.h"
#include "nn/kernels.h"

#include <math.h>
#include <omp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static const struct dv_view views[] = {
    {1, 1, 1, 1}, {2, 1, 65, 3}, {3, 1, 9, 16}, {2, 1, 130, 17}, {2, 1, 4, 35}, {3, 2, 70, 16}};

/* A view's values, and what is known of its channels. */
struct data {
    struct dv_view view;
    size_t count, channels;
    float *x, *dy, *y, *wanted;
    float *scale, *offset, *mean, *lines[3];
    double *partial, *sum, *other;
};

static float *make_floats(struct dv_random *random, size_t count)
{
    float *values = dv_alloc(count * sizeof(*values));

    for (size_t i = 0; i < count; i++) {
        values[i] = (float)(2 * dv_random_unit(random) - 1);
    }
    return values;
}

static struct data make_data(struct dv_view view)
{
    struct dv_random random = dv_random_make(11, DV_RANDOM_SAMPLE, view.places, view.lanes);
    struct data d = {.view = view};
    size_t threads = (size_t)omp_get_max_threads();

    d.channels = d.view.blocks * d.view.lanes;
    d.count = d.view.pictures * d.view.places * d.channels;
    d.x = make_floats(&random, d.count);
    d.dy = make_floats(&random, d.count);
    d.y = make_floats(&random, d.count);
    d.wanted = make_floats(&random, d.count);
    d.scale = make_floats(&random, d.channels);
    d.offset = make_floats(&random, d.channels);
    d.mean = make_floats(&random, d.channels);
    for (int i = 0; i < 3; i++) {
        d.lines[i] = make_floats(&random, d.channels);
    }
    d.partial = dv_alloc(2 * threads * d.channels * sizeof(double));
    d.sum = dv_alloc(d.channels * sizeof(double));
    d.other = dv_alloc(d.channels * sizeof(double));
    return d;
}

static void finish_data(struct data *d)
{
    float *floats[] = {d->x, d->dy, d->y, d->wanted, d->scale, d->offset, d->mean, d->lines[0],
        d->lines[1], d->lines[2]};
    double *doubles[] = {d->partial, d->sum, d->other};

    for (size_t i = 0; i < sizeof(floats) / sizeof(floats[0]); i++) {
        dv_free(floats[i]);
    }
    for (size_t i = 0; i < sizeof(doubles) / sizeof(doubles[0]); i++) {
        dv_free(doubles[i]);
    }
}

/* [picture, block, place, lane]: the channel of float `i`. */
static size_t channel_of(const struct data *d, size_t i)
{
    size_t block = i / (d->view.places * d->view.lanes) % d->view.blocks;

    return block * d->view.lanes + i % d->view.lanes;
}

static void expect_near(const struct dv_kernels *k, const char *what, double found, double wanted)
{
    if (!(fabs(found - wanted) <= 2e-5 * (1 + fabs(wanted)))) {
        fail_msg("%s of %s: %.9g, not %.9g", what, k->name, found, wanted);
    }
}

static void expect_floats(
    const struct dv_kernels *k, const char *what, const float *found, const struct data *d)
{
    for (size_t i = 0; i < d->count; i++) {
        expect_near(k, what, (double)found[i], (double)d->wanted[i]);
    }
}

typedef void (*check_fn)(const struct dv_kernels *kernels, struct data *d);

static void on_every_set_and_view(check_fn check)
{
    const struct dv_kernels *kernels;

    for (size_t k = 0; (kernels = dv_kernels_at(k)) != NULL; k++) {
        for (size_t i = 0; i < sizeof(views) / sizeof(views[0]); i++) {
            struct data d = make_data(views[i]);
            check(kernels, &d);
            finish_data(&d);
        }
    }
}

static void check_norm_sums(const struct dv_kernels *kernels, struct data *d)
{
    kernels->norm_sums(&d->view, d->x, d->partial, d->sum, d->other);
    for (size_t c = 0; c < d->channels; c++) {
        size_t first = c / d->view.lanes * d->view.places * d->view.lanes + c % d->view.lanes;
        double sum = 0;
        double squares = 0;
        for (size_t i = 0; i < d->count; i++) {
            double value = (double)d->x[i] - (double)d->x[first];
            sum += channel_of(d, i) == c ? value : 0;
            squares += channel_of(d, i) == c ? value * value : 0;
        }
        expect_near(kernels, "norm_sums", d->sum[c], sum);
        expect_near(kernels, "norm_sums", d->other[c], squares);
    }
}

/* Activations as they are defined, in double. */
static double value_of(enum dv_activation act, double x)
{
    double sigmoid = 1 / (1 + exp(-x));
    double hard = fmin(fmax(x + 3, 0), 6) / 6;
    double mass = 0.5 * erfc(-x / sqrt(2));
    const double values[DV_ACT_COUNT] = {[DV_ACT_NONE] = x,
        [DV_ACT_RELU] = fmax(x, 0),
        [DV_ACT_RELU6] = fmin(fmax(x, 0), 6),
        [DV_ACT_LEAKY_RELU] = x > 0 ? x : 0.01 * x,
        [DV_ACT_SILU] = x * sigmoid,
        [DV_ACT_GELU] = x * mass,
        [DV_ACT_HARDSWISH] = x * hard,
        [DV_ACT_SIGMOID] = sigmoid,
        [DV_ACT_HARDSIGMOID] = hard};

    return values[act];
}

static double slope_of(enum dv_activation act, double x)
{
    const double h = 1e-6;

    return (value_of(act, x + h) - value_of(act, x - h)) / (2 * h);
}

static struct dv_lines lines_of(const struct data *d, int act)
{
    return (struct dv_lines){d->scale, d->offset, (enum dv_activation)act};
}

/* What reaches the norm's line of the gradient of float `i`. */
static double passed(const struct data *d, size_t i, int act)
{
    size_t c = channel_of(d, i);
    float line = d->x[i] * d->scale[c] + d->offset[c];

    return slope_of((enum dv_activation)act, (double)line) * (double)d->dy[i];
}

static void check_norm_gradient_sums(const struct dv_kernels *kernels, struct data *d)
{
    for (int act = 0; act < DV_ACT_COUNT; act++) {
        struct dv_lines lines = lines_of(d, act);
        kernels->norm_gradient_sums(
            &d->view, d->x, d->dy, &lines, d->mean, d->partial, d->sum, d->other);
        for (size_t c = 0; c < d->channels; c++) {
            double sum = 0;
            double product = 0;
            for (size_t i = 0; i < d->count; i++) {
                double dy = channel_of(d, i) == c ? passed(d, i, act) : 0;
                sum += dy;
                product += dy * ((double)d->x[i] - (double)d->mean[c]);
            }
            expect_near(kernels, "norm_gradient_sums", d->sum[c], sum);
            expect_near(kernels, "norm_gradient_sums", d->other[c], product);
        }
    }
}

static void check_norm_lines(const struct dv_kernels *kernels, struct data *d)
{
    for (int mode = 0; mode < 2 * DV_ACT_COUNT; mode++) {
        int act = mode / 2;
        bool adds = mode % 2;
        struct dv_lines lines = lines_of(d, act);
        kernels->norm_apply(&d->view, d->x, &lines, d->y);
        for (size_t i = 0; i < d->count; i++) {
            float line = d->x[i] * d->scale[channel_of(d, i)] + d->offset[channel_of(d, i)];
            d->wanted[i] = (float)value_of((enum dv_activation)act, (double)line);
        }
        expect_floats(kernels, "norm_apply", d->y, d);
        for (size_t i = 0; i < d->count; i++) {
            size_t c = channel_of(d, i);
            float slope = d->lines[0][c] * (float)passed(d, i, act) + d->lines[1][c] * d->x[i];
            d->wanted[i] = slope + d->lines[2][c] + (adds ? d->y[i] : 0);
        }
        kernels->norm_gradient(
            &d->view, d->x, d->dy, &lines, (const float *const *)d->lines, adds, d->y);
        expect_floats(kernels, "norm_gradient", d->y, d);
    }
}

static void check_elementwise(const struct dv_kernels *kernels, struct data *d)
{
    const float *inputs[] = {d->x, d->dy, d->x};

    for (int mode = 0; mode < 2 * DV_ACT_COUNT; mode++) {
        enum dv_activation act = (enum dv_activation)(mode / 2);
        size_t inputs_used = 2 + (size_t)mode % 2;
        for (size_t i = 0; i < d->count; i++) {
            float sum = d->x[i] + d->dy[i] + (inputs_used == 3 ? d->x[i] : 0);
            d->wanted[i] = (float)value_of(act, (double)sum);
        }
        kernels->add(d->count, inputs, inputs_used, act, d->y);
        expect_floats(kernels, "add", d->y, d);
    }
    for (int mode = 0; mode < 2 * DV_ACT_COUNT; mode++) {
        enum dv_activation act = (enum dv_activation)(mode / 2);
        for (size_t i = 0; i < d->count; i++) {
            float through = (float)slope_of(act, (double)d->x[i]) * d->dy[i];
            d->wanted[i] = through + (mode % 2 ? d->y[i] : 0);
        }
        kernels->pass_gradient(d->count, d->x, act, d->dy, mode % 2, d->y);
        expect_floats(kernels, "pass_gradient", d->y, d);
    }
}

/* Sums, lines and gates of each picture: `p` has the channels of all pictures as its own. */
static void check_pictures(const struct dv_kernels *kernels, struct data *d)
{
    struct data p = make_data(dv_view_by_picture(d->view));
    double *pairs = dv_alloc(2 * p.channels * sizeof(*pairs));
    struct dv_lines lines = lines_of(&p, DV_ACT_SILU);

    kernels->picture_sums(&d->view, p.x, pairs);
    kernels->norm_sums(&p.view, p.x, p.partial, p.sum, p.other); /* checked above */
    for (size_t c = 0; c < p.channels; c++) {
        expect_near(kernels, "picture_sums", pairs[2 * c], p.sum[c]);
        expect_near(kernels, "picture_sums", pairs[2 * c + 1], p.other[c]);
    }
    kernels->picture_gradient_sums(&d->view, p.x, p.dy, &lines, p.mean, pairs);
    kernels->norm_gradient_sums(&p.view, p.x, p.dy, &lines, p.mean, p.partial, p.sum, p.other);
    for (size_t c = 0; c < p.channels; c++) {
        expect_near(kernels, "picture_gradient_sums", pairs[2 * c], p.sum[c]);
        expect_near(kernels, "picture_gradient_sums", pairs[2 * c + 1], p.other[c]);
    }
    dv_free(pairs);
    finish_data(&p);
}

static void check_scales(const struct dv_kernels *kernels, struct data *d)
{
    struct data p = make_data(dv_view_by_picture(d->view));
    float *gate_gradient = dv_alloc(p.channels * sizeof(*gate_gradient));

    kernels->scale(&d->view, p.x, p.scale, p.y);
    for (size_t i = 0; i < p.count; i++) {
        p.wanted[i] = p.x[i] * p.scale[channel_of(&p, i)];
    }
    expect_floats(kernels, "scale", p.y, &p);
    for (int mode = 0; mode < 4; mode++) {
        struct dv_scaled scaled = {p.x, p.scale, mode % 2, mode / 2};
        for (size_t c = 0; c < p.channels; c++) {
            p.sum[c] = scaled.accumulates_gate ? (double)p.offset[c] : 0;
            gate_gradient[c] = p.offset[c];
        }
        for (size_t i = 0; i < p.count; i++) {
            size_t c = channel_of(&p, i);
            p.wanted[i] = p.dy[i] * p.scale[c] + (scaled.accumulates_x ? p.y[i] : 0);
            p.sum[c] += (double)p.dy[i] * (double)p.x[i];
        }
        kernels->scale_gradient(&d->view, &scaled, p.dy, NULL, gate_gradient);
        if (!scaled.accumulates_gate) { /* once more, with the map's gradient too */
            kernels->scale_gradient(&d->view, &scaled, p.dy, p.y, gate_gradient);
            expect_floats(kernels, "scale_gradient", p.y, &p);
        }
        for (size_t c = 0; c < p.channels; c++) {
            expect_near(kernels, "scale_gradient", (double)gate_gradient[c], p.sum[c]);
        }
    }
    memset(p.sum, 0, p.channels * sizeof(*p.sum));
    for (size_t i = 0; i < p.count; i++) {
        p.sum[channel_of(&p, i)] += (double)p.x[i];
    }
    kernels->global_average(&d->view, p.x, gate_gradient);
    for (size_t c = 0; c < p.channels; c++) {
        expect_near(
            kernels, "global_average", (double)gate_gradient[c], p.sum[c] / (double)p.view.places);
    }
    for (int adds = 0; adds < 2; adds++) {
        for (size_t i = 0; i < p.count; i++) {
            p.wanted[i] = p.scale[channel_of(&p, i)] / (float)p.view.places + (adds ? p.y[i] : 0);
        }
        kernels->global_average_gradient(&d->view, p.scale, adds, p.y);
        expect_floats(kernels, "global_average_gradient", p.y, &p);
    }
    for (int adds = 0; adds < 2; adds++) {
        size_t of_picture = d->count / d->view.pictures;
        for (size_t i = 0; i < d->count; i++) {
            d->wanted[i] = d->x[i] * d->scale[i / of_picture % d->channels] + (adds ? d->y[i] : 0);
        }
        if (d->view.pictures <= d->channels) {
            kernels->scale_pictures(d->view.pictures, of_picture, d->x, d->scale, adds, d->y);
            expect_floats(kernels, "scale_pictures", d->y, d);
        }
    }
    dv_free(gate_gradient);
    finish_data(&p);
}

static void check_relayout(const struct dv_kernels *kernels, struct data *d)
{
    const struct dv_view v = d->view;

    for (int adds = 0; adds < 2 && v.lanes == 16; adds++) {
        for (size_t i = 0; i < d->count; i++) {
            size_t lane = i % 16, place = i / 16 % v.places, block = i / 16 / v.places % v.blocks;
            size_t picture = i / 16 / v.places / v.blocks;
            size_t plain = ((picture * v.places + place) * v.blocks + block) * 16 + lane;
            d->wanted[i] = d->x[plain] + (adds ? d->y[i] : 0);
        }
        kernels->relayout(&v, d->x, true, adds, d->y);
        expect_floats(kernels, "relayout", d->y, d);
    }
    if (v.lanes == 16) { /* and back */
        kernels->relayout(&v, d->x, true, false, d->y);
        kernels->relayout(&v, d->y, false, false, d->wanted);
        assert_memory_equal(d->wanted, d->x, d->count * sizeof(float));
    }
}

/* From far left to far right, with the kinks between the steps; and more than one chunk. */
static void activations_are_those_of_their_definitions(void **state)
{
    enum { COUNT = 5001 };
    static float x[COUNT], y[COUNT], dx[COUNT], ones[COUNT];
    const struct dv_kernels *kernels;

    (void)state;
    for (size_t i = 0; i < COUNT; i++) {
        double at = ((double)i - COUNT / 2 + 0.37) / (COUNT / 2);
        x[i] = (float)(at * (i % 3 == 0 ? 120 : 8));
        ones[i] = 1;
    }
    for (size_t k = 0; (kernels = dv_kernels_at(k)) != NULL; k++) {
        for (int a = 0; a < DV_ACT_COUNT; a++) {
            enum dv_activation act = (enum dv_activation)a;
            kernels->activate(COUNT, x, act, y);
            kernels->pass_gradient(COUNT, x, act, ones, false, dx);
            for (size_t i = 0; i < COUNT; i++) {
                double bound = 3e-7 * (1 + fabs((double)x[i]));
                assert_true(fabs((double)y[i] - value_of(act, (double)x[i])) < bound);
                assert_true(fabs((double)dx[i] - slope_of(act, (double)x[i])) < 1e-6);
            }
        }
    }
}

static void norm_sums_are_those_of_the_channels(void **state)
{
    (void)state;
    on_every_set_and_view(check_norm_sums);
}

static void norm_gradient_sums_are_those_of_the_channels(void **state)
{
    (void)state;
    on_every_set_and_view(check_norm_gradient_sums);
}

static void norm_lines_go_through_every_float(void **state)
{
    (void)state;
    on_every_set_and_view(check_norm_lines);
}

static void sums_and_lines_of_a_picture_are_its_own(void **state)
{
    (void)state;
    on_every_set_and_view(check_pictures);
}

static void scales_go_through_every_float(void **state)
{
    (void)state;
    on_every_set_and_view(check_scales);
}

static void copies_between_layouts_move_every_float(void **state)
{
    (void)state;
    on_every_set_and_view(check_relayout);
}

static void elementwise_ops_go_through_every_float(void **state)
{
    (void)state;
    on_every_set_and_view(check_elementwise);
}

/* A max pool of 3x3, stride 2, padding 1 over [2 pictures, 5 x 7, 19 lanes], and its way back. */
static void pooling_takes_and_gives_back_in_every_set(void **state)
{
    enum { LANES = 19, IN = 2 * 5 * 7 * LANES, OUT = 2 * 3 * 4 * LANES };
    const struct dv_view in = {2, 1, 35, LANES};
    const struct dv_window window = {5, 7, 3, 4, 3, 2, 1};
    struct dv_random random = dv_random_make(12, DV_RANDOM_SAMPLE, 0, 0);
    float *x = make_floats(&random, IN);
    float *dy = make_floats(&random, OUT);
    const struct dv_kernels *kernels;

    (void)state;
    for (size_t k = 0; (kernels = dv_kernels_at(k)) != NULL; k++) {
        static uint8_t winner[OUT];
        static float y[OUT], average[OUT], dx[IN], spread[IN];
        double given = 0, wanted = 0;
        memset(dx, 0, sizeof(dx));
        memset(spread, 0, sizeof(spread));
        kernels->max_pool(&in, &window, x, y, winner);
        kernels->max_pool_gradient(&in, &window, winner, dy, dx);
        kernels->average_pool(&in, &window, x, average);
        kernels->average_pool_gradient(&in, &window, dy, spread);
        for (size_t o = 0; o < OUT; o++) {
            size_t lane = o % LANES, column = o / LANES % 4, row = o / LANES / 4 % 3;
            const float *plane = x + o / LANES / 12 * 35 * LANES + lane;
            float best = -2, sum = 0;
            for (size_t t = 0; t < 9; t++) {
                size_t r = row * 2 + t / 3, q = column * 2 + t % 3; /* one more than the place */
                if (r >= 1 && r <= 5 && q >= 1 && q <= 7) {
                    float value = plane[((r - 1) * 7 + q - 1) * LANES];
                    best = fmaxf(best, value);
                    sum += value / 9;
                    wanted += (double)(dy[o] / 9) * (double)value;
                }
            }
            expect_near(kernels, "max_pool", (double)y[o], (double)best);
            expect_near(kernels, "average_pool", (double)average[o], (double)sum);
            wanted += (double)dy[o] * (double)best;
        }
        for (size_t i = 0; i < IN; i++) {
            given += (double)(dx[i] + spread[i]) * (double)x[i];
        }
        /* Pooling is linear where no winner changes: what is given back fits what was taken. */
        expect_near(kernels, "pooling gradients", given, wanted);
    }
    dv_free(x);
    dv_free(dy);
}

/* Windows with and without borders, all of whose taps may be in the padding, with strides. */
static const struct dv_window depthwise_windows[] = {{6, 9, 6, 9, 3, 1, 1}, {7, 7, 7, 7, 5, 1, 2},
    {9, 8, 5, 4, 5, 2, 2}, {10, 9, 4, 3, 7, 1, 0}, {5, 5, 3, 3, 2, 2, 1}, {3, 2, 4, 3, 2, 1, 1},
    {2, 3, 12, 13, 1, 1, 5}, {4, 4, 16, 16, 11, 1, 11}, {1, 1, 1, 1, 11, 2, 5}};

/* The gradient of the weight of one tap of one channel; of the bias where `tap` is past the last.
 */
static double depthwise_wanted(const struct dv_view *v, const struct dv_window *w, const float *x,
    const float *dy, size_t channel, size_t tap)
{
    size_t lane = channel % v->lanes, block = channel / v->lanes;
    bool is_bias = tap == w->kernel * w->kernel;
    double sum = 0;

    for (size_t o = 0; o < v->pictures * w->rows_out * w->columns_out; o++) {
        size_t plane = o / w->columns_out / w->rows_out * v->blocks + block;
        size_t row_out = o / w->columns_out % w->rows_out, column_out = o % w->columns_out;
        size_t row = row_out * w->stride + tap / w->kernel - w->padding;
        size_t column = column_out * w->stride + tap % w->kernel - w->padding;
        size_t place = (plane * w->rows_out + row_out) * w->columns_out + column_out;
        double d = (double)dy[place * v->lanes + lane];
        if (is_bias) {
            sum += d;
        } else if (row < w->rows && column < w->columns) { /* what is before 0 is very large */
            size_t from = (plane * w->rows + row) * w->columns + column;
            sum += d * (double)x[from * v->lanes + lane];
        }
    }
    return sum;
}

static void check_depthwise(const struct dv_kernels *kernels, struct dv_view view,
    const struct dv_window *w, struct dv_random *random)
{
    size_t channels = view.blocks * view.lanes;
    size_t taps = w->kernel * w->kernel;
    view.places = w->rows * w->columns;
    float *x = make_floats(random, view.pictures * view.places * channels);
    float *dy = make_floats(random, view.pictures * w->rows_out * w->columns_out * channels);
    float *weight = make_floats(random, channels * taps);
    float *bias = make_floats(random, channels);
    float *partial = make_floats(random, (size_t)omp_get_max_threads() * channels * (taps + 1));

    kernels->depthwise_weights(&view, w, x, dy, partial, weight, bias);
    for (size_t c = 0; c < channels; c++) {
        for (size_t t = 0; t < taps; t++) {
            expect_near(kernels, "depthwise_weights", (double)weight[c * taps + t],
                depthwise_wanted(&view, w, x, dy, c, t));
        }
        expect_near(kernels, "depthwise_weights' bias", (double)bias[c],
            depthwise_wanted(&view, w, x, dy, c, taps));
    }
    dv_free(x);
    dv_free(dy);
    dv_free(weight);
    dv_free(bias);
    dv_free(partial);
}

static void depthwise_weights_have_their_gradients_in_every_set(void **state)
{
    static const struct dv_view planes[] = {{3, 1, 0, 19}, {2, 2, 0, 16}, {1, 1, 0, 3}};
    struct dv_random random = dv_random_make(13, DV_RANDOM_SAMPLE, 0, 0);
    const struct dv_kernels *kernels;

    (void)state;
    for (size_t k = 0; (kernels = dv_kernels_at(k)) != NULL; k++) {
        for (size_t i = 0; i < sizeof(depthwise_windows) / sizeof(depthwise_windows[0]); i++) {
            for (size_t p = 0; p < sizeof(planes) / sizeof(planes[0]); p++) {
                check_depthwise(kernels, planes[p], &depthwise_windows[i], &random);
            }
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(norm_sums_are_those_of_the_channels),
        cmocka_unit_test(norm_gradient_sums_are_those_of_the_channels),
        cmocka_unit_test(norm_lines_go_through_every_float),
        cmocka_unit_test(sums_and_lines_of_a_picture_are_its_own),
        cmocka_unit_test(scales_go_through_every_float),
        cmocka_unit_test(copies_between_layouts_move_every_float),
        cmocka_unit_test(elementwise_ops_go_through_every_float),
        cmocka_unit_test(activations_are_those_of_their_definitions),
        cmocka_unit_test(depthwise_weights_have_their_gradients_in_every_set),
        cmocka_unit_test(pooling_takes_and_gives_back_in_every_set),
    };

    return cmocka_run_group_tests_name("kernels", tests, NULL, NULL);
}
