/* SPDX-License-Identifier: Apache-2.0 */
#include "job/job_log.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/text.h"
#include "job/context.h"
#include "store/logs.h"

#include <assert.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#define LINE_SIZE_MAX 4096
#define LINES_MAX 2000
#define BATCH_LINES 200    /* enough of them are written without waiting for more */
#define BATCH_DELAY_MS 300 /* how long a line waits for company */
#define RATE_BURST 1000.0  /* lines */
#define RATE_A_SECOND 100.0
#define OMISSION_DELAY_S 5.0 /* how often lines left out are spoken of */

struct dv_job_log {
    struct dv_job_context *context;
    char *job_id;
    struct dv_log_line *lines; /* texts are ours, level and source are constants */
    size_t count, capacity;
    uint64_t oldest_ns; /* when the first of them came */
    double credit;      /* lines that the child may still say */
    uint64_t credit_ns; /* when that was reckoned */
    uint64_t omitted;
    uint64_t omitted_ns; /* when that was said last */
};

struct dv_job_log *dv_job_log_create(struct dv_job_context *context, const char *job_id)
{
    assert(context);
    assert(job_id);

    struct dv_job_log *log = dv_alloc(sizeof(*log));
    log->context = context;
    log->job_id = dv_strdup(job_id);
    log->credit = RATE_BURST;
    log->credit_ns = dv_clock_monotonic_ns();
    return log;
}

/* The first `count` lines are no longer needed. */
static void drop(struct dv_job_log *log, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        dv_free((void *)log->lines[i].text);
    }
    log->count -= count;
    if (log->count > 0) { /* with none there may be no array either */
        memmove(log->lines, log->lines + count, log->count * sizeof(*log->lines));
    }
}

struct dv_job_log *dv_job_log_destroy(struct dv_job_log *log)
{
    if (!log) {
        return NULL;
    }
    drop(log, log->count);
    dv_free(log->lines);
    dv_free(log->job_id);
    return dv_free(log);
}

/* --- Taking ----------------------------------------------------------------------------- */

/* Bytes of the character at `text`; 0 when it is none. */
static size_t character_size(const char *text, size_t left)
{
    for (size_t size = 1; size <= 4 && size <= left; size++) {
        if (dv_text_is_utf8(text, size)) {
            return size;
        }
    }
    return 0;
}

/* A copy that any database takes: UTF-8, no control characters, of bounded length. */
static char *clean(const char *text)
{
    size_t size = strlen(text);
    size_t used = 0;

    size = size > LINE_SIZE_MAX ? LINE_SIZE_MAX : size;
    char *copy = dv_alloc(size + 1);
    for (size_t i = 0; i < size;) {
        size_t step = character_size(text + i, size - i);
        bool is_control = (unsigned char)text[i] < 0x20 || text[i] == 0x7f;
        if (step == 0 || (is_control && text[i] != '\t')) {
            copy[used++] = '?';
            i++;
            continue;
        }
        memcpy(copy + used, text + i, step);
        used += step;
        i += step;
    }
    copy[used] = '\0';
    return copy;
}

static void keep(struct dv_job_log *log, const char *level, const char *source, const char *text)
{
    if (log->count == LINES_MAX) {
        log->omitted++;
        return;
    }
    if (log->count == log->capacity) {
        log->capacity = log->capacity ? 2 * log->capacity : 64;
        log->lines = dv_realloc(log->lines, log->capacity * sizeof(*log->lines));
    }
    if (log->count == 0) {
        log->oldest_ns = dv_clock_monotonic_ns();
    }
    log->lines[log->count++] =
        (struct dv_log_line){.level = level, .source = source, .text = clean(text)};
}

static bool has_credit(struct dv_job_log *log)
{
    log->credit += RATE_A_SECOND * dv_clock_seconds_since(log->credit_ns);
    log->credit_ns = dv_clock_monotonic_ns();
    log->credit = log->credit > RATE_BURST ? RATE_BURST : log->credit;
    if (log->credit < 1.0) {
        return false;
    }
    log->credit -= 1.0;
    return true;
}

static const char *find_word(
    const char *const *words, size_t count, const char *word, const char *fallback)
{
    for (size_t i = 0; i < count; i++) {
        if (dv_text_equal(words[i], word)) {
            return words[i];
        }
    }
    return fallback;
}

/* The constant that equals `level`; what a child calls otherwise is "info". */
static const char *known_level(const char *level)
{
    static const char *const levels[] = {"error", "warning", "info", "debug"};

    return find_word(levels, DV_ARRAY_SIZE(levels), level, "info");
}

static const char *known_source(const char *source)
{
    static const char *const sources[] = {"worker", "output", "llm"};

    return find_word(sources, DV_ARRAY_SIZE(sources), source, "worker");
}

void dv_job_log_add(struct dv_job_log *log, const char *level, const char *source, const char *text)
{
    assert(log);
    assert(text);
    if (has_credit(log)) {
        keep(log, known_level(level), known_source(source), text);
    } else {
        log->omitted++;
    }
}

void dv_job_log_say(struct dv_job_log *log, const char *level, const char *format, ...)
{
    char text[1024];
    va_list arguments;

    assert(log);
    va_start(arguments, format);
    (void)vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    keep(log, known_level(level), "server", text);
}

/* --- Writing ---------------------------------------------------------------------------- */

static void say_omitted(struct dv_job_log *log, bool is_last)
{
    bool is_due = is_last || log->omitted_ns == 0 ||
                  dv_clock_seconds_since(log->omitted_ns) > OMISSION_DELAY_S;

    if (log->omitted == 0 || log->count == LINES_MAX || !is_due) {
        return;
    }
    uint64_t omitted = log->omitted;
    log->omitted = 0;
    log->omitted_ns = dv_clock_monotonic_ns();
    dv_job_log_say(log, "warning", "%llu more lines were left out: there were too many at once",
        (unsigned long long)omitted);
}

int dv_job_log_patience_ms(const struct dv_job_log *log)
{
    assert(log);
    if (log->count == 0) {
        return -1;
    }
    int wait_ms = dv_gate_patience_ms(&log->context->gate);
    if (wait_ms > 0 || log->count >= BATCH_LINES) {
        return wait_ms;
    }
    uint64_t passed_ms = (dv_clock_monotonic_ns() - log->oldest_ns) / 1000000u;
    return passed_ms >= BATCH_DELAY_MS ? 0 : BATCH_DELAY_MS - (int)passed_ms;
}

static bool is_due(const struct dv_job_log *log, bool is_last)
{
    return log->count > 0 && dv_gate_is_open(&log->context->gate) &&
           (is_last || dv_job_log_patience_ms(log) == 0);
}

bool dv_job_log_flush(struct dv_job_log *log, bool is_last)
{
    struct dv_error error = {0};

    assert(log);
    say_omitted(log, is_last);
    while (is_due(log, is_last)) {
        size_t count = log->count < BATCH_LINES ? log->count : BATCH_LINES;
        enum dv_status status =
            dv_logs_append(log->context->store, log->job_id, log->lines, count, &error);
        if (dv_gate_must_wait(&log->context->gate, status, &error)) {
            break;
        }
        if (status != DV_OK && status != DV_NOT_FOUND) { /* one that was deleted needs no log */
            dv_log(DV_LOG_WARNING, "%zu log lines of job %s are lost: %s", count, log->job_id,
                error.text);
        }
        drop(log, count);
        log->oldest_ns = dv_clock_monotonic_ns();
    }
    return log->count == 0;
}
