/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DV_APP_DOCTOR_FSCK_H
#define DV_APP_DOCTOR_FSCK_H

/*
 * `dv doctor --fsck`: job/fsck.h for people and scripts. And what `dv doctor` says of the database.
 */

struct dv_common_options;
struct dv_json;

/* `database` as of --db; NULL: the one in the data folder. The command's exit status. */
int dv_doctor_fsck(const struct dv_common_options *common, const char *database);

/* {"kind", "is_reachable", "error"?}, or null when there is none yet. */
struct dv_json *dv_doctor_database(const struct dv_common_options *common, const char *database);

#endif
