/* SPDX-License-Identifier: Apache-2.0 */
#include "data/ingest_findings.h"

#include "base/alloc.h"
#include "base/arena.h"
#include "base/json.h"
#include "base/text.h"
#include "data/ingest.h"
#include "spec/limits.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define MESSAGE_SIZE 1024

struct dv_ingest_findings {
    const struct dv_ingest_options *options;
    struct dv_arena *arena; /* the texts */
    struct dv_pack_finding *items;
    uint64_t count;
    uint64_t totals[DV_FINDING_CODE_COUNT];
};

struct dv_ingest_findings *dv_ingest_findings_create(const struct dv_ingest_options *options)
{
    struct dv_ingest_findings *findings = dv_alloc(sizeof(*findings));

    assert(options);
    findings->options = options;
    findings->arena = dv_arena_create(0);
    findings->items = dv_alloc(DV_FINDINGS_MAX * sizeof(*findings->items));
    return findings;
}

struct dv_ingest_findings *dv_ingest_findings_destroy(struct dv_ingest_findings *findings)
{
    if (findings) {
        dv_arena_destroy(findings->arena);
        dv_free(findings->items);
        dv_free(findings);
    }
    return NULL;
}

/* The text itself or, if it is not UTF-8 (a refused name, or cut within a letter), in ASCII. */
static void make_readable(char *text)
{
    if (!dv_text_is_utf8(text, strlen(text))) {
        for (char *c = text; *c != '\0'; c++) {
            *c = (unsigned char)*c < 0x80 ? *c : '?';
        }
    }
}

void dv_ingest_findings_add(struct dv_ingest_findings *findings, const char *path,
    enum dv_finding_code code, const char *format, ...)
{
    char message[MESSAGE_SIZE];
    va_list arguments;

    assert(findings);
    assert(path);
    assert(code < DV_FINDING_CODE_COUNT);

    findings->totals[code]++;
    if (findings->count == DV_FINDINGS_MAX) {
        return;
    }
    va_start(arguments, format);
    (void)vsnprintf(message, sizeof(message), format, arguments);
    va_end(arguments);
    make_readable(message);

    char *path_copy = dv_arena_strdup(findings->arena, path);
    make_readable(path_copy);
    struct dv_pack_finding *item = &findings->items[findings->count++];
    item->path = path_copy;
    item->code = code;
    item->message = dv_arena_strdup(findings->arena, message);
    if (findings->options->finding) {
        findings->options->finding(findings->options->data, item);
    }
}

uint64_t dv_ingest_findings_count(const struct dv_ingest_findings *findings)
{
    return findings->count;
}

const struct dv_pack_finding *dv_ingest_findings_items(const struct dv_ingest_findings *findings)
{
    return findings->items;
}

uint64_t dv_ingest_findings_total(
    const struct dv_ingest_findings *findings, enum dv_finding_code code)
{
    assert(code < DV_FINDING_CODE_COUNT);
    return findings->totals[code];
}

enum dv_finding_code dv_ingest_findings_main_code(const struct dv_ingest_findings *findings)
{
    enum dv_finding_code main_code = DV_FINDING_CODE_COUNT;
    uint64_t most = 0;

    for (int i = 0; i < DV_FINDING_CODE_COUNT; i++) {
        enum dv_finding_code code = (enum dv_finding_code)i;
        if (dv_finding_code_refuses(code) && findings->totals[i] > most) {
            most = findings->totals[i];
            main_code = code;
        }
    }
    return main_code;
}

struct dv_json *dv_ingest_findings_totals_to_json(const struct dv_ingest_findings *findings)
{
    struct dv_json *json = dv_json_object();

    for (int i = 0; i < DV_FINDING_CODE_COUNT; i++) {
        if (findings->totals[i] > 0) {
            dv_json_set_integer(
                json, dv_finding_code_name((enum dv_finding_code)i), (int64_t)findings->totals[i]);
        }
    }
    return json;
}

struct dv_json *dv_ingest_findings_to_json(
    const struct dv_ingest_findings *findings, uint64_t count_max)
{
    struct dv_json *json = dv_json_array();

    for (uint64_t i = 0; i < findings->count && i < count_max; i++) {
        struct dv_json *item = dv_json_object();
        dv_json_set_string(item, "path", findings->items[i].path);
        dv_json_set_string(item, "code", dv_finding_code_name(findings->items[i].code));
        dv_json_set_string(item, "message", findings->items[i].message);
        dv_json_append(json, item);
    }
    return json;
}
