/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DV_BASE_MACRO_H
#define DV_BASE_MACRO_H

/*
 * The compiler attributes the project uses, and the few macros that every folder needs.
 */

/* Run `function(&variable)` when the variable leaves its scope. */
#define DV_CLEANUP(function) __attribute__((cleanup(function)))
#define DV_PRINTF(format_index, first_argument)                                                    \
    __attribute__((format(printf, format_index, first_argument)))
#define DV_MUST_CHECK __attribute__((warn_unused_result))

#define DV_ARRAY_SIZE(array) (sizeof(array) / sizeof((array)[0]))

#endif
