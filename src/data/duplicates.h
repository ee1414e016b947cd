/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DV_DATA_DUPLICATES_H
#define DV_DATA_DUPLICATES_H

/*
 * Pictures that occur more than once. Exact duplicates (the same bytes) are judged here and
 * refused by ingest; near duplicates (the same pixels in another file, or a re-encoded or resized
 * copy) stay, but share a group that is never divided between splits.
 *
 * Near means, and all of it must hold, so that the many alike but different pictures of a set of
 * digits or of one machine part do not run together: the same shape within 2 %; a 64-bit
 * difference hash within 3 bits; a 16 x 16 grey thumbnail that differs by at most 8 of 255 anywhere
 * and by 1.5 on average; mean colours within 3. A picture with next to no contrast has no near
 * duplicates but those with exactly its pixels.
 *
 * Limits: 168 bytes a picture in memory; thumbnails are in a file. Candidates for "near" come from
 * four sorted passes over the rotated hash with a window of a few neighbours, so that the time is
 * n log n; a copy that differs may be missed in a crowd of pictures that are all alike.
 */

#include "base/status.h"
#include "pack/pack_writer.h"
#include "spec/dataset.h"

#include <stdint.h>

struct dv_image;

#define DV_FINGERPRINT_SIDE 16

struct dv_fingerprint_key {
    uint64_t pixels;      /* hash of size and all pixels */
    uint64_t differences; /* difference hash of an 8 x 8 thumbnail */
    uint8_t coarse[16];   /* 4 x 4 grey thumbnail */
    uint8_t colour[3];    /* mean red, green, blue */
    uint8_t contrast;     /* largest minus smallest value of the fine thumbnail */
};

struct dv_fingerprint {
    struct dv_fingerprint_key key;
    uint8_t fine[DV_FINGERPRINT_SIDE * DV_FINGERPRINT_SIDE];
};

/* A good picture on its way into the manifest. */
struct dv_candidate {
    struct dv_pack_record record;
    struct dv_fingerprint_key key;
    uint32_t thumbnail;           /* its number in the file of thumbnails */
    uint32_t other;               /* the candidate that `finding` speaks of */
    enum dv_finding_code finding; /* DV_FINDING_CODE_COUNT: none */
};

void dv_fingerprint_make(const struct dv_image *image, struct dv_fingerprint *ret_fingerprint);

/*
 * Judge candidates with the same bytes: set `finding` and `other` of those that are refused.
 * Under several classes: all of them (conflicting_labels), for nobody knows which label is right.
 * In one class: one is kept, the first of the test split, else of val, else of train; the others
 * are `duplicate` within the same split and `leak_across_splits` in another, so that a given test
 * set stays as it is.
 */
void dv_duplicates_judge(struct dv_candidate *candidates, uint32_t count);

/*
 * Give near duplicates one group: ret_groups[i] is the smallest number in the group of candidate
 * i. `thumbnails` is a file of the candidates' fine thumbnails, one after the other.
 */
DV_MUST_CHECK enum dv_status dv_duplicates_group(const struct dv_candidate *candidates,
    uint32_t count, int thumbnails, uint32_t *ret_groups, struct dv_error *reterr);

#endif
