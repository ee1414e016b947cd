/* SPDX-License-Identifier: Apache-2.0 */
#include "fixer.h"

#include "base/alloc.h"
#include "base/json.h"
#include "base/text.h"
#include "spec/problem.h"

#include <stdio.h>
#include <string.h>

static struct dv_json *parse(const char *text, size_t size)
{
    struct dv_json *json = NULL;

    return dv_json_parse(text, size, &json, NULL) == DV_OK ? json : NULL;
}

/* Bytes of the JSON value that `text` starts with. */
static size_t value_size(const char *text)
{
    int depth = 0;
    bool is_string = false;

    for (size_t i = 0; text[i]; i++) {
        if (text[i] == '"') {
            is_string = !is_string;
        } else if (!is_string && (text[i] == '{' || text[i] == '[')) {
            depth++;
        } else if (!is_string && (text[i] == '}' || text[i] == ']')) {
            depth--;
            if (depth == 0) {
                return i + 1;
            }
        } else if (!is_string && depth == 0 && (text[i] == ',' || text[i] == ' ')) {
            return i;
        }
    }
    return strlen(text);
}

static void replace_at(struct dv_json *object, const char *key, size_t at, struct dv_json *value)
{
    struct dv_json *old = dv_json_get(object, key);
    struct dv_json *list = dv_json_array();

    for (size_t i = 0; i < dv_json_count(old); i++) {
        dv_json_append(list, i == at ? value : dv_json_ref(dv_json_at(old, i)));
    }
    dv_json_set(object, key, list);
}

/* Put `value` before layers[at], or in place of it, or (NULL) take it away. */
static void splice(struct dv_json *arch, size_t at, struct dv_json *value, bool replaces)
{
    struct dv_json *old = dv_json_get(arch, "layers");
    struct dv_json *list = dv_json_array();
    size_t count = dv_json_count(old);

    for (size_t i = 0; i < count; i++) {
        if (i == at && value) {
            dv_json_append(list, dv_json_ref(value));
        }
        if (i != at || !replaces) {
            dv_json_append(list, dv_json_ref(dv_json_at(old, i)));
        }
    }
    if (at >= count && value) {
        dv_json_append(list, dv_json_ref(value));
    }
    dv_json_set(arch, "layers", list);
    (void)dv_json_unref(value);
}

/* The row that `text` names, as "s2" or as "layers[3]", up to the dot. */
static struct dv_json *find_row(struct dv_json *arch, const char *text)
{
    struct dv_json *layers = dv_json_get(arch, "layers");
    size_t size = strcspn(text, ".");
    unsigned index = 0;

    if (sscanf(text, "layers[%u]", &index) == 1) {
        return dv_json_at(layers, index);
    }
    for (size_t i = 0; i < dv_json_count(layers); i++) {
        const char *name = dv_json_get_string(dv_json_at(layers, i), "name", "");
        if (strlen(name) == size && strncmp(name, text, size) == 0) {
            return dv_json_at(layers, i);
        }
    }
    return NULL;
}

/* One "s2.groups=4" or "s2.from[1]=\"x\""; gives the bytes it took, 0 when it is none. */
static size_t apply_assignment(struct dv_json *arch, const char *text)
{
    const char *dot = strchr(text, '.');
    const char *equals = strchr(text, '=');
    char key[32];
    unsigned at = 0;

    if (!equals) {
        return 0;
    }
    size_t size = value_size(equals + 1);
    struct dv_json *value = parse(equals + 1, size);
    struct dv_json *target = dot && dot < equals ? find_row(arch, text) : arch;
    if (!value || !target) {
        (void)dv_json_unref(value);
        return 0;
    }
    const char *start = target == arch ? text : dot + 1;
    (void)snprintf(key, sizeof(key), "%.*s", (int)(equals - start), start);
    if (sscanf(key, "from[%u]", &at) == 1) {
        replace_at(target, "from", at, value);
    } else {
        dv_json_set(target, key, value);
    }
    return (size_t)(equals - text) + 1 + size;
}

static bool apply_assignments(struct dv_json *arch, const char *text)
{
    for (;;) {
        size_t size = apply_assignment(arch, text);
        if (size == 0) {
            return false;
        }
        text += size;
        if (strncmp(text, ", ", 2) != 0) {
            return true;
        }
        text += 2;
    }
}

/* "put {...}, {...} before layers[4] and set join.from[0]=\"fit2\"". */
static bool apply_insertion(struct dv_json *arch, const char *text)
{
    const char *before = strstr(text, " before layers[");
    const char *and_set = strstr(text, " and set ");
    unsigned at = 0;

    if (!before || !and_set || sscanf(before, " before layers[%u]", &at) != 1) {
        return false;
    }
    bool is_done = apply_assignments(arch, and_set + strlen(" and set "));
    for (; *text == '{'; at++) {
        size_t size = value_size(text);
        splice(arch, at, parse(text, size), false);
        text += size;
        text += strncmp(text, ", ", 2) == 0 ? 2 : 0;
    }
    return is_done;
}

/* "remove \"kernal\"" and "rename \"kernal\" to \"kernel\"" speak of the pointer's parent. */
static bool apply_to_member(struct dv_json *arch, const struct dv_problem *problem)
{
    char key[80];
    char wanted[80];
    unsigned at = 0;
    bool has_row = sscanf(problem->pointer, "/layers/%u/", &at) == 1;
    struct dv_json *parent = has_row ? dv_json_at(dv_json_get(arch, "layers"), at) : arch;

    if (sscanf(problem->fix, "rename \"%79[^\"]\" to \"%79[^\"]\"", key, wanted) == 2) {
        struct dv_json *value = dv_json_get(parent, key);
        if (!value) {
            return false;
        }
        dv_json_set(parent, wanted, dv_json_ref(value));
        dv_json_remove(parent, key);
        return true;
    }
    if (sscanf(problem->fix, "remove \"%79[^\"]\"", key) == 1 && dv_json_get(parent, key)) {
        dv_json_remove(parent, key);
        return true;
    }
    return false;
}

bool fixer_apply(struct dv_json *arch, const struct dv_problem *problem)
{
    const char *fix = problem->fix;
    unsigned at = 0;
    int size = 0;

    if (sscanf(fix, "remove layers[%u]", &at) == 1) {
        splice(arch, at, NULL, true);
        return true;
    }
    if (sscanf(fix, "replace layers[%u] by %n", &at, &size) == 1 ||
        sscanf(fix, "write layers[%u] as %n", &at, &size) == 1) {
        splice(arch, at, parse(fix + size, value_size(fix + size)), true);
        return true;
    }
    if (dv_text_has_prefix(fix, "add {")) {
        splice(arch, SIZE_MAX, parse(fix + 4, value_size(fix + 4)), false);
        return true;
    }
    if (dv_text_has_prefix(fix, "put {")) {
        return apply_insertion(arch, fix + 4);
    }
    if (dv_text_has_prefix(fix, "set ")) {
        return apply_assignments(arch, fix + 4);
    }
    return apply_to_member(arch, problem);
}
