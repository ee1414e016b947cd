/* SPDX-License-Identifier: Apache-2.0 */

/* The page and the description of the API: bytes that were built into the program. */

#include "api/api_impl.h"
#include "api/embedded.h"
#include "base/alloc.h"
#include "base/hash.h"
#include "base/text.h"

struct asset {
    const char *path;
    const char *type;
    const unsigned char *begin, *end;
};

static const struct asset assets[] = {
    {"/", "text/html; charset=utf-8", dv_embedded_index_html, dv_embedded_index_html_end},
    {"/assets/app.css", "text/css; charset=utf-8", dv_embedded_app_css, dv_embedded_app_css_end},
    {"/assets/app.js", "text/javascript; charset=utf-8", dv_embedded_app_js,
        dv_embedded_app_js_end},
    {"/assets/docs.js", "text/javascript; charset=utf-8", dv_embedded_docs_js,
        dv_embedded_docs_js_end},
    {"/assets/icon.svg", "image/svg+xml", dv_embedded_icon_svg, dv_embedded_icon_svg_end},
    {"/api/docs", "text/html; charset=utf-8", dv_embedded_docs_html, dv_embedded_docs_html_end},
    {"/api/openapi.json", "application/json", dv_embedded_openapi, dv_embedded_openapi_end},
};

char **dv_api_page_tags(void)
{
    char **tags = dv_alloc(DV_ARRAY_SIZE(assets) * sizeof(*tags));

    for (size_t i = 0; i < DV_ARRAY_SIZE(assets); i++) {
        unsigned char digest[DV_SHA256_SIZE];
        dv_sha256(assets[i].begin, (size_t)(assets[i].end - assets[i].begin), digest);
        tags[i] = dv_alloc(DV_SHA256_TEXT_SIZE);
        dv_text_hex(digest, sizeof(digest), tags[i]);
    }
    return tags;
}

char **dv_api_page_tags_free(char **tags)
{
    for (size_t i = 0; tags && i < DV_ARRAY_SIZE(assets); i++) {
        dv_free(tags[i]);
    }
    return dv_free(tags);
}

static void reply_embedded(
    struct dv_http_request *request, const struct asset *embedded, const char *tag)
{
    const struct dv_http_asset asset = {.data = embedded->begin,
        .size = (size_t)(embedded->end - embedded->begin),
        .type = embedded->type,
        .etag = tag};

    dv_http_reply_asset(request, &asset);
}

void dv_api_page_get(struct dv_http_request *request, void *user)
{
    const struct dv_api *api = user;
    const char *path = dv_http_request_path(request);

    for (size_t i = 0; i < DV_ARRAY_SIZE(assets); i++) {
        if (dv_text_equal(assets[i].path, path)) {
            reply_embedded(request, &assets[i], api->page_tags[i]);
            return;
        }
    }
    dv_http_reply_problem(request, 404, "there is nothing at this path", NULL);
}
