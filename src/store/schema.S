/* SPDX-License-Identifier: Apache-2.0 */
/* The files of schema/ as strings; paths are relative to the root of the sources. */

.macro schema number
    .global dv_schema_\number
dv_schema_\number:
    .incbin "src/store/schema/\number\().sql"
    .byte 0
.endm

.section .rodata
schema 0001
schema 0002
schema 0003

.section .note.GNU-stack, "", @progbits
