/* SPDX-License-Identifier: Apache-2.0 */
#include "llm/answer.h"

#include "base/json.h"

#include <assert.h>
#include <stdbool.h>

/* --- One object ------------------------------------------------------------------------- */

/* How the brackets of a text that begins with '{' go. */
struct balance {
    size_t size;  /* up to its own closing bracket; 0: there is none */
    size_t depth; /* the greatest */
};

/* Brackets within strings are text. */
static struct balance measure(const char *text, size_t size)
{
    struct balance balance = {0};
    size_t depth = 0;
    bool is_string = false;

    for (size_t i = 0; i < size; i++) {
        char c = text[i];
        if (is_string) {
            i += c == '\\';
            is_string = c != '"';
        } else if (c == '"') {
            is_string = true;
        } else if (c == '{' || c == '[') {
            depth++;
            balance.depth = depth > balance.depth ? depth : balance.depth;
        } else if ((c == '}' || c == ']') && --depth == 0) {
            balance.size = i + 1;
            return balance;
        }
    }
    return balance;
}

static enum dv_status parse_object(const char *text, const struct balance *balance,
    struct dv_json **ret_answer, struct dv_error *reterr)
{
    struct dv_json *answer;

    if (balance->size > DV_LLM_ANSWER_SIZE_MAX) {
        return dv_fail(reterr, DV_TOO_LARGE, "the answer's object has %zu bytes, the limit is %u",
            balance->size, DV_LLM_ANSWER_SIZE_MAX);
    }
    if (balance->depth > DV_LLM_ANSWER_DEPTH_MAX) {
        return dv_fail(reterr, DV_INVALID, "the answer is nested %zu deep, the limit is %u",
            balance->depth, DV_LLM_ANSWER_DEPTH_MAX);
    }
    enum dv_status status = dv_json_parse(text, balance->size, &answer, reterr);
    if (status != DV_OK) {
        dv_error_prefix(reterr, "the answer's object");
        return status;
    }
    assert(dv_json_is_object(answer));
    *ret_answer = answer;
    return DV_OK;
}

/* --- Where it is ------------------------------------------------------------------------ */

/*
 * Where one parses, that is it; where one is balanced but no JSON ("{a, b}" in prose), the search
 * goes on after it; where none is balanced, one further on may be. The first reason is the one told.
 */
static enum dv_status search(
    const char *text, size_t size, struct dv_json **ret_answer, struct dv_error *reterr)
{
    struct dv_error first = {0};
    size_t at = 0;

    for (unsigned tries = 0; tries < DV_LLM_ANSWER_TRIES_MAX; tries++) {
        const char *brace = memchr(text + at, '{', size - at);
        struct dv_error error = {0};
        if (!brace) {
            break;
        }
        at = (size_t)(brace - text);
        struct balance balance = measure(brace, size - at);
        if (balance.size == 0) {
            (void)dv_fail(&error, DV_INVALID, "the answer's object is cut off after %zu bytes",
                size - at);
        } else if (parse_object(brace, &balance, ret_answer, &error) == DV_OK) {
            return DV_OK;
        }
        first = first.status == DV_OK ? error : first;
        at += balance.size > 0 ? balance.size : 1;
    }
    if (first.status == DV_OK) {
        return dv_fail(reterr, DV_INVALID, "there is no JSON object in the answer");
    }
    return dv_fail(reterr, first.status, "%s", first.text);
}

/* The end of the last `mark` in the text, or NULL. */
static const char *after_last(const char *text, size_t size, const char *mark)
{
    const char *found = NULL;
    const char *end = text + size;

    for (const char *at = text; (at = memmem(at, (size_t)(end - at), mark, strlen(mark)));) {
        at += strlen(mark);
        found = at;
    }
    return found;
}

enum dv_status dv_llm_answer_extract(
    const char *text, size_t size, struct dv_json **ret_answer, struct dv_error *reterr)
{
    assert(text);
    assert(ret_answer);

    /* Thoughts end with the mark; some templates swallow the one they begin with. */
    const char *rest = after_last(text, size, "</think>");
    if (rest && search(rest, size - (size_t)(rest - text), ret_answer, NULL) == DV_OK) {
        return DV_OK;
    }
    static const char think[] = "<think>";
    const char *begin = memmem(text, size, think, sizeof(think) - 1);
    const char *brace = memchr(text, '{', size);
    if (!rest && begin && (!brace || begin < brace)) {
        return dv_fail(reterr, DV_INVALID, "the answer ends within the model's thoughts");
    }
    return search(text, size, ret_answer, reterr);
}

enum dv_status dv_llm_answer_parse(
    const char *text, size_t size, struct dv_json **ret_answer, struct dv_error *reterr)
{
    static const char blanks[] = " \t\r\n";

    assert(text);
    while (size > 0 && text[0] != '\0' && strchr(blanks, text[0])) {
        text++;
        size--;
    }
    while (size > 0 && text[size - 1] != '\0' && strchr(blanks, text[size - 1])) {
        size--;
    }
    struct balance balance = {0};
    if (size > 0 && text[0] == '{') {
        balance = measure(text, size);
    }
    if (balance.size == 0 || balance.size != size) {
        return dv_fail(reterr, DV_INVALID, "the text is not one JSON object");
    }
    return parse_object(text, &balance, ret_answer, reterr);
}
