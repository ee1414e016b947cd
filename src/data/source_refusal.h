/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DV_DATA_SOURCE_REFUSAL_H
#define DV_DATA_SOURCE_REFUSAL_H

/*
 * Why one entry of a source is refused while the rest is read: one byte in the compact tables, a
 * finding and a sentence for people. Only the sources include this.
 */

#include "spec/dataset.h"

/* clang-format off */
#define DV_REFUSAL_MAP(X)                                                                          \
    X(NONE,         IGNORED,             "")                                                       \
    X(NAME_EMPTY,   UNSAFE_PATH,         "the name is empty")                                      \
    X(NAME_LONG,    UNSAFE_PATH,         "the name is longer than 512 bytes")                      \
    X(NAME_DEEP,    UNSAFE_PATH,         "the name has more than 16 segments")                     \
    X(NAME_NUL,     UNSAFE_PATH,         "the name holds a NUL byte")                              \
    X(NAME_UTF8,    UNSAFE_PATH,         "the name is not valid UTF-8")                            \
    X(NAME_SLASH,   UNSAFE_PATH,         "the name holds a backslash")                             \
    X(NAME_ROOT,    UNSAFE_PATH,         "the name is absolute")                                   \
    X(NAME_DRIVE,   UNSAFE_PATH,         "the name begins with a drive letter")                    \
    X(NAME_DOTS,    UNSAFE_PATH,         "the name has a segment that is empty, '.' or '..'")      \
    X(NAME_TWO,     UNSAFE_PATH,         "the entry has two names that differ")                    \
    X(NAME_TWICE,   UNSAFE_PATH,         "the name occurs more than once")                         \
    X(NAME_FOLDER,  UNSAFE_PATH,         "other entries use the name as a folder")                 \
    X(LINK,         UNSAFE_PATH,         "a symbolic link")                                        \
    X(SPECIAL,      UNSAFE_PATH,         "neither a file nor a folder")                            \
    X(ENCRYPTED,    ENCRYPTED,           "encrypted")                                              \
    X(METHOD,       UNSUPPORTED_FEATURE, "compressed by a method other than stored and deflate")   \
    X(PATCH,        UNSUPPORTED_FEATURE, "patch data, not a file")                                 \
    X(SIZE,         TOO_LARGE,           "larger than 256 MiB")                                    \
    X(RATIO,        TOO_LARGE,           "inflates to more than 200 times its stored size")        \
    X(FOLDER_DATA,  CORRUPT_ENTRY,       "a folder that holds data")                               \
    X(UNREADABLE,   CORRUPT_ENTRY,       "cannot be opened for reading")
/* clang-format on */

enum dv_refusal {
#define X(code, finding, text) DV_REFUSAL_##code,
    DV_REFUSAL_MAP(X)
#undef X
        DV_REFUSAL_COUNT,
};

enum dv_finding_code dv_refusal_finding(enum dv_refusal refusal);
const char *dv_refusal_text(enum dv_refusal refusal); /* constant; never NULL */

/*
 * Is this name (`size` bytes, a NUL after them) fit to be kept? Names are data and never become
 * paths of ours; they are still refused where another program could be led astray by them.
 */
enum dv_refusal dv_source_name_check(const char *name, size_t size);

#endif
