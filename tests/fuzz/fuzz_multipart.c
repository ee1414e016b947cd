/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The first byte chooses where the body is cut, the second which boundary it has, the rest is the
 * body. Read in pieces it says the same as read at once, and what it says of its data is what a
 * search for the delimiter finds.
 */

#include "base/buffer.h"
#include "base/random.h"
#include "http/multipart.h"

#include <assert.h>
#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *const types[] = {
    "multipart/form-data; boundary=B",
    "multipart/form-data; boundary=BOUND",
    "multipart/form-data; boundary=\"--\"",
    "multipart/form-data; boundary=--B--B",
};

struct reading {
    struct dv_buffer log;  /* what happened, without where data was cut */
    struct dv_buffer data; /* of all parts */
    struct dv_multipart parser;
};

static bool take(struct reading *reading, enum dv_multipart_event event, const char *bytes,
    size_t byte_count, size_t bytes_max)
{
    const struct dv_multipart *parser = &reading->parser;

    switch (event) {
    case DV_MULTIPART_MORE:
        return true;
    case DV_MULTIPART_PART:
        assert(parser->part.name[0]);
        dv_buffer_printf(&reading->log, "[%s|%d%s|%s]", parser->part.name,
            parser->part.has_file_name, parser->part.file_name, parser->part.type);
        return true;
    case DV_MULTIPART_DATA:
        assert(byte_count > 0);
        assert(byte_count <= bytes_max);
        dv_buffer_append(&reading->data, bytes, byte_count);
        return true;
    case DV_MULTIPART_PART_END:
        dv_buffer_printf(&reading->log, "%zu;", reading->data.size);
        return true;
    case DV_MULTIPART_END:
        dv_buffer_append_text(&reading->log, "end");
        return true;
    case DV_MULTIPART_BAD:
        dv_buffer_append_text(&reading->log, parser->problem);
        return false;
    }
    return false;
}

static void read_body(struct reading *reading, const char *type, const char *data, size_t size,
    struct dv_random *random)
{
    const char *problem = NULL;
    bool is_good = true;

    reading->log = (struct dv_buffer)DV_BUFFER_INIT(1 << 20);
    reading->data = (struct dv_buffer)DV_BUFFER_INIT(1 << 20);
    bool is_usable = dv_multipart_init(&reading->parser, type, &problem);
    assert(is_usable);
    while (size > 0 && is_good) {
        size_t piece_size = random ? 1 + (size_t)dv_random_below(random, 40) : size;
        size_t bytes_max = random ? 1 + (size_t)dv_random_below(random, 20) : SIZE_MAX;
        const char *piece = data;
        size_t left = piece_size < size ? piece_size : size;
        data += left;
        size -= left;
        while (left > 0 && is_good) {
            const char *bytes = NULL;
            size_t byte_count = 0;
            enum dv_multipart_event event =
                dv_multipart_next(&reading->parser, &piece, &left, bytes_max, &bytes, &byte_count);
            is_good = take(reading, event, bytes, byte_count, bytes_max);
        }
    }
}

static void finish(struct reading *reading)
{
    dv_multipart_finish(&reading->parser);
    dv_buffer_finish(&reading->log);
    dv_buffer_finish(&reading->data);
}

/* The data of a body that was read to its end, found in another way. */
static void check_data(const struct reading *reading, const char *body, size_t size)
{
    const char *delimiter = reading->parser.delimiter;
    size_t delimiter_size = reading->parser.delimiter_size;
    const char *at = body + delimiter_size - 2;
    const char *end = body + size;
    size_t used = 0;

    while (memcmp(at, "\r\n", 2) == 0) {
        const char *header_end = memmem(at, (size_t)(end - at), "\r\n\r\n", 4);
        assert(header_end);
        const char *data = header_end + 4;
        const char *data_end = memmem(data, (size_t)(end - data), delimiter, delimiter_size);
        assert(data_end);
        size_t data_size = (size_t)(data_end - data);
        assert(used + data_size <= reading->data.size);
        assert(data_size == 0 || memcmp(reading->data.data + used, data, data_size) == 0);
        used += data_size;
        at = data_end + delimiter_size;
    }
    assert(memcmp(at, "--", 2) == 0);
    assert(used == reading->data.size);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct reading whole, pieces;

    if (size < 2) {
        return 0;
    }
    struct dv_random random = dv_random_make(data[0], DV_RANDOM_ORDER, 0, 0);
    const char *type = types[data[1] % (sizeof(types) / sizeof(types[0]))];
    const char *body = (const char *)data + 2;
    read_body(&whole, type, body, size - 2, NULL);
    read_body(&pieces, type, body, size - 2, &random);
    bool is_complete = dv_multipart_is_complete(&whole.parser);
    assert(is_complete == dv_multipart_is_complete(&pieces.parser));
    assert(strcmp(dv_buffer_text(&whole.log), dv_buffer_text(&pieces.log)) == 0);
    assert(whole.data.size == pieces.data.size);
    assert(whole.data.size == 0 || memcmp(whole.data.data, pieces.data.data, whole.data.size) == 0);
    if (is_complete) {
        check_data(&whole, body, size - 2);
    }
    finish(&whole);
    finish(&pieces);
    return 0;
}
