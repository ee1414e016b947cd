/* SPDX-License-Identifier: Apache-2.0 */

/* `dv`: one executable, its subcommands and the roles that it starts itself in. */

#include "app/command.h"
#include "base/text.h"

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

struct command {
    const char *name;
    dv_command_fn run;
    const char *summary; /* NULL: a role, started by dv itself */
};

static const struct command commands[] = {
    {"serve", dv_cmd_serve, "serve the page and the API, run what is queued"},
    {"train", dv_cmd_train, "train a model on a ZIP or folder of pictures"},
    {"job", dv_cmd_job, "list, show, cancel and resume jobs; read their logs"},
    {"evaluate", dv_cmd_evaluate, "measure a model on a data set"},
    {"predict", dv_cmd_predict, "classify pictures"},
    {"dataset", dv_cmd_dataset, "create, list, show and delete data sets"},
    {"model", dv_cmd_model, "list, show, download and delete models"},
    {"sample", dv_cmd_sample, "make a picture set to try things with"},
    {"doctor", dv_cmd_doctor, "what this machine has"},
    {"ingest", dv_role_ingest, NULL},
    {"worker", dv_role_worker, NULL},
    {"infer", dv_role_infer, NULL},
    {"llm", dv_role_llm, NULL},
};

static void print_usage(FILE *file)
{
    (void)fputs("usage: dv COMMAND [options]\n\n", file);
    for (size_t i = 0; i < DV_ARRAY_SIZE(commands); i++) {
        if (commands[i].summary) {
            (void)fprintf(file, "  %-10s %s\n", commands[i].name, commands[i].summary);
        }
    }
    (void)fputs("\n`dv COMMAND --help` says more.\n", file);
}

/* A closed 0, 1 or 2 would go to the next file or socket: nothing may be printed into that. */
static void fill_standard_descriptors(void)
{
    int fd;

    do {
        fd = open("/dev/null", O_RDWR);
    } while (fd >= 0 && fd <= STDERR_FILENO);
    if (fd >= 0) {
        (void)close(fd);
    }
}

static int run(int argc, char **argv)
{
    if (argc < 2) {
        print_usage(stderr);
        return DV_EXIT_USAGE;
    }
    if (dv_text_equal(argv[1], "--help") || dv_text_equal(argv[1], "-h") ||
        dv_text_equal(argv[1], "help")) {
        print_usage(stdout);
        return DV_EXIT_DONE;
    }
    if (dv_text_equal(argv[1], "--version")) {
        (void)puts("dv " DV_VERSION);
        return DV_EXIT_DONE;
    }
    for (size_t i = 0; i < DV_ARRAY_SIZE(commands); i++) {
        if (dv_text_equal(argv[1], commands[i].name)) {
            return commands[i].run(argc - 1, argv + 1);
        }
    }
    (void)fprintf(stderr, "dv: there is no command '%.80s'\n", argv[1]);
    print_usage(stderr);
    return DV_EXIT_USAGE;
}

int main(int argc, char **argv)
{
    fill_standard_descriptors();

    int result = run(argc, argv);
    if ((fflush(stdout) != 0 || ferror(stdout)) && result == DV_EXIT_DONE) {
        if (!dv_output_is_unread()) {
            (void)fputs("dv: standard output cannot be written\n", stderr);
        }
        result = DV_EXIT_FAILED;
    }
    return result;
}
