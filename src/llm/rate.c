/* SPDX-License-Identifier: Apache-2.0 */
#include "llm/rate.h"

#include "base/macro.h"
#include "base/text.h"

#include <assert.h>
#include <ctype.h>
#include <math.h>
#include <strings.h>
#include <time.h>

#define YEAR_MS (365.0 * 86400e3)
#define VALUE_SIZE 64u

struct dv_llm_rate dv_llm_rate_none(void)
{
    return (struct dv_llm_rate){DV_LLM_UNKNOWN, DV_LLM_UNKNOWN, DV_LLM_UNKNOWN, DV_LLM_UNKNOWN,
        DV_LLM_UNKNOWN, DV_LLM_UNKNOWN};
}

/* --- Durations -------------------------------------------------------------------------- */

/* Digits with at most one point; moves on. Negative: there are none. */
static double read_number(const char **text)
{
    double value = 0;
    double scale = 0;
    const char *at = *text;

    for (; isdigit((unsigned char)*at) || (*at == '.' && scale == 0); at++) {
        if (*at == '.') {
            scale = 1;
            continue;
        }
        value = value * 10 + (*at - '0');
        scale *= 10;
    }
    bool has_digit = at != *text && !(at == *text + 1 && **text == '.');
    *text = at;
    return has_digit ? value / (scale > 0 ? scale : 1) : -1;
}

/* The unit there, in ms; moves on. 0: none. */
static double read_unit(const char **text)
{
    static const struct {
        const char *name;
        double ms;
    } units[] = {{"ms", 1}, {"us", 1e-3}, {"ns", 1e-6}, {"h", 3600e3}, {"m", 60e3}, {"s", 1e3}, {"d", 86400e3}};

    for (size_t i = 0; i < DV_ARRAY_SIZE(units); i++) {
        if (dv_text_has_prefix(*text, units[i].name)) {
            *text += strlen(units[i].name);
            return units[i].ms;
        }
    }
    return 0;
}

/* "1h2m3.5s" or bare seconds, up to what is neither; moves on. */
static int64_t read_duration(const char **text)
{
    double total = DV_LLM_UNKNOWN;

    while (isdigit((unsigned char)(*text)[**text == '.'])) { /* a point alone ends a sentence */
        double value = read_number(text);
        if (value < 0) {
            return DV_LLM_UNKNOWN;
        }
        double unit = read_unit(text);
        total = (total < 0 ? 0 : total) + value * (unit > 0 ? unit : 1e3);
        if (unit == 0) {
            break;
        }
    }
    return total < 0 ? DV_LLM_UNKNOWN : (int64_t)ceil(fmin(total, YEAR_MS));
}

int64_t dv_llm_rate_duration_ms(const char *text)
{
    assert(text);
    int64_t result = read_duration(&text);
    return *text == '\0' ? result : DV_LLM_UNKNOWN;
}

int64_t dv_llm_rate_try_again_ms(const char *message)
{
    static const char words[] = "try again in ";
    const char *at = message ? strcasestr(message, words) : NULL;

    if (!at) {
        return DV_LLM_UNKNOWN;
    }
    at += sizeof(words) - 1;
    return read_duration(&at);
}

/* --- Headers ---------------------------------------------------------------------------- */

/* A date of RFC 9110, as the time from now on. */
static int64_t date_ms(const char *text, int64_t now_s)
{
    struct tm utc = {0};
    const char *end = strptime(text, "%a, %d %b %Y %H:%M:%S GMT", &utc);

    if (!end || *end != '\0') {
        return DV_LLM_UNKNOWN;
    }
    double wait_ms = (double)(timegm(&utc) - now_s) * 1e3;
    return (int64_t)fmax(0, fmin(wait_ms, YEAR_MS));
}

static void take(struct dv_llm_rate *rate, const char *name, const char *value, int64_t now_s)
{
    int64_t number;

    if (strcasecmp(name, "retry-after") == 0) {
        int64_t wait_ms = dv_llm_rate_duration_ms(value);
        wait_ms = wait_ms < 0 ? date_ms(value, now_s) : wait_ms;
        rate->retry_after_ms = rate->retry_after_ms < 0 ? wait_ms : rate->retry_after_ms;
    } else if (strcasecmp(name, "retry-after-ms") == 0 && dv_text_to_int64(value, &number)) {
        rate->retry_after_ms = number < 0 ? DV_LLM_UNKNOWN : (int64_t)fmin((double)number, YEAR_MS);
    } else if (strcasecmp(name, "x-ratelimit-reset-tokens") == 0) {
        rate->tokens_reset_ms = dv_llm_rate_duration_ms(value);
    } else if (strcasecmp(name, "x-ratelimit-reset-requests") == 0) {
        rate->requests_reset_ms = dv_llm_rate_duration_ms(value);
    } else if (dv_text_to_int64(value, &number) && number >= 0) {
        if (strcasecmp(name, "x-ratelimit-limit-tokens") == 0) {
            rate->tokens_limit = number;
        } else if (strcasecmp(name, "x-ratelimit-remaining-tokens") == 0) {
            rate->tokens_remaining = number;
        } else if (strcasecmp(name, "x-ratelimit-remaining-requests") == 0) {
            rate->requests_remaining = number;
        }
    }
}

bool dv_llm_rate_header(struct dv_llm_rate *rate, const char *line, size_t size, int64_t now_s)
{
    char name[VALUE_SIZE], value[VALUE_SIZE];
    const char *colon = memchr(line, ':', size);

    if (!colon || (size_t)(colon - line) >= sizeof(name)) {
        return false;
    }
    size_t name_size = (size_t)(colon - line);
    memcpy(name, line, name_size);
    name[name_size] = '\0';
    if (strncasecmp(name, "x-ratelimit-", 12) != 0 && strncasecmp(name, "retry-after", 11) != 0) {
        return false;
    }
    const char *at = colon + 1;
    const char *end = line + size;
    while (at < end && (*at == ' ' || *at == '\t')) {
        at++;
    }
    while (end > at && strchr(" \t\r\n", end[-1])) {
        end--;
    }
    if ((size_t)(end - at) >= sizeof(value)) {
        return false;
    }
    memcpy(value, at, (size_t)(end - at));
    value[end - at] = '\0';
    take(rate, name, value, now_s);
    return true;
}

int64_t dv_llm_rate_wait_ms(const struct dv_llm_rate *rate, const char *message)
{
    if (rate->retry_after_ms >= 0) {
        return rate->retry_after_ms;
    }
    int64_t said = dv_llm_rate_try_again_ms(message);
    if (said >= 0) {
        return said;
    }
    if (rate->requests_remaining == 0 && rate->requests_reset_ms >= 0) {
        return rate->requests_reset_ms;
    }
    return rate->tokens_reset_ms;
}
