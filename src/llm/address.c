/* SPDX-License-Identifier: Apache-2.0 */

/* To be read: kinds of addresses, lists of them, the URL, the check. */

#include "llm/address.h"

#include "base/macro.h"
#include "base/text.h"

#include <arpa/inet.h>
#include <assert.h>
#include <ctype.h>
#include <netinet/in.h>
#include <sys/socket.h>

/* --- Kinds of addresses ----------------------------------------------------------------- */

enum kind {
    KIND_PUBLIC,
    KIND_LOCAL,    /* loopback, private */
    KIND_METADATA, /* link-local, and where clouds keep their machines' secrets */
    KIND_NEVER,
};

/* Beneath each of these an address is of that kind; the first that fits. IPv4 in its mapped form. */
static const struct {
    const char *network;
    unsigned bits;
    enum kind kind;
} kinds[] = {
    {"::ffff:169.254.0.0", 112, KIND_METADATA},
    {"::ffff:100.100.100.200", 128, KIND_METADATA}, /* Alibaba Cloud */
    {"::ffff:192.0.0.192", 128, KIND_METADATA},     /* Oracle Cloud */
    {"fe80::", 10, KIND_METADATA},
    {"fd00:ec2::254", 128, KIND_METADATA}, /* AWS */
    {"fd20:ce::254", 128, KIND_METADATA},  /* Google Cloud */
    {"::ffff:127.0.0.0", 104, KIND_LOCAL},
    {"::ffff:10.0.0.0", 104, KIND_LOCAL},
    {"::ffff:172.16.0.0", 108, KIND_LOCAL},
    {"::ffff:192.168.0.0", 112, KIND_LOCAL},
    {"::ffff:100.64.0.0", 106, KIND_LOCAL}, /* RFC 6598 */
    {"::1", 128, KIND_LOCAL},
    {"fc00::", 7, KIND_LOCAL},
    {"::ffff:0.0.0.0", 104, KIND_NEVER},
    {"::ffff:192.0.0.0", 120, KIND_NEVER},
    {"::ffff:192.0.2.0", 120, KIND_NEVER}, /* for documentation, as the next two */
    {"::ffff:198.51.100.0", 120, KIND_NEVER},
    {"::ffff:203.0.113.0", 120, KIND_NEVER},
    {"::ffff:198.18.0.0", 111, KIND_NEVER}, /* for benchmarks */
    {"::ffff:224.0.0.0", 99, KIND_NEVER},   /* multicast, reserved, broadcast: 224 and up */
    {"::ffff:0:0", 96, KIND_PUBLIC},
    {"2001::", 32, KIND_NEVER},     /* Teredo: an IPv4 address within */
    {"2001:db8::", 32, KIND_NEVER}, /* for documentation */
    {"2002::", 16, KIND_NEVER},     /* 6to4: likewise */
    {"2000::", 3, KIND_PUBLIC},
    {"::", 0, KIND_NEVER},
};

static bool is_within(const uint8_t *bytes, const uint8_t *network, unsigned bits)
{
    unsigned whole = bits / 8;
    uint8_t mask = (uint8_t)(0xff00u >> (bits % 8));

    return memcmp(bytes, network, whole) == 0 &&
           (bits % 8 == 0 || ((bytes[whole] ^ network[whole]) & mask) == 0);
}

/* NAT64 (RFC 6052) says an IPv4 address in its last four bytes: that one counts. */
static void unwrap(uint8_t bytes[static 16])
{
    static const uint8_t nat64[12] = {0, 0x64, 0xff, 0x9b};
    static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};

    if (memcmp(bytes, nat64, sizeof(nat64)) == 0) {
        memcpy(bytes, mapped, sizeof(mapped));
    }
}

static enum kind find_kind(const uint8_t *bytes)
{
    for (size_t i = 0; i < DV_ARRAY_SIZE(kinds); i++) {
        uint8_t network[16];
        int is_parsed = inet_pton(AF_INET6, kinds[i].network, network);
        assert(is_parsed == 1);
        if (is_within(bytes, network, kinds[i].bits)) {
            return kinds[i].kind;
        }
    }
    return KIND_NEVER;
}

/* "10.0.0.1" or "fd00::1"; `ret_bits`: of a whole address written so. */
static bool parse_literal(const char *text, uint8_t ret_bytes[static 16], unsigned *ret_bits)
{
    uint8_t bytes[16] = {[10] = 0xff, [11] = 0xff};

    if (inet_pton(AF_INET, text, bytes + 12) == 1) {
        *ret_bits = 32;
    } else if (inet_pton(AF_INET6, text, bytes) == 1) {
        *ret_bits = 128;
    } else {
        return false;
    }
    unwrap(bytes);
    memcpy(ret_bytes, bytes, sizeof(bytes));
    return true;
}

/* --- Lists ------------------------------------------------------------------------------ */

static bool parse_network(const char *text, struct dv_llm_network *ret_network)
{
    char address[INET6_ADDRSTRLEN];
    const char *slash = strchr(text, '/');
    size_t size = slash ? (size_t)(slash - text) : strlen(text);
    struct dv_llm_network network = {0};
    uint64_t given;
    unsigned bits;

    if (size >= sizeof(address)) {
        return false;
    }
    memcpy(address, text, size);
    address[size] = '\0';
    if (!parse_literal(address, network.bytes, &bits)) {
        return false;
    }
    network.bits = 128;
    if (slash) {
        if (!dv_text_to_uint64(slash + 1, &given) || given > bits) {
            return false;
        }
        network.bits = 128 - bits + (unsigned)given;
    }
    *ret_network = network;
    return true;
}

static enum dv_status parse_list(
    const char *text, struct dv_llm_address *address, struct dv_error *reterr)
{
    while (text && *text) {
        char item[64];
        size_t skipped = strspn(text, ", \t");
        size_t size = strcspn(text + skipped, ", \t");
        text += skipped;
        if (size == 0) {
            break;
        }
        (void)snprintf(item, sizeof(item), "%.*s", (int)(size < sizeof(item) ? size : sizeof(item)), text);
        if (address->network_count == DV_LLM_NETWORKS_MAX || size >= sizeof(item) ||
            !parse_network(item, &address->networks[address->network_count])) {
            return dv_fail(reterr, DV_INVALID,
                "'%.60s' is no address or network to allow, or one above %u", item,
                DV_LLM_NETWORKS_MAX);
        }
        address->network_count++;
        text += size;
    }
    return DV_OK;
}

static bool is_listed(const struct dv_llm_address *address, const uint8_t *bytes)
{
    for (size_t i = 0; i < address->network_count; i++) {
        if (is_within(bytes, address->networks[i].bytes, address->networks[i].bits)) {
            return true;
        }
    }
    return false;
}

/* --- The URL ---------------------------------------------------------------------------- */

/* Up to the port or the path; moves on. */
static bool read_host(const char **text, char ret_host[static DV_LLM_URL_SIZE])
{
    const char *at = *text;
    bool is_bracketed = *at == '[';
    const char *allowed = is_bracketed ? "0123456789abcdefABCDEF:." : NULL;
    size_t size = 0;

    at += is_bracketed;
    while (allowed ? strchr(allowed, at[size]) && at[size]
                   : isalnum((unsigned char)at[size]) || strchr("-._", at[size] ? at[size] : ' ')) {
        size++;
    }
    if (size == 0 || (is_bracketed && at[size] != ']')) {
        return false;
    }
    memcpy(ret_host, at, size);
    ret_host[size] = '\0';
    *text = at + size + is_bracketed;
    return true;
}

static bool read_port(const char **text)
{
    char digits[6];
    size_t size = **text == ':' ? strspn(*text + 1, "0123456789") : 0;
    uint64_t port;

    if (**text != ':') {
        return true;
    }
    if (size == 0 || size >= sizeof(digits)) {
        return false;
    }
    memcpy(digits, *text + 1, size);
    digits[size] = '\0';
    *text += 1 + size;
    return dv_text_to_uint64(digits, &port) && port > 0 && port <= UINT16_MAX;
}

static bool is_path(const char *text)
{
    for (const char *at = text; *at; at++) {
        if (!isalnum((unsigned char)*at) && !strchr("-._~/", *at)) {
            return false;
        }
    }
    return (*text == '\0' || *text == '/') && !strstr(text, "/.") && !strstr(text, "//");
}

static enum dv_status parse_url(
    const char *url, struct dv_llm_address *address, struct dv_error *reterr)
{
    address->is_https = dv_text_has_prefix(url, "https://");
    if (!address->is_https && !dv_text_has_prefix(url, "http://")) {
        return dv_fail(reterr, DV_INVALID, "the endpoint's URL begins with https:// or http://");
    }
    const char *at = url + (address->is_https ? 8 : 7);
    if (strlen(url) >= DV_LLM_URL_SIZE || strchr(at, '@')) {
        return dv_fail(reterr, DV_INVALID, /* it may hold a password: it is not repeated */
            "the endpoint's URL is too long or holds a user name: a key goes into DV_LLM_API_KEY");
    }
    bool is_good = read_host(&at, address->host) && read_port(&at);
    size_t root_size = (size_t)(at - url);
    if (!is_good || !is_path(at)) {
        return dv_fail(reterr, DV_INVALID,
            "'%.200s' is no URL of an endpoint: that is like https://api.groq.com/openai/v1, without "
            "'?', '#', '%%' and '..'",
            url);
    }
    (void)dv_text_copy(address->url, sizeof(address->url), url);
    size_t size = strlen(url);
    address->url[size - (url[size - 1] == '/')] = '\0';
    memcpy(address->root, url, root_size);
    address->root[root_size] = '\0';
    return DV_OK;
}

/* What the host itself says: an address may be refused before anything is looked up. */
static enum dv_status judge_host(struct dv_llm_address *address, struct dv_error *reterr)
{
    uint8_t bytes[16];
    unsigned bits;

    if (dv_text_equal_nocase(address->host, "localhost")) {
        address->is_literal = address->is_local = true;
        return DV_OK;
    }
    if (!parse_literal(address->host, bytes, &bits)) {
        return DV_OK;
    }
    enum kind kind = find_kind(bytes);
    address->is_literal = true;
    address->is_local = kind == KIND_LOCAL;
    if (!is_listed(address, bytes) && (kind == KIND_METADATA || kind == KIND_NEVER)) {
        return dv_fail(reterr, DV_DENIED,
            "the endpoint %s is a link-local or reserved address: list it in "
            "DV_LLM_ALLOW_ADDRESSES if that is meant",
            address->host);
    }
    if (!is_listed(address, bytes) && kind == KIND_PUBLIC && !address->is_https) {
        return dv_fail(reterr, DV_DENIED,
            "http:// would send the key to %s unencrypted: use https://", address->host);
    }
    return DV_OK;
}

enum dv_status dv_llm_address_parse(const char *url, const char *allowed,
    struct dv_llm_address *ret_address, struct dv_error *reterr)
{
    struct dv_llm_address address = {0};

    assert(url);
    assert(ret_address);
    enum dv_status status = parse_url(url, &address, reterr);
    if (status == DV_OK) {
        status = parse_list(allowed, &address, reterr);
    }
    if (status == DV_OK) {
        status = judge_host(&address, reterr);
    }
    if (status == DV_OK) {
        *ret_address = address;
    }
    return status;
}

/* --- The check -------------------------------------------------------------------------- */

static bool take_bytes(const struct sockaddr *target, uint8_t ret_bytes[static 16])
{
    static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};

    if (target->sa_family == AF_INET) {
        const struct sockaddr_in *ipv4 = (const void *)target;
        memcpy(ret_bytes, mapped, sizeof(mapped));
        memcpy(ret_bytes + 12, &ipv4->sin_addr, 4);
        return true;
    }
    if (target->sa_family == AF_INET6) {
        const struct sockaddr_in6 *ipv6 = (const void *)target;
        memcpy(ret_bytes, &ipv6->sin6_addr, 16);
        unwrap(ret_bytes);
        return true;
    }
    return false;
}

enum dv_status dv_llm_address_check(const struct dv_llm_address *address,
    const struct sockaddr *target, struct dv_error *reterr)
{
    char text[INET6_ADDRSTRLEN] = "?";
    uint8_t bytes[16];

    if (!take_bytes(target, bytes)) {
        return dv_fail(reterr, DV_DENIED, "the endpoint %s is at no IP address", address->host);
    }
    if (is_listed(address, bytes)) {
        return DV_OK;
    }
    (void)inet_ntop(AF_INET6, bytes, text, sizeof(text));
    switch (find_kind(bytes)) {
    case KIND_PUBLIC:
        return address->is_https
                   ? DV_OK
                   : dv_fail(reterr, DV_DENIED,
                         "http:// would send the key to %s (%s) unencrypted: use https://",
                         address->host, text);
    case KIND_LOCAL:
        if (address->is_literal && address->is_local) {
            return DV_OK;
        }
        return dv_fail(reterr, DV_DENIED,
            "%s is at the private address %s: list that in DV_LLM_ALLOW_ADDRESSES if it is meant",
            address->host, text);
    case KIND_METADATA:
    case KIND_NEVER:
        break;
    }
    return dv_fail(reterr, DV_DENIED,
        "%s is at %s, a link-local or reserved address: list that in DV_LLM_ALLOW_ADDRESSES if it "
        "is meant",
        address->host, text);
}
