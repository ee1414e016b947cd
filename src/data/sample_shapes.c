/* SPDX-License-Identifier: Apache-2.0 */
#include "data/sample_shapes.h"

#include "base/alloc.h"
#include "base/random.h"
#include "base/zip_writer.h"

#include <assert.h>
#include <math.h>
#include <spng.h>
#include <stdbool.h>

enum {
    SIDE = 32,
    CHANNELS = 3,
    SUBSAMPLES = 4, /* a side, for smooth edges */
    DEFAULT_CLASSES = 10,
    DEFAULT_PICTURES_PER_CLASS = 300,
    PNG_LEVEL = 1, /* noise does not compress; do not try hard */
};

static const double tau = 6.283185307179586;

/* --- Shapes: is (x, y) inside? All lie within the circle of radius 1. ------------------------ */

static bool in_circle(double x, double y)
{
    return hypot(x, y) < 0.9;
}

static bool in_square(double x, double y)
{
    return fmax(fabs(x), fabs(y)) < 0.7;
}

static bool in_triangle(double x, double y)
{
    return y < 0.5 && y > -1 + fabs(x) * 1.732;
}

static bool in_star(double x, double y)
{
    /* Between the tips at radius 1 and the notches at 0.4 the edge is a straight line. */
    double part = tau / 10;
    double angle = fabs(remainder(atan2(x, -y), 2 * part));
    double radius = hypot(x, y);
    double px = radius * cos(angle);
    double py = radius * sin(angle);
    double nx = 0.4 * cos(part);
    double ny = 0.4 * sin(part);

    return (nx - 1) * py - ny * (px - 1) > 0;
}

static bool in_ring(double x, double y)
{
    double radius = hypot(x, y);

    return radius < 0.95 && radius > 0.55;
}

static bool in_cross(double x, double y)
{
    double longer = fmax(fabs(x), fabs(y));
    double shorter = fmin(fabs(x), fabs(y));

    return longer < 0.95 && shorter < 0.28;
}

static bool in_arrow(double x, double y)
{
    bool in_head = y > -1 && y < -0.1 && fabs(x) < (y + 1) * 0.8;
    bool in_shaft = y >= -0.1 && y < 0.95 && fabs(x) < 0.22;

    return in_head || in_shaft;
}

static bool in_crescent(double x, double y)
{
    return hypot(x, y) < 0.95 && hypot(x - 0.45, y) > 0.75;
}

static bool in_ellipse(double x, double y)
{
    return hypot(x, y * 2.4) < 1;
}

static bool in_frame(double x, double y)
{
    double longer = fmax(fabs(x), fabs(y));

    return longer < 0.7 && longer > 0.42;
}

static bool in_bars(double x, double y)
{
    return fabs(x) < 0.85 && fabs(y) < 0.55 && fabs(y) > 0.2;
}

static bool in_heart(double x, double y)
{
    double h = x * 1.2;
    double v = 0.2 - y * 1.15;
    double body = h * h + v * v - 0.75;

    return body * body * body < h * h * v * v * v * 1.2;
}

static const struct {
    const char *name;
    bool (*is_inside)(double x, double y);
} shapes[] = {
    {"circle", in_circle},
    {"square", in_square},
    {"triangle", in_triangle},
    {"star", in_star},
    {"ring", in_ring},
    {"cross", in_cross},
    {"arrow", in_arrow},
    {"crescent", in_crescent},
    {"ellipse", in_ellipse},
    {"frame", in_frame},
    {"bars", in_bars},
    {"heart", in_heart},
};

_Static_assert(DV_ARRAY_SIZE(shapes) == DV_SAMPLE_CLASSES_MAX, "the limit is the table's length");

/* --- Pictures -------------------------------------------------------------------------------- */

struct placement {
    double x, y, radius;
    double cosine, sine;
    double stretch; /* of one side against the other */
};

static double between(struct dv_random *random, double low, double high)
{
    return low + (high - low) * dv_random_unit(random);
}

static struct placement draw_placement(struct dv_random *random)
{
    struct placement place = {.radius = between(random, 7, 13)};
    double angle = between(random, 0, tau);
    double room = SIDE / 2.0 - place.radius;

    place.x = SIDE / 2.0 + between(random, -room, room);
    place.y = SIDE / 2.0 + between(random, -room, room);
    place.cosine = cos(angle);
    place.sine = sin(angle);
    place.stretch = between(random, 0.9, 1.1);
    return place;
}

/* The share of the pixel that the shape covers. */
static double coverage(uint32_t shape, const struct placement *place, int row, int column)
{
    int hits = 0;

    for (int i = 0; i < SUBSAMPLES * SUBSAMPLES; i++) {
        double dx = column + (i % SUBSAMPLES + 0.5) / SUBSAMPLES - place->x;
        double dy = row + (i / SUBSAMPLES + 0.5) / SUBSAMPLES - place->y;
        double x = (dx * place->cosine + dy * place->sine) / place->radius * place->stretch;
        double y = (dy * place->cosine - dx * place->sine) / place->radius / place->stretch;
        hits += shapes[shape].is_inside(x, y);
    }
    return hits / (double)(SUBSAMPLES * SUBSAMPLES);
}

/* Two colours for the ends of the ground and one for the shape, far enough from both to be seen. */
static void draw_colours(struct dv_random *random, double colours[3][CHANNELS])
{
    double distance;

    do {
        distance = 1e9;
        for (int i = 0; i < 3 * CHANNELS; i++) {
            colours[i / CHANNELS][i % CHANNELS] = between(random, 0, 255);
        }
        for (int ground = 0; ground < 2; ground++) {
            double sum = 0;
            for (int c = 0; c < CHANNELS; c++) {
                sum += fabs(colours[ground][c] - colours[2][c]);
            }
            distance = fmin(distance, sum);
        }
    } while (distance < 120);
}

/* pixels: [row, column, channel] */
static void draw_picture(struct dv_random *random, uint32_t shape, unsigned char *pixels)
{
    double colours[3][CHANNELS];
    struct placement place = draw_placement(random);
    double noise = between(random, 4, 24);
    double slope_x = between(random, -1, 1);
    double slope_y = between(random, -1, 1);

    draw_colours(random, colours);
    for (int i = 0; i < SIDE * SIDE; i++) {
        int row = i / SIDE;
        int column = i % SIDE;
        double covered = coverage(shape, &place, row, column);
        double along =
            0.5 + (slope_x * (column - SIDE / 2.0) + slope_y * (row - SIDE / 2.0)) / SIDE;
        along = fmin(fmax(along, 0), 1);
        for (int c = 0; c < CHANNELS; c++) {
            double ground = colours[0][c] + (colours[1][c] - colours[0][c]) * along;
            double value = ground + (colours[2][c] - ground) * covered;
            value += noise * dv_random_normal(random);
            pixels[i * CHANNELS + c] = (unsigned char)lround(fmin(fmax(value, 0), 255));
        }
    }
}

static void free_encoder(spng_ctx **encoder)
{
    spng_ctx_free(*encoder);
}

static enum dv_status add_picture(struct dv_zip_writer *writer, const char *name,
    const unsigned char *pixels, struct dv_error *reterr)
{
    DV_CLEANUP(free_encoder) spng_ctx *encoder = spng_ctx_new(SPNG_CTX_ENCODER);
    DV_CLEANUP(dv_freep) void *png = NULL;
    struct spng_ihdr header = {
        .width = SIDE, .height = SIDE, .bit_depth = 8, .color_type = SPNG_COLOR_TYPE_TRUECOLOR};
    size_t size;
    int result = encoder ? 0 : SPNG_EMEM;

    if (!result) {
        result = spng_set_option(encoder, SPNG_ENCODE_TO_BUFFER, 1);
    }
    if (!result) {
        result = spng_set_option(encoder, SPNG_IMG_COMPRESSION_LEVEL, PNG_LEVEL);
    }
    if (!result) {
        result = spng_set_ihdr(encoder, &header);
    }
    if (!result) {
        result = spng_encode_image(
            encoder, pixels, (size_t)SIDE * SIDE * CHANNELS, SPNG_FMT_PNG, SPNG_ENCODE_FINALIZE);
    }
    if (!result) {
        png = spng_get_png_buffer(encoder, &size, &result);
    }
    if (!png) {
        return dv_fail(reterr, DV_NOMEM, "cannot encode a picture: %s", spng_strerror(result));
    }
    return dv_zip_writer_add(writer, name, png, size, reterr);
}

static enum dv_status write_class(struct dv_zip_writer *writer, uint32_t shape, uint32_t count,
    const struct dv_sample_shapes_options *options, struct dv_error *reterr)
{
    unsigned char pixels[SIDE * SIDE * CHANNELS];
    char name[64];
    enum dv_status status = DV_OK;

    for (uint32_t i = 0; status == DV_OK && i < count; i++) {
        if (options->is_cancelled && options->is_cancelled()) {
            return dv_fail(reterr, DV_CANCELLED, "interrupted");
        }
        struct dv_random random = dv_random_make(options->seed, DV_RANDOM_SAMPLE, shape, i);
        draw_picture(&random, shape, pixels);
        (void)snprintf(name, sizeof(name), "%s/%05u.png", shapes[shape].name, i);
        status = add_picture(writer, name, pixels, reterr);
    }
    return status;
}

enum dv_status dv_sample_shapes_write(
    const char *path, const struct dv_sample_shapes_options *options, struct dv_error *reterr)
{
    DV_CLEANUP(dv_zip_writer_closep) struct dv_zip_writer *writer = NULL;

    assert(path);
    assert(options);
    uint32_t classes = options->class_count ? options->class_count : DEFAULT_CLASSES;
    if (classes < DV_SAMPLE_CLASSES_MIN || classes > DV_SAMPLE_CLASSES_MAX) {
        return dv_fail(reterr, DV_INVALID, "%u classes: there can be %u to %u", classes,
            DV_SAMPLE_CLASSES_MIN, DV_SAMPLE_CLASSES_MAX);
    }
    uint32_t count =
        options->picture_count ? options->picture_count : classes * DEFAULT_PICTURES_PER_CLASS;
    if (count < 2 * classes || count > DV_SAMPLE_COUNT_MAX) {
        return dv_fail(reterr, DV_INVALID, "%u pictures of %u classes: there can be %u to %u",
            count, classes, 2 * classes, DV_SAMPLE_COUNT_MAX);
    }

    enum dv_status status = dv_zip_writer_open(path, &writer, reterr);
    for (uint32_t i = 0; status == DV_OK && i < classes; i++) {
        uint32_t share = count / classes + (i < count % classes);
        status = write_class(writer, i, share, options, reterr);
    }
    return status == DV_OK ? dv_zip_writer_finish(writer, reterr) : status;
}

const char *dv_sample_shapes_class(uint32_t index)
{
    assert(index < DV_SAMPLE_CLASSES_MAX);
    return shapes[index].name;
}
