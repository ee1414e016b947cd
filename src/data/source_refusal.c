/* SPDX-License-Identifier: Apache-2.0 */
#include "data/source_refusal.h"

#include "base/text.h"
#include "spec/limits.h"

#include <assert.h>
#include <string.h>

_Static_assert(DV_ZIP_NAME_SIZE_MAX == 512, "the sentence of NAME_LONG says the limit");
_Static_assert(DV_ZIP_NAME_SEGMENTS_MAX == 16, "the sentence of NAME_DEEP says the limit");
_Static_assert(DV_ZIP_ENTRY_SIZE_MAX == 256u << 20, "the sentence of SIZE says the limit");
_Static_assert(DV_ZIP_RATIO_MAX == 200, "the sentence of RATIO says the limit");

static const struct {
    enum dv_finding_code finding;
    const char *text;
} refusals[] = {
#define X(code, found, words) {.finding = DV_FINDING_##found, .text = (words)},
    DV_REFUSAL_MAP(X)
#undef X
};

enum dv_finding_code dv_refusal_finding(enum dv_refusal refusal)
{
    assert(refusal < DV_REFUSAL_COUNT);
    return refusals[refusal].finding;
}

const char *dv_refusal_text(enum dv_refusal refusal)
{
    assert(refusal < DV_REFUSAL_COUNT);
    return refusals[refusal].text;
}

static bool has_drive(const char *name)
{
    char letter = (char)(name[0] | 0x20);

    return letter >= 'a' && letter <= 'z' && name[1] == ':';
}

enum dv_refusal dv_source_name_check(const char *name, size_t size)
{
    assert(name);
    if (size == 0) {
        return DV_REFUSAL_NAME_EMPTY;
    }
    if (size > DV_ZIP_NAME_SIZE_MAX) {
        return DV_REFUSAL_NAME_LONG;
    }
    if (memchr(name, '\0', size)) {
        return DV_REFUSAL_NAME_NUL;
    }
    if (!dv_text_is_utf8(name, size)) {
        return DV_REFUSAL_NAME_UTF8;
    }
    if (strchr(name, '\\')) {
        return DV_REFUSAL_NAME_SLASH;
    }
    if (name[0] == '/') {
        return DV_REFUSAL_NAME_ROOT;
    }
    if (has_drive(name)) {
        return DV_REFUSAL_NAME_DRIVE;
    }
    size_t segments = 0;
    for (const char *at = name;; segments++) {
        size_t length = strcspn(at, "/");
        if (length == 0 || (length == 1 && at[0] == '.') ||
            (length == 2 && at[0] == '.' && at[1] == '.')) {
            return DV_REFUSAL_NAME_DOTS;
        }
        at += length;
        if (*at == '\0') {
            break;
        }
        at++;
    }
    return segments + 1 > DV_ZIP_NAME_SEGMENTS_MAX ? DV_REFUSAL_NAME_DEEP : DV_REFUSAL_NONE;
}
