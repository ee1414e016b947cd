/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DV_SPEC_ARCH_WIRE_H
#define DV_SPEC_ARCH_WIRE_H

/*
 * The architecture file as a language model writes and reads it. A strict schema makes it write
 * every field of every row, also those that mean nothing there; in a prompt a network is one line.
 * Both follow the table of fields in arch_field.c.
 */

#include "spec/arch.h"

struct dv_buffer;
struct dv_json;

/*
 * The JSON schema of an architecture with every field of a row required, made of type, properties,
 * required, items, enum and additionalProperties alone. The caller's.
 */
struct dv_json *dv_arch_wire_schema(void);

/*
 * The fields of a row, a line each: "kernel: integer 1-11 (conv, pool); odd integer 1-11 (residual,
 * ...)", with the words of a choice. The same text whenever it is asked for.
 */
void dv_arch_wire_describe(struct dv_buffer *buffer);

/*
 * What was written by that schema as an architecture file: fields that an op does not take, and
 * zeros that stand for "nothing", are left out. What is wrong stays wrong, for dv_arch_parse() to
 * say. The caller's.
 */
struct dv_json *dv_arch_wire_read(const struct dv_json *wire);

/*
 * One line: "conv32 res32x2 res64x2s2+se.25 mb128s2e4+silu add@s3,proj gap drop.2 fc". A row is op
 * and width, k: kernel, x: repeat, s: stride, g: groups, e: expand, then what is not usual.
 */
void dv_arch_line(const struct dv_arch *arch, struct dv_buffer *buffer);

#endif
