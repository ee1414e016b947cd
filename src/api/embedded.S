/* SPDX-License-Identifier: Apache-2.0 */
/* Paths are relative to the root of the sources, which the build gives as include path. */

.macro embed name, path
    .global dv_embedded_\name
    .global dv_embedded_\name\()_end
    .balign 16
dv_embedded_\name:
    .incbin "\path"
dv_embedded_\name\()_end:
    .byte 0
.endm

.section .rodata
embed index_html, "web/plain/index.html"
embed app_css, "web/plain/app.css"
embed app_js, "web/plain/app.js"
embed docs_html, "web/plain/docs.html"
embed docs_js, "web/plain/docs.js"
embed icon_svg, "web/plain/icon.svg"
embed openapi, "contract/openapi.json"

.section .note.GNU-stack, "", @progbits
