/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Means of a map, a number per channel; products of a map with such numbers (a gate); products of
 * pictures with a number each. Lanes are taken in strips whose sums stay in registers, as in
 * kernels_norm.c.
 */
#include "nn/kernels_impl.h"

#include <omp.h>
#include <string.h>

enum { STRIP = 16, RUN_PLACES = 64 };

static size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* --- Means -------------------------------------------------------------------------------------
 */

/* Means of `width` lanes of a plane; the sums of a few places each are added up in turn. */
DV_UNROLLED void strip_mean(const float *x, size_t lanes, size_t places, size_t width, float *y)
{
    float mean[STRIP] = {0};

    for (size_t first = 0; first < places; first += RUN_PLACES) {
        const float *from = x + first * lanes;
        float sum[STRIP] = {0};
        for (size_t p = 0; p < smaller(places - first, RUN_PLACES); p++) {
#pragma omp simd
            for (size_t l = 0; l < width; l++) {
                sum[l] += from[p * lanes + l];
            }
        }
#pragma omp simd
        for (size_t l = 0; l < width; l++) {
            mean[l] += sum[l];
        }
    }
    for (size_t l = 0; l < width; l++) {
        y[l] = mean[l] * (1.0f / (float)places);
    }
}

void DV_KERNEL(global_average)(const struct dv_view *in, const float *x, float *y)
{
    const struct dv_view v = *in;
    const size_t strips = (v.lanes + STRIP - 1) / STRIP;

#pragma omp parallel for schedule(static)
    for (size_t i = 0; i < v.pictures * v.blocks * strips; i++) {
        size_t plane = i / strips;
        size_t l = i % strips * STRIP;
        const float *from = x + plane * v.places * v.lanes + l;
        float *to = y + plane * v.lanes + l;
        if (v.lanes - l >= STRIP) {
            strip_mean(from, v.lanes, v.places, STRIP, to);
        } else {
            strip_mean(from, v.lanes, v.places, v.lanes - l, to);
        }
    }
}

void DV_KERNEL(global_average_gradient)(
    const struct dv_view *in, const float *dy, bool accumulates, float *dx)
{
    const struct dv_view v = *in;
    const float share = 1.0f / (float)v.places;

#pragma omp parallel for schedule(static)
    for (size_t i = 0; i < v.pictures * v.blocks * v.places; i++) {
        const float *from = dy + i / v.places * v.lanes;
        float *to = dx + i * v.lanes;
#pragma omp simd
        for (size_t l = 0; l < v.lanes; l++) {
            to[l] = accumulates ? to[l] + from[l] * share : from[l] * share;
        }
    }
}

/* --- A number per channel ----------------------------------------------------------------------
 */

void DV_KERNEL(scale)(const struct dv_view *view, const float *x, const float *gate, float *y)
{
    const struct dv_view v = *view;
    const size_t places = v.pictures * v.blocks * v.places;

#pragma omp parallel for schedule(static)
    for (size_t i = 0; i < places; i++) {
        const float *from = x + i * v.lanes;
        const float *by = gate + i / v.places * v.lanes;
        float *to = y + i * v.lanes;
#pragma omp simd
        for (size_t l = 0; l < v.lanes; l++) {
            to[l] = from[l] * by[l];
        }
    }
}

/* Sums of dy * x of a run of places; and dx = dy * gate where `dx` is given. */
DV_UNROLLED void strip_scale_gradient(const float *x, const float *dy, const float *gate,
    size_t stride, size_t count, size_t width, bool adds, float *dx, float *ret_sums)
{
    float sum[STRIP] = {0};

    for (size_t p = 0; p < count; p++) {
#pragma omp simd
        for (size_t l = 0; l < width; l++) {
            sum[l] += dy[p * stride + l] * x[p * stride + l];
        }
    }
    for (size_t p = 0; dx && p < count; p++) {
#pragma omp simd
        for (size_t l = 0; l < width; l++) {
            float passed = dy[p * stride + l] * gate[l];
            dx[p * stride + l] = adds ? dx[p * stride + l] + passed : passed;
        }
    }
#pragma omp simd
    for (size_t l = 0; l < width; l++) {
        ret_sums[l] += sum[l];
    }
}

/* One plane; `sums` has a number per lane. */
static void plane_scale_gradient(const struct dv_view *v, const struct dv_scaled *s,
    const float *dy, size_t plane, float *dx, float *sums)
{
    const float *gate = s->gate + plane * v->lanes;

    for (size_t p = 0; p < v->places; p += RUN_PLACES) {
        size_t count = smaller(v->places - p, RUN_PLACES);
        for (size_t l = 0; l < v->lanes; l += STRIP) {
            size_t i = (plane * v->places + p) * v->lanes + l;
            float *to = dx ? dx + i : NULL;
            size_t width = smaller(v->lanes - l, STRIP);
            if (width == STRIP) {
                strip_scale_gradient(s->x + i, dy + i, gate + l, v->lanes, count, STRIP,
                    s->accumulates_x, to, sums + l);
            } else {
                strip_scale_gradient(s->x + i, dy + i, gate + l, v->lanes, count, width,
                    s->accumulates_x, to, sums + l);
            }
        }
    }
}

void DV_KERNEL(scale_gradient)(const struct dv_view *view, const struct dv_scaled *scaled,
    const float *dy, float *dx, float *dgate)
{
    const struct dv_view v = *view;

#pragma omp parallel for schedule(static)
    for (size_t plane = 0; plane < v.pictures * v.blocks; plane++) {
        float *sums = dgate + plane * v.lanes;
        if (!scaled->accumulates_gate) {
            memset(sums, 0, v.lanes * sizeof(*sums));
        }
        plane_scale_gradient(&v, scaled, dy, plane, dx, sums);
    }
}

/* --- A number per picture ----------------------------------------------------------------------
 */

/* What a thread does at a time, so that also one large picture keeps all of them busy. */
enum { CHUNK = 4096 };

void DV_KERNEL(scale_pictures)(
    size_t pictures, size_t count, const float *x, const float *factors, bool accumulates, float *y)
{
    const size_t chunks = (count + CHUNK - 1) / CHUNK;

#pragma omp parallel for schedule(static)
    for (size_t i = 0; i < pictures * chunks; i++) {
        const float factor = factors[i / chunks];
        size_t first = i % chunks * CHUNK;
        size_t start = i / chunks * count + first;
        size_t width = smaller(count - first, CHUNK);
#pragma omp simd
        for (size_t k = start; k < start + width; k++) {
            y[k] = accumulates ? y[k] + x[k] * factor : x[k] * factor;
        }
    }
}
