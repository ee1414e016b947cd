/* SPDX-License-Identifier: Apache-2.0 */
#include "app/options.h"

#include "base/alloc.h"
#include "base/text.h"

#include <assert.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

struct cursor {
    int argc;
    char *const *argv;
    int index;
};

static const struct dv_option *find_long(
    const struct dv_option *options, const char *name, size_t size)
{
    for (; options->name; options++) {
        if (strlen(options->name) == size && strncmp(options->name, name, size) == 0) {
            return options;
        }
    }
    return NULL;
}

static const struct dv_option *find_letter(const struct dv_option *options, char letter)
{
    for (; options->name; options++) {
        if (options->letter && options->letter == letter) {
            return options;
        }
    }
    return NULL;
}

static enum dv_status store(
    const struct dv_option *option, const char *text, struct dv_error *reterr)
{
    if (option->text) {
        *option->text = text;
        return DV_OK;
    }
    assert(option->take);
    enum dv_status status = option->take(option->user, text, reterr);
    if (status != DV_OK) {
        dv_error_prefix(reterr, "--%s", option->name);
    }
    return status;
}

/* `inline_value` is what follows '=' in the same argument, or NULL. */
static enum dv_status take_option(const struct dv_option *option, const char *inline_value,
    struct cursor *cursor, struct dv_error *reterr)
{
    if (!option->value) {
        if (inline_value) {
            return dv_fail(reterr, DV_INVALID, "--%s takes no value", option->name);
        }
        *option->flag = true;
        return DV_OK;
    }
    if (inline_value) {
        return store(option, inline_value, reterr);
    }
    if (cursor->index + 1 >= cursor->argc) {
        return dv_fail(reterr, DV_INVALID, "--%s needs a value: --%s %s", option->name,
            option->name, option->value);
    }
    return store(option, cursor->argv[++cursor->index], reterr);
}

static enum dv_status parse_option(
    const struct dv_option *options, struct cursor *cursor, struct dv_error *reterr)
{
    const char *argument = cursor->argv[cursor->index];
    const struct dv_option *option;
    const char *inline_value = NULL;

    if (argument[1] == '-') {
        size_t size = strcspn(argument + 2, "=");
        option = find_long(options, argument + 2, size);
        inline_value = argument[2 + size] == '=' ? argument + 2 + size + 1 : NULL;
    } else {
        option = argument[2] == '\0' ? find_letter(options, argument[1]) : NULL;
    }
    if (!option) {
        return dv_fail(
            reterr, DV_INVALID, "there is no option %.80s; --help lists them all", argument);
    }
    return take_option(option, inline_value, cursor, reterr);
}

static bool asks_for_help(int argc, char *const *argv)
{
    for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++) {
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
            return true;
        }
    }
    return false;
}

enum dv_status dv_options_parse(const struct dv_option *options, int argc, char *const *argv,
    struct dv_arguments *ret_arguments, struct dv_error *reterr)
{
    struct cursor cursor = {.argc = argc, .argv = argv, .index = 1};
    bool is_over = false; /* after "--" everything is an argument */

    assert(options);
    assert(ret_arguments);
    struct dv_arguments result = {.is_help = asks_for_help(argc, argv)};
    result.items = dv_alloc(((size_t)argc + 1) * sizeof(*result.items));
    for (; cursor.index < argc && !result.is_help; cursor.index++) {
        const char *argument = argv[cursor.index];
        if (is_over || argument[0] != '-' || argument[1] == '\0') {
            result.items[result.count++] = argument;
        } else if (strcmp(argument, "--") == 0) {
            is_over = true;
        } else {
            enum dv_status status = parse_option(options, &cursor, reterr);
            if (status != DV_OK) {
                dv_free(result.items);
                return status;
            }
        }
    }
    *ret_arguments = result;
    return DV_OK;
}

void dv_options_print_help(const struct dv_command_help *help, const struct dv_option *options)
{
    (void)printf("usage: %s\n\n%s\n\noptions:\n", help->usage, help->summary);
    for (; options->name; options++) {
        char left[48];
        (void)snprintf(left, sizeof(left), "%s%c%s--%s%s%s", options->letter ? "-" : " ",
            options->letter ? options->letter : ' ', options->letter ? ", " : "  ", options->name,
            options->value ? " " : "", options->value ? options->value : "");
        (void)printf("  %-30s %s\n", left, options->help);
    }
    (void)printf("  %-30s %s\n", "-h, --help", "this text");
}

enum dv_status dv_option_take_integer(void *user, const char *text, struct dv_error *reterr)
{
    int64_t value;

    if (!dv_text_to_int64(text, &value)) {
        return dv_fail(reterr, DV_INVALID, "'%.80s' is no whole number", text);
    }
    *(int64_t *)user = value;
    return DV_OK;
}

enum dv_status dv_option_take_number(void *user, const char *text, struct dv_error *reterr)
{
    double value;

    if (!dv_text_to_double(text, &value)) {
        return dv_fail(reterr, DV_INVALID, "'%.80s' is no number", text);
    }
    *(double *)user = value;
    return DV_OK;
}
