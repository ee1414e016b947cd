/* SPDX-License-Identifier: Apache-2.0 */

/*
 * How a database is brought on, with steps of the test's own: each database is a fresh file, or a
 * fresh schema of PostgreSQL's. The steps only come to the expected figure one after the other, and
 * each of them once.
 */

#include "fixture.h"

#include "base/alloc.h"
#include "store/driver/sql.h"
#include "store/migrate.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#define STEPS 20
#define THREADS 4

static char *steps[STEPS];
static const struct dv_schema all = {(const char *const *)steps, STEPS};

static void make_steps(void)
{
    steps[0] = dv_strdup("CREATE TABLE sums (id {UUID} PRIMARY KEY, sum {BIGINT} NOT NULL);\n"
                         "INSERT INTO sums VALUES ('" INSTANCE "', 1);");
    for (int i = 1; i < STEPS; i++) {
        steps[i] = dv_strprintf("CREATE TABLE made_%d (at {TIME}, is_it {BOOLEAN}, what {JSON});\n"
                                "UPDATE sums SET sum = (sum * 31 + %d) %% 1000003;",
            i, i);
    }
}

static int64_t expected_sum(size_t count)
{
    int64_t sum = 1;

    for (size_t i = 1; i < count; i++) {
        sum = (sum * 31 + (int64_t)i) % 1000003;
    }
    return sum;
}

/* The url of a database that nobody has used; the caller's. */
static char *make_database(void)
{
    static int count;
    int number = ++count;

    if (!fixture_is_postgres()) {
        return dv_strprintf("sqlite:%s/m%d.db", fixture_folder(), number);
    }
    struct dv_sql *sql = NULL;
    const struct dv_sql_options options = {.url = fixture_url};
    DV_CLEANUP(dv_freep) char *create = dv_strprintf("CREATE SCHEMA m%d", number);
    ok(dv_sql_open(&options, &sql, &error));
    ok(dv_sql_run(sql, create, NULL, 0, NULL, NULL, &error));
    (void)dv_sql_close(sql);
    return dv_strprintf("%s&options=-csearch_path%%3Dm%d", fixture_url, number);
}

static struct dv_sql *open_database(const char *url)
{
    const struct dv_sql_options options = {.url = url};
    struct dv_sql *sql = NULL;

    ok(dv_sql_open(&options, &sql, &error));
    return sql;
}

static int64_t ask(struct dv_sql *sql, const char *query)
{
    DV_CLEANUP(dv_json_unrefp) struct dv_json *rows = NULL;

    ok(dv_sql_run(sql, query, NULL, 0, &rows, NULL, &error));
    return dv_json_get_integer(dv_json_at(rows, 0), "value", -1);
}

static void assert_steps_taken(struct dv_sql *sql, size_t count)
{
    assert_int_equal(ask(sql, "SELECT count(*) AS value FROM schema_migrations"), count);
    assert_int_equal(ask(sql, "SELECT max(version) AS value FROM schema_migrations"), count);
    assert_int_equal(ask(sql, "SELECT sum AS value FROM sums"), expected_sum(count));
}

static void a_database_is_brought_on_from_every_earlier_version(void **state)
{
    (void)state;
    for (size_t have = 0; have <= STEPS; have += have < 3 ? 1 : 8) {
        const struct dv_schema earlier = {all.steps, have};
        DV_CLEANUP(dv_freep) char *url = make_database();
        struct dv_sql *sql = open_database(url);

        ok(dv_migrate_with(sql, &earlier, &error));
        if (have > 0) {
            assert_steps_taken(sql, have);
        }
        ok(dv_migrate_with(sql, &all, &error));
        assert_steps_taken(sql, STEPS);
        ok(dv_migrate_with(sql, &all, &error)); /* nothing is left to be done */
        assert_steps_taken(sql, STEPS);
        (void)dv_sql_close(sql);
    }
}

static void a_step_that_fails_leaves_nothing_and_is_taken_again(void **state)
{
    const char *broken[] = {steps[0], steps[1],
        "CREATE TABLE made_2 (at {TIME}); UPDATE sums SET sum = 7; SELECT * FROM nowhere;"};
    const struct dv_schema half = {broken, 3};
    DV_CLEANUP(dv_freep) char *url = make_database();
    struct dv_sql *sql = open_database(url);
    struct dv_error why = {0};

    (void)state;
    assert_int_not_equal(dv_migrate_with(sql, &half, &why), DV_OK);
    assert_non_null(strstr(why.text, "step 3 of the database's schema: "));
    assert_steps_taken(sql, 2);
    ok(dv_migrate_with(sql, &all, &error));
    assert_steps_taken(sql, STEPS);
    (void)dv_sql_close(sql);
}

static void a_database_of_a_newer_program_is_left_alone(void **state)
{
    const struct dv_schema older = {all.steps, STEPS - 1};
    DV_CLEANUP(dv_freep) char *url = make_database();
    struct dv_sql *sql = open_database(url);
    struct dv_store *refused = NULL;
    struct dv_error why = {0};

    (void)state;
    ok(dv_migrate_with(sql, &all, &error));
    assert_int_equal(dv_migrate_with(sql, &older, &why), DV_UNSUPPORTED);
    assert_non_null(strstr(why.text, "newer"));
    assert_int_equal(dv_store_open(url, INSTANCE, &refused, NULL), DV_UNSUPPORTED);
    assert_int_equal(dv_store_open_to_read(url, &refused, NULL), DV_UNSUPPORTED);
    assert_steps_taken(sql, STEPS);
    (void)dv_sql_close(sql);
}

/* A process of its own, so that it can be killed. */
static pid_t start_migrating(const char *url)
{
    pid_t pid = fork();

    if (pid == 0) {
        const struct dv_sql_options options = {.url = url};
        struct dv_sql *sql = NULL;
        bool is_done = dv_sql_open(&options, &sql, NULL) == DV_OK &&
                       dv_migrate_with(sql, &all, NULL) == DV_OK;
        _exit(is_done ? 0 : 1);
    }
    assert_true(pid > 0);
    return pid;
}

static void one_that_is_killed_is_gone_on_with(void **state)
{
    unsigned seed = 20261123;
    int killed = 0, result;

    (void)state;
    for (int round = 0; round < 3; round++) {
        DV_CLEANUP(dv_freep) char *url = make_database();
        unsigned patience = 0; /* microseconds; at first there is no time for anything */
        for (bool is_done = false; !is_done;) {
            pid_t pid = start_migrating(url);
            patience += 200;
            (void)usleep((unsigned)rand_r(&seed) % patience);
            (void)kill(pid, SIGKILL);
            assert_int_equal(waitpid(pid, &result, 0), pid);
            is_done = WIFEXITED(result);
            assert_true(!is_done || WEXITSTATUS(result) == 0);
            killed += !is_done;
            if (killed > 50 * (round + 1)) { /* a slow machine: let it come to its end */
                break;
            }
        }
        struct dv_sql *sql = open_database(url);
        ok(dv_migrate_with(sql, &all, &error));
        assert_steps_taken(sql, STEPS);
        (void)dv_sql_close(sql);
    }
    assert_true(killed > 0);
}

struct starter {
    const char *url;
    pthread_barrier_t *barrier;
    bool is_store;
    struct dv_error error;
    enum dv_status status;
};

static void *start_one(void *user)
{
    struct starter *starter = user;
    const struct dv_sql_options options = {.url = starter->url};
    struct dv_sql *sql = NULL;
    struct dv_store *opened = NULL;

    (void)pthread_barrier_wait(starter->barrier);
    if (starter->is_store) {
        starter->status = dv_store_open(starter->url, INSTANCE, &opened, &starter->error);
        (void)dv_store_close(opened);
        return NULL;
    }
    starter->status = dv_sql_open(&options, &sql, &starter->error);
    if (starter->status == DV_OK) {
        starter->status = dv_migrate_with(sql, &all, &starter->error);
    }
    (void)dv_sql_close(sql);
    return NULL;
}

static void start_at_once(const char *url, bool is_store)
{
    struct starter starters[THREADS];
    pthread_t threads[THREADS];
    pthread_barrier_t barrier;

    assert_int_equal(pthread_barrier_init(&barrier, NULL, THREADS), 0);
    for (int i = 0; i < THREADS; i++) {
        starters[i] = (struct starter){.url = url, .barrier = &barrier, .is_store = is_store};
        assert_int_equal(pthread_create(&threads[i], NULL, start_one, &starters[i]), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        if (starters[i].status != DV_OK) {
            fail_msg("%s", starters[i].error.text);
        }
    }
    (void)pthread_barrier_destroy(&barrier);
}

static void servers_that_start_at_once_take_each_step_once(void **state)
{
    (void)state;
    if (!fixture_is_postgres()) {
        skip(); /* SQLite's file is in the data folder of one server, which is locked */
    }
    for (int round = 0; round < 4; round++) {
        DV_CLEANUP(dv_freep) char *url = make_database();
        start_at_once(url, false);
        struct dv_sql *sql = open_database(url);
        assert_steps_taken(sql, STEPS);
        (void)dv_sql_close(sql);
        DV_CLEANUP(dv_freep) char *own = make_database();
        start_at_once(own, true);
    }
}

/* A run as the first schema has it. */
static void put_run(struct dv_sql *sql)
{
    DV_CLEANUP(dv_freep)
    char *job = dv_strprintf(
        "INSERT INTO jobs (id, kind, status, device, spec, priority, seed, timeout_seconds, "
        "max_restarts, thread_count, cancel_requested, queued_at, created_at, updated_at) VALUES "
        "('" OTHER_INSTANCE "', 'train', 'completed', 'cpu', '{}', 0, 0, 0, 0, 0, %s, "
        "'2026-01-01T00:00:00.000Z', '2026-01-01T00:00:00.000Z', '2026-01-01T00:00:00.000Z')",
        fixture_is_postgres() ? "false" : "0");

    ok(dv_sql_run(sql, job, NULL, 0, NULL, NULL, &error));
    ok(dv_sql_run(sql,
        "INSERT INTO training_runs (id, job_id, iteration, status, accuracy, verdict, created_at) "
        "VALUES ('" INSTANCE "', '" OTHER_INSTANCE "', 1, 'completed', 0.5, 'best', "
        "'2026-01-01T00:00:00.000Z')",
        NULL, 0, NULL, NULL, &error));
}

static void assert_run(struct dv_store *opened)
{
    const struct dv_page page = {.limit = 5};
    DV_CLEANUP(dv_json_unrefp) struct dv_json *runs = NULL;
    DV_CLEANUP(dv_json_unrefp) struct dv_json *exchanges = NULL;

    ok(dv_runs_list(opened, OTHER_INSTANCE, &page, &runs, &error));
    const struct dv_json *run = dv_json_at(dv_json_get(runs, "items"), 0);
    assert_string_equal(dv_json_get_string(run, "verdict", ""), "best");
    assert_int_equal(dv_json_get_integer(run, "restarts", -1), 0);
    assert_true(dv_json_get(run, "source") && dv_json_is_null(dv_json_get(run, "source")));
    ok(dv_exchanges_list(opened, OTHER_INSTANCE, &page, &exchanges, &error));
    assert_int_equal(dv_json_get_integer(exchanges, "total", -1), 0);
}

/* This program's own steps, with rows from before each of them. */
static void what_was_there_before_a_step_is_there_after_it(void **state)
{
    (void)state;
    for (size_t have = 1; have < dv_schema_own.count; have++) {
        const struct dv_schema earlier = {dv_schema_own.steps, have};
        DV_CLEANUP(dv_json_unrefp) struct dv_json *list = NULL;
        DV_CLEANUP(dv_freep) char *url = make_database();
        const struct dv_dataset_filter filter = {.search = "PLAIN"};
        const struct dv_page page = {.limit = 5};
        struct dv_sql *sql = open_database(url);
        struct dv_store *opened = NULL;

        ok(dv_migrate_with(sql, &earlier, &error));
        ok(dv_sql_run(sql,
            "INSERT INTO datasets (id, name, domain, task, readiness, created_at, updated_at) "
            "VALUES ('" OTHER_INSTANCE "', 'A plain name', 'vision', 'classification', 'error', "
            "'2026-01-01T00:00:00.000Z', '2026-01-01T00:00:00.000Z')",
            NULL, 0, NULL, NULL, &error));
        put_run(sql);
        (void)dv_sql_close(sql);
        assert_int_equal(dv_store_open_to_read(url, &opened, NULL), DV_UNSUPPORTED);
        ok(dv_store_open(url, INSTANCE, &opened, &error));
        ok(dv_datasets_list(opened, &filter, &page, &list, &error));
        assert_int_equal(dv_json_get_integer(list, "total", 0), 1);
        assert_run(opened);
        (void)dv_store_close(opened);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_database_is_brought_on_from_every_earlier_version),
        cmocka_unit_test(a_step_that_fails_leaves_nothing_and_is_taken_again),
        cmocka_unit_test(a_database_of_a_newer_program_is_left_alone),
        cmocka_unit_test(one_that_is_killed_is_gone_on_with),
        cmocka_unit_test(servers_that_start_at_once_take_each_step_once),
        cmocka_unit_test(what_was_there_before_a_step_is_there_after_it),
    };

    make_steps();
    int result = fixture_run("migrate", tests);
    for (int i = 0; i < STEPS; i++) {
        dv_free(steps[i]);
    }
    return result;
}
