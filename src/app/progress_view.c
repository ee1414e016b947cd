/* SPDX-License-Identifier: Apache-2.0 */
#include "app/progress_view.h"

#include "app/command.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/text.h"
#include "wire/message.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define BAR_WIDTH 24
#define BAR_WIDTH_MIN 8
#define JSON_INTERVAL_NS 500000000u
#define LINE_INTERVAL_NS 10000000000u /* in a pipe, between epochs */

void dv_progress_view_init(struct dv_progress_view *view, bool is_json)
{
    *view = (struct dv_progress_view){
        .is_json = is_json, .is_terminal = !is_json && isatty(STDOUT_FILENO)};
}

void dv_progress_view_end(struct dv_progress_view *view)
{
    if (view->has_line) {
        (void)putchar('\n');
        (void)fflush(stdout);
        view->has_line = false;
    }
}

/* --- Pieces of a line ------------------------------------------------------------------- */

static void make_bar(double fraction, int width, char ret_bar[static BAR_WIDTH + 1])
{
    double part = isfinite(fraction) ? fmin(fmax(fraction, 0.0), 1.0) : 0.0;
    int full = (int)(part * width);

    for (int i = 0; i < width; i++) {
        ret_bar[i] = i < full ? '#' : '.';
    }
    ret_bar[width] = '\0';
}

/* "1:02:03" or "2:03"; "-" when it is not known. */
static void make_time(double seconds, char ret_text[static 24])
{
    if (!isfinite(seconds) || seconds < 0 || seconds > 1e7) {
        (void)snprintf(ret_text, 24, "-");
        return;
    }
    long whole = lround(seconds);
    if (whole >= 3600) {
        (void)snprintf(ret_text, 24, "%ld:%02ld:%02ld", whole / 3600, whole / 60 % 60, whole % 60);
    } else {
        (void)snprintf(ret_text, 24, "%ld:%02ld", whole / 60, whole % 60);
    }
}

static void make_number(
    const char *format_name, double value, bool is_percent, size_t size, char *ret_text)
{
    if (!isfinite(value)) {
        ret_text[0] = '\0';
    } else if (is_percent) {
        (void)snprintf(ret_text, size, "  %s %.1f %%", format_name, 100 * value);
    } else {
        (void)snprintf(ret_text, size, "  %s %.4f", format_name, value);
    }
}

static void make_training_line(
    const struct dv_message_progress *progress, size_t size, char *ret_line)
{
    char loss[32], accuracy[32], validation[32], left[24], rate[32] = "";

    make_number("loss", progress->loss, false, sizeof(loss), loss);
    make_number("accuracy", progress->accuracy, true, sizeof(accuracy), accuracy);
    make_number("val", progress->val_accuracy, true, sizeof(validation), validation);
    make_time(progress->eta_seconds, left);
    if (isfinite(progress->images_per_second)) {
        (void)snprintf(rate, sizeof(rate), "  %.0f images/s", progress->images_per_second);
    }
    (void)snprintf(ret_line, size, "epoch %lld/%lld%s%s%s%s  %s left", (long long)progress->epoch,
        (long long)progress->epochs, loss, accuracy, validation, rate, left);
}

/* --- The three ways --------------------------------------------------------------------- */

static void print_json(const struct dv_message_progress *progress, bool is_training)
{
    struct dv_json *line = dv_json_object();

    dv_json_set_string(line, "type", "progress");
    dv_json_set_string(line, "status", progress->stage);
    dv_json_set_number(line, "progress", progress->fraction);
    if (is_training) {
        dv_json_set_integer(line, "step", progress->step);
        dv_json_set_integer(line, "steps", progress->steps);
        dv_json_set_integer(line, "iteration", progress->iteration);
        dv_json_set_integer(line, "epoch", progress->epoch);
        dv_json_set_integer(line, "epochs", progress->epochs);
        dv_json_set_number(line, "loss", progress->loss);
        dv_json_set_number(line, "train_accuracy", progress->accuracy);
        dv_json_set_number(line, "val_loss", progress->val_loss);
        dv_json_set_number(line, "accuracy", progress->val_accuracy);
        dv_json_set_number(line, "best_accuracy", progress->best_accuracy);
        dv_json_set_number(line, "learning_rate", progress->learning_rate);
        dv_json_set_number(line, "images_per_second", progress->images_per_second);
        dv_json_set_number(line, "eta_seconds", progress->eta_seconds);
        dv_json_set_bool(line, "is_epoch_end", progress->is_epoch_end);
    }
    dv_print_json(line);
}

static int count_columns(void)
{
    struct winsize size;

    return ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
}

/* In one row: a line that wrapped could not be drawn over. What does not fit is the bar first. */
static void redraw(struct dv_progress_view *view, double fraction, const char *text)
{
    char bar[BAR_WIDTH + 1];
    int columns = count_columns() - 1; /* a character in the last one may move the cursor on */
    int width = columns - (int)strlen(text) - 3;

    width = width < BAR_WIDTH ? width : BAR_WIDTH;
    if (width >= BAR_WIDTH_MIN) {
        make_bar(fraction, width, bar);
        (void)printf("\r[%s] %s\033[K", bar, text);
    } else {
        (void)printf("\r%.*s\033[K", columns, text);
    }
    (void)fflush(stdout);
    view->has_line = true;
}

/* Has another stage begun? Its first interval begins with it. */
static bool is_new_stage(struct dv_progress_view *view, const char *stage)
{
    if (dv_text_equal(view->stage, stage)) {
        return false;
    }
    (void)dv_text_copy(view->stage, sizeof(view->stage), stage);
    view->shown_ns = dv_clock_monotonic_ns();
    return true;
}

/* At the end of an epoch, and once in an interval otherwise. */
static bool is_due(
    struct dv_progress_view *view, const struct dv_message_progress *progress, uint64_t interval_ns)
{
    uint64_t now_ns = dv_clock_monotonic_ns();

    if (!progress->is_epoch_end && now_ns - view->shown_ns < interval_ns) {
        return false;
    }
    view->shown_ns = now_ns;
    return true;
}

/* `is_counted`: the text says how far it is, which is nothing yet when a stage begins. */
static void show(struct dv_progress_view *view, const struct dv_message_progress *progress,
    char *text, bool is_counted, bool is_training)
{
    bool is_new = is_new_stage(view, progress->stage);

    dv_text_make_printable(text);
    if (view->is_json) {
        if (is_new || is_due(view, progress, JSON_INTERVAL_NS)) {
            print_json(progress, is_training);
        }
    } else if (view->is_terminal) {
        redraw(view, progress->fraction, text);
    } else if ((is_new && !is_counted) || is_due(view, progress, LINE_INTERVAL_NS)) {
        (void)puts(text);
        (void)fflush(stdout);
    }
}

void dv_progress_view_share(struct dv_progress_view *view, const char *stage, double fraction)
{
    const struct dv_message_progress progress = {.stage = stage, .fraction = fraction};
    char text[64];

    if (view->is_silent) {
        return;
    }
    (void)snprintf(text, sizeof(text), "%.40s %.0f %%", stage, 100 * fraction);
    show(view, &progress, text, true, false);
}

void dv_progress_view_train(
    struct dv_progress_view *view, const struct dv_message_progress *progress)
{
    char text[256];
    bool is_counted = dv_text_equal(progress->stage, "training") && progress->epoch > 0;

    if (view->is_silent) {
        return;
    }
    if (is_counted) {
        make_training_line(progress, sizeof(text), text);
    } else {
        (void)snprintf(text, sizeof(text), "%.40s", progress->stage);
    }
    show(view, progress, text, is_counted, true);
}
