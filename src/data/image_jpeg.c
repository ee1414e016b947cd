/* SPDX-License-Identifier: Apache-2.0 */
#include "data/image_impl.h"

#include "base/alloc.h"
#include "data/resize.h"
#include "spec/limits.h"

#include <assert.h>
#include <setjmp.h>
#include <stdio.h>
#include <string.h>

#include <jerror.h>
#include <jpeglib.h>

/* Coefficients of a progressive picture of the largest size at 4:4:4 take 384 MiB. */
#define MEMORY_MAX (512l << 20)

/* Pixels times scans: the time that a hostile progressive picture can take, about 10 s. */
#define SCANNED_PIXELS_MAX (1ull << 30)

#define PREVIEW_QUALITY 85

/*
 * libjpeg can only be left by longjmp() out of its error handler. It jumps to the two functions
 * that call setjmp(), jpeg_decode() and compress(), nowhere else; what they own lives in this
 * struct on the heap, so that no local variable has to survive the jump.
 */
struct session {
    struct jpeg_error_mgr errors; /* first: libjpeg hands us a pointer to it */
    struct jpeg_progress_mgr progress;
    jmp_buf escape;
    const struct dv_image_verdict *verdict;
    enum dv_status status;
    struct dv_image image;
    unsigned orientation;
    bool is_compressing;
    struct jpeg_decompress_struct reader;
    struct jpeg_compress_struct writer;
    unsigned char *written; /* by libjpeg's memory destination, from malloc() */
    unsigned long written_size;
};

static struct session *session_of(j_common_ptr codec)
{
    return (struct session *)codec->err;
}

static enum dv_finding_code finding_of(const struct session *session)
{
    switch (session->errors.msg_code) {
    case JWRN_HIT_MARKER: /* of a whole file: one that is cut short gives JWRN_JPEG_EOF */
        return !session->is_compressing && session->reader.progressive_mode
                   ? DV_FINDING_UNSUPPORTED_FEATURE
                   : DV_FINDING_CORRUPT_IMAGE;
    case JWRN_BOGUS_PROGRESSION:
    case JERR_BAD_PRECISION:
    case JERR_SOF_UNSUPPORTED:
    case JERR_CONVERSION_NOTIMPL:
    case JERR_NOT_COMPILED:
    case JERR_ARITH_NOTIMPL:
    case JERR_FRACT_SAMPLE_NOTIMPL:
    case JERR_CCIR601_NOTIMPL:
        return DV_FINDING_UNSUPPORTED_FEATURE;
    case JERR_IMAGE_TOO_BIG:
    case JERR_NO_BACKING_STORE:
    case JERR_OUT_OF_MEMORY:
    case JERR_WIDTH_OVERFLOW:
        return DV_FINDING_TOO_LARGE;
    default:
        return DV_FINDING_CORRUPT_IMAGE;
    }
}

_Noreturn static void on_error(j_common_ptr codec)
{
    struct session *session = session_of(codec);
    char text[JMSG_LENGTH_MAX];

    session->errors.format_message(codec, text);
    enum dv_finding_code finding = finding_of(session);
    bool is_partial = finding == DV_FINDING_UNSUPPORTED_FEATURE && session->errors.num_warnings;
    session->status = dv_image_refuse(session->verdict, finding, "JPEG: %s%s",
        is_partial ? "incomplete progressive scans are not read: " : "", text);
    longjmp(session->escape, 1);
}

/* A warning means that the decoder makes pixels up; only these few leave the pixels as they are. */
static void on_message(j_common_ptr codec, int level)
{
    static const int harmless[] = {
        JWRN_EXTRANEOUS_DATA, JWRN_JFIF_MAJOR, JWRN_ADOBE_XFORM, JWRN_BOGUS_ICC};
    struct session *session = session_of(codec);

    if (level >= 0) {
        return;
    }
    for (size_t i = 0; i < DV_ARRAY_SIZE(harmless); i++) {
        if (session->errors.msg_code == harmless[i]) {
            return;
        }
    }
    session->errors.num_warnings++;
    on_error(codec);
}

static void on_progress(j_common_ptr codec)
{
    struct session *session = session_of(codec);
    uint64_t scan = (uint64_t)session->reader.input_scan_number;
    uint64_t pixels = (uint64_t)session->reader.image_width * session->reader.image_height;

    if (!session->is_compressing &&
        (scan > DV_JPEG_SCANS_MAX || (scan > 1 && scan * pixels > SCANNED_PIXELS_MAX))) {
        session->status = dv_image_refuse(session->verdict, DV_FINDING_TOO_LARGE,
            "JPEG: scan %llu of a picture of %u x %u pixels; the limits are %u scans and %llu "
            "pixels over all scans",
            (unsigned long long)scan, session->reader.image_width, session->reader.image_height,
            DV_JPEG_SCANS_MAX, SCANNED_PIXELS_MAX);
        longjmp(session->escape, 1);
    }
}

static struct session *session_create(const struct dv_image_verdict *verdict)
{
    struct session *session = dv_alloc(sizeof(*session));

    session->verdict = verdict;
    session->orientation = 1;
    (void)jpeg_std_error(&session->errors);
    session->errors.error_exit = on_error;
    session->errors.emit_message = on_message;
    session->progress.progress_monitor = on_progress;
    return session;
}

_Noreturn static void refuse(
    struct session *session, enum dv_finding_code finding, const char *what)
{
    session->status = dv_image_refuse(session->verdict, finding, "JPEG: %s", what);
    longjmp(session->escape, 1);
}

static void check_header(struct session *session)
{
    const struct jpeg_decompress_struct *reader = &session->reader;

    session->status =
        dv_image_check_size(reader->image_height, reader->image_width, session->verdict);
    if (session->status != DV_OK) {
        longjmp(session->escape, 1);
    }
    if (reader->arith_code) {
        refuse(session, DV_FINDING_UNSUPPORTED_FEATURE, "arithmetic coding is not read");
    }
    if (reader->num_components != 1 && reader->num_components != 3 && reader->num_components != 4) {
        refuse(session, DV_FINDING_UNSUPPORTED_FEATURE,
            "only pictures of 1, 3 or 4 components are read");
    }
}

/* The first EXIF segment counts. */
static void read_orientation(struct session *session)
{
    for (jpeg_saved_marker_ptr m = session->reader.marker_list; m; m = m->next) {
        if (m->marker == JPEG_APP0 + 1 && m->data_length >= 6 &&
            memcmp(m->data, "Exif\0\0", 6) == 0) {
            session->orientation = dv_exif_orientation(m->data, m->data_length);
            return;
        }
    }
}

/* CMYK as Adobe writes it (0 is full ink) to RGB in place; rounds as Pillow does. */
static void cmyk_to_rgb(struct dv_image *image)
{
    size_t count = (size_t)image->rows * image->columns;
    const uint8_t *from = image->pixels;
    uint8_t *to = image->pixels;

    for (size_t i = 0; i < count; i++) {
        uint32_t white = from[3]; /* 255 - ink */
        for (int c = 0; c < 3; c++) {
            uint32_t product = (255u - from[c]) * white + 128u;
            product = ((product >> 8) + product) >> 8;
            to[c] = (uint8_t)(white > product ? white - product : 0);
        }
        from += 4;
        to += 3;
    }
    image->pixels = dv_realloc(image->pixels, count * 3);
    image->channels = 3;
}

/* Runs between setjmp() and the end of decode(): every failure inside is a jump. */
static void read_picture(struct session *session, const unsigned char *data, size_t size)
{
    struct jpeg_decompress_struct *reader = &session->reader;

    jpeg_mem_src(reader, data, (unsigned long)size);
    jpeg_save_markers(reader, JPEG_APP0 + 1, 0xffff);
    (void)jpeg_read_header(reader, TRUE);
    check_header(session);
    read_orientation(session);

    /* Who writes CMYK JPEGs inverts them, with Adobe's marker or without; so does Pillow. */
    reader->out_color_space = reader->num_components == 1   ? JCS_GRAYSCALE
                              : reader->num_components == 3 ? JCS_RGB
                                                            : JCS_CMYK;
    reader->dct_method = JDCT_ISLOW;
    (void)jpeg_start_decompress(reader);

    uint32_t channels = (uint32_t)reader->output_components;
    session->status = dv_image_create(
        reader->output_height, reader->output_width, channels, &session->image, session->verdict);
    if (session->status != DV_OK) {
        longjmp(session->escape, 1);
    }
    size_t stride = (size_t)reader->output_width * channels;
    while (reader->output_scanline < reader->output_height) {
        JSAMPROW row = session->image.pixels + reader->output_scanline * stride;
        (void)jpeg_read_scanlines(reader, &row, 1);
    }
    (void)jpeg_finish_decompress(reader);
    if (channels == 4) {
        cmyk_to_rgb(&session->image);
    }
}

static bool jpeg_matches(const unsigned char *data, size_t size)
{
    return size >= 3 && memcmp(data, "\xff\xd8\xff", 3) == 0;
}

static enum dv_status jpeg_decode(const unsigned char *data, size_t size,
    struct dv_image *ret_image, const struct dv_image_verdict *verdict)
{
    DV_CLEANUP(dv_freep) struct session *session = session_create(verdict);

    session->reader.err = &session->errors;
    if (setjmp(session->escape) == 0) {
        jpeg_create_decompress(&session->reader);
        session->reader.mem->max_memory_to_use = MEMORY_MAX;
        session->reader.progress = &session->progress;
        read_picture(session, data, size);
    }
    jpeg_destroy_decompress(&session->reader);
    if (session->status == DV_OK) {
        session->status = dv_image_orient(&session->image, session->orientation, verdict);
    }
    if (session->status != DV_OK) {
        dv_image_finish(&session->image);
        return session->status;
    }
    *ret_image = session->image;
    return DV_OK;
}

const struct dv_image_codec dv_image_codec_jpeg = {
    .name = "JPEG",
    .matches = jpeg_matches,
    .decode = jpeg_decode,
};

static void write_picture(struct session *session, const struct dv_image *image)
{
    struct jpeg_compress_struct *writer = &session->writer;
    size_t stride = (size_t)image->columns * image->channels;

    jpeg_mem_dest(writer, &session->written, &session->written_size);
    writer->image_width = image->columns;
    writer->image_height = image->rows;
    writer->input_components = (int)image->channels;
    writer->in_color_space = image->channels == 1 ? JCS_GRAYSCALE : JCS_RGB;
    jpeg_set_defaults(writer);
    jpeg_set_quality(writer, PREVIEW_QUALITY, TRUE);
    jpeg_start_compress(writer, TRUE);
    while (writer->next_scanline < writer->image_height) {
        JSAMPROW row = image->pixels + writer->next_scanline * stride;
        (void)jpeg_write_scanlines(writer, &row, 1);
    }
    jpeg_finish_compress(writer);
}

static enum dv_status compress(const struct dv_image *image, unsigned char **ret_data,
    size_t *ret_size, struct dv_error *reterr)
{
    enum dv_finding_code finding;
    const struct dv_image_verdict verdict = {.ret_finding = &finding, .reterr = reterr};
    DV_CLEANUP(dv_freep) struct session *session = session_create(&verdict);

    session->is_compressing = true;
    session->writer.err = &session->errors;
    if (setjmp(session->escape) == 0) {
        jpeg_create_compress(&session->writer);
        write_picture(session, image);
    }
    jpeg_destroy_compress(&session->writer);
    if (session->status != DV_OK) {
        /* Out of memory: `written` may be stale by now, and is not ours before the end. */
        return session->status;
    }
    *ret_data = session->written;
    *ret_size = session->written_size;
    return DV_OK;
}

enum dv_status dv_image_preview(const struct dv_image *image, uint32_t side,
    unsigned char **ret_data, size_t *ret_size, struct dv_error *reterr)
{
    DV_CLEANUP(dv_freep) uint8_t *pixels = NULL;
    void *memory;

    assert(image);
    assert(side > 0);
    assert(ret_data);
    assert(ret_size);

    uint32_t longest = image->rows > image->columns ? image->rows : image->columns;
    if (longest <= side) {
        return compress(image, ret_data, ret_size, reterr);
    }
    uint64_t rows = ((uint64_t)image->rows * side + longest / 2) / longest;
    uint64_t columns = ((uint64_t)image->columns * side + longest / 2) / longest;
    const struct dv_resize_target target = {
        .rows = rows ? (uint32_t)rows : 1,
        .columns = columns ? (uint32_t)columns : 1,
        .channels = image->channels,
        .mode = DV_RESIZE_STRETCH,
    };
    enum dv_status status =
        dv_try_alloc((size_t)target.rows * target.columns, target.channels, &memory, reterr);
    if (status != DV_OK) {
        return status;
    }
    pixels = memory;
    status = dv_resize_fit(image, &target, pixels, reterr);
    if (status != DV_OK) {
        return status;
    }
    const struct dv_image small = {.pixels = pixels,
        .rows = target.rows,
        .columns = target.columns,
        .channels = target.channels};
    return compress(&small, ret_data, ret_size, reterr);
}
