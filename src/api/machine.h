/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DV_API_MACHINE_H
#define DV_API_MACHINE_H

/*
 * What the machine is and how busy, read from /proc each time. Figures that it does not tell are
 * null.
 */

struct dv_json;

/* {"hostname", "kernel", "cpu": {"model", "cores"}, "memory_total_bytes"}; the caller's. */
struct dv_json *dv_machine_info(void);

/*
 * {"cpu": {"cores": [{"busy_seconds", "total_seconds"}], "busy_seconds", "total_seconds"},
 *  "memory": {"total_bytes", "available_bytes", "swap_total_bytes", "swap_free_bytes"},
 *  "disk": {"total_bytes", "free_bytes"} (of `folder`), "load": [1, 5, 15 minutes],
 *  "server": {"pid", "rss_bytes", "cpu_seconds", "threads", "open_files"}}; the caller's.
 * Processor times count since the machine's start: a reader takes differences.
 */
struct dv_json *dv_machine_metrics(const char *folder);

#endif
