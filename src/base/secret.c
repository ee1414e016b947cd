/* SPDX-License-Identifier: Apache-2.0 */
#include "base/secret.h"

#include "base/alloc.h"
#include "base/memory_file.h"

#include <assert.h>
#include <stdbool.h>
#include <sys/prctl.h>
#include <sys/resource.h>

/* What ends a header, a text in JSON or a word is no part of a key. */
static bool is_key(const char *text)
{
    for (; *text; text++) {
        if (*text <= ' ' || *text > '~' || *text == '"' || *text == '\'' || *text == '\\') {
            return false;
        }
    }
    return true;
}

void dv_secret_forget(const char *variable)
{
    char *value = getenv(variable);

    if (value) {
        explicit_bzero(value, strlen(value));
        (void)unsetenv(variable);
    }
}

enum dv_status dv_secret_take(
    const char *variable, size_t size_max, int *ret_fd, struct dv_error *reterr)
{
    const char *value = getenv(variable);
    enum dv_status status;

    assert(ret_fd);
    if (!value || !value[0]) {
        return dv_fail(reterr, DV_NOT_FOUND, "%s is not set", variable);
    }
    if (strlen(value) > size_max || !is_key(value)) {
        status = dv_fail(reterr, DV_INVALID,
            "%s is no key: it has at most %zu characters, no blanks and no quotes", variable,
            size_max);
    } else {
        status = dv_memory_file_create("dv-secret", value, strlen(value), ret_fd, reterr);
    }
    dv_secret_forget(variable);
    return status;
}

void dv_secret_hide_process(void)
{
    const struct rlimit none = {0};

    (void)setrlimit(RLIMIT_CORE, &none); /* a hard limit that is lower already is as good */
    (void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
}

void dv_secret_freep(char **text)
{
    if (*text) {
        explicit_bzero(*text, strlen(*text));
        *text = dv_free(*text);
    }
}
