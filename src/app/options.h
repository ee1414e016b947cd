/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DV_APP_OPTIONS_H
#define DV_APP_OPTIONS_H

/*
 * Options of a subcommand as a table: long names, a few short ones, values typed and checked, the
 * help text made from the same table. `--name value`, `--name=value`, `-o value`, and `--` before
 * arguments that begin with a dash.
 */

#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>

struct dv_option {
    const char *name;  /* "epochs"; NULL ends a table */
    char letter;       /* 'o', or 0 */
    const char *value; /* what stands for it in the help, "N"; NULL: a flag without value */
    const char *help;
    /* Exactly one: where the value goes. Text is borrowed from the arguments. */
    bool *flag;
    const char **text;
    /* or called for each time it is given; a failure's message gets the option in front */
    enum dv_status (*take)(void *user, const char *text, struct dv_error *reterr);
    void *user;
};

struct dv_command_help {
    const char *usage;   /* "dv train DATASET-ID|FILE.zip|DIR [options]" */
    const char *summary; /* a sentence or two */
};

struct dv_arguments {
    const char **items; /* what is no option, in order; dv_free() the array */
    size_t count;
    bool is_help; /* --help was given; nothing else was checked */
};

/* DV_INVALID: an unknown option, a value missing or one too many; the message says which. */
DV_MUST_CHECK enum dv_status dv_options_parse(const struct dv_option *options, int argc,
    char *const *argv, struct dv_arguments *ret_arguments, struct dv_error *reterr);

/* To standard output. */
void dv_options_print_help(const struct dv_command_help *help, const struct dv_option *options);

/* For `take`: the text as a number into the int64_t or double that `user` points to. */
enum dv_status dv_option_take_integer(void *user, const char *text, struct dv_error *reterr);
enum dv_status dv_option_take_number(void *user, const char *text, struct dv_error *reterr);

#endif
