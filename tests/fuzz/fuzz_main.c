/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Runs a fuzzer's entry point over the files of the folders that are named, and over each of them
 * with bytes changed, cut off and repeated (by a fixed seed): so that corpora are plain tests where
 * there is no libFuzzer. A fuzzer that has a mutator of its own has it called, as libFuzzer would.
 */

#include "base/alloc.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/random.h"

#include <assert.h>
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#define FILE_SIZE_MAX (1u << 20)
#define ROOM_TO_GROW 4096
#define CHANGES 200

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t size_max);
__attribute__((weak)) size_t LLVMFuzzerCustomMutator(
    uint8_t *data, size_t size, size_t size_max, unsigned seed);

/* Exactly as long as what is run, so that a sanitizer sees a read beyond its end. */
static void run(const char *data, size_t size)
{
    void *copy = dv_alloc(size);

    memcpy(copy, data, size);
    (void)LLVMFuzzerTestOneInput(copy, size);
    dv_free(copy);
}

static void change(char *data, size_t *size, struct dv_random *random)
{
    for (uint64_t count = 1 + dv_random_below(random, 4); count > 0 && *size > 0; count--) {
        size_t at = (size_t)dv_random_below(random, *size);
        switch (dv_random_below(random, 4)) {
        case 0:
            data[at] = (char)dv_random_below(random, 256);
            break;
        case 1:
            data[at] = (char)(data[at] ^ (1 << dv_random_below(random, 8)));
            break;
        case 2:
            *size = at;
            break;
        default:
            memmove(data + at, data, *size - at); /* repeats the beginning */
            break;
        }
    }
}

/* What a mutator falls back to. */
size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t size_max)
{
    struct dv_random random = dv_random_make(2, DV_RANDOM_ORDER, dv_crc32(0, data, size), 0);

    assert(size <= size_max);
    change((char *)data, &size, &random);
    return size;
}

static void mutate(char *data, size_t *size, size_t size_max, struct dv_random *random)
{
    if (LLVMFuzzerCustomMutator) {
        unsigned seed = (unsigned)dv_random_u64(random);
        *size = LLVMFuzzerCustomMutator((uint8_t *)data, *size, size_max, seed);
    } else {
        change(data, size, random);
    }
}

/* What is changed depends on the file's bytes alone, not on its place in the folder. */
static int run_file(const char *path)
{
    DV_CLEANUP(dv_freep) char *data = NULL;
    struct dv_error error;
    size_t size;

    if (dv_file_read(path, FILE_SIZE_MAX, &data, &size, &error) != DV_OK) {
        (void)fprintf(stderr, "%s\n", error.text);
        return 1;
    }
    struct dv_random random = dv_random_make(1, DV_RANDOM_ORDER, dv_crc32(0, data, size), 0);
    run(data, size);
    for (int i = 0; i < CHANGES; i++) {
        DV_CLEANUP(dv_freep) char *changed = dv_alloc(size + ROOM_TO_GROW);
        size_t changed_size = size;
        memcpy(changed, data, size);
        mutate(changed, &changed_size, size + ROOM_TO_GROW, &random);
        run(changed, changed_size);
    }
    return 0;
}

static int run_folder(const char *folder)
{
    DIR *stream = opendir(folder);
    const struct dirent *entry;
    int failed = 0, count = 0;

    while (stream && (entry = readdir(stream))) {
        DV_CLEANUP(dv_freep) char *path = dv_strprintf("%s/%s", folder, entry->d_name);
        if (entry->d_name[0] != '.') {
            failed |= run_file(path);
            count++;
        }
    }
    if (stream) {
        (void)closedir(stream);
    }
    if (count == 0) {
        (void)fprintf(stderr, "%s: there is nothing in it\n", folder);
    }
    return failed || count == 0;
}

int main(int argc, char **argv)
{
    int failed = argc < 2;

    for (int i = 1; i < argc; i++) {
        failed |= run_folder(argv[i]);
    }
    return failed;
}
