/* SPDX-License-Identifier: Apache-2.0 */
#include "app/command.h"

#include "base/alloc.h"
#include "base/json.h"
#include "base/text.h"

#include <assert.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

struct dv_common_options dv_common_options_default(void)
{
    const char *folder = getenv("DV_DATA");
    const char *server = getenv("DV_SERVER");

    return (struct dv_common_options){.data_folder = folder && folder[0] ? folder : "dv-data",
        .server = server && server[0] ? server : NULL};
}

static int refuse_usage(const struct dv_command_help *help, const char *message)
{
    (void)fprintf(stderr, "dv: %s\nusage: %s\n", message, help->usage);
    return DV_EXIT_USAGE;
}

int dv_command_begin(const struct dv_command_help *help, const struct dv_option *options, int argc,
    char **argv, size_t count_min, size_t count_max, struct dv_arguments *ret_arguments,
    bool *ret_is_over)
{
    struct dv_error error;
    struct dv_arguments arguments;

    assert(ret_is_over);
    *ret_is_over = true;
    if (dv_options_parse(options, argc, argv, &arguments, &error) != DV_OK) {
        return refuse_usage(help, error.text);
    }
    if (arguments.is_help) {
        dv_options_print_help(help, options);
        dv_free(arguments.items);
        return DV_EXIT_DONE;
    }
    if (arguments.count < count_min || arguments.count > count_max) {
        dv_free(arguments.items);
        return refuse_usage(help, arguments.count < count_min ? "an argument is missing"
                                                              : "there are too many arguments");
    }
    *ret_arguments = arguments;
    *ret_is_over = false;
    return DV_EXIT_DONE;
}

int dv_command_fail_reason(bool is_json, const struct dv_error *error, const char *reason)
{
    if (is_json) {
        struct dv_json *line = dv_json_object();
        dv_json_set_string(line, "type", "error");
        dv_json_set_string(line, "status", dv_status_name(error->status));
        if (reason) {
            dv_json_set_string(line, "failure_reason", reason);
        }
        dv_json_set_string(line, "message", error->text);
        dv_print_json(line);
    } else {
        DV_CLEANUP(dv_freep) char *text = dv_strdup(error->text);
        dv_text_make_printable(text);
        (void)fflush(stdout);
        (void)fprintf(stderr, "dv: %s%s%s%s\n", text, reason ? " (" : "", reason ? reason : "",
            reason ? ")" : "");
    }
    return error->status == DV_CANCELLED ? DV_EXIT_INTERRUPTED : DV_EXIT_FAILED;
}

int dv_command_fail(bool is_json, const struct dv_error *error)
{
    return dv_command_fail_reason(is_json, error, NULL);
}

void dv_print_line(const char *format, ...)
{
    va_list arguments;
    char *line;

    va_start(arguments, format);
    int length = vasprintf(&line, format, arguments);
    va_end(arguments);
    if (length >= 0) {
        dv_text_make_printable(line);
        (void)puts(line);
        dv_free(line);
    }
}

bool dv_output_is_unread(void)
{
    struct pollfd poll_fd = {.fd = STDOUT_FILENO};

    return poll(&poll_fd, 1, 0) > 0 && (poll_fd.revents & POLLERR) != 0;
}

void dv_print_json(struct dv_json *value)
{
    DV_CLEANUP(dv_freep) char *text = dv_json_print(value);

    (void)puts(text);
    (void)fflush(stdout);
    dv_json_unref(value);
}
