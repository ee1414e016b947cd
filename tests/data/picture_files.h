/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DV_TESTS_DATA_PICTURE_FILES_H
#define DV_TESTS_DATA_PICTURE_FILES_H

/*
 * Where the tests of pictures find their files: `pictures/...` beside the tests, everything else
 * in the shared data (environment DV_SHARED). Included by one source file a program.
 */

#include "base/alloc.h"
#include "base/file.h"
#include "data/image.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* Is the shared data there? When not, the caller skips; with DV_REQUIRE_DATA=1 the test fails. */
static inline bool has_shared_data(void)
{
    const char *shared = getenv("DV_SHARED");
    char path[DV_PATH_SIZE];

    bool is_there =
        shared && dv_path_format(path, NULL, "%s/data", shared) == DV_OK && dv_path_is_folder(path);
    const char *required = getenv("DV_REQUIRE_DATA");
    if (!is_there && required && strcmp(required, "1") == 0) {
        fail_msg("the shared data is not at DV_SHARED=%s", shared ? shared : "");
    }
    return is_there;
}

static inline void read_picture_file(const char *name, char **ret_data, size_t *ret_size)
{
    char path[DV_PATH_SIZE];
    bool is_ours = strncmp(name, "pictures/", 9) == 0;
    const char *root = is_ours ? getenv("DV_TEST_DATA") : getenv("DV_SHARED");

    assert_non_null(root);
    assert_int_equal(
        dv_path_format(path, NULL, is_ours ? "%s/%s" : "%s/data/%s", root, name), DV_OK);
    if (dv_file_read(path, 64 << 20, ret_data, ret_size, NULL) != DV_OK) {
        fail_msg("cannot read %s", path);
    }
}

#endif
