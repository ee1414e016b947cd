/* SPDX-License-Identifier: Apache-2.0 */

/* How the server and its machine are: health, figures, the same for Prometheus. */

#include "api/api_impl.h"
#include "api/machine.h"
#include "base/buffer.h"
#include "base/file.h"
#include "base/text.h"
#include "job/supervisor.h"
#include "store/jobs.h"
#include "store/logs.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>

#define METRICS_SIZE_MAX (256u << 10)
#define FREE_SPACE_LOW (256ull << 20)

/* --- Health ----------------------------------------------------------------------------------- */

static bool add_check(struct dv_json *checks, const char *name, enum dv_status status,
    const struct dv_error *error)
{
    dv_json_set_string(checks, name, status == DV_OK ? "ok" : error->text);
    return status == DV_OK;
}

static enum dv_status check_disk(const struct dv_api *api, struct dv_error *reterr)
{
    uint64_t size;

    enum dv_status status = dv_folder_free_space(api->options.data_folder, &size, reterr);
    if (status == DV_OK && size < FREE_SPACE_LOW) {
        char text[16];
        dv_text_size(size, text);
        return dv_fail(reterr, DV_NO_SPACE, "%s are free in the data folder", text);
    }
    return status;
}

void dv_api_system_health(struct dv_http_request *request, void *user)
{
    struct dv_api *api = user;
    struct dv_json *answer = dv_json_object();
    struct dv_json *checks = dv_json_object();
    struct dv_error error;

    bool is_well = add_check(
        checks, "database", dv_store_check(api->options.store, &error), &error);
    /* A disk that is nearly full is said, but the server serves. */
    (void)add_check(checks, "disk", check_disk(api, &error), &error);
    dv_json_set_string(answer, "status", is_well ? "ok" : "error");
    dv_json_set_string(answer, "version", DV_VERSION);
    dv_json_set_string(answer, "database", dv_store_kind(api->options.store));
    dv_json_set(answer, "checks", checks);
    dv_http_reply_json(request, is_well ? 200 : 503, answer);
}

/* --- Figures ---------------------------------------------------------------------------------- */

void dv_api_system_metrics(struct dv_http_request *request, void *user)
{
    struct dv_api *api = user;
    struct dv_json *answer = dv_machine_metrics(api->options.data_folder);

    dv_json_set(answer, "gpus", dv_json_array());
    dv_json_set(answer, "workers", dv_supervisor_usage(api->options.supervisor));
    dv_http_reply_json(request, 200, answer);
}

/* Where it is, and which; what a bound is nobody needs to know. */
static struct dv_json *describe_llm(const struct dv_api_llm *llm)
{
    struct dv_json *json = dv_json_object();
    const struct dv_json *models = dv_json_get(llm->settings, "models");

    dv_json_set_bool(json, "is_configured", llm->settings != NULL);
    dv_json_set_string(json, "base_url", dv_json_get_string(llm->settings, "url", NULL));
    dv_json_set(json, "models", models ? dv_json_ref(models) : dv_json_array());
    return json;
}

void dv_api_system_info(struct dv_http_request *request, void *user)
{
    struct dv_api *api = user;
    struct dv_json *answer = dv_machine_info();

    dv_json_set_string(answer, "version", DV_VERSION);
    dv_json_set_string(answer, "database", dv_store_kind(api->options.store));
    dv_json_set_string(answer, "started_at", api->started_at);
    dv_json_set_string(answer, "data_folder", api->options.data_folder);
    dv_json_set_bool(answer, "is_open", api->options.is_open);
    dv_json_set(answer, "llm", describe_llm(&api->options.llm));
    dv_http_reply_json(request, 200, answer);
}

/* --- The language model ----------------------------------------------------------------------- */

/* One at a time: each costs a thread of the server's for as long as it lasts, and money. */
void dv_api_system_llm_test(struct dv_http_request *request, void *user)
{
    struct dv_api *api = user;

    if (!api->options.llm.settings) {
        dv_http_reply_problem(request, 409,
            "no language model's endpoint is configured: set DV_LLM_BASE_URL where the server starts",
            NULL);
        return;
    }
    if (atomic_exchange(&api->is_testing, true)) {
        dv_http_reply_problem(request, 409, "the language model is being tested already", NULL);
        return;
    }
    struct dv_json *answer = api->options.llm.test(api->options.llm.user);
    atomic_store(&api->is_testing, false);
    dv_http_reply_json(request, 200, answer);
}

/* --- Prometheus ------------------------------------------------------------------------------- */

static void add_metric(struct dv_buffer *text, const char *name, const char *type,
    const char *help, const char *labels, double value)
{
    if (help) {
        dv_buffer_printf(text, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
    }
    if (isfinite(value)) {
        dv_buffer_printf(text, "%s%s %.17g\n", name, labels, value);
    }
}

static enum dv_status add_jobs(struct dv_api *api, struct dv_buffer *text, struct dv_error *reterr)
{
    static const char *const statuses[] = {"pending", "running", "completed", "failed", "cancelled"};

    for (size_t i = 0; i < DV_ARRAY_SIZE(statuses); i++) {
        const struct dv_job_filter filter = {.status = statuses[i]};
        const struct dv_page page = {.limit = 1};
        DV_CLEANUP(dv_json_unrefp) struct dv_json *list = NULL;
        char labels[40];
        enum dv_status status = dv_jobs_list(api->options.store, &filter, &page, &list, reterr);
        if (status != DV_OK) {
            return status;
        }
        (void)snprintf(labels, sizeof(labels), "{status=\"%s\"}", statuses[i]);
        add_metric(text, "dv_jobs", "gauge", i == 0 ? "Jobs by status." : NULL, labels,
            (double)dv_json_get_integer(list, "total", 0));
    }
    return DV_OK;
}

static double number_at(const struct dv_json *metrics, const char *group, const char *name)
{
    return dv_json_get_number(dv_json_get(metrics, group), name, (double)NAN);
}

static void add_machine(struct dv_api *api, struct dv_buffer *text)
{
    DV_CLEANUP(dv_json_unrefp)
    struct dv_json *machine = dv_machine_metrics(api->options.data_folder);

    add_metric(text, "dv_memory_total_bytes", "gauge", "Memory of the machine.", "",
        number_at(machine, "memory", "total_bytes"));
    add_metric(text, "dv_memory_available_bytes", "gauge", "Memory that can still be had.", "",
        number_at(machine, "memory", "available_bytes"));
    add_metric(text, "dv_disk_free_bytes", "gauge", "Free on the disk of the data folder.", "",
        number_at(machine, "disk", "free_bytes"));
    add_metric(text, "dv_load_1m", "gauge", "Load average over a minute.", "",
        dv_json_to_number(dv_json_at(dv_json_get(machine, "load"), 0), (double)NAN));
    add_metric(text, "process_resident_memory_bytes", "gauge", "Resident memory of the server.", "",
        number_at(machine, "server", "rss_bytes"));
    add_metric(text, "process_cpu_seconds_total", "counter", "Processor time of the server.", "",
        number_at(machine, "server", "cpu_seconds"));
}

void dv_api_metrics_text(struct dv_http_request *request, void *user)
{
    struct dv_api *api = user;
    struct dv_buffer text = DV_BUFFER_INIT(METRICS_SIZE_MAX);
    struct dv_error error;

    add_metric(&text, "dv_http_requests_total", "counter", "Requests answered.", "",
        (double)atomic_load(&api->request_count));
    add_metric(&text, "dv_http_errors_total", "counter", "Answers of 500 and above.", "",
        (double)atomic_load(&api->error_count));
    add_machine(api, &text);
    enum dv_status status = add_jobs(api, &text, &error);
    if (status == DV_OK) {
        dv_http_reply_bytes(
            request, 200, "text/plain; version=0.0.4; charset=utf-8", text.data, text.size);
    } else {
        dv_api_fail(request, &error);
    }
    dv_buffer_finish(&text);
}

/* --- Strategies ------------------------------------------------------------------------------- */

void dv_api_strategies_list(struct dv_http_request *request, void *user)
{
    struct dv_api *api = user;
    struct dv_json *list = dv_json_object();

    dv_json_set(list, "items", dv_json_ref(api->strategy_list));
    dv_json_set(list, "next_cursor", dv_json_null());
    dv_json_set_integer(list, "total", (int64_t)dv_json_count(api->options.strategies));
    dv_http_reply_json(request, 200, list);
}
