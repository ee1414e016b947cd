/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Our verdict on every file of the collected malformed archives, beside the one of Python's zipfile
 * that their manifest holds. Where the two differ (one reads all, the other does not) the table
 * says why; where they agree it must not.
 */
#include "data/source.h"
#include "zip_builder.h"

#include "base/alloc.h"
#include "base/file.h"

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* Why we refuse what Python reads. */
#define TRAILING "bytes follow the end record: two readers could see two archives"
#define PREFIX "bytes precede the first entry, or it is not where the directory says"
#define SPLIT "begins with the marker of a split archive"
#define DISKS "the end record speaks of a second disk"
#define GAP "bytes between two entries belong to none, where an entry could hide"
#define DIRECTORY "the directory is not as large as the end record says"
#define LINK "a symbolic link, which Python hands out as a file with its target as text"
#define PATH "a name that leads out of its folder; Python leaves that to the caller"
#define BACKSLASH "Shift-JIS without saying so: a backslash that is half of a character"
#define CLASH "one name is both a file and a folder"
#define METHOD "bzip2 and LZMA: pictures do not come in them, and each decoder is attack surface"
#define NO_FILES "only folders: nothing to learn from"
#define RATIO "claims more than DEFLATE can give; Python does not read to the declared end"

static const struct verdict {
    const char *file;
    enum dv_status status;
    struct zip_counts counts;
    const char *why;
} verdicts[] = {
    {"gozip_comment-truncated.zip", DV_CORRUPT, {0, 0, 0}, TRAILING},
    {"gozip_crc32-not-streamed.zip", DV_OK, {2, 0, 0}, NULL},
    {"gozip_dd.zip", DV_OK, {1, 0, 0}, NULL},
    {"gozip_dupdir.zip", DV_OK, {1, 1, 0}, CLASH},
    {"gozip_go-no-datadesc-sig.zip", DV_OK, {2, 0, 0}, NULL},
    {"gozip_go-with-datadesc-sig.zip", DV_OK, {2, 0, 0}, NULL},
    {"gozip_readme.notzip", DV_UNSUPPORTED, {0, 0, 0}, NULL},
    {"gozip_readme.zip", DV_CORRUPT, {0, 0, 0}, TRAILING},
    {"gozip_subdir.zip", DV_OK, {1, 0, 0}, NULL},
    {"gozip_symlink.zip", DV_OK, {0, 1, 0}, LINK},
    {"gozip_test-badbase.zip", DV_CORRUPT, {0, 0, 0}, NULL},
    {"gozip_test-baddirsz.zip", DV_CORRUPT, {0, 0, 0}, NULL},
    {"gozip_test-prefix.zip", DV_UNSUPPORTED, {0, 0, 0}, PREFIX},
    {"gozip_test-trailing-junk.zip", DV_CORRUPT, {0, 0, 0}, TRAILING},
    {"gozip_test.zip", DV_OK, {2, 0, 0}, NULL},
    {"gozip_time-22738.zip", DV_OK, {1, 0, 0}, NULL},
    {"gozip_time-7zip.zip", DV_OK, {1, 0, 0}, NULL},
    {"gozip_time-go.zip", DV_OK, {1, 0, 0}, NULL},
    {"gozip_time-infozip.zip", DV_OK, {1, 0, 0}, NULL},
    {"gozip_time-osx.zip", DV_OK, {1, 0, 0}, NULL},
    {"gozip_time-win7.zip", DV_OK, {1, 0, 0}, NULL},
    {"gozip_time-winrar.zip", DV_OK, {1, 0, 0}, NULL},
    {"gozip_time-winzip.zip", DV_OK, {1, 0, 0}, NULL},
    {"gozip_unix.zip", DV_OK, {3, 0, 0}, NULL},
    {"gozip_utf8-7zip.zip", DV_OK, {1, 0, 0}, NULL},
    {"gozip_utf8-infozip.zip", DV_OK, {1, 0, 0}, NULL},
    {"gozip_utf8-osx.zip", DV_OK, {1, 0, 0}, NULL},
    {"gozip_utf8-winrar.zip", DV_OK, {1, 0, 0}, NULL},
    {"gozip_utf8-winzip.zip", DV_OK, {1, 0, 0}, NULL},
    {"gozip_winxp.zip", DV_OK, {3, 0, 0}, NULL},
    {"gozip_zip64-2.zip", DV_OK, {1, 0, 0}, NULL},
    {"gozip_zip64.zip", DV_OK, {1, 0, 0}, NULL},
    {"libarchive_compat_zip_2.zip", DV_CORRUPT, {0, 0, 0}, GAP},
    {"libarchive_compat_zip_3.zip", DV_OK, {1, 0, 0}, NULL},
    {"libarchive_compat_zip_4.zip", DV_UNSUPPORTED, {0, 0, 0}, PREFIX},
    {"libarchive_compat_zip_5.zip", DV_OK, {12, 0, 0}, NULL},
    {"libarchive_compat_zip_6.zip", DV_OK, {1, 0, 0}, NULL},
    {"libarchive_compat_zip_7.xps", DV_OK, {12, 0, 0}, NULL},
    {"libarchive_compat_zip_8.zip", DV_OK, {1, 0, 0}, NULL},
    {"libarchive_symlink_1.zip", DV_OK, {1, 3, 0}, LINK},
    {"libarchive_symlink_2.zip", DV_OK, {2, 0, 0}, NULL},
    {"libarchive_symlink_dotdot.zip", DV_OK, {1, 2, 0}, LINK},
    {"libarchive_t_bad.zip", DV_CORRUPT, {0, 0, 0}, TRAILING},
    {"libarchive_write_disk_appledouble_zip.zip", DV_OK, {3, 0, 0}, NULL},
    {"libarchive_zip.zip", DV_CORRUPT, {0, 0, 0}, NULL},
    {"libarchive_zip_7075_utf8_paths.zip", DV_CORRUPT, {0, 0, 0}, NULL},
    {"libarchive_zip_bz2_hang.zip", DV_CORRUPT, {0, 0, 0}, NULL},
    {"libarchive_zip_bzip2.zipx", DV_OK, {0, 1, 0}, METHOD},
    {"libarchive_zip_bzip2_multi.zipx", DV_OK, {0, 3, 0}, METHOD},
    {"libarchive_zip_encryption_data.zip", DV_OK, {0, 2, 0}, NULL},
    {"libarchive_zip_encryption_header.zip", DV_UNSUPPORTED, {0, 0, 0}, NULL},
    {"libarchive_zip_encryption_partially.zip", DV_OK, {1, 1, 0}, NULL},
    {"libarchive_zip_extra_padding.zip", DV_CORRUPT, {0, 0, 0}, NULL},
    {"libarchive_zip_filename_cp866.zip", DV_OK, {2, 0, 0}, NULL},
    {"libarchive_zip_filename_cp932.zip", DV_OK, {0, 2, 0}, BACKSLASH},
    {"libarchive_zip_filename_koi8r.zip", DV_OK, {2, 0, 0}, NULL},
    {"libarchive_zip_filename_utf8_jp.zip", DV_OK, {2, 0, 0}, NULL},
    {"libarchive_zip_filename_utf8_ru.zip", DV_OK, {2, 0, 0}, NULL},
    {"libarchive_zip_filename_utf8_ru2.zip", DV_OK, {2, 0, 0}, NULL},
    {"libarchive_zip_high_compression.zip", DV_OK, {1, 0, 0}, NULL},
    {"libarchive_zip_jar.jar", DV_INVALID, {0, 0, 0}, NO_FILES},
    {"libarchive_zip_length_at_end.zip", DV_OK, {1, 0, 0}, NULL},
    {"libarchive_zip_lzma.zipx", DV_OK, {0, 1, 0}, METHOD},
    {"libarchive_zip_lzma_alone_leak.zipx", DV_CORRUPT, {0, 0, 0}, NULL},
    {"libarchive_zip_lzma_multi.zipx", DV_OK, {0, 3, 0}, METHOD},
    {"libarchive_zip_lzma_stream_end.zipx", DV_OK, {0, 1, 0}, METHOD},
    {"libarchive_zip_mac_metadata.zip", DV_OK, {2, 0, 0}, NULL},
    {"libarchive_zip_malformed1.zip", DV_CORRUPT, {0, 0, 0}, NULL},
    {"libarchive_zip_msdos.zip", DV_OK, {2, 0, 0}, NULL},
    {"libarchive_zip_nested.zip", DV_OK, {2, 0, 0}, NULL},
    {"libarchive_zip_nofiletype.zip", DV_OK, {1, 0, 0}, NULL},
    {"libarchive_zip_padded1.zip", DV_UNSUPPORTED, {0, 0, 0}, PREFIX},
    {"libarchive_zip_padded2.zip", DV_CORRUPT, {0, 0, 0}, TRAILING},
    {"libarchive_zip_padded3.zip", DV_UNSUPPORTED, {0, 0, 0}, PREFIX},
    {"libarchive_zip_pkware_unix.zip", DV_OK, {1, 0, 0}, NULL},
    {"libarchive_zip_ppmd8.zipx", DV_OK, {0, 1, 0}, NULL},
    {"libarchive_zip_ppmd8_aes256_streaming.zipx", DV_CORRUPT, {0, 0, 0}, NULL},
    {"libarchive_zip_ppmd8_crash_1.zipx", DV_UNSUPPORTED, {0, 0, 0}, NULL},
    {"libarchive_zip_ppmd8_crash_2.zipx", DV_UNSUPPORTED, {0, 0, 0}, NULL},
    {"libarchive_zip_ppmd8_multi.zipx", DV_OK, {0, 3, 0}, NULL},
    {"libarchive_zip_size_exceeds_declared_deflate.zip", DV_OK, {1, 0, 1}, NULL},
    {"libarchive_zip_size_exceeds_declared_stored.zip", DV_CORRUPT, {0, 0, 0}, NULL},
    {"libarchive_zip_symlink.zip", DV_OK, {1, 1, 0}, LINK},
    {"libarchive_zip_symlink_unsupported_compression.zip", DV_OK, {1, 1, 0}, NULL},
    {"libarchive_zip_traditional_encryption_data.zip", DV_OK, {0, 2, 0}, NULL},
    {"libarchive_zip_uncompressed_size_off_by_4gib.zip", DV_CORRUPT, {0, 0, 0}, NULL},
    {"libarchive_zip_ux.zip", DV_OK, {1, 0, 0}, NULL},
    {"libarchive_zip_winzip_aes128.zip", DV_OK, {0, 1, 0}, NULL},
    {"libarchive_zip_winzip_aes256.zip", DV_OK, {0, 1, 0}, NULL},
    {"libarchive_zip_winzip_aes256_stored.zip", DV_OK, {0, 1, 0}, NULL},
    {"libarchive_zip_with_invalid_traditional_eocd.zip", DV_OK, {2, 0, 0}, NULL},
    {"libarchive_zip_xz_multi.zipx", DV_OK, {0, 3, 0}, NULL},
    {"libarchive_zip_zip64a.zip", DV_OK, {1, 0, 0}, NULL},
    {"libarchive_zip_zip64b.zip", DV_OK, {1, 0, 0}, NULL},
    {"libarchive_zip_zipx_lzma_oom.zipx", DV_CORRUPT, {0, 0, 0}, NULL},
    {"libarchive_zip_zstd.zipx", DV_OK, {0, 1, 0}, NULL},
    {"libarchive_zip_zstd_multi.zipx", DV_OK, {0, 3, 0}, NULL},
    {"rubyzip_gpbit3stored.zip", DV_OK, {2, 0, 0}, NULL},
    {"rubyzip_invalid-split.zip", DV_UNSUPPORTED, {0, 0, 0}, SPLIT},
    {"rubyzip_ntfs.zip", DV_OK, {1, 0, 0}, NULL},
    {"rubyzip_path_traversal_jwilk_absolute1.zip", DV_OK, {0, 1, 0}, PATH},
    {"rubyzip_path_traversal_jwilk_absolute2.zip", DV_OK, {0, 1, 0}, PATH},
    {"rubyzip_path_traversal_jwilk_dirsymlink.zip", DV_OK, {1, 1, 0}, LINK},
    {"rubyzip_path_traversal_jwilk_dirsymlink2a.zip", DV_OK, {1, 2, 0}, LINK},
    {"rubyzip_path_traversal_jwilk_dirsymlink2b.zip", DV_OK, {1, 2, 0}, LINK},
    {"rubyzip_path_traversal_jwilk_relative0.zip", DV_OK, {0, 1, 0}, PATH},
    {"rubyzip_path_traversal_jwilk_relative2.zip", DV_OK, {0, 1, 0}, PATH},
    {"rubyzip_path_traversal_jwilk_symlink.zip", DV_OK, {0, 2, 0}, LINK},
    {"rubyzip_path_traversal_out_evil.zip", DV_OK, {0, 2, 0}, PATH},
    {"rubyzip_path_traversal_relative1.zip", DV_OK, {0, 1, 0}, PATH},
    {"rubyzip_path_traversal_tilde.zip", DV_OK, {2, 0, 0}, NULL},
    {"rubyzip_path_traversal_tuzovakaoff_absolutepath.zip", DV_OK, {0, 2, 0}, PATH},
    {"rubyzip_path_traversal_tuzovakaoff_symlink.zip", DV_OK, {1, 1, 0}, LINK},
    {"rubyzip_zip-aes-128.zip", DV_OK, {0, 1, 0}, NULL},
    {"rubyzip_zip-aes-256.zip", DV_OK, {0, 2, 0}, NULL},
    {"rubyzip_zipWithCDirHeadersInPayload.zip", DV_OK, {1, 0, 0}, NULL},
    {"rubyzip_zipWithTooBigCDirSizeField.zip", DV_CORRUPT, {0, 0, 0}, DIRECTORY},
    {"rubyzip_zipWithTooBigCDirSizeField64.zip", DV_CORRUPT, {0, 0, 0}, DIRECTORY},
    {"snyk_zip-slip-win.zip", DV_OK, {1, 1, 0}, PATH},
    {"snyk_zip-slip.zip", DV_OK, {1, 1, 0}, PATH},
    {"yauzl_End-of-central-directory-record-signature-not-found-Either-not-a-zip-file-or-file-is."
     "zip",
        DV_CORRUPT, {0, 0, 0}, NULL},
    {"yauzl_Invalid-comment-length-Expected-1-Found-0-Are-there-extra-bytes-at-the-end-of-the-fi."
     "zip",
        DV_CORRUPT, {0, 0, 0}, TRAILING},
    {"yauzl_absolute-path-C-xt.zip", DV_CORRUPT, {0, 0, 0}, NULL},
    {"yauzl_absolute-path-atxt.zip", DV_CORRUPT, {0, 0, 0}, NULL},
    {"yauzl_compressed-uncompressed-size-mismatch-for-stored-file-2147483647-5.zip", DV_CORRUPT,
        {0, 0, 0}, NULL},
    {"yauzl_extra-field-length-exceeds-extra-field-buffer-size.zip", DV_CORRUPT, {0, 0, 0}, NULL},
    {"yauzl_file-data-overflows-file-bounds-63-2147483647-308.zip", DV_CORRUPT, {0, 0, 0}, NULL},
    {"yauzl_invalid-central-directory-file-header-signature-0x1014b50.zip", DV_CORRUPT, {0, 0, 0},
        NULL},
    {"yauzl_invalid-characters-in-fileName-a-txt.zip", DV_CORRUPT, {0, 0, 0}, NULL},
    {"yauzl_invalid-local-file-header-signature-0x3034b50.zip", DV_CORRUPT, {0, 0, 0}, NULL},
    {"yauzl_invalid-relative-path-xt.zip", DV_CORRUPT, {0, 0, 0}, NULL},
    {"yauzl_invalid-zip64-end-of-central-directory-record-signature.zip", DV_UNSUPPORTED, {0, 0, 0},
        NULL},
    {"yauzl_multi-disk-zip-files-are-not-supported-found-disk-number-1.zip", DV_UNSUPPORTED,
        {0, 0, 0}, DISKS},
    {"yauzl_not-enough-bytes-in-the-stream-expected-2048576-got-only-1000000.zip", DV_CORRUPT,
        {0, 0, 0}, RATIO},
    {"yauzl_strong-encryption-is-not-supported.zip", DV_CORRUPT, {0, 0, 0}, NULL},
    {"yauzl_too-many-bytes-in-the-stream-expected-82496-got-at-least-98304.zip", DV_CORRUPT,
        {0, 0, 0}, NULL},
    {"yauzl_unexpected-EOF.zip", DV_CORRUPT, {0, 0, 0}, NULL},
    {"yauzl_unsupported-compression-method-1.zip", DV_CORRUPT, {0, 0, 0}, NULL},
    {"yauzl_wrong-entry-sizes.zip", DV_CORRUPT, {0, 0, 0}, NULL},
    {"yauzl_zip64-extended-information-extra-field-does-not-include-compressed-size.zip",
        DV_CORRUPT, {0, 0, 0}, NULL},
    {"yauzl_zip64-extended-information-extra-field-does-not-include-relative-header-offset.zip",
        DV_CORRUPT, {0, 0, 0}, NULL},
    {"yauzl_zip64-extended-information-extra-field-does-not-include-uncompressed-size.zip",
        DV_CORRUPT, {0, 0, 0}, NULL},
};

static const struct verdict *find_verdict(const char *file)
{
    for (size_t i = 0; i < DV_ARRAY_SIZE(verdicts); i++) {
        if (strcmp(verdicts[i].file, file) == 0) {
            return &verdicts[i];
        }
    }
    return NULL;
}

/* Is `data` at hand? Skipping is only for machines without it. */
static const char *shared_folder(void)
{
    const char *shared = getenv("DV_SHARED");
    const char *required = getenv("DV_REQUIRE_DATA");

    if (shared && dv_path_exists(shared)) {
        return shared;
    }
    if (required && strcmp(required, "1") == 0) {
        fail_msg("the data folder DV_SHARED is missing");
    }
    print_message("no data folder (DV_SHARED): skipped\n");
    skip();
    return NULL;
}

/* The manifest's line of `file` is FILE,BYTES,ENTRIES,DECLARED,VERDICT,... */
static bool python_reads_all(const char *manifest, const char *file)
{
    for (const char *line = manifest; line; line = strchr(line, '\n')) {
        line += *line == '\n';
        size_t length = strlen(file);
        if (strncmp(line, file, length) != 0 || line[length] != ',') {
            continue;
        }
        for (int field = 0; field < 4; field++) {
            line = strchr(line, ',') + 1;
        }
        return strncmp(line, "ok,", 3) == 0;
    }
    fail_msg("%s is not in the manifest", file);
    return false;
}

static void check_file(const char *folder, const char *file, const char *manifest)
{
    const struct verdict *expected = find_verdict(file);
    char path[DV_PATH_SIZE];
    struct dv_source *source = NULL;
    struct dv_error error = {0};
    struct zip_counts counts = {0};

    if (!expected) {
        fail_msg("%s is not in the table of verdicts", file);
    }
    assert_int_equal(dv_path_format(path, NULL, "%s/%s", folder, file), DV_OK);
    enum dv_status status = dv_source_open(path, &source, &error);
    if (status == DV_OK) {
        counts = zip_read_all(source);
        (void)dv_source_close(source);
    }
    if (status != expected->status || memcmp(&counts, &expected->counts, sizeof(counts)) != 0) {
        fail_msg("%s: %s %s, good %u refused %u damaged %u", file, dv_status_name(status),
            status ? error.text : "", counts.good, counts.refused, counts.damaged);
    }
    bool we_read_all = status == DV_OK && counts.refused == 0 && counts.damaged == 0;
    bool differs = we_read_all != python_reads_all(manifest, file);
    if (differs != (expected->why != NULL)) {
        fail_msg("%s: %s", file, differs ? "differs from Python unexplained" : "does not differ");
    }
}

static void each_collected_archive_gets_the_verdict_of_the_table(void **state)
{
    DV_CLEANUP(dv_freep) char *manifest = NULL;
    char folder[DV_PATH_SIZE];
    char path[DV_PATH_SIZE];
    size_t size;
    size_t seen = 0;

    (void)state;
    assert_int_equal(
        dv_path_format(folder, NULL, "%s/data/malformed-zips", shared_folder()), DV_OK);
    assert_int_equal(dv_path_format(path, NULL, "%s/manifest.csv", folder), DV_OK);
    assert_int_equal(dv_file_read(path, 1 << 20, &manifest, &size, NULL), DV_OK);

    DIR *stream = opendir(folder);
    assert_non_null(stream);
    for (const struct dirent *item; (item = readdir(stream));) {
        if (item->d_name[0] != '.' && strcmp(item->d_name, "manifest.csv") != 0) {
            check_file(folder, item->d_name, manifest);
            seen++;
        }
    }
    (void)closedir(stream);
    assert_int_equal(seen, DV_ARRAY_SIZE(verdicts));
}

static void the_picture_sets_are_read_whole(void **state)
{
    static const struct {
        const char *file;
        unsigned count;
    } sets[] = {{"fashion-mnist.zip", 70000}, {"flowers.zip", 750}, {"tiny-sign-digits.zip", 192},
        {"cifar10-trainset-500.zip", 500}};
    char path[DV_PATH_SIZE];

    (void)state;
    for (size_t i = 0; i < DV_ARRAY_SIZE(sets); i++) {
        struct dv_source *source;
        assert_int_equal(
            dv_path_format(path, NULL, "%s/data/images/%s", shared_folder(), sets[i].file), DV_OK);
        assert_int_equal(dv_source_open(path, &source, NULL), DV_OK);
        struct zip_counts counts = zip_read_all(source);
        assert_int_equal(counts.good, sets[i].count);
        assert_int_equal(counts.refused + counts.damaged, 0);
        (void)dv_source_close(source);
    }
}

static void a_set_cut_at_every_hundredth_is_refused(void **state)
{
    DV_CLEANUP(dv_freep) char *bytes = NULL;
    char path[DV_PATH_SIZE];
    size_t size;

    (void)state;
    assert_int_equal(
        dv_path_format(path, NULL, "%s/data/images/cifar10-trainset-500.zip", shared_folder()),
        DV_OK);
    assert_int_equal(dv_file_read(path, 1 << 24, &bytes, &size, NULL), DV_OK);
    for (size_t percent = 0; percent < 100; percent++) {
        struct dv_source *source;
        assert_int_not_equal(zip_open(bytes, size * percent / 100, &source, NULL), DV_OK);
    }
    struct dv_source *source;
    assert_int_not_equal(zip_open(bytes, size - 22, &source, NULL), DV_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_collected_archive_gets_the_verdict_of_the_table),
        cmocka_unit_test(the_picture_sets_are_read_whole),
        cmocka_unit_test(a_set_cut_at_every_hundredth_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
