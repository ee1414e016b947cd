/* SPDX-License-Identifier: Apache-2.0 */
#include "api/api_impl.h"
#include "api/pack_cache.h"
#include "base/alloc.h"
#include "base/text.h"
#include "http/server.h"
#include "job/supervisor.h"

#include <assert.h>

static void wake_streams(void *user, int64_t event_id)
{
    struct dv_api *api = user;
    struct dv_http_server *server = atomic_load(&api->server);

    (void)event_id; /* streams ask for what came after their own last one */
    if (server) {
        dv_http_server_wake_streams(server);
    }
}

static void count_request(const struct dv_http_request *request, int code, void *user)
{
    struct dv_api *api = user;

    (void)request;
    atomic_fetch_add_explicit(&api->request_count, 1, memory_order_relaxed);
    if (code >= 500) {
        atomic_fetch_add_explicit(&api->error_count, 1, memory_order_relaxed);
    }
}

/* The names in what the worker described, for checking requests; NULL at the end. */
static const char **list_strategies(const struct dv_json *strategies)
{
    size_t count = dv_json_count(strategies);
    const char **names = dv_alloc((count + 1) * sizeof(*names));
    size_t kept = 0;

    for (size_t i = 0; i < count; i++) {
        const struct dv_json *strategy = dv_json_at(strategies, i);
        if (dv_json_get_bool(strategy, "can_run", false)) {
            names[kept++] = dv_json_get_string(strategy, "name", "");
        }
    }
    return names;
}

/* What the worker can do is one thing, whether there is a language model to ask another. */
static struct dv_json *show_strategies(const struct dv_api_options *options)
{
    struct dv_json *list = dv_json_copy(options->strategies);

    for (size_t i = 0; i < dv_json_count(list) && !options->llm.settings; i++) {
        struct dv_json *strategy = dv_json_at(list, i);
        if (dv_text_equal(dv_json_get_string(strategy, "name", ""), "llm")) {
            dv_json_set_bool(strategy, "can_run", false);
            dv_json_set_string(strategy, "reason",
                "no language model's endpoint is configured: set DV_LLM_BASE_URL");
        }
    }
    return list;
}

struct dv_api *dv_api_create(const struct dv_api_options *options)
{
    struct dv_api *api = dv_alloc(sizeof(*api));

    assert(options->store);
    assert(options->data_folder);
    api->options = *options;
    dv_clock_now_text(api->started_at);
    api->strategies = list_strategies(options->strategies);
    api->capabilities.strategies = api->strategies;
    api->capabilities.has_llm = options->llm.settings != NULL;
    api->strategy_list = show_strategies(options);
    api->page_tags = dv_api_page_tags();
    api->packs = dv_pack_cache_create(options->data_folder);
    dv_store_on_commit(options->store, wake_streams, api);
    return api;
}

struct dv_api *dv_api_destroy(struct dv_api *api)
{
    if (api) {
        dv_store_on_commit(api->options.store, NULL, NULL);
        api->packs = dv_pack_cache_destroy(api->packs);
        api->page_tags = dv_api_page_tags_free(api->page_tags);
        dv_json_unref(api->strategy_list);
        dv_free(api->strategies);
        dv_free(api);
    }
    return NULL;
}

void dv_api_http_options(struct dv_api *api, struct dv_http_options *ret_options)
{
    ret_options->routes = dv_api_routes;
    ret_options->user = api;
    ret_options->admit = dv_api_admit;
    ret_options->on_done = count_request;
}

void dv_api_set_server(struct dv_api *api, struct dv_http_server *server)
{
    atomic_store(&api->server, server);
}
