/* SPDX-License-Identifier: Apache-2.0 */
#include "format/model_file.h"

#include "base/buffer.h"
#include "base/clock.h"
#include "base/json.h"
#include "spec/graph.h"

#include <assert.h>
#include <math.h>
#include <stdbool.h>
#include <string.h>

#define CONFUSIONS_SHOWN 5u
#define CLASSES_SHOWN 50u

/* Text that a person gave, as text: Markdown's and HTML's signs escaped, one line. */
static void append_plain(struct dv_buffer *buffer, const char *text)
{
    for (; *text != '\0'; text++) {
        if (strchr("\\`*_{}[]()<>#+-.!|~&", *text)) {
            dv_buffer_printf(buffer, "\\%c", *text);
        } else {
            dv_buffer_append(buffer, (unsigned char)*text < 0x20 ? " " : text, 1);
        }
    }
}

static void append_figure(struct dv_buffer *buffer, const char *title, double value, bool is_share)
{
    if (isfinite(value) && is_share) {
        dv_buffer_printf(buffer, "| %s | %.2f %% |\n", title, 100.0 * value);
    } else if (isfinite(value)) {
        dv_buffer_printf(buffer, "| %s | %.4g |\n", title, value);
    }
}

/* --- Sections ------------------------------------------------------------------------------- */

static void append_data(struct dv_buffer *buffer, const struct dv_model_content *content)
{
    const struct dv_preprocessing *preprocessing = content->preprocessing;
    const struct dv_json *dataset = content->dataset;

    dv_buffer_append_text(buffer, "\n## Data\n\n");
    if (dataset) {
        dv_buffer_append_text(buffer, "Data set \"");
        append_plain(buffer, dv_json_get_string(dataset, "name", "?"));
        dv_buffer_printf(buffer, "\": %lld pictures",
            (long long)dv_json_get_integer(dataset, "total_samples", 0));
        dv_buffer_printf(
            buffer, ", content hash `%.64s`.\n", dv_json_get_string(dataset, "content_hash", ""));
    }
    dv_buffer_printf(buffer, "%u classes: ", preprocessing->class_count);
    for (uint32_t i = 0; i < preprocessing->class_count && i < CLASSES_SHOWN; i++) {
        dv_buffer_append_text(buffer, i == 0 ? "" : ", ");
        append_plain(buffer, preprocessing->classes[i]);
    }
    dv_buffer_append_text(buffer, preprocessing->class_count > CLASSES_SHOWN ? ", ...\n" : ".\n");
    dv_buffer_printf(buffer, "Pictures are taken as %s, %u rows by %u columns.\n",
        preprocessing->channels == 1 ? "grey" : "RGB", preprocessing->rows, preprocessing->columns);
}

static void append_training(struct dv_buffer *buffer, const struct dv_model_content *content)
{
    const struct dv_json *hyperparameters = content->hyperparameters;
    const struct dv_json *training = dv_json_get(content->metrics, "training");

    dv_buffer_append_text(buffer, "\n## Training\n\n");
    dv_buffer_printf(buffer, "Strategy `%s`, %zu epochs",
        content->strategy ? content->strategy : "?", dv_json_count(content->history));
    double seconds = dv_json_get_number(training, "seconds", NAN);
    if (isfinite(seconds)) {
        dv_buffer_printf(buffer, ", %.0f seconds", seconds);
    }
    dv_buffer_append_text(buffer, ".\n");
    if (dv_json_count(hyperparameters) > 0) {
        dv_buffer_append_text(buffer, "\n| hyperparameter | value |\n|---|---|\n");
    }
    for (void *i = dv_json_first(hyperparameters); i; i = dv_json_next(hyperparameters, i)) {
        struct dv_json *value = dv_json_value(i);
        dv_buffer_append_text(buffer, "| ");
        append_plain(buffer, dv_json_key(i));
        dv_buffer_append_text(buffer, " | ");
        if (dv_json_is_number(value)) {
            dv_buffer_printf(buffer, "%.6g", dv_json_to_number(value, 0.0));
        } else {
            append_plain(buffer, dv_json_to_string(value, dv_json_type_name(value)));
        }
        dv_buffer_append_text(buffer, " |\n");
    }
}

static void append_figures(struct dv_buffer *buffer, const struct dv_model_content *content)
{
    const struct dv_json *metrics = content->metrics;
    const struct dv_json *training = dv_json_get(metrics, "training");
    const struct dv_json *inference = dv_json_get(metrics, "inference");
    const char *split = dv_json_get_string(metrics, "split", NULL);

    dv_buffer_append_text(buffer, "\n## Figures\n\n");
    if (split) {
        dv_buffer_printf(buffer,
            "Measured once, after training, on %lld pictures of the %s split.\n\n",
            (long long)dv_json_get_integer(dv_json_get(metrics, split), "total", 0), split);
    }
    dv_buffer_append_text(buffer, "| figure | value |\n|---|---|\n");
    append_figure(buffer, "accuracy", dv_json_get_number(metrics, "accuracy", NAN), true);
    append_figure(buffer, "loss", dv_json_get_number(metrics, "loss", NAN), false);
    append_figure(
        buffer, "mean F1 of the classes", dv_json_get_number(metrics, "macro_f1", NAN), true);
    append_figure(buffer, "best accuracy on the validation split",
        dv_json_get_number(training, "best_val_accuracy", NAN), true);
    append_figure(buffer, "milliseconds for one picture",
        dv_json_get_number(inference, "latency_ms", NAN), false);
    dv_buffer_printf(buffer, "| parameters | %llu |\n| FLOPs of one picture | %llu |\n",
        (unsigned long long)content->graph->parameter_count,
        (unsigned long long)dv_graph_flops(content->graph));
}

/* A cell of the confusion matrix off its diagonal. */
struct confusion {
    uint32_t truth, answer;
    int64_t count;
};

/* The cells with the highest counts, highest first. */
static uint32_t find_confusions(const struct dv_json *matrix, uint32_t class_count,
    struct confusion ret_worst[static CONFUSIONS_SHOWN])
{
    uint32_t found = 0;

    for (uint32_t truth = 0; truth < class_count; truth++) {
        const struct dv_json *row = dv_json_at(matrix, truth);
        for (uint32_t answer = 0; answer < class_count; answer++) {
            struct confusion cell = {truth, answer, dv_json_to_integer(dv_json_at(row, answer), 0)};
            if (truth == answer || cell.count < 1) {
                continue;
            }
            uint32_t at = found < CONFUSIONS_SHOWN ? found++ : CONFUSIONS_SHOWN;
            for (; at > 0 && ret_worst[at - 1].count < cell.count; at--) {
                if (at < CONFUSIONS_SHOWN) {
                    ret_worst[at] = ret_worst[at - 1];
                }
            }
            if (at < CONFUSIONS_SHOWN) {
                ret_worst[at] = cell;
            }
        }
    }
    return found;
}

static void append_confusions(struct dv_buffer *buffer, const struct dv_model_content *content)
{
    const struct dv_preprocessing *preprocessing = content->preprocessing;
    const struct dv_json *matrix = dv_json_get(content->metrics, "confusion");
    struct confusion worst[CONFUSIONS_SHOWN];

    if (!dv_json_is_array(matrix)) {
        return;
    }
    uint32_t count = find_confusions(matrix, preprocessing->class_count, worst);
    if (count == 0) {
        return;
    }
    dv_buffer_append_text(buffer, "\nMost often confused:\n\n"
                                  "| it is | taken for | times |\n|---|---|---|\n");
    for (uint32_t i = 0; i < count; i++) {
        dv_buffer_append_text(buffer, "| ");
        append_plain(buffer, preprocessing->classes[worst[i].truth]);
        dv_buffer_append_text(buffer, " | ");
        append_plain(buffer, preprocessing->classes[worst[i].answer]);
        dv_buffer_printf(buffer, " | %lld |\n", (long long)worst[i].count);
    }
}

void dv_model_card(const struct dv_model_content *content, struct dv_buffer *buffer)
{
    char now[DV_TIME_TEXT_SIZE];

    assert(content->preprocessing);
    dv_clock_now_text(now);
    dv_buffer_append_text(buffer, "# ");
    append_plain(buffer, content->name);
    dv_buffer_printf(
        buffer, "\n\nA picture classifier, trained by DeepVariance %s on %s.\n", DV_VERSION, now);
    append_data(buffer, content);
    append_training(buffer, content);
    append_figures(buffer, content);
    append_confusions(buffer, content);
    dv_buffer_append_text(buffer,
        "\n## Limits\n\n"
        "- It always answers with one of its classes, also for a picture of none of them.\n"
        "- The figures hold for pictures like those of the data set, nothing else.\n"
        "- A probability is the network's own estimate; see the calibration in `metrics.json`.\n"
        "\n## Files\n\n"
        "| file | what |\n|---|---|\n"
        "| `model.json` | architecture, preprocessing, classes, hyperparameters |\n"
        "| `weights.safetensors` | the weights, float32 |\n"
        "| `model.py` | the same network in PyTorch: `python model.py PICTURE...` |\n"
        "| `metrics.json` | all figures |\n"
        "| `history.jsonl` | one line per epoch |\n");
    if (dv_json_is_object(content->hyperparameters)) {
        dv_buffer_append_text(buffer,
            "| `train.py` | trains it from nothing, in PyTorch: `python train.py FOLDER` |\n");
    }
}
