/* SPDX-License-Identifier: Apache-2.0 */
#include "app/run_view.h"

#include "app/command.h"
#include "base/alloc.h"
#include "base/buffer.h"
#include "base/json.h"
#include "base/text.h"

#include <math.h>
#include <stdio.h>

#define TEXT_SIZE_MAX 4096u

static const char *text_of(const struct dv_json *run, const char *key)
{
    return dv_json_get_string(run, key, "");
}

/* "improve of 2", "crossover of 1 and 3", "draft". */
static void add_operator(struct dv_buffer *text, const struct dv_json *run)
{
    const struct dv_json *parents = dv_json_get(run, "parents");

    dv_buffer_append_text(text, text_of(run, "operator"));
    for (size_t i = 0; i < dv_json_count(parents); i++) {
        dv_buffer_printf(text, " %s %lld", i == 0 ? "of" : "and",
            (long long)dv_json_to_integer(dv_json_at(parents, i), 0));
    }
}

void dv_run_view_print(const struct dv_json *run)
{
    struct dv_buffer what = DV_BUFFER_INIT(TEXT_SIZE_MAX);
    double accuracy = dv_json_get_number(run, "best_accuracy", (double)NAN);
    double parameters = dv_json_get_number(run, "parameters", (double)NAN);
    const char *verdict = text_of(run, "verdict");
    char figure[32] = "", size[32] = "";

    add_operator(&what, run);
    if (isfinite(accuracy)) {
        (void)snprintf(figure, sizeof(figure), "%.2f %%", 100 * accuracy);
    }
    if (isfinite(parameters)) {
        (void)snprintf(size, sizeof(size), "%.2f M", parameters * 1e-6);
    }
    dv_print_line("#%-3lld %-9s %-20s %9s  %-9s %9s  %s%s",
        (long long)dv_json_get_integer(run, "iteration", 0), text_of(run, "source"),
        dv_buffer_text(&what), figure, verdict[0] ? verdict : text_of(run, "status"), size,
        text_of(run, "failure")[0] ? "failed: " : "",
        text_of(run, "failure")[0] ? text_of(run, "failure") : text_of(run, "hypothesis"));
    dv_buffer_finish(&what);
}

static const struct dv_json *find(const struct dv_json *runs, int64_t iteration)
{
    for (size_t i = 0; i < dv_json_count(runs); i++) {
        if (dv_json_get_integer(dv_json_at(runs, i), "iteration", 0) == iteration) {
            return dv_json_at(runs, i);
        }
    }
    return NULL;
}

static void print_best(const struct dv_json *runs)
{
    const struct dv_json *run = NULL;
    struct dv_buffer line = DV_BUFFER_INIT(TEXT_SIZE_MAX);

    for (size_t i = 0; i < dv_json_count(runs); i++) {
        bool is_best = dv_text_equal(text_of(dv_json_at(runs, i), "verdict"), "best");
        run = is_best ? dv_json_at(runs, i) : run;
    }
    /* A parent comes before its child, so that this ends whatever a row says. */
    while (run && dv_json_count(runs) > 1) {
        int64_t iteration = dv_json_get_integer(run, "iteration", 0);
        int64_t parent = dv_json_to_integer(dv_json_at(dv_json_get(run, "parents"), 0), 0);
        dv_buffer_printf(&line, "%s#%lld %s",
            line.size > 0 ? " <- " : "best: ", (long long)iteration, text_of(run, "operator"));
        run = parent < iteration ? find(runs, parent) : NULL;
    }
    if (line.size > 0) {
        dv_print_line("%s", dv_buffer_text(&line));
    }
    dv_buffer_finish(&line);
}

static void print_proposals(const struct dv_json *result)
{
    const struct dv_json *proposals = dv_json_get(result, "proposals");

    if (proposals) {
        dv_print_line(
            "proposals: %lld checked, %lld right at first, %lld after repair, %lld by a stand-in",
            (long long)dv_json_get_integer(proposals, "asked", 0),
            (long long)dv_json_get_integer(proposals, "valid_first", 0),
            (long long)dv_json_get_integer(proposals, "repaired", 0),
            (long long)dv_json_get_integer(proposals, "replaced", 0));
    }
}

static void print_language_model(const struct dv_json *result)
{
    const struct dv_json *llm = dv_json_get(result, "llm");
    int64_t tokens = dv_json_get_integer(llm, "prompt_tokens", 0) +
                     dv_json_get_integer(llm, "completion_tokens", 0);

    if (dv_json_get_integer(llm, "questions", 0) > 0) {
        dv_print_line("language model: %lld questions, %lld tokens, %.4f dollars",
            (long long)dv_json_get_integer(llm, "questions", 0), (long long)tokens,
            dv_json_get_number(llm, "dollars", 0.0));
    }
}

void dv_run_view_print_search(const struct dv_json *job)
{
    const struct dv_json *result = dv_json_get(job, "result");

    print_best(dv_json_get(job, "runs"));
    print_proposals(result);
    print_language_model(result);
}
