/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DV_JOB_INTAKE_H
#define DV_JOB_INTAKE_H

/*
 * The errand of one data set, from its whole upload to `ready` or `error`: `dv ingest` reads
 * DATA/uploads/{id} (a file or a folder, or {id}.zip) and fills a hidden staging folder, which is
 * renamed to DATA/datasets/{id}; then the row says so, and the upload goes. One whose folder is
 * there already was made by a server that did not come to write the row.
 */

struct dv_errand;
struct dv_job_context;
struct dv_json;

/* `row` is one of `datasets` in readiness `processing`, borrowed for the call. */
struct dv_errand *dv_intake_create(struct dv_job_context *context, const struct dv_json *row);

#endif
