/* SPDX-License-Identifier: Apache-2.0 */
/*
 * make_model FOLDER ARCH ROWS COLUMNS CHANNELS RESIZE [nodes]: a model with made-up weights, and beside
 * it FOLDER/graph.json, the primitive graph node by node. For tests/python, which runs that graph
 * and model.py and compares. With "nodes", model.py is written as for rows that are no block that
 * it knows.
 */
#include "graph_json.h"
#include "toy_model.h"

#include "base/file.h"
#include "base/text.h"
#include "format/archive.h"

#include <stdio.h>
#include <string.h>

static enum dv_status write_all(
    const struct toy_model *model, const char *folder, struct dv_error *error)
{
    char path[DV_PATH_SIZE];

    enum dv_status status = dv_model_write(&model->content, folder, error);
    if (status == DV_OK) {
        status = dv_path_format(path, error, "%s/model.zip", folder);
    }
    if (status == DV_OK) {
        status = dv_archive_write(folder, path, error);
    }
    if (status == DV_OK) {
        status = dv_path_format(path, error, "%s/graph.json", folder);
    }
    return status == DV_OK ? graph_json_write(model->content.graph, path, error) : status;
}

int main(int argc, char **argv)
{
    static const char *const resizes[] = {"stretch", "crop", "pad"};
    struct toy_model_options options = {0};
    struct toy_model model;
    struct dv_error error;
    uint64_t sizes[3] = {0};

    if (argc != 7 && argc != 8) {
        (void)fputs("usage: make_model FOLDER ARCH ROWS COLUMNS CHANNELS RESIZE [nodes]\n", stderr);
        return 2;
    }
    for (int i = 0; i < 3; i++) {
        if (!dv_text_to_uint64(argv[3 + i], &sizes[i])) {
            return 2;
        }
    }
    for (unsigned i = 0; i < DV_ARRAY_SIZE(resizes); i++) {
        if (strcmp(argv[6], resizes[i]) == 0) {
            options.resize = (enum dv_resize)i;
        }
    }
    options.arch = argv[2];
    options.rows = (uint32_t)sizes[0];
    options.columns = (uint32_t)sizes[1];
    options.channels = (uint32_t)sizes[2];
    options.hides_blocks = argc == 8;
    toy_model_init(&model, &options);
    enum dv_status status = write_all(&model, argv[1], &error);
    if (status != DV_OK) {
        (void)fprintf(stderr, "%s\n", error.text);
    }
    toy_model_finish(&model);
    return status == DV_OK ? 0 : 1;
}
