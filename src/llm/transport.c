/* SPDX-License-Identifier: Apache-2.0 */
#include "llm/transport.h"

#include "base/alloc.h"
#include "base/buffer.h"
#include "base/clock.h"
#include "base/text.h"
#include "llm/address.h"
#include "llm/mask.h"

#include <assert.h>
#include <curl/curl.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#define HEADERS_SIZE_MAX 65536u

struct dv_llm_transport {
    struct dv_llm_transport_options options;
    char *key;
    char *authorization; /* a header; NULL: none */
    CURL *curl;
};

/* What one exchange is about, for libcurl's callbacks. */
struct course {
    const struct dv_llm_transport *transport;
    const struct dv_llm_exchange *exchange;
    struct dv_llm_response *response;
    struct dv_buffer body;
    size_t headers_size;
    uint64_t first_byte_ns; /* 0: none yet */
    bool is_denied;
    bool is_cancelled;
    bool is_dripping; /* the answer took too long once it had begun */
    struct dv_error denial;
};

/* --- Life ------------------------------------------------------------------------------- */

enum dv_status dv_llm_transport_prepare(struct dv_error *reterr)
{
    return curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK
               ? DV_OK
               : dv_fail(reterr, DV_IO, "libcurl cannot be used");
}

enum dv_status dv_llm_transport_create(const struct dv_llm_transport_options *options,
    struct dv_llm_transport **ret_transport, struct dv_error *reterr)
{
    assert(options->address);
    assert(ret_transport);
    enum dv_status status = dv_llm_transport_prepare(reterr);
    if (status != DV_OK) {
        return status;
    }
    struct dv_llm_transport *transport = dv_alloc(sizeof(*transport));
    transport->options = *options;
    transport->curl = curl_easy_init();
    if (options->key) {
        transport->key = dv_strdup(options->key);
        transport->authorization = dv_strprintf("Authorization: Bearer %s", options->key);
    }
    transport->options.key = NULL;
    if (!transport->curl) {
        (void)dv_llm_transport_destroy(transport);
        return dv_fail(reterr, DV_NOMEM, "no memory for a connection");
    }
    *ret_transport = transport;
    return DV_OK;
}

static void wipe(char *text)
{
    if (text) {
        explicit_bzero(text, strlen(text));
        dv_free(text);
    }
}

struct dv_llm_transport *dv_llm_transport_destroy(struct dv_llm_transport *transport)
{
    if (transport) {
        curl_easy_cleanup(transport->curl);
        wipe(transport->key);
        wipe(transport->authorization);
        dv_free(transport);
    }
    return NULL;
}

/* --- What libcurl asks and tells -------------------------------------------------------- */

/* The address that is connected to next: the one that was looked up, whatever a second look says. */
static curl_socket_t on_socket(void *user, curlsocktype purpose, struct curl_sockaddr *target)
{
    struct course *course = user;

    (void)purpose;
    if (dv_llm_address_check(course->transport->options.address, &target->addr, &course->denial) !=
        DV_OK) {
        course->is_denied = true;
        return CURL_SOCKET_BAD;
    }
    return socket(target->family, target->socktype | SOCK_CLOEXEC, target->protocol);
}

static size_t on_header(char *line, size_t unit, size_t count, void *user)
{
    static const char id[] = "x-request-id:";
    struct course *course = user;
    struct dv_llm_response *response = course->response;
    size_t size = unit * count;

    course->headers_size += size;
    if (course->headers_size > HEADERS_SIZE_MAX) {
        course->body.is_over = true;
        return 0;
    }
    (void)dv_llm_rate_header(&response->rate, line, size, (int64_t)time(NULL));
    if (size > sizeof(id) && strncasecmp(line, id, sizeof(id) - 1) == 0) {
        const char *value = line + sizeof(id) - 1;
        size_t skipped = strspn(value, " ");
        size_t length = strcspn(value + skipped, "\r\n");
        (void)snprintf(response->request_id, sizeof(response->request_id), "%.*s",
            (int)(length < sizeof(response->request_id) ? length : 0), value + skipped);
        dv_text_make_printable(response->request_id);
    }
    return size;
}

static size_t on_bytes(char *data, size_t unit, size_t count, void *user)
{
    struct course *course = user;

    if (course->first_byte_ns == 0) {
        course->first_byte_ns = dv_clock_monotonic_ns();
    }
    dv_buffer_append(&course->body, data, unit * count);
    return course->body.is_over ? 0 : unit * count;
}

/* Called a few times a second, whatever happens. */
static int on_tick(void *user, curl_off_t total, curl_off_t now, curl_off_t up_total, curl_off_t up)
{
    struct course *course = user;
    const struct dv_llm_transport_options *options = &course->transport->options;
    double limit_s = (double)course->exchange->body_timeout_ms * 1e-3;

    (void)total;
    (void)now;
    (void)up_total;
    (void)up;
    course->is_cancelled = options->is_cancelled && options->is_cancelled(options->user);
    course->is_dripping = course->first_byte_ns > 0 && limit_s > 0 &&
                          dv_clock_seconds_since(course->first_byte_ns) > limit_s;
    return course->is_cancelled || course->is_dripping;
}

/* --- One exchange ----------------------------------------------------------------------- */

static void set_limits(CURL *curl, const struct dv_llm_exchange *exchange)
{
    (void)curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, (long)exchange->connect_timeout_ms);
    (void)curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, (long)exchange->total_timeout_ms);
    (void)curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 0L);
    (void)curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
    (void)curl_easy_setopt(curl, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    (void)curl_easy_setopt(curl, CURLOPT_HTTP09_ALLOWED, 0L);
    (void)curl_easy_setopt(curl, CURLOPT_DISALLOW_USERNAME_IN_URL, 1L);
    (void)curl_easy_setopt(curl, CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
    (void)curl_easy_setopt(curl, CURLOPT_PROXY, ""); /* nor one of the environment */
    (void)curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    (void)curl_easy_setopt(curl, CURLOPT_SSL_VERIFYPEER, 1L);
    (void)curl_easy_setopt(curl, CURLOPT_SSL_VERIFYHOST, 2L);
    (void)curl_easy_setopt(curl, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
}

static void set_callbacks(CURL *curl, struct course *course)
{
    (void)curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
    (void)curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, on_tick);
    (void)curl_easy_setopt(curl, CURLOPT_XFERINFODATA, course);
    (void)curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_bytes);
    (void)curl_easy_setopt(curl, CURLOPT_WRITEDATA, course);
    (void)curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, on_header);
    (void)curl_easy_setopt(curl, CURLOPT_HEADERDATA, course);
    (void)curl_easy_setopt(curl, CURLOPT_OPENSOCKETFUNCTION, on_socket);
    (void)curl_easy_setopt(curl, CURLOPT_OPENSOCKETDATA, course);
}

static struct curl_slist *make_headers(const struct dv_llm_transport *transport)
{
    const char *const lines[] = {"Content-Type: application/json", "Accept: application/json",
        "Expect:", transport->authorization};
    struct curl_slist *headers = NULL;

    for (size_t i = 0; i < DV_ARRAY_SIZE(lines) && lines[i]; i++) {
        struct curl_slist *longer = curl_slist_append(headers, lines[i]);
        assert(longer); /* bookkeeping: as of dv_alloc() */
        headers = longer;
    }
    return headers;
}

/* libcurl's copies of the key are its own; this one is ours to wipe. */
static void free_headers(struct curl_slist *headers)
{
    for (struct curl_slist *at = headers; at; at = at->next) {
        explicit_bzero(at->data, strlen(at->data));
    }
    curl_slist_free_all(headers);
}

static void say_failure(const struct course *course, CURLcode code, const char *words)
{
    struct dv_llm_response *response = course->response;
    const char *reason = words[0] ? words : curl_easy_strerror(code);

    response->status = 0;
    response->failure = DV_LLM_VERDICT_NETWORK;
    if (course->is_cancelled) {
        response->failure = DV_LLM_VERDICT_CANCELLED;
        reason = "stopped on request";
    } else if (course->body.is_over) {
        response->failure = DV_LLM_VERDICT_ENDLESS;
        reason = "its answer is larger than any we take";
    } else if (course->is_dripping) {
        reason = "its answer began and did not end in time";
    } else if (course->is_denied && code == CURLE_COULDNT_CONNECT) {
        response->failure = DV_LLM_VERDICT_DESTINATION;
        reason = course->denial.text;
    }
    (void)dv_text_copy(response->reason, sizeof(response->reason), reason);
    dv_text_make_printable(response->reason);
}

void dv_llm_transport_exchange(struct dv_llm_transport *transport,
    const struct dv_llm_exchange *exchange, struct dv_llm_response *ret_response)
{
    CURL *curl = transport->curl;
    struct dv_llm_response response = {.rate = dv_llm_rate_none()};
    struct course course = {.transport = transport,
        .exchange = exchange,
        .response = &response,
        .body = DV_BUFFER_INIT(DV_LLM_BODY_SIZE_MAX)};
    struct curl_slist *headers = make_headers(transport);
    char words[CURL_ERROR_SIZE] = "";
    long status = 0;

    assert(exchange->url);
    curl_easy_reset(curl);
    set_limits(curl, exchange);
    set_callbacks(curl, &course);
    (void)curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, words);
    (void)curl_easy_setopt(curl, CURLOPT_URL, exchange->url);
    (void)curl_easy_setopt(curl, CURLOPT_USERAGENT, "deepvariance/" DV_VERSION);
    (void)curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
    if (transport->options.ca_file) {
        (void)curl_easy_setopt(curl, CURLOPT_CAINFO, transport->options.ca_file);
        (void)curl_easy_setopt(curl, CURLOPT_CAPATH, NULL);
    }
    if (exchange->body) {
        (void)curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)strlen(exchange->body));
        (void)curl_easy_setopt(curl, CURLOPT_POSTFIELDS, exchange->body);
    }
    CURLcode code = curl_easy_perform(curl);
    (void)curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
    if (code == CURLE_OK) {
        response.status = (int)status;
    } else {
        say_failure(&course, code, words);
    }
    free_headers(headers);
    response.size = course.body.size;
    response.body = dv_buffer_take(&course.body);
    dv_llm_mask_key(response.body, response.size, transport->key);
    *ret_response = response;
}
