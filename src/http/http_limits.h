/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DV_HTTP_HTTP_LIMITS_H
#define DV_HTTP_HTTP_LIMITS_H

/*
 * The maxima of the HTTP server that nobody sets; those that an owner may set are in server.h.
 */

#define DV_HTTP_FIELD_COUNT_MAX 128 /* no limit may be set above it */
#define DV_HTTP_SEGMENT_COUNT_MAX 16
#define DV_HTTP_PARAMETER_COUNT_MAX 4 /* of one pattern */
#define DV_HTTP_QUERY_COUNT_MAX 32
#define DV_HTTP_ROUTE_COUNT_MAX 256
#define DV_HTTP_REPLY_HEADER_COUNT_MAX 16
#define DV_HTTP_ETAG_SIZE_MAX 128

/* A multipart body. The boundary's maximum is RFC 2046's. */
#define DV_MULTIPART_BOUNDARY_SIZE_MAX 70
#define DV_MULTIPART_PART_COUNT_MAX 16
#define DV_MULTIPART_HEADER_SIZE_MAX 8192 /* of one part */
#define DV_MULTIPART_NAME_SIZE_MAX 255    /* field and file names, in bytes */
#define DV_MULTIPART_TEXT_SIZE_MAX 262144 /* of all text fields together */

/* Bytes of JSON and text fields that all requests hold together; more is answered 503. */
#define DV_HTTP_BODY_MEMORY_MAX (64u << 20)

/* What a client may still be sending after it was refused is read and dropped for this long, so
 * that it sees the answer and not a reset. */
#define DV_HTTP_LINGER_SECONDS 5
/* A refused body that ends within this is dropped and the connection kept. */
#define DV_HTTP_DISCARD_SIZE_MAX 65536

#define DV_HTTP_BLOCK_SIZE (256u << 10) /* of a file, twice an upload */
#define DV_HTTP_STREAM_BUFFER_MAX (1u << 20)
#define DV_HTTP_RETRY_MS 3000 /* after which a client of a stream connects again */

#endif
