/* SPDX-License-Identifier: Apache-2.0 */

/*
 * `dv serve`: the store, the supervisor, the API and the HTTP server, put together. The main thread
 * becomes the supervisor; everything is taken down in the opposite order when a signal comes.
 */

#include "api/api.h"
#include "app/command.h"
#include "app/data_folder.h"
#include "app/interrupt.h"
#include "app/llm_check.h"
#include "app/machine.h"
#include "base/alloc.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/json.h"
#include "base/log.h"
#include "base/secret.h"
#include "base/text.h"
#include "http/server.h"
#include "job/supervisor.h"
#include "llm/settings.h"
#include "store/store.h"
#include "train/worker.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define HOST_SIZE 64u
#define LLM_PATIENCE_MS 15000 /* of a test: it holds up a thread of the HTTP server's */

static const struct dv_command_help help = {
    .usage = "dv serve [--data DIR] [--listen HOST:PORT] [--db URL] [--no-auth]",
    .summary = "Serve the page and the API, and run what is queued, until Ctrl-C.",
};

struct serve_options {
    struct dv_common_options common;
    const char *listen;
    char host[HOST_SIZE]; /* what `listen` says */
    uint16_t port;
    const char *database; /* NULL: sqlite in the data folder */
    bool is_open;
    const char *jobs_since; /* NULL: all */
    int64_t running_jobs_max;
};

struct server {
    struct dv_data_folder folder;
    struct dv_store *store;
    struct dv_supervisor *supervisor;
    struct dv_json *strategies;
    struct dv_api *api;
    struct dv_http_server *http;
    struct dv_llm_settings llm;
    struct dv_json *llm_settings; /* the same, as others take them; NULL: none are configured */
    char *token;
    int stop_fd;
};

/* --- Options ---------------------------------------------------------------------------------- */

/* "127.0.0.1:8080", "[::1]:8080", ":8080" and "8080". */
static enum dv_status parse_listen(const char *text, char ret_host[static HOST_SIZE],
    uint16_t *ret_port, struct dv_error *reterr)
{
    const char *colon = strrchr(text, ':');
    const char *port = colon ? colon + 1 : text;
    size_t size = colon ? (size_t)(colon - text) : 0;
    const char *host = text;
    uint64_t number;

    if (size >= 2 && host[0] == '[' && host[size - 1] == ']') {
        host++;
        size -= 2;
    }
    if (!dv_text_to_uint64(port, &number) || number > UINT16_MAX || size >= HOST_SIZE) {
        return dv_fail(
            reterr, DV_INVALID, "'%.100s' is no address to listen on: it is HOST:PORT", text);
    }
    (void)snprintf(ret_host, HOST_SIZE, "%.*s", (int)size, size > 0 ? host : "");
    if (size == 0) {
        (void)dv_text_copy(ret_host, HOST_SIZE, "127.0.0.1");
    } else if (dv_text_equal(ret_host, "localhost")) {
        (void)dv_text_copy(ret_host, HOST_SIZE, "127.0.0.1");
    }
    *ret_port = (uint16_t)number;
    return DV_OK;
}

static bool is_loopback(const char *host)
{
    return dv_text_has_prefix(host, "127.") || dv_text_equal(host, "::1");
}

/* What can be told from the options alone, before a data folder is made or looked at. */
static enum dv_status check_options(struct serve_options *options, struct dv_error *reterr)
{
    if (options->running_jobs_max < 1 || options->running_jobs_max > 64) {
        return dv_fail(reterr, DV_INVALID, "--max-running-jobs is 1 to 64");
    }
    enum dv_status status = parse_listen(options->listen, options->host, &options->port, reterr);
    if (status == DV_OK && options->is_open && !is_loopback(options->host)) {
        status = dv_fail(reterr, DV_DENIED,
            "--no-auth is taken on a loopback address only: %s can be reached by others",
            options->host);
    }
    return status;
}

/* --- Putting together ------------------------------------------------------------------------- */

static enum dv_status open_store(
    struct server *server, const struct serve_options *options, struct dv_error *reterr)
{
    DV_CLEANUP(dv_freep) char *own = dv_strprintf("sqlite:%s/dv.db", server->folder.path);
    char instance[DV_UUID_TEXT_SIZE];

    dv_uuid_make(instance);
    return dv_store_open(
        options->database ? options->database : own, instance, &server->store, reterr);
}

static enum dv_status create_supervisor(
    struct server *server, const struct serve_options *options, struct dv_error *reterr)
{
    struct dv_supervisor_options supervisor = {.store = server->store,
        .data_folder = server->folder.path,
        .running_jobs_max = (uint32_t)options->running_jobs_max,
        .jobs_since = options->jobs_since,
        .thread_count = dv_machine_processors(),
        .llm_settings = server->llm_settings,
        .llm_key_fd = server->llm.key_fd};

    enum dv_status status = dv_machine_worker_memory(&supervisor.memory_max, reterr);
    return status == DV_OK ? dv_supervisor_create(&supervisor, &server->supervisor, reterr)
                           : status;
}

/* From a thread of the HTTP server's, which is there as long as the server is. */
static struct dv_json *test_llm(void *user)
{
    const struct server *server = user;

    return dv_llm_check(&server->llm, LLM_PATIENCE_MS);
}

static enum dv_status start_http(
    struct server *server, const struct serve_options *options, struct dv_error *reterr)
{
    struct dv_http_options http = {0};

    const struct dv_api_options api = {.store = server->store,
        .supervisor = server->supervisor,
        .data_folder = server->folder.path,
        .strategies = server->strategies,
        .thread_count = dv_machine_processors(),
        .llm = {.settings = server->llm_settings, .user = server, .test = test_llm},
        .is_open = options->is_open};
    server->api = dv_api_create(&api);
    dv_api_http_options(server->api, &http);
    http.host = options->host;
    http.port = options->port;
    enum dv_status status = dv_http_server_start(&http, &server->http, reterr);
    if (status == DV_OK) {
        dv_api_set_server(server->api, server->http);
    }
    return status;
}

/*
 * The key goes out of our environment and out of sight before anything else is started. Wrong
 * settings are said and left alone: a server without a language model serves all the same.
 */
static void take_llm(struct server *server)
{
    struct dv_error error = {0};

    enum dv_status status = dv_llm_settings_take(&server->llm, &error);
    if (status == DV_OK) {
        server->llm_settings = dv_llm_settings_to_json(&server->llm);
    }
    if (status == DV_OK && server->llm.key_fd >= 0) {
        dv_secret_hide_process();
    } else if (status != DV_OK && status != DV_NOT_FOUND) {
        dv_log(DV_LOG_WARNING, "no language model will be asked: %s", error.text);
    }
}

static enum dv_status start(
    struct server *server, const struct serve_options *options, struct dv_error *reterr)
{
    enum dv_status status = dv_interrupt_open(&server->stop_fd, reterr);

    if (status == DV_OK) {
        status = dv_data_folder_open(options->common.data_folder, &server->folder, reterr);
    }
    if (status == DV_OK) {
        status = dv_data_folder_lock(&server->folder, reterr);
    }
    if (status == DV_OK) {
        status = open_store(server, options, reterr);
    }
    if (status == DV_OK) {
        status = dv_api_owner_token(server->store, server->folder.path, &server->token, reterr);
    }
    if (status == DV_OK) {
        status = create_supervisor(server, options, reterr);
    }
    if (status == DV_OK) {
        server->strategies = dv_train_describe();
        status = start_http(server, options, reterr);
    }
    if (status == DV_OK) {
        status = dv_data_folder_name_server(
            &server->folder, dv_http_server_url(server->http), reterr);
    }
    return status;
}

static void stop(struct server *server)
{
    if (server->api) {
        dv_api_set_server(server->api, NULL);
    }
    server->http = dv_http_server_stop(server->http);
    server->api = dv_api_destroy(server->api);
    server->supervisor = dv_supervisor_destroy(server->supervisor);
    server->store = dv_store_close(server->store);
    server->strategies = dv_json_unref(server->strategies);
    if (server->token) {
        explicit_bzero(server->token, strlen(server->token));
        server->token = dv_free(server->token);
    }
    server->llm_settings = dv_json_unref(server->llm_settings);
    dv_file_closep(&server->llm.key_fd);
    dv_data_folder_close(&server->folder);
}

/* --- Saying where ----------------------------------------------------------------------------- */

static void say_where(const struct server *server, const struct serve_options *options)
{
    const char *url = dv_http_server_url(server->http);

    if (options->common.is_json) {
        struct dv_json *line = dv_json_object();
        dv_json_set_string(line, "type", "ready");
        dv_json_set_string(line, "url", url);
        dv_json_set_integer(line, "pid", getpid());
        dv_json_set_string(line, "database", dv_store_kind(server->store));
        dv_print_json(line);
        return;
    }
    (void)printf("DeepVariance " DV_VERSION " serves %s with %s\n", server->folder.path,
        dv_store_kind(server->store));
    if (options->is_open) {
        (void)printf("%s/\n", url);
    } else {
        (void)printf("%s/#token=%s\n", url, server->token);
    }
    (void)fflush(stdout);
}

int dv_cmd_serve(int argc, char **argv)
{
    struct serve_options options = {
        .common = dv_common_options_default(), .listen = "127.0.0.1:8080", .running_jobs_max = 1};
    const struct dv_option table[] = {
        {.name = "listen", .value = "HOST:PORT", .help = "127.0.0.1:8080 if not given; port 0: any",
            .text = &options.listen},
        {.name = "db", .value = "URL", .help = "sqlite:PATH or postgresql://...; DATA/dv.db if not given",
            .text = &options.database},
        {.name = "no-auth", .help = "ask nobody for a token; on a loopback address only",
            .flag = &options.is_open},
        {.name = "max-running-jobs", .value = "N", .help = "jobs that run at a time; 1 if not given",
            .take = dv_option_take_integer, .user = &options.running_jobs_max},
        {.name = "jobs-since", .value = "TIME", .help = "leave jobs alone that were queued before",
            .text = &options.jobs_since},
        DV_COMMON_OPTIONS(options.common), {0}};
    struct dv_arguments arguments;
    struct server server = {.folder = {.lock_fd = -1}, .llm = {.key_fd = -1}};
    struct dv_error error = {0};
    bool is_over;

    int result = dv_command_begin(&help, table, argc, argv, 0, 0, &arguments, &is_over);
    if (is_over) {
        return result;
    }
    dv_free(arguments.items);
    if (check_options(&options, &error) != DV_OK) {
        (void)dv_command_fail(options.common.is_json, &error);
        return DV_EXIT_USAGE;
    }
    take_llm(&server);
    enum dv_status status = start(&server, &options, &error);
    if (status == DV_OK) {
        say_where(&server, &options);
        status = dv_supervisor_run(server.supervisor, server.stop_fd, &error);
    }
    stop(&server);
    return status == DV_OK ? DV_EXIT_DONE : dv_command_fail(options.common.is_json, &error);
}
