/* SPDX-License-Identifier: Apache-2.0 */
#include "data/image_impl.h"

#include "base/alloc.h"
#include "spec/limits.h"

#include <string.h>

#include <spng.h>

#define SIGNATURE_SIZE 8u
#define CHUNK_OVERHEAD 12u /* length, type, CRC */

/*
 * libspng is shown only the chunks that make pixels. Whatever else a file brings along (texts and
 * colour profiles that inflate to gigabytes, thousands of comments, the later frames of an
 * animation) is stepped over by its declared length and never parsed.
 */
struct feed {
    const unsigned char *data;
    size_t size;
    size_t offset;    /* of the next byte to hand over */
    size_t remaining; /* bytes of the present chunk still to hand over */
};

static uint32_t read_u32(const unsigned char *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static bool is_type(const unsigned char *chunk, const char *type)
{
    return memcmp(chunk + 4, type, 4) == 0;
}

/* Chunks that a decoder has to understand start with a capital letter; tRNS makes pixels too. */
static bool makes_pixels(const unsigned char *chunk)
{
    return (chunk[4] & 0x20) == 0 || is_type(chunk, "tRNS");
}

/* Walk all chunks: is the file whole up to IEND? Notes where EXIF data is. */
static enum dv_status audit(const unsigned char *data, size_t size, unsigned *ret_orientation,
    const struct dv_image_verdict *verdict)
{
    size_t offset = SIGNATURE_SIZE;
    unsigned orientation = 1;
    bool has_data = false;
    bool has_data_ended = false;

    while (size - offset >= CHUNK_OVERHEAD) {
        const unsigned char *chunk = data + offset;
        uint32_t length = read_u32(chunk);
        if (length > size - offset - CHUNK_OVERHEAD) {
            break;
        }
        bool is_data = is_type(chunk, "IDAT");
        if (is_data && has_data_ended) {
            return dv_image_refuse(verdict, DV_FINDING_CORRUPT_IMAGE,
                "PNG: other chunks lie between those with its pixels");
        }
        has_data_ended = has_data && !is_data;
        has_data = has_data || is_data;
        if (is_type(chunk, "eXIf")) {
            orientation = dv_exif_orientation(chunk + 8, length);
        }
        if (is_type(chunk, "IEND")) {
            *ret_orientation = orientation;
            return DV_OK;
        }
        offset += CHUNK_OVERHEAD + length;
    }
    return dv_image_refuse(verdict, DV_FINDING_CORRUPT_IMAGE,
        "PNG: the file is cut short or damaged at byte %zu", offset);
}

static int feed_read(spng_ctx *reader, void *user, void *to, size_t length)
{
    struct feed *feed = user;
    unsigned char *out = to;

    (void)reader;
    while (length > 0) {
        while (feed->remaining == 0) {
            if (feed->size - feed->offset < CHUNK_OVERHEAD) {
                return SPNG_IO_EOF;
            }
            const unsigned char *chunk = feed->data + feed->offset;
            size_t whole = (size_t)read_u32(chunk) + CHUNK_OVERHEAD;
            if (whole > feed->size - feed->offset) {
                return SPNG_IO_EOF;
            }
            if (makes_pixels(chunk)) {
                feed->remaining = whole;
            } else {
                feed->offset += whole;
            }
        }
        size_t count = length < feed->remaining ? length : feed->remaining;
        memcpy(out, feed->data + feed->offset, count);
        out += count;
        length -= count;
        feed->offset += count;
        feed->remaining -= count;
    }
    return 0;
}

static void reader_freep(spng_ctx **reader)
{
    spng_ctx_free(*reader);
}

static enum dv_status refuse_error(int error, const struct dv_image_verdict *verdict)
{
    enum dv_finding_code finding = DV_FINDING_CORRUPT_IMAGE;

    if (error == SPNG_EMEM || error == SPNG_EUSER_WIDTH || error == SPNG_EUSER_HEIGHT) {
        finding = DV_FINDING_TOO_LARGE;
    } else if (error == SPNG_ECHUNK_UNKNOWN_CRITICAL) {
        finding = DV_FINDING_UNSUPPORTED_FEATURE;
    }
    return dv_image_refuse(verdict, finding, "PNG: %s", spng_strerror(error));
}

/* Does every colour of the palette have R = G = B? Then the picture is grey. */
static bool palette_is_grey(spng_ctx *reader)
{
    struct spng_plte palette;

    if (spng_get_plte(reader, &palette) != 0) {
        return false;
    }
    for (uint32_t i = 0; i < palette.n_entries; i++) {
        const struct spng_plte_entry *entry = &palette.entries[i];
        if (entry->red != entry->green || entry->green != entry->blue) {
            return false;
        }
    }
    return true;
}

struct layout {
    int format;        /* as libspng writes it */
    uint32_t bytes;    /* a pixel in that format */
    uint32_t channels; /* 1 or 3, at the end */
};

static struct layout choose_layout(spng_ctx *reader, const struct spng_ihdr *header)
{
    struct spng_trns transparency;
    bool has_alpha = (header->color_type & 4) || spng_get_trns(reader, &transparency) == 0;
    bool is_palette = header->color_type == SPNG_COLOR_TYPE_INDEXED;
    bool is_grey = is_palette ? palette_is_grey(reader) : (header->color_type & 2) == 0;

    if (has_alpha || (is_palette && is_grey)) {
        return (struct layout){SPNG_FMT_RGBA8, 4, is_grey ? 1 : 3};
    }
    if (!is_grey) {
        return (struct layout){SPNG_FMT_RGB8, 3, 3};
    }
    return header->bit_depth == 16 ? (struct layout){SPNG_FMT_PNG, 2, 1}
                                   : (struct layout){SPNG_FMT_G8, 1, 1};
}

/* 16 bits to 8 by the high byte, as libspng and Pillow do for colours. */
static void keep_high_bytes(struct dv_image *image)
{
    size_t count = (size_t)image->rows * image->columns;

    for (size_t i = 0; i < count; i++) {
        uint16_t value;
        memcpy(&value, image->pixels + 2 * i, sizeof(value));
        image->pixels[i] = (uint8_t)(value >> 8);
    }
    image->pixels = dv_realloc(image->pixels, count);
    image->channels = 1;
}

static enum dv_status read_pixels(
    spng_ctx *reader, struct dv_image *image, const struct dv_image_verdict *verdict)
{
    struct spng_ihdr header;
    size_t size;

    int error = spng_get_ihdr(reader, &header);
    if (error) {
        return refuse_error(error, verdict);
    }
    enum dv_status status = dv_image_check_size(header.height, header.width, verdict);
    if (status != DV_OK) {
        return status;
    }
    error = spng_decode_chunks(reader); /* those in front of the pixels */
    if (error) {
        return refuse_error(error, verdict);
    }
    struct layout layout = choose_layout(reader, &header);
    status = dv_image_create(header.height, header.width, layout.bytes, image, verdict);
    if (status != DV_OK) {
        return status;
    }
    error = spng_decoded_image_size(reader, layout.format, &size);
    if (!error && size != (size_t)header.height * header.width * layout.bytes) {
        return dv_image_refuse(verdict, DV_FINDING_CORRUPT_IMAGE, "PNG: its sizes disagree");
    }
    if (!error) {
        int flags = layout.format == SPNG_FMT_RGBA8 ? SPNG_DECODE_TRNS : 0;
        error = spng_decode_image(reader, image->pixels, size, layout.format, flags);
    }
    if (!error) {
        error = spng_decode_chunks(reader); /* those behind the pixels: to IEND */
    }
    if (error) {
        return refuse_error(error, verdict);
    }
    if (layout.format == SPNG_FMT_RGBA8) {
        dv_image_flatten(image, layout.channels);
    } else if (layout.format == SPNG_FMT_PNG) {
        keep_high_bytes(image);
    }
    return DV_OK;
}

static bool png_matches(const unsigned char *data, size_t size)
{
    return size >= SIGNATURE_SIZE && memcmp(data, "\x89PNG\r\n\x1a\n", SIGNATURE_SIZE) == 0;
}

static enum dv_status png_decode(const unsigned char *data, size_t size, struct dv_image *ret_image,
    const struct dv_image_verdict *verdict)
{
    DV_CLEANUP(reader_freep) spng_ctx *reader = NULL;
    DV_CLEANUP(dv_image_finish) struct dv_image image = {0};
    struct feed feed = {.data = data, .size = size, .remaining = SIGNATURE_SIZE};
    unsigned orientation = 1;

    enum dv_status status = audit(data, size, &orientation, verdict);
    if (status != DV_OK) {
        return status;
    }
    reader = spng_ctx_new(0);
    if (!reader) {
        return refuse_error(SPNG_EMEM, verdict);
    }
    (void)spng_set_image_limits(reader, DV_IMAGE_SIDE_MAX, DV_IMAGE_SIDE_MAX);
    (void)spng_set_option(reader, SPNG_CHUNK_COUNT_LIMIT, 1 << 20); /* few, but for IDAT */
    int error = spng_set_png_stream(reader, feed_read, &feed);
    if (error) {
        return refuse_error(error, verdict);
    }
    status = read_pixels(reader, &image, verdict);
    if (status == DV_OK) {
        status = dv_image_orient(&image, orientation, verdict);
    }
    if (status == DV_OK) {
        *ret_image = image;
        image = (struct dv_image){0};
    }
    return status;
}

const struct dv_image_codec dv_image_codec_png = {
    .name = "PNG",
    .matches = png_matches,
    .decode = png_decode,
};
