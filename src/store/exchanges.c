/* SPDX-License-Identifier: Apache-2.0 */
#include "store/exchanges.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/hash.h"
#include "base/text.h"
#include "store/job_move.h"
#include "store/store_impl.h"

#include <assert.h>
#include <string.h>

#define COLUMNS                                                                                    \
    "job_id, number, purpose, outcome, reason, model, request, request_hash, response, "           \
    "prompt_tokens, completion_tokens, dollars, latency_ms, created_at"

static const struct dv_list_sort sorts[] = {{"number", DV_LIST_INTEGER}, {0}};

/* --- Writing ---------------------------------------------------------------------------------- */

static struct dv_json *make_event(const struct dv_exchange *exchange)
{
    struct dv_json *event = dv_json_object();

    dv_json_set_integer(event, "number", exchange->number);
    dv_json_set_text(event, "purpose", exchange->purpose);
    dv_json_set_text(event, "outcome", exchange->outcome);
    dv_json_set_text(event, "reason", exchange->reason);
    dv_json_set_text(event, "model", exchange->model);
    dv_json_set_integer(event, "prompt_tokens", exchange->prompt_tokens);
    dv_json_set_integer(event, "completion_tokens", exchange->completion_tokens);
    dv_json_set_number(event, "dollars", exchange->dollars);
    dv_json_set_integer(event, "latency_ms", exchange->latency_ms);
    return event;
}

static enum dv_status put(struct dv_store *store, const char *job_id,
    const struct dv_exchange *exchange, struct dv_error *reterr)
{
    unsigned char digest[DV_SHA256_SIZE];
    char hash[DV_SHA256_TEXT_SIZE], now[DV_TIME_TEXT_SIZE];
    int64_t changes = 0;

    dv_sha256(exchange->request, strlen(exchange->request), digest);
    dv_text_hex(digest, sizeof(digest), hash);
    dv_clock_now_text(now);
    const struct dv_sql_value values[] = {dv_sql_text(job_id), dv_sql_integer(exchange->number),
        dv_sql_text(exchange->purpose), dv_sql_text(exchange->outcome),
        dv_sql_text(exchange->reason), dv_sql_text(exchange->model),
        dv_sql_text(exchange->request), dv_sql_text(hash), dv_sql_text(exchange->response),
        dv_sql_integer(exchange->prompt_tokens), dv_sql_integer(exchange->completion_tokens),
        dv_sql_real(exchange->dollars), dv_sql_integer(exchange->latency_ms), dv_sql_text(now)};
    enum dv_status status = dv_store_write(store,
        "INSERT INTO llm_exchanges (" COLUMNS ") VALUES "
        "($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14) "
        "ON CONFLICT (job_id, number) DO NOTHING",
        values, DV_ARRAY_SIZE(values), NULL, &changes, reterr);
    if (status == DV_OK && changes > 0) {
        status = dv_store_event(store, "jobs", job_id, "llm", make_event(exchange), NULL, reterr);
    }
    return status;
}

enum dv_status dv_exchanges_put(struct dv_store *store, const char *job_id, int64_t fence,
    const struct dv_exchange *exchange, struct dv_error *reterr)
{
    DV_CLEANUP(dv_json_unrefp) struct dv_json *job = NULL;

    assert(exchange->request);
    assert(exchange->response);
    enum dv_status status = dv_store_begin(store, reterr);
    if (status != DV_OK) {
        return status;
    }
    status = dv_job_get_claimed(store, job_id, fence, &job, reterr);
    if (status == DV_OK) {
        status = put(store, job_id, exchange, reterr);
    }
    return dv_store_end(store, status, reterr);
}

/* --- Reading ---------------------------------------------------------------------------------- */

/* They lie there as texts, so that they stay what was said to the byte. */
static void read_documents(struct dv_json *row)
{
    static const char *const members[] = {"request", "response"};

    for (size_t i = 0; i < DV_ARRAY_SIZE(members); i++) {
        const char *text = dv_json_get_string(row, members[i], "");
        struct dv_json *value = NULL;
        /* One that is damaged is shown as it is. */
        if (dv_json_parse(text, strlen(text), &value, NULL) == DV_OK) {
            dv_json_set(row, members[i], value);
        }
    }
}

enum dv_status dv_exchanges_get(struct dv_store *store, const char *job_id, int64_t number,
    struct dv_json **ret_row, struct dv_error *reterr)
{
    const struct dv_sql_value values[] = {dv_sql_text(job_id), dv_sql_integer(number)};

    enum dv_status status = dv_store_read_one(store, "exchange",
        "SELECT " COLUMNS " FROM llm_exchanges WHERE job_id = $1 AND number = $2", values,
        DV_ARRAY_SIZE(values), ret_row, reterr);
    if (status == DV_OK) {
        read_documents(*ret_row);
    }
    return status;
}

enum dv_status dv_exchanges_list(struct dv_store *store, const char *job_id,
    const struct dv_page *page, struct dv_json **ret_list, struct dv_error *reterr)
{
    struct dv_list list = {.columns = COLUMNS,
        .from = "llm_exchanges",
        .sorts = sorts,
        .id = "job_id",
        .default_sort = "number"};

    dv_list_add(&list, "job_id = $$", dv_sql_text(job_id));
    enum dv_status status = dv_list_run(store, &list, page, ret_list, reterr);
    if (status == DV_OK) {
        const struct dv_json *items = dv_json_get(*ret_list, "items");
        for (size_t i = 0; i < dv_json_count(items); i++) {
            read_documents(dv_json_at(items, i));
        }
    }
    return status;
}

enum dv_status dv_exchange_bill(struct dv_store *store, const char *job_id,
    struct dv_json **ret_bill, struct dv_error *reterr)
{
    const struct dv_sql_value values[] = {dv_sql_text(job_id)};

    return dv_store_write_one(store, "bill",
        "SELECT count(*) AS questions, "
        "CAST(coalesce(sum(CASE WHEN outcome = 'answered' THEN 1 ELSE 0 END), 0) AS bigint) "
        "AS answered, "
        "CAST(coalesce(sum(prompt_tokens), 0) AS bigint) AS prompt_tokens, "
        "CAST(coalesce(sum(completion_tokens), 0) AS bigint) AS completion_tokens, "
        "coalesce(sum(dollars), 0) AS dollars FROM llm_exchanges WHERE job_id = $1",
        values, 1, ret_bill, reterr);
}
