/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Norms. They work on strips: up to 16 channels of a run of places, whose accumulators stay in
 * registers. A run is short enough (RUN_PLACES) that all strips of its places stay in the L1 cache.
 * Order to read: runs and strips, sums, lines.
 */
#include "nn/kernels_impl.h"

#include <math.h>
#include <omp.h>
#include <string.h>

enum { STRIP = 16, RUN_PLACES = 64 };

/* A run of places in one plane, cut out of the whole so that threads share the work evenly. */
struct run {
    size_t plane;
    size_t first;
    size_t count;
};

static size_t run_count(const struct dv_view *v)
{
    size_t runs_a_plane = (v->places + RUN_PLACES - 1) / RUN_PLACES;

    return v->pictures * v->blocks * runs_a_plane;
}

static struct run run_at(const struct dv_view *v, size_t index)
{
    size_t runs_a_plane = (v->places + RUN_PLACES - 1) / RUN_PLACES;
    struct run run = {.plane = index / runs_a_plane, .first = index % runs_a_plane * RUN_PLACES};
    size_t left = v->places - run.first;

    run.count = left < RUN_PLACES ? left : RUN_PLACES;
    return run;
}

/* `count` places, `stride` floats apart, of `width` channels each. */
struct strip {
    size_t stride, count, width;
};

static size_t strip_width(const struct dv_view *v, size_t lane)
{
    return v->lanes - lane < STRIP ? v->lanes - lane : STRIP;
}

/* --- Batch norm: sums ---------------------------------------------------------------------- */

/* Written for a width known when compiling, so that the inner loops become single registers. */
DV_UNROLLED void strip_sums(const float *x, struct strip s, const float *shift, double *ret)
{
    float sum[STRIP] = {0};
    float squares[STRIP] = {0};

    for (size_t p = 0; p < s.count; p++, x += s.stride) {
#pragma omp simd
        for (size_t l = 0; l < s.width; l++) {
            float difference = x[l] - shift[l];
            sum[l] += difference;
            squares[l] += difference * difference;
        }
    }
    for (size_t l = 0; l < s.width; l++) {
        ret[2 * l] += (double)sum[l];
        ret[2 * l + 1] += (double)squares[l];
    }
}

/* A line's slice for one strip. */
static struct dv_lines lines_at(const struct dv_lines *lines, size_t channel)
{
    return (struct dv_lines){lines->scale + channel, lines->offset + channel, lines->act};
}

/* Cheap enough to be done in the loops below; others get a loop of their own before them. */
static inline bool is_cut(enum dv_activation act)
{
    return act == DV_ACT_RELU || act == DV_ACT_RELU6;
}

static inline float limit_of(enum dv_activation act)
{
    return act == DV_ACT_RELU6 ? 6.0f : INFINITY;
}

/* Within 0 and the limit; what is no number stays none: it must reach the loss to be found. */
static inline float cut(float value, float limit)
{
    float above = value < 0 ? 0 : value;

    return above > limit ? limit : above;
}

static inline float cut_slope(float value, float limit)
{
    float below = value < limit ? 1.0f : 0.0f;

    return value > 0 ? below : 0.0f;
}

/* y = x * scale + offset, cut or not; rows `stride_out` apart. */
DV_UNROLLED void strip_line(const float *x, struct strip s, struct dv_lines lines, bool has_cut,
    float *y, size_t stride_out)
{
    const float limit = limit_of(lines.act);

    for (size_t p = 0; p < s.count; p++, x += s.stride, y += stride_out) {
#pragma omp simd
        for (size_t l = 0; l < s.width; l++) {
            float value = x[l] * lines.scale[l] + lines.offset[l];
            y[l] = has_cut ? cut(value, limit) : value;
        }
    }
}

/* The gradient of x * scale + offset: what act passes of dy. To d [count][width]. */
DV_UNROLLED void strip_passed(
    const float *x, const float *dy, struct strip s, struct dv_lines lines, float *d)
{
    float before[RUN_PLACES * STRIP];

    before[0] = 0; /* for compilers that fear runs of no places */
    d[0] = 0;
    strip_line(x, s, lines, false, before, s.width);
    for (size_t p = 0; p < s.count; p++) {
#pragma omp simd
        for (size_t l = 0; l < s.width; l++) {
            d[p * s.width + l] = dy[p * s.stride + l];
        }
    }
    DV_KERNEL(activation_gradient)(lines.act, s.count * s.width, before, d, d);
}

/* `dy` has rows of its own stride; with a cut it counts where that lets it pass. */
DV_UNROLLED void strip_gradient_sums(const float *x, const float *dy, size_t stride_dy,
    struct strip s, struct dv_lines lines, bool has_cut, const float *mean, double *ret)
{
    const float limit = limit_of(lines.act);
    float sum[STRIP] = {0};
    float product[STRIP] = {0};

    for (size_t p = 0; p < s.count; p++, x += s.stride, dy += stride_dy) {
#pragma omp simd
        for (size_t l = 0; l < s.width; l++) {
            float gate = x[l] * lines.scale[l] + lines.offset[l];
            float d = has_cut ? dy[l] * cut_slope(gate, limit) : dy[l];
            sum[l] += d;
            product[l] += d * (x[l] - mean[l]);
        }
    }
    for (size_t l = 0; l < s.width; l++) {
        ret[2 * l] += (double)sum[l];
        ret[2 * l + 1] += (double)product[l];
    }
}

/* The same, with any act. */
DV_UNROLLED void strip_sums_backward(const float *x, const float *dy, struct strip s,
    struct dv_lines lines, const float *mean, double *ret)
{
    float passed[RUN_PLACES * STRIP];

    if (lines.act == DV_ACT_NONE) {
        strip_gradient_sums(x, dy, s.stride, s, lines, false, mean, ret);
    } else if (is_cut(lines.act)) {
        strip_gradient_sums(x, dy, s.stride, s, lines, true, mean, ret);
    } else {
        strip_passed(x, dy, s, lines, passed);
        strip_gradient_sums(x, passed, s.width, s, lines, false, mean, ret);
    }
}

/* Add up the threads' partial sums in the order of the threads. */
static void combine(
    const double *partial, size_t threads, size_t channels, double *ret_a, double *ret_b)
{
    for (size_t c = 0; c < channels; c++) {
        double a = 0;
        double b = 0;
        for (size_t t = 0; t < threads; t++) {
            a += partial[2 * (t * channels + c)];
            b += partial[2 * (t * channels + c) + 1];
        }
        ret_a[c] = a;
        ret_b[c] = b;
    }
}

void DV_KERNEL(norm_sums)(const struct dv_view *view, const float *x, double *partial,
    double *ret_sum, double *ret_squares)
{
    const struct dv_view v = *view;
    size_t channels = v.blocks * v.lanes;
    size_t threads = (size_t)omp_get_max_threads();

    memset(partial, 0, 2 * threads * channels * sizeof(double));
#pragma omp parallel
    {
        double *own = partial + 2 * channels * (size_t)omp_get_thread_num();
#pragma omp for schedule(static)
        for (size_t r = 0; r < run_count(&v); r++) {
            struct run run = run_at(&v, r);
            size_t block = run.plane % v.blocks;
            const float *start = x + (run.plane * v.places + run.first) * v.lanes;
            const float *shift = x + block * v.places * v.lanes;
            for (size_t l = 0; l < v.lanes; l += STRIP) {
                double *to = own + 2 * (block * v.lanes + l);
                if (strip_width(&v, l) == STRIP) {
                    strip_sums(start + l, (struct strip){v.lanes, run.count, STRIP}, shift + l, to);
                } else {
                    strip_sums(start + l, (struct strip){v.lanes, run.count, strip_width(&v, l)},
                        shift + l, to);
                }
            }
        }
    }
    combine(partial, threads, channels, ret_sum, ret_squares);
}

void DV_KERNEL(norm_gradient_sums)(const struct dv_view *view, const float *x, const float *dy,
    const struct dv_lines *lines, const float *mean, double *partial, double *ret_sum,
    double *ret_product)
{
    const struct dv_view v = *view;
    size_t channels = v.blocks * v.lanes;
    size_t threads = (size_t)omp_get_max_threads();

    memset(partial, 0, 2 * threads * channels * sizeof(double));
#pragma omp parallel
    {
        double *own = partial + 2 * channels * (size_t)omp_get_thread_num();
#pragma omp for schedule(static)
        for (size_t r = 0; r < run_count(&v); r++) {
            struct run run = run_at(&v, r);
            size_t start = (run.plane * v.places + run.first) * v.lanes;
            for (size_t l = 0; l < v.lanes; l += STRIP) {
                size_t c = run.plane % v.blocks * v.lanes + l;
                struct dv_lines at = lines_at(lines, c);
                const float *from = x + start + l;
                const float *d = dy + start + l;
                if (strip_width(&v, l) == STRIP) {
                    strip_sums_backward(from, d, (struct strip){v.lanes, run.count, STRIP}, at,
                        mean + c, own + 2 * c);
                } else {
                    strip_sums_backward(from, d,
                        (struct strip){v.lanes, run.count, strip_width(&v, l)}, at, mean + c,
                        own + 2 * c);
                }
            }
        }
    }
    combine(partial, threads, channels, ret_sum, ret_product);
}

/* --- Norms within a picture: sums ------------------------------------------------------------ */

/*
 * What a thread does at a time: a plane, or one strip of it where there are fewer planes than
 * threads. How it is cut does not change a sum: each is one strip's alone.
 */
static size_t cuts_a_plane(const struct dv_view *v)
{
    bool is_short = v->pictures * v->blocks < (size_t)omp_get_max_threads();

    return is_short ? (v->lanes + STRIP - 1) / STRIP : 1;
}

/* The lanes of cut `index` of a plane: from the first one to before the last one. */
struct cut_lanes {
    size_t first, last;
};

static struct cut_lanes lanes_of_cut(const struct dv_view *v, size_t cuts, size_t index)
{
    struct cut_lanes lanes = {0, v->lanes};

    if (cuts > 1) {
        lanes.first = index * STRIP;
        lanes.last = lanes.first + strip_width(v, lanes.first);
    }
    return lanes;
}

void DV_KERNEL(picture_sums)(const struct dv_view *view, const float *x, double *ret_pairs)
{
    const struct dv_view v = *view;
    const size_t cuts = cuts_a_plane(&v);

    memset(ret_pairs, 0, 2 * v.pictures * v.blocks * v.lanes * sizeof(*ret_pairs));
#pragma omp parallel for schedule(static)
    for (size_t i = 0; i < v.pictures * v.blocks * cuts; i++) {
        size_t plane = i / cuts;
        struct cut_lanes lanes = lanes_of_cut(&v, cuts, i % cuts);
        const float *start = x + plane * v.places * v.lanes;
        for (size_t p = 0; p < v.places; p += RUN_PLACES) {
            size_t count = v.places - p < RUN_PLACES ? v.places - p : RUN_PLACES;
            for (size_t l = lanes.first; l < lanes.last; l += STRIP) {
                const float *from = start + p * v.lanes + l;
                double *to = ret_pairs + 2 * (plane * v.lanes + l);
                if (strip_width(&v, l) == STRIP) {
                    strip_sums(from, (struct strip){v.lanes, count, STRIP}, start + l, to);
                } else {
                    strip_sums(
                        from, (struct strip){v.lanes, count, strip_width(&v, l)}, start + l, to);
                }
            }
        }
    }
}

void DV_KERNEL(picture_gradient_sums)(const struct dv_view *view, const float *x, const float *dy,
    const struct dv_lines *lines, const float *mean, double *ret_pairs)
{
    const struct dv_view v = *view;
    const size_t cuts = cuts_a_plane(&v);

    memset(ret_pairs, 0, 2 * v.pictures * v.blocks * v.lanes * sizeof(*ret_pairs));
#pragma omp parallel for schedule(static)
    for (size_t i = 0; i < v.pictures * v.blocks * cuts; i++) {
        size_t plane = i / cuts;
        struct cut_lanes lanes = lanes_of_cut(&v, cuts, i % cuts);
        for (size_t p = 0; p < v.places; p += RUN_PLACES) {
            size_t count = v.places - p < RUN_PLACES ? v.places - p : RUN_PLACES;
            size_t start = (plane * v.places + p) * v.lanes;
            for (size_t l = lanes.first; l < lanes.last; l += STRIP) {
                size_t c = plane * v.lanes + l;
                struct dv_lines at = lines_at(lines, c);
                const float *from = x + start + l;
                const float *d = dy + start + l;
                if (strip_width(&v, l) == STRIP) {
                    strip_sums_backward(from, d, (struct strip){v.lanes, count, STRIP}, at,
                        mean + c, ret_pairs + 2 * c);
                } else {
                    strip_sums_backward(from, d, (struct strip){v.lanes, count, strip_width(&v, l)},
                        at, mean + c, ret_pairs + 2 * c);
                }
            }
        }
    }
}

/* --- Lines, per channel ---------------------------------------------------------------------- */

DV_UNROLLED void strip_apply(const float *x, float *y, struct strip s, struct dv_lines lines)
{
    float buffer[RUN_PLACES * STRIP];

    if (lines.act == DV_ACT_NONE) {
        strip_line(x, s, lines, false, y, s.stride);
        return;
    }
    if (is_cut(lines.act)) {
        strip_line(x, s, lines, true, y, s.stride);
        return;
    }
    buffer[0] = 0; /* as above */
    strip_line(x, s, lines, false, buffer, s.width);
    DV_KERNEL(activate)(lines.act, s.count * s.width, buffer, buffer);
    for (size_t p = 0; p < s.count; p++) {
#pragma omp simd
        for (size_t l = 0; l < s.width; l++) {
            y[p * s.stride + l] = buffer[p * s.width + l];
        }
    }
}

void DV_KERNEL(norm_apply)(
    const struct dv_view *view, const float *x, const struct dv_lines *lines, float *y)
{
    const struct dv_view v = *view;

#pragma omp parallel for schedule(static)
    for (size_t r = 0; r < run_count(&v); r++) {
        struct run run = run_at(&v, r);
        size_t start = (run.plane * v.places + run.first) * v.lanes;
        for (size_t l = 0; l < v.lanes; l += STRIP) {
            struct dv_lines at = lines_at(lines, run.plane % v.blocks * v.lanes + l);
            size_t i = start + l;
            if (strip_width(&v, l) == STRIP) {
                strip_apply(x + i, y + i, (struct strip){v.lanes, run.count, STRIP}, at);
            } else {
                strip_apply(
                    x + i, y + i, (struct strip){v.lanes, run.count, strip_width(&v, l)}, at);
            }
        }
    }
}

/* dx = a * dy + b * x + c */
struct combination {
    const float *a, *b, *c;
    bool accumulates;
};

DV_UNROLLED void strip_gradient(const float *x, const float *dy, size_t stride_dy, float *dx,
    struct strip s, struct dv_lines lines, bool has_cut, struct combination line)
{
    const float limit = limit_of(lines.act);

    for (size_t p = 0; p < s.count; p++, x += s.stride, dy += stride_dy, dx += s.stride) {
#pragma omp simd
        for (size_t l = 0; l < s.width; l++) {
            float gate = x[l] * lines.scale[l] + lines.offset[l];
            float d = has_cut ? dy[l] * cut_slope(gate, limit) : dy[l];
            float value = line.a[l] * d + line.b[l] * x[l] + line.c[l];
            dx[l] = line.accumulates ? dx[l] + value : value;
        }
    }
}

DV_UNROLLED void strip_backward(const float *x, const float *dy, float *dx, struct strip s,
    struct dv_lines lines, struct combination line)
{
    float passed[RUN_PLACES * STRIP];

    if (lines.act == DV_ACT_NONE) {
        strip_gradient(x, dy, s.stride, dx, s, lines, false, line);
    } else if (is_cut(lines.act)) {
        strip_gradient(x, dy, s.stride, dx, s, lines, true, line);
    } else {
        strip_passed(x, dy, s, lines, passed);
        strip_gradient(x, passed, s.width, dx, s, lines, false, line);
    }
}

void DV_KERNEL(norm_gradient)(const struct dv_view *view, const float *x, const float *dy,
    const struct dv_lines *lines, const float *const coefficients[3], bool accumulates, float *dx)
{
    const struct dv_view v = *view;

#pragma omp parallel for schedule(static)
    for (size_t r = 0; r < run_count(&v); r++) {
        struct run run = run_at(&v, r);
        size_t start = (run.plane * v.places + run.first) * v.lanes;
        for (size_t l = 0; l < v.lanes; l += STRIP) {
            size_t c = run.plane % v.blocks * v.lanes + l;
            struct combination s = {
                coefficients[0] + c, coefficients[1] + c, coefficients[2] + c, accumulates};
            struct dv_lines at = lines_at(lines, c);
            size_t i = start + l;
            if (strip_width(&v, l) == STRIP) {
                strip_backward(
                    x + i, dy + i, dx + i, (struct strip){v.lanes, run.count, STRIP}, at, s);
            } else {
                strip_backward(x + i, dy + i, dx + i,
                    (struct strip){v.lanes, run.count, strip_width(&v, l)}, at, s);
            }
        }
    }
}
