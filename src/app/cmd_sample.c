/* SPDX-License-Identifier: Apache-2.0 */

/* `dv sample shapes OUT.zip`: a made-up picture set to try things with. */

#include "app/command.h"
#include "app/interrupt.h"
#include "base/alloc.h"
#include "base/json.h"
#include "base/text.h"
#include "data/sample_shapes.h"

#include <stdint.h>
#include <stdio.h>

static const struct dv_command_help help = {
    .usage = "dv sample shapes OUT.zip [--classes N] [--count N] [--seed N]",
    .summary = "Write a ZIP of made-up pictures in class folders.",
};

struct request {
    bool is_json;
    int64_t classes, count, seed;
};

static int write_shapes(const struct request *request, const char *path)
{
    const struct dv_sample_shapes_options options = {.class_count = (uint32_t)request->classes,
        .picture_count = (uint32_t)request->count,
        .seed = (uint64_t)request->seed,
        .is_cancelled = dv_interrupt_has_come};
    struct dv_error error = {0};
    int interrupt_fd;

    enum dv_status status = dv_interrupt_open(&interrupt_fd, &error);
    if (status == DV_OK) {
        status = dv_sample_shapes_write(path, &options, &error);
    }
    if (status != DV_OK) {
        int result = dv_command_fail(request->is_json, &error);
        return status == DV_INVALID ? DV_EXIT_USAGE : result;
    }
    if (request->is_json) {
        struct dv_json *line = dv_json_object();
        dv_json_set_string(line, "type", "result");
        dv_json_set_text(line, "path", path);
        dv_print_json(line);
    } else {
        dv_print_line("%s", path);
    }
    return DV_EXIT_DONE;
}

/* 0: not given. */
static bool is_in_range(int64_t value, int64_t min, int64_t max)
{
    return value == 0 || (value >= min && value <= max);
}

int dv_cmd_sample(int argc, char **argv)
{
    struct request request = {0};
    const struct dv_option options[] = {
        {.name = "classes",
            .value = "N",
            .help = "how many (default 10)",
            .take = dv_option_take_integer,
            .user = &request.classes},
        {.name = "count",
            .value = "N",
            .help = "pictures of all classes together (default 300 a class)",
            .take = dv_option_take_integer,
            .user = &request.count},
        {.name = "seed",
            .value = "N",
            .help = "the same seed makes the same file",
            .take = dv_option_take_integer,
            .user = &request.seed},
        {.name = "json", .help = "print JSON", .flag = &request.is_json},
        {0},
    };
    struct dv_arguments arguments;
    bool is_over;

    int result = dv_command_begin(&help, options, argc, argv, 2, 2, &arguments, &is_over);
    if (is_over) {
        return result;
    }
    if (!dv_text_equal(arguments.items[0], "shapes")) {
        (void)fprintf(
            stderr, "dv: there is no sample '%.80s'; there is: shapes\n", arguments.items[0]);
        result = DV_EXIT_USAGE;
    } else if (!is_in_range(request.classes, DV_SAMPLE_CLASSES_MIN, DV_SAMPLE_CLASSES_MAX) ||
               !is_in_range(request.count, 1, DV_SAMPLE_COUNT_MAX) || request.seed < 0) {
        (void)fprintf(stderr,
            "dv: there can be %u to %u classes and up to %u pictures; a seed is not negative\n",
            DV_SAMPLE_CLASSES_MIN, DV_SAMPLE_CLASSES_MAX, DV_SAMPLE_COUNT_MAX);
        result = DV_EXIT_USAGE;
    } else {
        result = write_shapes(&request, arguments.items[1]);
    }
    dv_free(arguments.items);
    return result;
}
