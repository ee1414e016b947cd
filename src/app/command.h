/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DV_APP_COMMAND_H
#define DV_APP_COMMAND_H

/*
 * The subcommands and roles of `dv`, one file each (cmd_*.c, role_*.c), and what they share: how a
 * command is called, what its exit status means, how it speaks.
 *
 * Adding a subcommand `foo`: app/cmd_foo.c with dv_cmd_foo(); declare it below; a line in
 * commands[] in app/main.c; the file in app/meson.build.
 */

#include "app/options.h"
#include "base/status.h"

#include <stdbool.h>

struct dv_json;

enum dv_exit {
    DV_EXIT_DONE = 0,
    DV_EXIT_FAILED = 1,
    DV_EXIT_USAGE = 2,
    DV_EXIT_INTERRUPTED = 130,
};

/* What commands take that touch DATA (--data, --json), or may do so by a server (--server). */
struct dv_common_options {
    const char *data_folder; /* as given, or from DV_DATA, or "dv-data" */
    const char *server;      /* as given, or from DV_SERVER; NULL: none */
    bool is_json;
};

/* Rows for an options table, in this order; `common` is a struct dv_common_options. */
#define DV_COMMON_OPTIONS(common)                                                                  \
    {.name = "data",                                                                               \
        .value = "DIR",                                                                            \
        .help = "where everything is kept (DV_DATA, else ./dv-data)",                              \
        .text = &(common).data_folder},                                                            \
    {                                                                                              \
        .name = "json", .help = "print JSON", .flag = &(common).is_json                            \
    }

/* The rows of a command that talks to a server. */
#define DV_CLIENT_OPTIONS(common)                                                                  \
    {.name = "server",                                                                             \
        .value = "URL",                                                                            \
        .help = "talk to this server (DV_SERVER, with DV_TOKEN), not to --data",                   \
        .text = &(common).server},                                                                 \
        DV_COMMON_OPTIONS(common)

/* The defaults of the above. */
struct dv_common_options dv_common_options_default(void);

/* `argv[0]` is the command's own name. The result is the exit status. */
typedef int (*dv_command_fn)(int argc, char **argv);

int dv_cmd_dataset(int argc, char **argv);
int dv_cmd_doctor(int argc, char **argv);
int dv_cmd_evaluate(int argc, char **argv);
int dv_cmd_job(int argc, char **argv);
int dv_cmd_model(int argc, char **argv);
int dv_cmd_predict(int argc, char **argv);
int dv_cmd_sample(int argc, char **argv);
int dv_cmd_serve(int argc, char **argv);
int dv_cmd_train(int argc, char **argv);
int dv_role_infer(int argc, char **argv);
int dv_role_ingest(int argc, char **argv);
int dv_role_llm(int argc, char **argv);
int dv_role_worker(int argc, char **argv);

/*
 * Parse, and answer --help: DV_EXIT_DONE with `*ret_is_over` when the command has nothing more to
 * do; DV_EXIT_USAGE with it when the arguments were wrong (which was said). The caller frees
 * ret_arguments->items unless it is over. `count_min` and `count_max` bound the arguments.
 */
int dv_command_begin(const struct dv_command_help *help, const struct dv_option *options, int argc,
    char **argv, size_t count_min, size_t count_max, struct dv_arguments *ret_arguments,
    bool *ret_is_over);

/*
 * Say why a command fails and return its exit status: on standard error as text, or with --json as
 * {"type": "error", "status", "failure_reason"?, "message"} on standard output.
 */
int dv_command_fail(bool is_json, const struct dv_error *error);
int dv_command_fail_reason(bool is_json, const struct dv_error *error, const char *reason);

/* A line on standard output; whatever is in the values, a terminal obeys none of it. */
void dv_print_line(const char *format, ...) DV_PRINTF(1, 2);

/* One JSON value as a line on standard output, flushed. Takes the value. */
void dv_print_json(struct dv_json *value);

/* Is standard output a pipe that nobody reads any more, as that of `dv ... | head` soon is? */
bool dv_output_is_unread(void);

#endif
