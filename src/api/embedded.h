/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DV_API_EMBEDDED_H
#define DV_API_EMBEDDED_H

/*
 * Files that are part of the program (api/embedded.S): the page in web/plain and the description
 * of the API in contract/openapi.json. Each ends where its `_end` is; a NUL follows.
 */

#define DV_EMBEDDED_MAP(X)                                                                         \
    X(index_html)                                                                                  \
    X(app_css)                                                                                     \
    X(app_js)                                                                                      \
    X(docs_html)                                                                                   \
    X(docs_js)                                                                                     \
    X(icon_svg)                                                                                    \
    X(openapi)

#define X(name) extern const unsigned char dv_embedded_##name[], dv_embedded_##name##_end[];
DV_EMBEDDED_MAP(X)
#undef X

#endif
