/* SPDX-License-Identifier: Apache-2.0 */
#include "base/status.h"

#include "base/macro.h"
#include "base/text.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

static const struct {
    const char *name;
    const char *text;
} statuses[] = {
#define X(code, words) [DV_##code] = {#code, words},
    DV_STATUS_MAP(X)
#undef X
};

enum dv_status dv_fail(struct dv_error *error, enum dv_status status, const char *format, ...)
{
    assert(status != DV_OK);

    if (error) {
        va_list arguments;
        va_start(arguments, format);
        error->status = status;
        (void)vsnprintf(error->text, sizeof(error->text), format, arguments);
        va_end(arguments);
        dv_text_make_utf8(error->text);
    }
    return status;
}

static enum dv_status status_of_errno(int error_number)
{
    switch (error_number) {
    case ENOSPC:
    case EDQUOT:
        return DV_NO_SPACE;
    case ENOMEM:
        return DV_NOMEM;
    case ENOENT:
        return DV_NOT_FOUND;
    case EEXIST:
    case ENOTEMPTY:
        return DV_CONFLICT;
    case EFBIG:
        return DV_TOO_LARGE;
    default:
        return DV_IO;
    }
}

enum dv_status dv_fail_errno(struct dv_error *error, int error_number, const char *format, ...)
{
    enum dv_status status = status_of_errno(error_number);

    if (error) {
        char reason[128];
        va_list arguments;
        va_start(arguments, format);
        error->status = status;
        int length = vsnprintf(error->text, sizeof(error->text), format, arguments);
        va_end(arguments);
        if (length >= 0 && (size_t)length < sizeof(error->text)) {
            const char *text = strerror_r(error_number, reason, sizeof(reason));
            (void)snprintf(
                error->text + length, sizeof(error->text) - (size_t)length, ": %s", text);
        }
        dv_text_make_utf8(error->text);
    }
    return status;
}

void dv_error_prefix(struct dv_error *error, const char *format, ...)
{
    if (!error) {
        return;
    }

    char prefix[sizeof(error->text)];
    char whole[2 * sizeof(error->text) + 2];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(prefix, sizeof(prefix), format, arguments);
    va_end(arguments);
    (void)snprintf(whole, sizeof(whole), "%s: %s", prefix, error->text);
    memcpy(error->text, whole, sizeof(error->text) - 1);
    error->text[sizeof(error->text) - 1] = '\0';
    dv_text_make_utf8(error->text);
}

const char *dv_status_text(enum dv_status status)
{
    return (size_t)status < DV_ARRAY_SIZE(statuses) ? statuses[status].text : "unknown status";
}

const char *dv_status_name(enum dv_status status)
{
    return (size_t)status < DV_ARRAY_SIZE(statuses) ? statuses[status].name : "UNKNOWN";
}

enum dv_status dv_status_from_name(const char *name)
{
    for (size_t i = 0; name && i < DV_ARRAY_SIZE(statuses); i++) {
        if (strcmp(statuses[i].name, name) == 0) {
            return (enum dv_status)i;
        }
    }
    return DV_IO;
}
