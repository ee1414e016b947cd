/* SPDX-License-Identifier: Apache-2.0 */
#include "wire/message.h"

#include "base/alloc.h"
#include "base/json.h"
#include "base/text.h"
#include "wire/channel.h"

#include <assert.h>
#include <math.h>
#include <string.h>

enum field_kind {
    FIELD_TEXT,
    FIELD_OPTIONAL_TEXT,
    FIELD_INTEGER,
    FIELD_NUMBER, /* NAN is null */
    FIELD_BOOL,
    FIELD_OBJECT,
    FIELD_ARRAY,
};

struct field {
    const char *name; /* NULL ends the table */
    enum field_kind kind;
    size_t offset; /* within struct dv_message */
};

/* --- The tables ------------------------------------------------------------------------- */

#define FIELD(message, member, kind)                                                               \
    {                                                                                              \
#member, FIELD_##kind, offsetof(struct dv_message, message.member)                         \
    }

static const struct field hello_fields[] = {
    FIELD(hello, role, TEXT),
    FIELD(hello, version, TEXT),
    FIELD(hello, pid, INTEGER),
    {0},
};

static const struct field job_fields[] = {
    FIELD(job, kind, TEXT),
    FIELD(job, source, OPTIONAL_TEXT),
    FIELD(job, dataset_folder, OPTIONAL_TEXT),
    FIELD(job, job_folder, OPTIONAL_TEXT),
    FIELD(job, model_folder, OPTIONAL_TEXT),
    FIELD(job, cache_folder, OPTIONAL_TEXT),
    FIELD(job, previous_failure, OPTIONAL_TEXT),
    FIELD(job, attempt, INTEGER),
    FIELD(job, thread_count, INTEGER),
    FIELD(job, memory_max, INTEGER),
    FIELD(job, options, OBJECT),
    {0},
};

static const struct field ack_fields[] = {
    FIELD(ack, not_applied, ARRAY),
    {0},
};

static const struct field progress_fields[] = {
    FIELD(progress, stage, TEXT),
    FIELD(progress, status, OPTIONAL_TEXT),
    FIELD(progress, iteration, INTEGER),
    FIELD(progress, epoch, INTEGER),
    FIELD(progress, epochs, INTEGER),
    FIELD(progress, step, INTEGER),
    FIELD(progress, steps, INTEGER),
    FIELD(progress, loss, NUMBER),
    FIELD(progress, accuracy, NUMBER),
    FIELD(progress, val_loss, NUMBER),
    FIELD(progress, val_accuracy, NUMBER),
    FIELD(progress, best_accuracy, NUMBER),
    FIELD(progress, learning_rate, NUMBER),
    FIELD(progress, images_per_second, NUMBER),
    FIELD(progress, eta_seconds, NUMBER),
    FIELD(progress, fraction, NUMBER),
    FIELD(progress, is_epoch_end, BOOL),
    {0},
};

static const struct field log_fields[] = {
    FIELD(log, level, TEXT),
    FIELD(log, text, TEXT),
    {0},
};

static const struct field findings_fields[] = {
    FIELD(findings, counts, OBJECT),
    {0},
};

static const struct field result_fields[] = {
    FIELD(result, value, OBJECT),
    {0},
};

static const struct field failure_fields[] = {
    FIELD(failure, reason, TEXT),
    FIELD(failure, status, TEXT),
    FIELD(failure, text, TEXT),
    {0},
};

static const struct field cancel_fields[] = {
    FIELD(cancel, reason, OPTIONAL_TEXT),
    {0},
};

static const struct field predict_fields[] = {
    FIELD(predict, id, INTEGER),
    FIELD(predict, top_k, INTEGER),
    {0},
};

static const struct field secret_fields[] = {
    FIELD(secret, name, TEXT),
    {0},
};

static const struct field ask_fields[] = {
    FIELD(ask, id, INTEGER),
    FIELD(ask, purpose, TEXT),
    {0},
};

static const struct field reply_fields[] = {
    FIELD(reply, id, INTEGER),
    FIELD(reply, outcome, TEXT),
    FIELD(reply, reason, OPTIONAL_TEXT),
    FIELD(reply, model, TEXT),
    FIELD(reply, wait_ms, INTEGER),
    FIELD(reply, prompt_tokens, INTEGER),
    FIELD(reply, completion_tokens, INTEGER),
    FIELD(reply, dollars, NUMBER),
    FIELD(reply, latency_ms, INTEGER),
    {0},
};

static const struct field run_fields[] = {
    FIELD(run, iteration, INTEGER),
    FIELD(run, status, TEXT),
    {0},
};

#undef FIELD

static const struct {
    const char *name;
    const struct field *fields;
} types[] = {
#define X(code, name) [DV_MESSAGE_##code] = {#name, name##_fields},
    DV_MESSAGE_MAP(X)
#undef X
};

_Static_assert(DV_ARRAY_SIZE(types) == DV_MESSAGE_TYPE_COUNT, "each message has its fields");

const char *dv_message_type_name(enum dv_message_type type)
{
    assert((unsigned)type < DV_MESSAGE_TYPE_COUNT);
    return types[type].name;
}

/* --- Encoding --------------------------------------------------------------------------- */

static struct dv_json *container_to_json(const struct dv_json *value, enum field_kind kind)
{
    if (value) {
        return dv_json_ref(value);
    }
    return kind == FIELD_OBJECT ? dv_json_object() : dv_json_array();
}

static void encode_field(
    const struct dv_message *message, const struct field *field, struct dv_json *document)
{
    const void *at = (const char *)message + field->offset;

    switch (field->kind) {
    case FIELD_TEXT:
        assert(*(const char *const *)at);
        dv_json_set_text(document, field->name, *(const char *const *)at);
        break;
    case FIELD_OPTIONAL_TEXT:
        dv_json_set_text(document, field->name, *(const char *const *)at);
        break;
    case FIELD_INTEGER:
        dv_json_set_integer(document, field->name, *(const int64_t *)at);
        break;
    case FIELD_NUMBER:
        dv_json_set_number(document, field->name, *(const double *)at);
        break;
    case FIELD_BOOL:
        dv_json_set_bool(document, field->name, *(const bool *)at);
        break;
    case FIELD_OBJECT:
    case FIELD_ARRAY:
        dv_json_set(document, field->name,
            container_to_json(*(const struct dv_json *const *)at, field->kind));
        break;
    }
}

char *dv_message_encode(const struct dv_message *message)
{
    DV_CLEANUP(dv_json_unrefp) struct dv_json *document = dv_json_object();

    assert(message);
    dv_json_set_string(document, "type", dv_message_type_name(message->type));
    for (const struct field *field = types[message->type].fields; field->name; field++) {
        encode_field(message, field, document);
    }
    return dv_json_print(document);
}

/* --- Decoding --------------------------------------------------------------------------- */

static bool decode_field(
    struct dv_message *message, const struct field *field, const struct dv_json *value)
{
    void *at = (char *)message + field->offset;

    switch (field->kind) {
    case FIELD_TEXT:
        *(const char **)at = dv_json_to_string(value, NULL);
        return dv_json_is_string(value);
    case FIELD_OPTIONAL_TEXT:
        *(const char **)at = dv_json_to_string(value, NULL);
        return dv_json_is_string(value) || dv_json_is_null(value);
    case FIELD_INTEGER:
        *(int64_t *)at = dv_json_to_integer(value, 0);
        return dv_json_is_integer(value);
    case FIELD_NUMBER:
        *(double *)at = dv_json_to_number(value, (double)NAN);
        return dv_json_is_number(value) || dv_json_is_null(value);
    case FIELD_BOOL:
        *(bool *)at = dv_json_to_bool(value, false);
        return dv_json_is_bool(value);
    case FIELD_OBJECT:
        *(const struct dv_json **)at = value;
        return dv_json_is_object(value);
    case FIELD_ARRAY:
        *(const struct dv_json **)at = value;
        return dv_json_is_array(value);
    }
    return false;
}

static enum dv_status decode_fields(
    struct dv_message *message, const struct dv_json *document, struct dv_error *reterr)
{
    const char *type = types[message->type].name;
    size_t count = 1; /* `type` itself */

    for (const struct field *field = types[message->type].fields; field->name; field++) {
        const struct dv_json *value = dv_json_get(document, field->name);
        if (!value) {
            return dv_fail(
                reterr, DV_INVALID, "a message '%s' has no field '%s'", type, field->name);
        }
        if (!decode_field(message, field, value)) {
            return dv_fail(reterr, DV_INVALID, "field '%s' of a message '%s' is %s", field->name,
                type, dv_json_type_name(value));
        }
        count++;
    }
    if (dv_json_count(document) != count) {
        return dv_fail(reterr, DV_INVALID, "a message '%s' has %zu fields instead of %zu", type,
            dv_json_count(document), count);
    }
    return DV_OK;
}

static bool find_type(const char *name, enum dv_message_type *ret_type)
{
    for (unsigned i = 0; i < DV_MESSAGE_TYPE_COUNT; i++) {
        if (dv_text_equal(types[i].name, name)) {
            *ret_type = (enum dv_message_type)i;
            return true;
        }
    }
    return false;
}

enum dv_status dv_message_decode(
    const char *line, size_t size, struct dv_message *ret_message, struct dv_error *reterr)
{
    DV_CLEANUP(dv_json_unrefp) struct dv_json *document = NULL;
    struct dv_message message = {0};

    assert(ret_message);
    enum dv_status status = dv_json_parse(line, size, &document, reterr);
    if (status != DV_OK) {
        dv_error_prefix(reterr, "a message from another process");
        return status;
    }
    if (!dv_json_is_object(document)) {
        return dv_fail(reterr, DV_INVALID, "a message is %s", dv_json_type_name(document));
    }
    if (!find_type(dv_json_get_string(document, "type", ""), &message.type)) {
        return dv_fail(reterr, DV_INVALID, "there is no message of type '%.40s'",
            dv_json_get_string(document, "type", ""));
    }
    status = decode_fields(&message, document, reterr);
    if (status != DV_OK) {
        return status;
    }
    message.document = document;
    document = NULL;
    *ret_message = message;
    return DV_OK;
}

void dv_message_finish(struct dv_message *message)
{
    message->document = dv_json_unref(message->document);
}

/* --- Over a channel --------------------------------------------------------------------- */

enum dv_status dv_message_send(struct dv_channel *channel, const struct dv_message *message,
    int passed_fd, int timeout_ms, struct dv_error *reterr)
{
    DV_CLEANUP(dv_freep) char *line = dv_message_encode(message);

    return dv_channel_send(channel, line, strlen(line), passed_fd, timeout_ms, reterr);
}

enum dv_status dv_message_receive(struct dv_channel *channel, int timeout_ms,
    struct dv_message *ret_message, struct dv_error *reterr)
{
    const char *line;
    size_t size;

    enum dv_status status = dv_channel_receive(channel, timeout_ms, &line, &size, reterr);
    if (status == DV_OK) {
        status = dv_message_decode(line, size, ret_message, reterr);
    }
    return status;
}
