/* SPDX-License-Identifier: Apache-2.0 */
#include "base/log.h"

#include "base/clock.h"

#include <stdarg.h>
#include <stdio.h>

static enum dv_log_level level_max = DV_LOG_WARNING;

void dv_log_set_level(enum dv_log_level level)
{
    level_max = level;
}

void dv_log(enum dv_log_level level, const char *format, ...)
{
    static const char *const names[] = {"error", "warning", "info", "debug"};
    char line[2048];
    char time[DV_TIME_TEXT_SIZE];
    va_list arguments;

    if (level > level_max) {
        return;
    }
    va_start(arguments, format);
    (void)vsnprintf(line, sizeof(line), format, arguments);
    va_end(arguments);
    dv_clock_now_text(time);
    (void)fprintf(stderr, "%s %s: %s\n", time, names[level], line);
}
