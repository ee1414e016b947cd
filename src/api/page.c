/* SPDX-License-Identifier: Apache-2.0 */

/* The page and the description of the API: bytes that were built into the program. */

#include "api/api_impl.h"
#include "api/embedded.h"
#include "base/text.h"

#include <string.h>

static const struct {
    const char *path;
    const char *type;
    const unsigned char *begin, *end;
} assets[] = {
    {"/", "text/html; charset=utf-8", dv_embedded_index_html, dv_embedded_index_html_end},
    {"/assets/app.css", "text/css; charset=utf-8", dv_embedded_app_css, dv_embedded_app_css_end},
    {"/assets/app.js", "text/javascript; charset=utf-8", dv_embedded_app_js, dv_embedded_app_js_end},
    {"/assets/icon.svg", "image/svg+xml", dv_embedded_icon_svg, dv_embedded_icon_svg_end},
    {"/assets/docs.js", "text/javascript; charset=utf-8", dv_embedded_docs_js, dv_embedded_docs_js_end},
};

/* RFC 9110 13.1.2, for answers that carry bytes of this program. */
static void reply_embedded(struct dv_http_request *request, const char *type,
    const unsigned char *begin, const unsigned char *end)
{
    dv_http_reply_header(request, "Cache-Control", "no-cache");
    dv_http_reply_header(request, "Content-Security-Policy",
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; "
        "connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'");
    dv_http_reply_bytes(request, 200, type, begin, (size_t)(end - begin));
}

void dv_api_page_get(struct dv_http_request *request, void *user)
{
    const char *path = dv_http_request_path(request);

    (void)user;
    for (size_t i = 0; i < DV_ARRAY_SIZE(assets); i++) {
        if (dv_text_equal(assets[i].path, path)) {
            reply_embedded(request, assets[i].type, assets[i].begin, assets[i].end);
            return;
        }
    }
    dv_http_reply_problem(request, 404, "there is nothing at this path", NULL);
}

void dv_api_openapi_get(struct dv_http_request *request, void *user)
{
    (void)user;
    reply_embedded(request, "application/json", dv_embedded_openapi, dv_embedded_openapi_end);
}

void dv_api_docs_get(struct dv_http_request *request, void *user)
{
    (void)user;
    reply_embedded(request, "text/html; charset=utf-8", dv_embedded_docs_html, dv_embedded_docs_html_end);
}
