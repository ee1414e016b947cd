/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DV_TESTS_STORE_FIXTURE_H
#define DV_TESTS_STORE_FIXTURE_H

/*
 * What the tests of the store share. Each program runs on SQLite in a folder of its own, or, where
 * DV_TEST_POSTGRES has the address of one (tests/tools/with_postgres.py), on PostgreSQL. The tests
 * of a program share one database and make rows of their own in it.
 */

#include "base/file.h"
#include "base/hash.h"
#include "base/json.h"
#include "base/text.h"
#include "store/datasets.h"
#include "store/exchanges.h"
#include "store/jobs.h"
#include "store/logs.h"
#include "store/models.h"
#include "store/runs.h"
#include "store/store.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define INSTANCE "11111111-1111-4111-8111-111111111111"
#define OTHER_INSTANCE "22222222-2222-4222-8222-222222222222"

extern char fixture_url[DV_PATH_SIZE];
extern struct dv_store *store; /* open while a test runs */

/* In the test's own thread only. */
#define ok(call)                                                                                   \
    do {                                                                                           \
        struct dv_error error = {0};                                                               \
        enum dv_status status_ = (call);                                                           \
        if (status_ != DV_OK) {                                                                    \
            fail_msg("%s: %s", dv_status_name(status_), error.text);                               \
        }                                                                                          \
    } while (0)

bool fixture_is_postgres(void);
const char *fixture_folder(void);

/* A data set, `ready` or `processing`. */
void make_dataset(char ret_id[static DV_UUID_TEXT_SIZE], const char *name, bool is_ready);

struct job {
    char dataset[DV_UUID_TEXT_SIZE], id[DV_UUID_TEXT_SIZE], model[DV_UUID_TEXT_SIZE];
    int64_t fence;
};

/* A pending job with its data set and its model. */
void make_job(struct job *job, int64_t priority);

/* Claim until it is this one: others may be left by other tests. */
void claim(struct job *job);

void assert_status(const struct job *job, const char *job_status, const char *model_status);

/* What a worker says at its end. */
struct dv_json *make_result(void);

/* What main() returns. */
int fixture_run_tests(const char *name, const struct CMUnitTest *tests, size_t count);
#define fixture_run(name, tests) fixture_run_tests(name, tests, sizeof(tests) / sizeof((tests)[0]))

#endif
