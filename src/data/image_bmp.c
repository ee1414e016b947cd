/* SPDX-License-Identifier: Apache-2.0 */
/*
 * BMP by hand: OS/2 and Windows headers, 1, 4, 8, 16, 24 and 32 bits, run lengths, bit fields,
 * rows from the bottom up or from the top down. Read bmp_decode() at the end first, then
 * read_header(), then the three ways pixels are stored: packed, run lengths, palette indexes.
 * Harmless lies of the header (file size, density, number of planes) are passed over, as every
 * viewer does.
 */
#include "data/image_impl.h"

#include "base/alloc.h"

#include <string.h>

#define FILE_HEADER_SIZE 14u

enum compression {
    RGB = 0,
    RLE8 = 1,
    RLE4 = 2,
    BITFIELDS = 3,
    JPEG = 4,
    PNG = 5,
    ALPHABITFIELDS = 6
};

struct bmp {
    const unsigned char *data;
    size_t size;
    uint32_t header_size;
    uint32_t rows, columns;
    bool is_top_down;
    uint32_t bits;
    uint32_t compression;
    uint32_t palette_count;
    uint32_t masks[4]; /* red, green, blue, alpha */
    size_t pixels_offset;
    uint8_t palette[256][3]; /* RGB; black past its end */
    bool is_grey;            /* all of the palette */
};

static uint32_t read_u16(const unsigned char *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8;
}

static uint32_t read_u32(const unsigned char *p)
{
    return read_u16(p) | read_u16(p + 2) << 16;
}

static enum dv_status refuse_damaged(const struct dv_image_verdict *verdict, const char *what)
{
    return dv_image_refuse(verdict, DV_FINDING_CORRUPT_IMAGE, "BMP: %s", what);
}

/* The masks of 16 and 32 bits: those of the format, or those in the file. */
static enum dv_status read_masks(struct bmp *bmp, const struct dv_image_verdict *verdict)
{
    static const uint32_t of_16_bits[4] = {0x7c00, 0x03e0, 0x001f, 0};
    static const uint32_t of_32_bits[4] = {0xff0000, 0x00ff00, 0x0000ff, 0};
    size_t offset = FILE_HEADER_SIZE + 40; /* behind a plain header or inside a longer one */
    size_t count = bmp->header_size >= 56 || bmp->compression == ALPHABITFIELDS ? 4 : 3;

    if (bmp->compression == RGB) {
        memcpy(bmp->masks, bmp->bits == 16 ? of_16_bits : of_32_bits, sizeof(bmp->masks));
        return DV_OK;
    }
    if (bmp->size < offset + 4 * count) {
        return refuse_damaged(verdict, "the file ends inside its header");
    }
    for (size_t i = 0; i < count; i++) {
        uint32_t mask = read_u32(bmp->data + offset + 4 * i);
        uint32_t run = mask ? mask >> __builtin_ctz(mask) : 0;
        if (run & (run + 1)) {
            return refuse_damaged(verdict, "a colour mask has holes");
        }
        bmp->masks[i] = mask;
    }
    if (!(bmp->masks[0] | bmp->masks[1] | bmp->masks[2])) {
        return refuse_damaged(verdict, "its colour masks are empty");
    }
    return DV_OK;
}

static enum dv_status read_palette(struct bmp *bmp, const struct dv_image_verdict *verdict)
{
    size_t entry_size = bmp->header_size == 12 ? 3 : 4;
    size_t offset = FILE_HEADER_SIZE + bmp->header_size;
    uint32_t count = bmp->palette_count ? bmp->palette_count : 1u << bmp->bits;

    if (count > 256) {
        return refuse_damaged(verdict, "its palette is longer than 256 colours");
    }
    if (bmp->pixels_offset > offset && (bmp->pixels_offset - offset) / entry_size < count) {
        count = (uint32_t)((bmp->pixels_offset - offset) / entry_size);
    }
    if (bmp->size < offset + count * entry_size) {
        return refuse_damaged(verdict, "the file ends inside its palette");
    }
    bmp->is_grey = true;
    for (uint32_t i = 0; i < count; i++) {
        const unsigned char *entry = bmp->data + offset + i * entry_size;
        bmp->palette[i][0] = entry[2];
        bmp->palette[i][1] = entry[1];
        bmp->palette[i][2] = entry[0];
        bmp->is_grey = bmp->is_grey && entry[0] == entry[1] && entry[1] == entry[2];
    }
    return DV_OK;
}

static enum dv_status check_kind(const struct bmp *bmp, const struct dv_image_verdict *verdict)
{
    static const struct {
        uint32_t compression, bits;
    } known[] = {{RGB, 1}, {RGB, 4}, {RGB, 8}, {RGB, 16}, {RGB, 24}, {RGB, 32}, {RLE8, 8},
        {RLE4, 4}, {BITFIELDS, 16}, {BITFIELDS, 32}, {ALPHABITFIELDS, 16}, {ALPHABITFIELDS, 32}};

    for (size_t i = 0; i < DV_ARRAY_SIZE(known); i++) {
        if (known[i].compression == bmp->compression && known[i].bits == bmp->bits) {
            return DV_OK;
        }
    }
    if (bmp->compression == JPEG || bmp->compression == PNG) {
        return dv_image_refuse(
            verdict, DV_FINDING_UNSUPPORTED_FEATURE, "BMP: a JPEG or PNG inside is not read");
    }
    return dv_image_refuse(verdict, DV_FINDING_CORRUPT_IMAGE,
        "BMP: there is no such thing as %u bits with compression %u", bmp->bits, bmp->compression);
}

static bool is_windows_header(uint32_t size)
{
    static const uint32_t known[] = {40, 52, 56, 64, 108, 124}; /* 64: OS/2 2.x, alike so far */

    for (size_t i = 0; i < DV_ARRAY_SIZE(known); i++) {
        if (known[i] == size) {
            return true;
        }
    }
    return false;
}

static enum dv_status read_header(struct bmp *bmp, const struct dv_image_verdict *verdict)
{
    const unsigned char *header = bmp->data + FILE_HEADER_SIZE;

    if (bmp->size < FILE_HEADER_SIZE + 12) {
        return refuse_damaged(verdict, "the file ends inside its header");
    }
    bmp->pixels_offset = read_u32(bmp->data + 10);
    bmp->header_size = read_u32(header);
    if (bmp->header_size == 12) { /* OS/2 1.x */
        bmp->columns = read_u16(header + 4);
        bmp->rows = read_u16(header + 6);
        bmp->bits = read_u16(header + 10);
    } else if (is_windows_header(bmp->header_size)) {
        if (bmp->size < FILE_HEADER_SIZE + bmp->header_size) {
            return refuse_damaged(verdict, "the file ends inside its header");
        }
        int32_t rows = (int32_t)read_u32(header + 8);
        bmp->is_top_down = rows < 0;
        bmp->rows = rows < 0 ? 0u - (uint32_t)rows : (uint32_t)rows;
        bmp->columns = read_u32(header + 4);
        bmp->bits = read_u16(header + 14);
        bmp->compression = read_u32(header + 16);
        bmp->palette_count = read_u32(header + 32);
    } else {
        return refuse_damaged(verdict, "its header has an unknown length");
    }
    if ((int32_t)bmp->columns < 0) {
        return refuse_damaged(verdict, "its width is negative");
    }
    enum dv_status status = dv_image_check_size(bmp->rows, bmp->columns, verdict);
    if (status == DV_OK) {
        status = check_kind(bmp, verdict);
    }
    if (status != DV_OK) {
        return status;
    }
    if (bmp->pixels_offset < FILE_HEADER_SIZE + bmp->header_size ||
        bmp->pixels_offset > bmp->size) {
        return refuse_damaged(verdict, "its pixels lie outside the file");
    }
    return bmp->bits <= 8                       ? read_palette(bmp, verdict)
           : bmp->bits == 16 || bmp->bits == 32 ? read_masks(bmp, verdict)
                                                : DV_OK;
}

/* The masked bits on a scale of 0 to 255, rounded down as Pillow does. */
static uint8_t masked(uint32_t pixel, uint32_t mask)
{
    if (!mask) {
        return 0;
    }
    int shift = __builtin_ctz(mask);
    uint64_t value = (pixel & mask) >> shift;
    return (uint8_t)(value * 255 / (mask >> shift));
}

static void unpack_row(const struct bmp *bmp, const unsigned char *row, uint8_t *to, bool has_alpha)
{
    for (uint32_t x = 0; x < bmp->columns; x++) {
        if (bmp->bits == 24) {
            to[0] = row[2];
            to[1] = row[1];
            to[2] = row[0];
            row += 3;
        } else {
            uint32_t pixel = bmp->bits == 16 ? read_u16(row) : read_u32(row);
            to[0] = masked(pixel, bmp->masks[0]);
            to[1] = masked(pixel, bmp->masks[1]);
            to[2] = masked(pixel, bmp->masks[2]);
            row += bmp->bits / 8;
        }
        if (has_alpha) {
            to[3] = masked(read_u32(row - 4), bmp->masks[3]);
        }
        to += has_alpha ? 4 : 3;
    }
}

/* A picture whose alpha is nowhere above 0 was written by a program that left the byte empty. */
static void make_opaque_if_empty(struct dv_image *image)
{
    size_t count = (size_t)image->rows * image->columns;

    for (size_t i = 0; i < count; i++) {
        if (image->pixels[4 * i + 3]) {
            return;
        }
    }
    for (size_t i = 0; i < count; i++) {
        image->pixels[4 * i + 3] = 255;
    }
}

static void unpack_indexes(
    const unsigned char *row, uint32_t bits, uint32_t columns, uint8_t *ret_indexes)
{
    uint32_t per_byte = 8 / bits;
    uint32_t mask = (1u << bits) - 1;

    for (uint32_t x = 0; x < columns; x++) {
        uint32_t shift = 8 - bits * (x % per_byte + 1);
        ret_indexes[x] = (uint8_t)(row[x / per_byte] >> shift & mask);
    }
}

struct runs {
    const unsigned char *p, *end; /* what is left of the data */
    size_t row, column;
    uint8_t *indexes; /* [row, column], rows in file order */
};

/* Move on without drawing; false when that leads out of the picture. */
static bool jump(const struct bmp *bmp, struct runs *runs)
{
    if (runs->end - runs->p < 2) {
        return false;
    }
    runs->column += runs->p[0];
    runs->row += runs->p[1];
    runs->p += 2;
    return runs->column <= bmp->columns && runs->row <= bmp->rows;
}

/* `count` pixels of one value; what hangs over the end of the row is cut, as by all viewers. */
static void draw_run(const struct bmp *bmp, struct runs *runs, size_t count, uint8_t value)
{
    uint8_t *row = runs->indexes + runs->row * bmp->columns;

    for (size_t i = 0; i < count && runs->column < bmp->columns; i++) {
        uint32_t of_4_bits = i % 2 ? value & 15u : value >> 4u;
        row[runs->column++] = bmp->bits == 4 ? (uint8_t)of_4_bits : value;
    }
}

/* `count` pixels one by one, padded to 16 bits; false when they fit neither data nor row. */
static bool draw_pixels(const struct bmp *bmp, struct runs *runs, size_t count)
{
    size_t stored = bmp->bits == 4 ? (count + 1) / 2 : count;

    if ((size_t)(runs->end - runs->p) < stored || count > bmp->columns - runs->column) {
        return false;
    }
    uint8_t *to = runs->indexes + runs->row * bmp->columns + runs->column;
    for (size_t i = 0; i < count; i++) {
        uint32_t of_4_bits = i % 2 ? runs->p[i / 2] & 15u : runs->p[i / 2] >> 4u;
        to[i] = bmp->bits == 4 ? (uint8_t)of_4_bits : runs->p[i];
    }
    runs->column += count;
    runs->p += stored;
    if (stored % 2 && runs->p < runs->end) {
        runs->p++;
    }
    return true;
}

/*
 * Run lengths to one index a pixel; pixels that are skipped stay 0. False when they lead out of the
 * picture, or the data ends before the end mark and the picture is not full.
 */
static bool unpack_runs(const struct bmp *bmp, uint8_t *ret_indexes)
{
    struct runs runs = {
        .p = bmp->data + bmp->pixels_offset, .end = bmp->data + bmp->size, .indexes = ret_indexes};

    while (runs.row < bmp->rows) {
        if (runs.end - runs.p < 2) {
            return runs.row + 1 == bmp->rows && runs.column >= bmp->columns;
        }
        uint8_t count = runs.p[0];
        uint8_t value = runs.p[1];
        bool is_good = true;
        runs.p += 2;
        if (count > 0) {
            draw_run(bmp, &runs, count, value);
        } else if (value == 0) { /* end of row */
            runs.column = 0;
            runs.row++;
        } else if (value == 1) { /* end of picture */
            return true;
        } else if (value == 2) {
            is_good = jump(bmp, &runs);
        } else {
            is_good = draw_pixels(bmp, &runs, value);
        }
        if (!is_good) {
            return false;
        }
    }
    return true;
}

static enum dv_status read_indexes(
    const struct bmp *bmp, struct dv_image *image, const struct dv_image_verdict *verdict)
{
    DV_CLEANUP(dv_image_finish) struct dv_image indexes = {0};
    size_t stride = ((size_t)bmp->columns * bmp->bits + 31) / 32 * 4;

    enum dv_status status = dv_image_create(bmp->rows, bmp->columns, 1, &indexes, verdict);
    if (status != DV_OK) {
        return status;
    }
    if (bmp->compression != RGB) {
        if (!unpack_runs(bmp, indexes.pixels)) {
            return refuse_damaged(
                verdict, "its run lengths end too early or lead out of the picture");
        }
    } else {
        for (size_t y = 0; y < bmp->rows; y++) {
            unpack_indexes(bmp->data + bmp->pixels_offset + y * stride, bmp->bits, bmp->columns,
                indexes.pixels + y * bmp->columns);
        }
    }
    for (size_t y = 0; y < bmp->rows; y++) {
        size_t to_row = bmp->is_top_down ? y : bmp->rows - 1 - y;
        const uint8_t *from = indexes.pixels + y * bmp->columns;
        uint8_t *to = image->pixels + to_row * bmp->columns * image->channels;
        for (size_t x = 0; x < bmp->columns; x++) {
            memcpy(to + x * image->channels, bmp->palette[from[x]], image->channels);
        }
    }
    return DV_OK;
}

static void read_colors(const struct bmp *bmp, struct dv_image *image)
{
    size_t stride = ((size_t)bmp->columns * bmp->bits + 31) / 32 * 4;
    bool has_alpha = image->channels == 4;

    for (size_t y = 0; y < bmp->rows; y++) {
        size_t to_row = bmp->is_top_down ? y : bmp->rows - 1 - y;
        unpack_row(bmp, bmp->data + bmp->pixels_offset + y * stride,
            image->pixels + to_row * bmp->columns * image->channels, has_alpha);
    }
    if (has_alpha) {
        make_opaque_if_empty(image);
        dv_image_flatten(image, 3);
    }
}

/* Are all rows there? The last one may come without its padding. */
static bool is_whole(const struct bmp *bmp)
{
    size_t row_size = ((size_t)bmp->columns * bmp->bits + 7) / 8;
    size_t stride = (row_size + 3) / 4 * 4;

    return bmp->size - bmp->pixels_offset >= stride * (bmp->rows - 1) + row_size;
}

static bool bmp_matches(const unsigned char *data, size_t size)
{
    return size >= 2 && memcmp(data, "BM", 2) == 0;
}

static enum dv_status bmp_decode(const unsigned char *data, size_t size, struct dv_image *ret_image,
    const struct dv_image_verdict *verdict)
{
    DV_CLEANUP(dv_image_finish) struct dv_image image = {0};
    struct bmp bmp = {.data = data, .size = size};

    enum dv_status status = read_header(&bmp, verdict);
    if (status != DV_OK) {
        return status;
    }
    bool has_runs = bmp.compression == RLE8 || bmp.compression == RLE4;
    if (!has_runs && !is_whole(&bmp)) {
        return refuse_damaged(verdict, "the file is cut short");
    }
    bool has_alpha = bmp.bits == 32 && bmp.masks[3];
    uint32_t channels = bmp.bits <= 8 && bmp.is_grey ? 1 : has_alpha ? 4 : 3;
    status = dv_image_create(bmp.rows, bmp.columns, channels, &image, verdict);
    if (status != DV_OK) {
        return status;
    }
    if (bmp.bits <= 8) {
        status = read_indexes(&bmp, &image, verdict);
    } else {
        read_colors(&bmp, &image);
    }
    if (status == DV_OK) {
        *ret_image = image;
        image = (struct dv_image){0};
    }
    return status;
}

const struct dv_image_codec dv_image_codec_bmp = {
    .name = "BMP",
    .matches = bmp_matches,
    .decode = bmp_decode,
};
