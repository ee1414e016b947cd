/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Downloads of a model: single files of its current version as they lie on disk, or all of them as
 * a ZIP that is made when it is first asked for and kept beside them.
 */

#include "api/api_impl.h"
#include "base/alloc.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/text.h"
#include "base/zip_writer.h"
#include "store/models.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILES_MAX 64u
#define TITLE_SIZE_MAX 100u /* of the model's name in the file's, bytes */

static const struct {
    const char *format;
    const char *file; /* NULL: the archive */
    const char *extension;
    const char *type;
} formats[] = {
    {"archive", NULL, "zip", "application/zip"},
    {"safetensors", "weights.safetensors", "safetensors", "application/octet-stream"},
    {"onnx", "model.onnx", "onnx", "application/octet-stream"},
    {"pth", "weights.pth", "pth", "application/octet-stream"},
    {"py", "model.py", "py", "text/x-python"},
};

/* One archive is made at a time: two that ask for the same one get the same one. */
static pthread_mutex_t archive_lock = PTHREAD_MUTEX_INITIALIZER;

/* --- The archive ------------------------------------------------------------------------------ */

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Plain files of a version's folder, sorted; those of a hidden name are not ours to give. */
static enum dv_status list_files(
    const char *folder, char *ret_names[static FILES_MAX], size_t *ret_count, struct dv_error *reterr)
{
    DIR *stream = opendir(folder);
    const struct dirent *entry;
    size_t count = 0;

    if (!stream) {
        return dv_fail_errno(reterr, errno, "cannot read the model's files");
    }
    while (count < FILES_MAX && (entry = readdir(stream))) {
        if (entry->d_name[0] != '.') {
            ret_names[count++] = dv_strdup(entry->d_name);
        }
    }
    (void)closedir(stream);
    qsort(ret_names, count, sizeof(ret_names[0]), compare_names);
    *ret_count = count;
    return DV_OK;
}

static enum dv_status write_archive(const char *folder, const char *path, char *const *names,
    size_t count, struct dv_error *reterr)
{
    DV_CLEANUP(dv_zip_writer_closep) struct dv_zip_writer *writer = NULL;
    char file[DV_PATH_SIZE];

    enum dv_status status = dv_zip_writer_open(path, &writer, reterr);
    for (size_t i = 0; status == DV_OK && i < count; i++) {
        status = dv_path_format(file, reterr, "%s/%s", folder, names[i]);
        if (status == DV_OK) {
            status = dv_zip_writer_add_file(writer, names[i], file, reterr);
        }
    }
    return status == DV_OK ? dv_zip_writer_finish(writer, reterr) : status;
}

/* The files first: of a model that was deleted meanwhile no folder may be made anew. */
static enum dv_status make_archive(
    const char *folder, const char *archives, const char *path, struct dv_error *reterr)
{
    char *names[FILES_MAX];
    size_t count = 0;

    enum dv_status status = list_files(folder, names, &count, reterr);
    if (status == DV_OK && count == 0) {
        status = dv_fail(reterr, DV_CORRUPT, "the model's files are gone");
    }
    if (status == DV_OK) {
        status = dv_folder_make(archives, reterr);
    }
    if (status == DV_OK) {
        status = write_archive(folder, path, names, count, reterr);
    }
    for (size_t i = 0; i < count; i++) {
        dv_free(names[i]);
    }
    return status;
}

/* DATA/models/{id}/archives/{version}.zip; gone with the model. */
static enum dv_status find_archive(const char *model_folder, const char *version_folder,
    int64_t version, char ret_path[static DV_PATH_SIZE], struct dv_error *reterr)
{
    char folder[DV_PATH_SIZE];

    enum dv_status status = dv_path_format(folder, reterr, "%s/archives", model_folder);
    if (status == DV_OK) {
        status = dv_path_format(ret_path, reterr, "%s/%" PRId64 ".zip", folder, version);
    }
    if (status != DV_OK || dv_path_exists(ret_path)) {
        return status;
    }
    (void)pthread_mutex_lock(&archive_lock);
    if (!dv_path_exists(ret_path)) {
        status = make_archive(version_folder, folder, ret_path, reterr);
    }
    (void)pthread_mutex_unlock(&archive_lock);
    return status;
}

/* --- Answers ---------------------------------------------------------------------------------- */

/* Which file is meant: its path and what it is called when it is saved. */
static enum dv_status find_file(struct dv_api *api, const struct dv_json *model, size_t format,
    char ret_path[static DV_PATH_SIZE], struct dv_error *reterr)
{
    char folder[DV_PATH_SIZE], version_folder[DV_PATH_SIZE];
    int64_t version = dv_json_get_integer(model, "current_version", 0);

    if (version < 1) {
        return dv_fail(reterr, DV_CONFLICT, "the model has no files yet: its status is '%s'",
            dv_json_get_string(model, "status", ""));
    }
    enum dv_status status = dv_path_format(folder, reterr, "%s/models/%s",
        api->options.data_folder, dv_json_get_string(model, "id", ""));
    if (status == DV_OK) {
        status = dv_path_format(
            version_folder, reterr, "%s/versions/%" PRId64, folder, version);
    }
    if (status != DV_OK) {
        return status;
    }
    if (!formats[format].file) {
        return find_archive(folder, version_folder, version, ret_path, reterr);
    }
    status = dv_path_format(ret_path, reterr, "%s/%s", version_folder, formats[format].file);
    if (status == DV_OK && !dv_path_exists(ret_path)) {
        return dv_fail(reterr, DV_UNSUPPORTED, "this model has no file in format '%s'",
            formats[format].format);
    }
    return status;
}

static enum dv_status reply_with_file(struct dv_http_request *request, const struct dv_json *model,
    size_t format, const char *path, struct dv_error *reterr)
{
    struct stat info;
    int fd;
    unsigned char digest[DV_SHA256_SIZE];
    char etag[DV_SHA256_TEXT_SIZE];

    enum dv_status status = dv_file_open_read(path, &fd, reterr);
    if (status != DV_OK) {
        return status;
    }
    if (fstat(fd, &info) != 0) {
        status = dv_fail_errno(reterr, errno, "cannot read the model's file");
        dv_file_closep(&fd);
        return status;
    }
    /* A version's files never change: what it is and how long says which bytes these are. */
    DV_CLEANUP(dv_freep)
    char *identity = dv_strprintf("%s %" PRId64 " %s %lld", dv_json_get_string(model, "id", ""),
        dv_json_get_integer(model, "current_version", 0), formats[format].format,
        (long long)info.st_size);
    DV_CLEANUP(dv_freep) char *title = dv_strdup(dv_json_get_string(model, "name", "model"));
    (void)dv_text_clip(title, TITLE_SIZE_MAX);
    DV_CLEANUP(dv_freep) char *name = dv_strprintf("%s.%s", title, formats[format].extension);
    dv_sha256(identity, strlen(identity), digest);
    dv_text_hex(digest, sizeof(digest), etag);
    const struct dv_http_content content = {.fd = fd,
        .size = (uint64_t)info.st_size,
        .type = formats[format].type,
        .name = name,
        .etag = etag};
    dv_http_reply_file(request, &content);
    return DV_OK;
}

void dv_api_models_download(struct dv_http_request *request, void *user)
{
    struct dv_api *api = user;
    const char *wanted = dv_http_request_query(request, "format");
    const char *id = dv_api_id(request, "model");
    DV_CLEANUP(dv_json_unrefp) struct dv_json *row = NULL;
    char path[DV_PATH_SIZE];
    struct dv_error error;
    size_t format = 0;

    if (!id) {
        return;
    }
    while (wanted && format < DV_ARRAY_SIZE(formats) &&
           !dv_text_equal(formats[format].format, wanted)) {
        format++;
    }
    if (format == DV_ARRAY_SIZE(formats)) {
        dv_api_refuse(request, 422, "/query/format",
            "format must be archive, safetensors, onnx, pth or py");
        return;
    }
    enum dv_status status = dv_models_get(api->options.store, id, &row, &error);
    if (status == DV_OK) {
        status = find_file(api, row, format, path, &error);
    }
    if (status == DV_OK) {
        status = reply_with_file(request, row, format, path, &error);
    }
    if (status != DV_OK) {
        dv_api_fail(request, &error);
    }
}
