/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DV_BASE_FOLD_H
#define DV_BASE_FOLD_H

/*
 * Text in which letters that differ in their case only are the same, for searching: Unicode's
 * simple case folding in every script, whatever the locale, and one of the full kind: ß is "ss".
 * Accents stay, and nothing is composed or decomposed.
 */

/* The caller's, to be freed with dv_free(). Bytes that are no UTF-8 stay as they are. */
char *dv_text_fold(const char *text);

#endif
