/* SPDX-License-Identifier: Apache-2.0 */
#include "data/image_impl.h"

#include "base/alloc.h"

#include <gif_lib.h>
#include <string.h>

struct input {
    const unsigned char *data;
    size_t size;
    size_t offset;
};

/* The colours of the first frame as RGBA; indexes past the palette's end are opaque black. */
struct palette {
    uint8_t colors[256][4];
    bool is_grey;
};

static int input_read(GifFileType *gif, GifByteType *to, int length)
{
    struct input *input = gif->UserData;
    size_t left = input->size - input->offset;
    size_t count = (size_t)length < left ? (size_t)length : left;

    memcpy(to, input->data + input->offset, count);
    input->offset += count;
    return (int)count;
}

static void gif_closep(GifFileType **gif)
{
    if (*gif) {
        (void)DGifCloseFile(*gif, NULL);
    }
}

static enum dv_status refuse_error(int error, const struct dv_image_verdict *verdict)
{
    const char *text = GifErrorString(error);
    enum dv_finding_code finding =
        error == D_GIF_ERR_NOT_ENOUGH_MEM ? DV_FINDING_TOO_LARGE : DV_FINDING_CORRUPT_IMAGE;

    return dv_image_refuse(verdict, finding, "GIF: %s", text ? text : "the file is damaged");
}

/* Step over one extension; a graphics control extension may name the transparent colour. */
static bool read_extension(GifFileType *gif, int *transparent)
{
    GifByteType *block;
    GraphicsControlBlock control;
    int code;

    if (DGifGetExtension(gif, &code, &block) != GIF_OK) {
        return false;
    }
    while (block) {
        if (code == GRAPHICS_EXT_FUNC_CODE &&
            DGifExtensionToGCB(block[0], block + 1, &control) == GIF_OK) {
            *transparent = control.TransparentColor;
        }
        if (DGifGetExtensionNext(gif, &block) != GIF_OK) {
            return false;
        }
    }
    return true;
}

/* Go to the first picture, leaving its place in gif->Image. */
static bool find_frame(GifFileType *gif, int *transparent)
{
    GifRecordType type;

    for (;;) {
        if (DGifGetRecordType(gif, &type) != GIF_OK) {
            return false;
        }
        if (type == IMAGE_DESC_RECORD_TYPE) {
            return DGifGetImageDesc(gif) == GIF_OK;
        }
        if (type != EXTENSION_RECORD_TYPE) {
            gif->Error = D_GIF_ERR_NO_IMAG_DSCR;
            return false;
        }
        if (!read_extension(gif, transparent)) {
            return false;
        }
    }
}

static void palette_init(struct palette *palette, const GifFileType *gif, int transparent)
{
    const ColorMapObject *map = gif->Image.ColorMap ? gif->Image.ColorMap : gif->SColorMap;

    palette->is_grey = true;
    for (int i = 0; i < 256; i++) {
        uint8_t *color = palette->colors[i];
        memset(color, map ? 0 : i, 3); /* without any palette: a ramp of greys */
        if (map && i < map->ColorCount) {
            color[0] = map->Colors[i].Red;
            color[1] = map->Colors[i].Green;
            color[2] = map->Colors[i].Blue;
        }
        color[3] = 255;
        palette->is_grey = palette->is_grey && color[0] == color[1] && color[1] == color[2];
    }
    if (transparent >= 0 && transparent < 256) {
        palette->colors[transparent][3] = 0;
    }
}

/* The `index`-th row in file order of an interlaced picture: every 8th, 4th between, ... */
static size_t interlaced_row(size_t index, size_t rows)
{
    static const struct {
        size_t first, step;
    } passes[] = {{0, 8}, {4, 8}, {2, 4}, {1, 2}};

    for (size_t i = 0; i < DV_ARRAY_SIZE(passes); i++) {
        size_t count =
            rows > passes[i].first ? (rows - passes[i].first - 1) / passes[i].step + 1 : 0;
        if (index < count) {
            return passes[i].first + index * passes[i].step;
        }
        index -= count;
    }
    return rows - 1;
}

/* Colour one row of indexes onto the canvas, cutting off what hangs over its edges. */
static void draw_row(const struct palette *palette, const GifImageDesc *place, size_t row,
    const uint8_t *indexes, struct dv_image *canvas)
{
    size_t y = (size_t)place->Top + row;

    if (y >= canvas->rows) {
        return;
    }
    uint8_t *to = canvas->pixels + y * canvas->columns * canvas->channels;
    for (size_t i = 0; i < (size_t)place->Width; i++) {
        size_t x = (size_t)place->Left + i;
        const uint8_t *color = palette->colors[indexes[i]];
        if (x < canvas->columns && color[3]) {
            memcpy(to + x * canvas->channels, color, canvas->channels);
        }
    }
}

static enum dv_status draw_frame(GifFileType *gif, const struct palette *palette,
    struct dv_image *canvas, const struct dv_image_verdict *verdict)
{
    DV_CLEANUP(dv_freep) uint8_t *indexes = NULL;
    size_t rows = (size_t)gif->Image.Height;

    indexes = dv_alloc((size_t)gif->Image.Width);
    for (size_t i = 0; i < rows; i++) {
        if (DGifGetLine(gif, indexes, gif->Image.Width) != GIF_OK) {
            return refuse_error(gif->Error, verdict);
        }
        size_t row = gif->Image.Interlace ? interlaced_row(i, rows) : i;
        draw_row(palette, &gif->Image, row, indexes, canvas);
    }
    return DV_OK;
}

static bool gif_matches(const unsigned char *data, size_t size)
{
    return size >= 6 && (memcmp(data, "GIF87a", 6) == 0 || memcmp(data, "GIF89a", 6) == 0);
}

static enum dv_status gif_decode(const unsigned char *data, size_t size, struct dv_image *ret_image,
    const struct dv_image_verdict *verdict)
{
    DV_CLEANUP(gif_closep) GifFileType *gif = NULL;
    DV_CLEANUP(dv_image_finish) struct dv_image canvas = {0};
    struct input input = {.data = data, .size = size};
    struct palette palette;
    int transparent = NO_TRANSPARENT_COLOR;
    int error = 0;

    gif = DGifOpen(&input, input_read, &error);
    if (!gif) {
        return refuse_error(error, verdict);
    }
    enum dv_status status =
        dv_image_check_size((uint64_t)gif->SHeight, (uint64_t)gif->SWidth, verdict);
    if (status != DV_OK) {
        return status;
    }
    if (!find_frame(gif, &transparent)) {
        return refuse_error(gif->Error, verdict);
    }
    status = dv_image_check_size((uint64_t)gif->Image.Height, (uint64_t)gif->Image.Width, verdict);
    if (status != DV_OK) {
        return status;
    }
    palette_init(&palette, gif, transparent);
    uint32_t channels = palette.is_grey ? 1 : 3;
    status =
        dv_image_create((uint64_t)gif->SHeight, (uint64_t)gif->SWidth, channels, &canvas, verdict);
    if (status != DV_OK) {
        return status;
    }
    memset(canvas.pixels, 255, (size_t)canvas.rows * canvas.columns * channels);
    status = draw_frame(gif, &palette, &canvas, verdict);
    if (status == DV_OK) {
        *ret_image = canvas;
        canvas = (struct dv_image){0};
    }
    return status;
}

const struct dv_image_codec dv_image_codec_gif = {
    .name = "GIF",
    .matches = gif_matches,
    .decode = gif_decode,
};
