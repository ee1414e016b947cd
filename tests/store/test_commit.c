/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A connection that dies around a COMMIT, with a proxy between the store and PostgreSQL. On SQLite
 * there is nothing in between: the test is skipped.
 */

#include "fixture.h"
#include "proxy.h"

#include <stdlib.h>

#define BEFORE "host="

static struct dv_store *through; /* the store behind the proxy */
static int told;                 /* commits with events that it told of */

static void note_commit(void *user, int64_t event_id)
{
    (void)user;
    (void)event_id;
    told++;
}

static int start(void **state)
{
    const char *postgres = getenv("DV_TEST_POSTGRES");
    char url[DV_PATH_SIZE];
    struct dv_error error = {0};

    (void)state;
    if (!postgres) {
        return 0;
    }
    const char *host = strstr(postgres, BEFORE);
    assert_non_null(host);
    proxy_start(fixture_folder(), host + strlen(BEFORE));
    (void)snprintf(url, sizeof(url), "%.*s" BEFORE "%s", (int)(host - postgres), postgres,
        fixture_folder());
    if (dv_store_open(url, OTHER_INSTANCE, &through, &error) != DV_OK) {
        print_error("%s\n", error.text);
        return -1;
    }
    dv_store_on_commit(through, note_commit, NULL);
    return 0;
}

static int stop(void **state)
{
    (void)state;
    if (through) {
        through = dv_store_close(through);
        proxy_stop();
    }
    return 0;
}

static enum dv_status create(char ret_id[static DV_UUID_TEXT_SIZE], struct dv_error *reterr)
{
    const struct dv_dataset_fields fields = {
        .name = "lost and found", .domain = "vision", .task = "classification"};
    DV_CLEANUP(dv_json_unrefp) struct dv_json *row = NULL;

    dv_uuid_make(ret_id);
    enum dv_status status =
        dv_datasets_create(through, ret_id, &fields, "processing", &row, reterr);
    assert_true(status != DV_OK || dv_text_equal(dv_json_get_string(row, "id", ""), ret_id));
    return status;
}

/* Asked of the database itself. */
static bool is_there(const char *id)
{
    DV_CLEANUP(dv_json_unrefp) struct dv_json *row = NULL;

    return dv_datasets_get(store, id, &row, NULL) == DV_OK;
}

static void what_was_committed_is_said_to_be(void **state)
{
    char id[DV_UUID_TEXT_SIZE];

    (void)state;
    if (!through) {
        skip();
    }
    for (int i = 0; i < 5; i++) {
        int before = told;
        proxy_lose(PROXY_LOSES_ANSWER);
        ok(create(id, &error));
        assert_int_not_equal(proxy_question_count(), 0);
        assert_true(is_there(id));
        assert_int_equal(told, before + 1); /* streams hear of it too */
    }
}

static void what_was_not_committed_is_said_not_to_be(void **state)
{
    char id[DV_UUID_TEXT_SIZE];

    (void)state;
    if (!through) {
        skip();
    }
    for (int i = 0; i < 5; i++) {
        int before = told;
        proxy_lose(PROXY_LOSES_COMMIT);
        assert_int_equal(create(id, NULL), DV_UNAVAILABLE);
        /* The first answer was that it was under way: the database had not yet seen the end. */
        assert_true(proxy_question_count() >= 2);
        assert_false(is_there(id));
        assert_int_equal(told, before);
        ok(create(id, &error));
        assert_true(is_there(id));
    }
}

static void connections_that_a_crash_has_left_behind_are_made_anew(void **state)
{
    char id[DV_UUID_TEXT_SIZE];

    (void)state;
    if (!through) {
        skip();
    }
    proxy_lose(PROXY_PASSES);
    for (int i = 0; i < 5; i++) {
        DV_CLEANUP(dv_json_unrefp) struct dv_json *row = NULL;
        ok(create(id, &error));
        ok(dv_datasets_get(through, id, &row, &error)); /* both are open, and idle */
        proxy_crash();
        if (i % 2 == 0) {
            row = dv_json_unref(row);
            ok(dv_datasets_get(through, id, &row, &error));
        }
        ok(create(id, &error));
        assert_true(is_there(id));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_was_committed_is_said_to_be, start, stop),
        cmocka_unit_test_setup_teardown(what_was_not_committed_is_said_not_to_be, start, stop),
        cmocka_unit_test_setup_teardown(
            connections_that_a_crash_has_left_behind_are_made_anew, start, stop),
    };

    return fixture_run("commit", tests);
}
