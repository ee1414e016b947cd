/* SPDX-License-Identifier: Apache-2.0 */
#include "data/image_impl.h"

#include <string.h>

#include <webp/decode.h>
#include <webp/demux.h>

static void demuxer_freep(WebPDemuxer **demuxer)
{
    WebPDemuxDelete(*demuxer);
}

static enum dv_status refuse_status(VP8StatusCode code, const struct dv_image_verdict *verdict)
{
    switch (code) {
    case VP8_STATUS_OUT_OF_MEMORY:
        return dv_image_refuse(verdict, DV_FINDING_TOO_LARGE, "WebP: not enough memory");
    case VP8_STATUS_UNSUPPORTED_FEATURE:
        return dv_image_refuse(
            verdict, DV_FINDING_UNSUPPORTED_FEATURE, "WebP: a feature that the decoder lacks");
    case VP8_STATUS_NOT_ENOUGH_DATA:
        return dv_image_refuse(verdict, DV_FINDING_CORRUPT_IMAGE, "WebP: the file is cut short");
    default:
        return dv_image_refuse(
            verdict, DV_FINDING_CORRUPT_IMAGE, "WebP: the data is damaged (code %d)", (int)code);
    }
}

/* The frame's own pixels: RGB, or RGBA when it has alpha. */
static enum dv_status decode_frame(
    const WebPData *fragment, struct dv_image *ret_frame, const struct dv_image_verdict *verdict)
{
    DV_CLEANUP(dv_image_finish) struct dv_image frame = {0};
    WebPDecoderConfig config;

    if (!WebPInitDecoderConfig(&config)) {
        return dv_image_refuse(verdict, DV_FINDING_UNSUPPORTED_FEATURE, "WebP: library mismatch");
    }
    VP8StatusCode code = WebPGetFeatures(fragment->bytes, fragment->size, &config.input);
    if (code != VP8_STATUS_OK) {
        return refuse_status(code, verdict);
    }
    uint32_t channels = config.input.has_alpha ? 4 : 3;
    enum dv_status status = dv_image_create(
        (uint64_t)config.input.height, (uint64_t)config.input.width, channels, &frame, verdict);
    if (status != DV_OK) {
        return status;
    }
    config.output.colorspace = channels == 4 ? MODE_RGBA : MODE_RGB;
    config.output.is_external_memory = 1;
    config.output.u.RGBA.rgba = frame.pixels;
    config.output.u.RGBA.stride = config.input.width * (int)channels;
    config.output.u.RGBA.size = (size_t)frame.rows * frame.columns * channels;
    code = WebPDecode(fragment->bytes, fragment->size, &config);
    WebPFreeDecBuffer(&config.output);
    if (code != VP8_STATUS_OK) {
        return refuse_status(code, verdict);
    }
    if (channels == 4) {
        dv_image_flatten(&frame, 3);
    }
    *ret_frame = frame;
    frame = (struct dv_image){0};
    return DV_OK;
}

/* The first frame on a white canvas: what of the canvas it does not cover is transparent. */
static enum dv_status decode_canvas(
    const WebPDemuxer *demuxer, struct dv_image *ret_image, const struct dv_image_verdict *verdict)
{
    DV_CLEANUP(dv_image_finish) struct dv_image frame = {0};
    uint32_t columns = WebPDemuxGetI(demuxer, WEBP_FF_CANVAS_WIDTH);
    uint32_t rows = WebPDemuxGetI(demuxer, WEBP_FF_CANVAS_HEIGHT);
    struct dv_image canvas;
    WebPIterator iterator;

    enum dv_status status = dv_image_check_size(rows, columns, verdict);
    if (status != DV_OK) {
        return status;
    }
    if (!WebPDemuxGetFrame(demuxer, 1, &iterator)) {
        return dv_image_refuse(verdict, DV_FINDING_CORRUPT_IMAGE, "WebP: it holds no picture");
    }
    size_t left = (size_t)iterator.x_offset;
    size_t top = (size_t)iterator.y_offset;
    bool is_whole = iterator.complete;
    status = decode_frame(&iterator.fragment, &frame, verdict);
    WebPDemuxReleaseIterator(&iterator);
    if (status != DV_OK) {
        return status;
    }
    if (!is_whole || left + frame.columns > columns || top + frame.rows > rows) {
        return dv_image_refuse(
            verdict, DV_FINDING_CORRUPT_IMAGE, "WebP: the frame is cut or outside its canvas");
    }
    status = dv_image_create(rows, columns, 3, &canvas, verdict);
    if (status != DV_OK) {
        return status;
    }
    memset(canvas.pixels, 255, (size_t)rows * columns * 3);
    for (size_t row = 0; row < frame.rows; row++) {
        memcpy(canvas.pixels + ((top + row) * columns + left) * 3,
            frame.pixels + row * frame.columns * 3, (size_t)frame.columns * 3);
    }
    *ret_image = canvas;
    return DV_OK;
}

static unsigned read_orientation(const WebPDemuxer *demuxer)
{
    WebPChunkIterator iterator;
    unsigned orientation = 1;

    if (WebPDemuxGetChunk(demuxer, "EXIF", 1, &iterator)) {
        orientation = dv_exif_orientation(iterator.chunk.bytes, iterator.chunk.size);
        WebPDemuxReleaseChunkIterator(&iterator);
    }
    return orientation;
}

static bool webp_matches(const unsigned char *data, size_t size)
{
    return size >= 12 && memcmp(data, "RIFF", 4) == 0 && memcmp(data + 8, "WEBP", 4) == 0;
}

static enum dv_status webp_decode(const unsigned char *data, size_t size,
    struct dv_image *ret_image, const struct dv_image_verdict *verdict)
{
    DV_CLEANUP(demuxer_freep) WebPDemuxer *demuxer = NULL;
    DV_CLEANUP(dv_image_finish) struct dv_image image = {0};
    const WebPData whole = {.bytes = data, .size = size};

    demuxer = WebPDemux(&whole);
    if (!demuxer) {
        return dv_image_refuse(
            verdict, DV_FINDING_CORRUPT_IMAGE, "WebP: the file is damaged or cut short");
    }
    enum dv_status status = decode_canvas(demuxer, &image, verdict);
    if (status == DV_OK) {
        status = dv_image_orient(&image, read_orientation(demuxer), verdict);
    }
    if (status == DV_OK) {
        *ret_image = image;
        image = (struct dv_image){0};
    }
    return status;
}

const struct dv_image_codec dv_image_codec_webp = {
    .name = "WebP",
    .matches = webp_matches,
    .decode = webp_decode,
};
