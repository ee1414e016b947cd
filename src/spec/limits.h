/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DV_SPEC_LIMITS_H
#define DV_SPEC_LIMITS_H

/*
 * Every limit on what comes from outside, in one place. Each is tested at the limit and one past.
 */

/* --- Names that people give ---------------------------------------------------------------- */
#define DV_NAME_SIZE_MAX 200u

/* --- Archives ---------------------------------------------------------------------------- */
#define DV_ZIP_ENTRIES_MAX 5000000u
#define DV_ZIP_ENTRY_SIZE_MAX (256ull << 20)  /* bytes, one entry inflated */
#define DV_ZIP_TOTAL_SIZE_MAX (400ull << 30)  /* bytes, all entries inflated */
#define DV_ZIP_RATIO_MAX 200u                 /* inflated : stored, of an entry above ... */
#define DV_ZIP_RATIO_FROM_SIZE (1ull << 20)   /* ... this many bytes */
#define DV_ZIP_TOTAL_RATIO_MAX 20u            /* inflated : stored, of the whole above ... */
#define DV_ZIP_TOTAL_RATIO_FROM_SIZE (1ull << 30) /* ... this many bytes */
#define DV_ZIP_NAME_SIZE_MAX 512u
#define DV_ZIP_NAME_SEGMENTS_MAX 16u

/* --- Pictures ---------------------------------------------------------------------------- */
#define DV_IMAGE_SIDE_MAX 16384u
#define DV_IMAGE_PIXELS_MAX (64u << 20)
#define DV_IMAGE_FILE_SIZE_MAX (64u << 20)
#define DV_JPEG_SCANS_MAX 100u

/* --- Data sets --------------------------------------------------------------------------- */
#define DV_CLASSES_MAX 10000u
#define DV_CLASS_NAME_SIZE_MAX 255u
#define DV_FINDINGS_MAX 10000u /* kept with their text; those beyond are counted by code */

/* --- Architectures ----------------------------------------------------------------------- */
#define DV_ARCH_FILE_SIZE_MAX (1u << 20)
#define DV_ARCH_ROWS_MAX 4096u
#define DV_ARCH_NODES_MAX 10000u
#define DV_ARCH_PROBLEMS_MAX 5u

/* --- Messages between processes ---------------------------------------------------------- */
#define DV_MESSAGE_SIZE_MAX (64u << 10)

#endif
