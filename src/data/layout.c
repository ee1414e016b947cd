/* SPDX-License-Identifier: Apache-2.0 */
#include "data/layout.h"

#include "base/alloc.h"
#include "base/text.h"
#include "spec/limits.h"

#include <assert.h>
#include <string.h>

/*
 * Read from the bottom: dv_layout_create() scans one level of folders at a time, first to strip
 * wrapping folders, then to decide, then once more to collect the classes.
 */

enum layout_kind { LAYOUT_CLASS, LAYOUT_SPLIT_CLASS, LAYOUT_CLASS_SPLIT };

/* A piece of a path. */
struct segment {
    const char *text;
    size_t size;
};

struct folder {
    char *name;
    bool has_files;        /* directly inside */
    bool has_folders;      /* with files somewhere below */
    bool has_other;        /* folders that are not named as a split */
    unsigned inner_splits; /* bit set of the splits its folders are named after */
};

/* Distinct folders: an open-addressed table of indexes into an array. */
struct folder_table {
    struct folder *folders;
    uint32_t count;
    uint32_t capacity;
    uint32_t *slots; /* index + 1, 0: free */
    uint32_t slot_count;
};

struct dv_layout {
    enum layout_kind kind;
    char *prefix; /* wrapping folders, each with its '/' */
    size_t prefix_size;
    struct folder_table classes; /* sorted by name once made */
};

/* --- Paths -------------------------------------------------------------------------------- */

/* The segment at the front of *path; moves *path behind its '/'. False if it is the last one. */
static bool take_folder(const char **path, struct segment *ret_segment)
{
    const char *slash = strchr(*path, '/');

    if (!slash) {
        return false;
    }
    *ret_segment = (struct segment){.text = *path, .size = (size_t)(slash - *path)};
    *path = slash + 1;
    return true;
}

static bool segment_is(struct segment segment, const char *name)
{
    char text[16];

    if (segment.size != strlen(name) || segment.size >= sizeof(text)) {
        return false;
    }
    memcpy(text, segment.text, segment.size);
    text[segment.size] = '\0';
    return dv_text_equal_nocase(text, name);
}

static bool segment_is_split(struct segment segment, enum dv_split *ret_split)
{
    static const struct {
        const char *name;
        enum dv_split split;
    } names[] = {
        {"train", DV_SPLIT_TRAIN},
        {"training", DV_SPLIT_TRAIN},
        {"val", DV_SPLIT_VAL},
        {"valid", DV_SPLIT_VAL},
        {"validation", DV_SPLIT_VAL},
        {"test", DV_SPLIT_TEST},
        {"testing", DV_SPLIT_TEST},
    };

    for (size_t i = 0; i < DV_ARRAY_SIZE(names); i++) {
        if (segment_is(segment, names[i].name)) {
            *ret_split = names[i].split;
            return true;
        }
    }
    return false;
}

static bool is_ignored_segment(struct segment segment)
{
    return (segment.size > 0 && segment.text[0] == '.') || segment_is(segment, "__MACOSX") ||
           segment_is(segment, "Thumbs.db") || segment_is(segment, "desktop.ini");
}

bool dv_layout_is_ignored(const char *path)
{
    struct segment segment;

    while (take_folder(&path, &segment)) {
        if (is_ignored_segment(segment)) {
            return true;
        }
    }
    return is_ignored_segment((struct segment){.text = path, .size = strlen(path)});
}

/* --- Tables of folders --------------------------------------------------------------------- */

static uint64_t hash_segment(struct segment segment)
{
    uint64_t hash = 0xcbf29ce484222325u; /* FNV-1a */

    for (size_t i = 0; i < segment.size; i++) {
        hash = (hash ^ (unsigned char)segment.text[i]) * 0x100000001b3u;
    }
    return hash ^ hash >> 32;
}

/* The slot that holds this name, or the free one where it would go. */
static uint32_t *find_slot(const struct folder_table *table, struct segment name)
{
    uint32_t at = (uint32_t)hash_segment(name) & (table->slot_count - 1);

    for (;; at = (at + 1) & (table->slot_count - 1)) {
        if (table->slots[at] == 0) {
            return &table->slots[at];
        }
        const char *other = table->folders[table->slots[at] - 1].name;
        if (strncmp(other, name.text, name.size) == 0 && other[name.size] == '\0') {
            return &table->slots[at];
        }
    }
}

static void index_table(struct folder_table *table)
{
    memset(table->slots, 0, table->slot_count * sizeof(*table->slots));
    for (uint32_t i = 0; i < table->count; i++) {
        const char *name = table->folders[i].name;
        *find_slot(table, (struct segment){.text = name, .size = strlen(name)}) = i + 1;
    }
}

static void grow_table(struct folder_table *table)
{
    table->capacity = table->capacity > 0 ? 2 * table->capacity : 64;
    table->slot_count = 4 * table->capacity;
    table->folders = dv_realloc(table->folders, table->capacity * sizeof(*table->folders));
    table->slots = dv_realloc(table->slots, table->slot_count * sizeof(*table->slots));
    index_table(table);
}

static enum dv_status intern(struct folder_table *table, struct segment name,
    struct folder **ret_folder, struct dv_error *reterr)
{
    if (table->count == table->capacity) {
        grow_table(table);
    }

    uint32_t *slot = find_slot(table, name);
    if (*slot == 0) {
        if (table->count == DV_CLASSES_MAX) {
            return dv_fail(
                reterr, DV_TOO_LARGE, "there are more than %u class folders", DV_CLASSES_MAX);
        }
        struct folder *folder = &table->folders[table->count++];
        *folder = (struct folder){.name = dv_alloc(name.size + 1)};
        memcpy(folder->name, name.text, name.size);
        *slot = table->count;
    }
    *ret_folder = &table->folders[*slot - 1];
    return DV_OK;
}

static void finish_table(struct folder_table *table)
{
    for (uint32_t i = 0; i < table->count; i++) {
        dv_free(table->folders[i].name);
    }
    dv_free(table->folders);
    dv_free(table->slots);
    *table = (struct folder_table){0};
}

static void finish_tablep(struct folder_table *table)
{
    finish_table(table);
}

static int compare_folders(const void *a, const void *b)
{
    const struct folder *folder_a = a;
    const struct folder *folder_b = b;

    return strcmp(folder_a->name, folder_b->name);
}

/* --- Finding the layout --------------------------------------------------------------------- */

/* What is left of a path behind the wrapping folders; NULL if it does not lie in them. */
static const char *unwrap(const struct dv_layout *layout, const char *path)
{
    if (strncmp(path, layout->prefix, layout->prefix_size) != 0) {
        return NULL;
    }
    return path + layout->prefix_size;
}

/* The next path that counts, from *index on; NULL at the end. */
static const char *next_path(
    const struct dv_layout *layout, const struct dv_layout_options *options, uint64_t *index)
{
    while (*index < options->count) {
        const char *path = options->path(options->data, (*index)++);
        if (path && !dv_layout_is_ignored(path)) {
            path = unwrap(layout, path);
            if (path) {
                return path;
            }
        }
    }
    return NULL;
}

/* All folders right behind the wrapping ones. */
static enum dv_status scan_level(const struct dv_layout *layout,
    const struct dv_layout_options *options, struct folder_table *table, struct dv_error *reterr)
{
    uint64_t index = 0;
    const char *path;
    struct segment name;
    struct folder *folder;
    enum dv_split split;

    while ((path = next_path(layout, options, &index))) {
        if (!take_folder(&path, &name)) {
            continue;
        }
        enum dv_status status = intern(table, name, &folder, reterr);
        if (status != DV_OK) {
            return status;
        }
        if (!take_folder(&path, &name)) {
            folder->has_files = true;
        } else {
            folder->has_folders = true;
            if (segment_is_split(name, &split)) {
                folder->inner_splits |= 1u << split;
            } else {
                folder->has_other = true;
            }
        }
    }
    return DV_OK;
}

static bool is_several(unsigned splits)
{
    return (splits & (splits - 1)) != 0;
}

static enum layout_kind choose_kind(const struct folder_table *table)
{
    unsigned outer_splits = 0;
    unsigned inner_splits = 0;
    bool is_class_split = true;
    enum dv_split split;

    for (uint32_t i = 0; i < table->count; i++) {
        const struct folder *folder = &table->folders[i];
        struct segment name = {.text = folder->name, .size = strlen(folder->name)};
        if (segment_is_split(name, &split)) {
            outer_splits |= 1u << split;
        }
        inner_splits |= folder->inner_splits;
        is_class_split = is_class_split && !folder->has_other;
    }
    if (is_several(outer_splits)) {
        return LAYOUT_SPLIT_CLASS;
    }
    return is_class_split && is_several(inner_splits) ? LAYOUT_CLASS_SPLIT : LAYOUT_CLASS;
}

static void add_prefix(struct dv_layout *layout, const char *name)
{
    char *prefix = dv_strprintf("%s%s/", layout->prefix, name);

    dv_free(layout->prefix);
    layout->prefix = prefix;
    layout->prefix_size = strlen(prefix);
}

/* Step into folders that stand alone and hold folders, until there is something to choose from. */
static enum dv_status find_kind(
    struct dv_layout *layout, const struct dv_layout_options *options, struct dv_error *reterr)
{
    for (;;) {
        DV_CLEANUP(finish_tablep) struct folder_table level = {0};

        enum dv_status status = scan_level(layout, options, &level, reterr);
        if (status != DV_OK) {
            return status;
        }
        if (level.count == 0) {
            return dv_fail(reterr, DV_INVALID,
                "there is no class folder: put the pictures of each class into a folder of its "
                "own, such as cat/1.jpg and dog/1.jpg");
        }
        if (level.count > 1 || !level.folders[0].has_folders) {
            layout->kind = choose_kind(&level);
            return DV_OK;
        }
        add_prefix(layout, level.folders[0].name);
    }
}

/*
 * Class and split of a path, as pieces of it. Returns why there is no class, or NULL.
 */
static const char *parse_path(const struct dv_layout *layout, const char *path,
    struct segment *ret_class, enum dv_split *ret_split)
{
    struct segment first;
    struct segment second;

    path = unwrap(layout, path);
    if (!path || !take_folder(&path, &first)) {
        return "it does not lie in a class folder";
    }
    *ret_split = DV_SPLIT_TRAIN;
    *ret_class = first;
    if (layout->kind == LAYOUT_SPLIT_CLASS) {
        if (!segment_is_split(first, ret_split)) {
            return "it does not lie in one of the train, val and test folders";
        }
        if (!take_folder(&path, ret_class)) {
            return "it lies in a split folder, but in no class folder there";
        }
    }
    if (layout->kind == LAYOUT_CLASS_SPLIT &&
        (!take_folder(&path, &second) || !segment_is_split(second, ret_split))) {
        return "it lies in a class folder, but in no train, val or test folder there";
    }
    if (ret_class->size == 0 || ret_class->size > DV_CLASS_NAME_SIZE_MAX) {
        return "the name of its class folder is empty or too long";
    }
    return NULL;
}

static enum dv_status collect_classes(
    struct dv_layout *layout, const struct dv_layout_options *options, struct dv_error *reterr)
{
    struct folder *folder;
    struct segment class;
    enum dv_split split;

    for (uint64_t i = 0; i < options->count; i++) {
        const char *path = options->path(options->data, i);
        if (!path || dv_layout_is_ignored(path) || parse_path(layout, path, &class, &split)) {
            continue;
        }
        enum dv_status status = intern(&layout->classes, class, &folder, reterr);
        if (status != DV_OK) {
            return status;
        }
    }
    if (layout->classes.count == 0) {
        return dv_fail(reterr, DV_INVALID,
            "there is no class folder inside the train, val and test folders: put the pictures of "
            "each class into a folder of its own, such as train/cat/1.jpg");
    }
    qsort(layout->classes.folders, layout->classes.count, sizeof(*layout->classes.folders),
        compare_folders);
    index_table(&layout->classes);
    return DV_OK;
}

enum dv_status dv_layout_create(
    const struct dv_layout_options *options, struct dv_layout **ret_layout, struct dv_error *reterr)
{
    assert(options);
    assert(options->path);
    assert(ret_layout);

    struct dv_layout *layout = dv_alloc(sizeof(*layout));
    layout->prefix = dv_strdup("");
    enum dv_status status = find_kind(layout, options, reterr);
    if (status == DV_OK) {
        status = collect_classes(layout, options, reterr);
    }
    if (status != DV_OK) {
        dv_layout_destroy(layout);
        return status;
    }
    *ret_layout = layout;
    return DV_OK;
}

struct dv_layout *dv_layout_destroy(struct dv_layout *layout)
{
    if (layout) {
        finish_table(&layout->classes);
        dv_free(layout->prefix);
        dv_free(layout);
    }
    return NULL;
}

void dv_layout_destroyp(struct dv_layout **layout)
{
    *layout = dv_layout_destroy(*layout);
}

void dv_layout_place(
    const struct dv_layout *layout, const char *path, struct dv_layout_place *ret_place)
{
    struct dv_layout_place place = {.is_ignored = dv_layout_is_ignored(path)};
    struct segment class;

    assert(layout);

    if (!place.is_ignored) {
        place.reason = parse_path(layout, path, &class, &place.split);
        if (!place.reason) {
            uint32_t slot = *find_slot(&layout->classes, class);
            if (slot == 0) {
                place.reason = "its class folder was left out"; /* a path not seen before */
            } else {
                place.class_index = slot - 1;
            }
        }
    }
    *ret_place = place;
}

bool dv_layout_has_splits(const struct dv_layout *layout)
{
    return layout->kind != LAYOUT_CLASS;
}

uint32_t dv_layout_class_count(const struct dv_layout *layout)
{
    return layout->classes.count;
}

const char *dv_layout_class_name(const struct dv_layout *layout, uint32_t class_index)
{
    assert(class_index < layout->classes.count);
    return layout->classes.folders[class_index].name;
}
