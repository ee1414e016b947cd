/* SPDX-License-Identifier: Apache-2.0 */

/* The pictures of a data set: pages of their records, their original bytes, their previews. */

#include "api/api_impl.h"
#include "api/pack_cache.h"
#include "base/alloc.h"
#include "base/text.h"
#include "pack/pack.h"
#include "store/datasets.h"

#include <inttypes.h>
#include <string.h>

static const char *const splits[] = {"train", "val", "test", NULL};
static const char *const extensions[] = {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif"};

static enum dv_status check_ready(struct dv_api *api, const char *id, struct dv_error *reterr)
{
    DV_CLEANUP(dv_json_unrefp) struct dv_json *row = NULL;

    enum dv_status status = dv_datasets_get(api->options.store, id, &row, reterr);
    if (status == DV_OK && !dv_text_equal(dv_json_get_string(row, "readiness", ""), "ready")) {
        status = dv_fail(reterr, DV_CONFLICT, "the data set is not ready: it is '%s'",
            dv_json_get_string(row, "readiness", ""));
    }
    return status;
}

/* A ready data set's pack, or NULL and an answer. */
static const struct dv_pack *borrow(struct dv_http_request *request, struct dv_api *api)
{
    const char *id = dv_api_id(request, "data set");
    const struct dv_pack *pack = NULL;
    struct dv_error error;

    if (!id) {
        return NULL;
    }
    enum dv_status status = check_ready(api, id, &error);
    if (status == DV_OK) {
        status = dv_pack_cache_borrow(api->packs, id, &pack, &error);
    }
    /* Deleted before the cache had it? Then who deleted it could not have it forgotten. */
    if (status == DV_OK && (status = check_ready(api, id, &error)) != DV_OK) {
        dv_pack_cache_forget(api->packs, id);
        dv_pack_cache_return(api->packs, pack);
    }
    if (status != DV_OK) {
        dv_api_fail(request, &error);
        return NULL;
    }
    return pack;
}

/* --- Pages ------------------------------------------------------------------------------------ */

struct sample_filter {
    int64_t class_index; /* -1: all */
    int64_t split;       /* -1: all */
};

static struct dv_json *describe_findings(const struct dv_pack *pack, const char *name)
{
    struct dv_json *list = dv_json_array();

    for (uint64_t i = 0; i < dv_pack_finding_count(pack); i++) {
        struct dv_pack_finding finding;
        dv_pack_finding(pack, i, &finding);
        if (dv_text_equal(finding.path, name)) {
            struct dv_json *item = dv_json_object();
            dv_json_set_string(item, "code", dv_finding_code_name(finding.code));
            dv_json_set_string(item, "message", finding.message);
            dv_json_append(list, item);
        }
    }
    return list;
}

static struct dv_json *describe(const struct dv_pack *pack, uint64_t index)
{
    struct dv_pack_sample sample;
    struct dv_json *item = dv_json_object();

    dv_pack_sample(pack, index, &sample);
    dv_json_set_integer(item, "id", (int64_t)index);
    dv_json_set_string(item, "path", sample.name);
    dv_json_set_string(item, "class", dv_pack_class_name(pack, sample.class_index));
    dv_json_set_string(item, "split", dv_split_name(sample.split));
    dv_json_set_integer(item, "width", sample.columns);
    dv_json_set_integer(item, "height", sample.rows);
    dv_json_set_integer(item, "size_bytes", (int64_t)sample.size);
    dv_json_set(item, "findings", describe_findings(pack, sample.name));
    return item;
}

static bool read_filter(struct dv_http_request *request, const struct dv_pack *pack,
    struct sample_filter *ret_filter)
{
    const char *class_name = dv_http_request_query(request, "class");
    const char *split = dv_http_request_query(request, "split");
    struct sample_filter filter = {-1, -1};

    if (!dv_api_check_choice(request, "split", splits)) {
        return false;
    }
    for (int64_t s = 0; split && splits[s]; s++) {
        filter.split = dv_text_equal(splits[s], split) ? s : filter.split;
    }
    for (uint32_t c = 0; class_name && c < dv_pack_class_count(pack); c++) {
        if (dv_text_equal(dv_pack_class_name(pack, c), class_name)) {
            filter.class_index = c;
        }
    }
    if (class_name && filter.class_index < 0) {
        dv_api_refuse(request, 422, "/query/class", "the data set has no such class");
        return false;
    }
    *ret_filter = filter;
    return true;
}

/*
 * The samples of a filter are a few ranges of the manifest: calls `visit` for each, in order.
 * A page skips whole ranges, so that its cost does not grow with where it is.
 */
struct page_of_samples {
    const struct dv_pack *pack;
    struct dv_json *items;
    uint64_t skip, limit, total;
};

static void visit_range(struct page_of_samples *page, uint64_t first, uint64_t count)
{
    uint64_t begin = page->skip > page->total ? page->skip - page->total : 0;

    for (uint64_t i = begin; i < count && dv_json_count(page->items) < page->limit; i++) {
        dv_json_append(page->items, describe(page->pack, first + i));
    }
    page->total += count;
}

static void visit(struct page_of_samples *page, const struct sample_filter *filter)
{
    for (int64_t s = 0; s < DV_SPLIT_COUNT; s++) {
        uint64_t first, count;
        if (filter->split >= 0 && filter->split != s) {
            continue;
        }
        if (filter->class_index >= 0) {
            dv_pack_class_range(page->pack, (enum dv_split)s, (uint32_t)filter->class_index, &first, &count);
        } else {
            dv_pack_split_range(page->pack, (enum dv_split)s, &first, &count);
        }
        visit_range(page, first, count);
    }
}

static void reply_page(struct dv_http_request *request, const struct page_of_samples *page)
{
    struct dv_json *list = dv_json_object();
    uint64_t next = page->skip + dv_json_count(page->items);

    dv_json_set(list, "items", page->items);
    if (next < page->total && dv_json_count(page->items) > 0) {
        DV_CLEANUP(dv_freep) char *cursor = dv_strprintf("%" PRIu64, next);
        dv_json_set_string(list, "next_cursor", cursor);
    } else {
        dv_json_set(list, "next_cursor", dv_json_null());
    }
    dv_json_set_integer(list, "total", (int64_t)page->total);
    dv_http_reply_json(request, 200, list);
}

void dv_api_samples_list(struct dv_http_request *request, void *user)
{
    struct dv_api *api = user;
    struct sample_filter filter;
    struct dv_page page;
    int64_t skip = 0;

    if (!dv_api_page(request, &page) ||
        !dv_api_query_integer(request, "cursor", 0, INT64_MAX, &skip)) {
        return;
    }
    const struct dv_pack *pack = borrow(request, api);
    if (!pack) {
        return;
    }
    if (read_filter(request, pack, &filter)) {
        struct page_of_samples samples = {.pack = pack,
            .items = dv_json_array(),
            .skip = (uint64_t)skip,
            .limit = (uint64_t)page.limit};
        visit(&samples, &filter);
        reply_page(request, &samples);
    }
    dv_pack_cache_return(api->packs, pack);
}

/* --- Pictures --------------------------------------------------------------------------------- */

static void reply_preview(struct dv_http_request *request, const struct dv_pack *pack,
    uint64_t index, uint32_t side)
{
    unsigned char *data = NULL;
    size_t size;
    struct dv_error error;

    if (dv_pack_read_preview(pack, index, side, &data, &size, &error) != DV_OK) {
        dv_api_fail(request, &error);
        return;
    }
    dv_http_reply_header(request, "Cache-Control", "private, max-age=86400, immutable");
    dv_http_reply_bytes(request, 200, "image/jpeg", data, size);
    dv_free(data);
}

/* The bytes are a stranger's: never shown inline, never with a type that a browser would run. */
static void reply_original(
    struct dv_http_request *request, const struct dv_pack *pack, uint64_t index)
{
    struct dv_pack_sample sample;
    const char *extension = "";
    struct dv_error error;

    dv_pack_sample(pack, index, &sample);
    for (size_t i = 0; i < DV_ARRAY_SIZE(extensions); i++) {
        if (dv_text_has_suffix_nocase(sample.name, extensions[i])) {
            extension = extensions[i];
        }
    }
    DV_CLEANUP(dv_freep) void *data = NULL;
    enum dv_status status = dv_try_alloc((size_t)sample.size, 1, &data, &error);
    if (status == DV_OK) {
        status = dv_pack_read(pack, index, data, &error);
    }
    if (status != DV_OK) {
        dv_api_fail(request, &error);
        return;
    }
    DV_CLEANUP(dv_freep)
    char *disposition =
        dv_strprintf("attachment; filename=\"sample-%" PRIu64 "%s\"", index, extension);
    dv_http_reply_header(request, "Content-Disposition", disposition);
    dv_http_reply_header(request, "Content-Security-Policy", "sandbox; default-src 'none'");
    dv_http_reply_bytes(request, 200, "application/octet-stream", data, (size_t)sample.size);
}

static bool read_side(struct dv_http_request *request, uint32_t *ret_side)
{
    const char *text = dv_http_request_query(request, "size");
    uint64_t side = 0;

    *ret_side = 0;
    if (!text) {
        return true;
    }
    for (size_t i = 0; dv_text_to_uint64(text, &side) && i < DV_PACK_PREVIEW_COUNT; i++) {
        if (side == dv_pack_preview_sides[i]) {
            *ret_side = dv_pack_preview_sides[i];
            return true;
        }
    }
    dv_api_refuse(request, 422, "/query/size", "previews are made for size 96 and 256");
    return false;
}

void dv_api_samples_image(struct dv_http_request *request, void *user)
{
    struct dv_api *api = user;
    uint64_t index;
    uint32_t side;

    if (!read_side(request, &side)) {
        return;
    }
    const struct dv_pack *pack = borrow(request, api);
    if (!pack) {
        return;
    }
    if (!dv_text_to_uint64(dv_http_request_parameter(request, "sample"), &index) ||
        index >= dv_pack_sample_count(pack)) {
        dv_http_reply_problem(request, 404, "the data set has no such sample", NULL);
    } else if (side > 0) {
        reply_preview(request, pack, index, side);
    } else {
        reply_original(request, pack, index);
    }
    dv_pack_cache_return(api->packs, pack);
}
