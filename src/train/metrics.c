/* SPDX-License-Identifier: Apache-2.0 */
#include "train/metrics.h"

#include "base/alloc.h"
#include "base/json.h"

#include <sys/resource.h>

#include <assert.h>
#include <math.h>

#define BIN_COUNT 15
#define CONFUSION_CLASSES_MAX 200

/* Answers whose confidence lies in one of BIN_COUNT equal parts of 0..1 (Guo et al. 2017). */
struct bin {
    uint64_t count;
    uint64_t correct;
    double confidence_sum;
};

struct dv_metrics {
    uint32_t class_count;
    uint64_t total;
    uint64_t correct;
    double loss_sum;
    uint64_t *truths;    /* [class]: pictures of it */
    uint64_t *answers;   /* [class]: pictures taken for it */
    uint64_t *hits;      /* [class]: both */
    uint64_t *confusion; /* [true class, answer]; NULL above CONFUSION_CLASSES_MAX */
    struct bin bins[BIN_COUNT];
};

enum dv_status dv_metrics_create(
    uint32_t class_count, struct dv_metrics **ret_metrics, struct dv_error *reterr)
{
    assert(class_count > 0);
    assert(ret_metrics);

    bool has_confusion = class_count <= CONFUSION_CLASSES_MAX;
    size_t cells = has_confusion ? (size_t)class_count * class_count : 0;
    void *counts;
    enum dv_status status =
        dv_try_alloc(3 * (size_t)class_count + cells, sizeof(uint64_t), &counts, reterr);
    if (status != DV_OK) {
        return status;
    }

    struct dv_metrics *metrics = dv_alloc(sizeof(*metrics));
    metrics->class_count = class_count;
    metrics->truths = counts;
    metrics->answers = metrics->truths + class_count;
    metrics->hits = metrics->answers + class_count;
    metrics->confusion = has_confusion ? metrics->hits + class_count : NULL;
    *ret_metrics = metrics;
    return DV_OK;
}

struct dv_metrics *dv_metrics_destroy(struct dv_metrics *metrics)
{
    if (!metrics) {
        return NULL;
    }
    dv_free(metrics->truths); /* and what lies behind it */
    return dv_free(metrics);
}

void dv_metrics_destroyp(struct dv_metrics **metrics)
{
    *metrics = dv_metrics_destroy(*metrics);
}

static void add_one(struct dv_metrics *metrics, const float *logits, uint32_t label)
{
    uint32_t answer = 0;
    for (uint32_t c = 1; c < metrics->class_count; c++) {
        if (logits[c] > logits[answer]) {
            answer = c;
        }
    }

    double sum = 0.0;
    for (uint32_t c = 0; c < metrics->class_count; c++) {
        sum += exp((double)logits[c] - (double)logits[answer]);
    }
    double log_sum = log(sum) + (double)logits[answer];
    double confidence = 1.0 / sum;

    metrics->total++;
    metrics->loss_sum += log_sum - (double)logits[label];
    metrics->truths[label]++;
    metrics->answers[answer]++;
    metrics->hits[label] += answer == label;
    metrics->correct += answer == label;
    if (metrics->confusion) {
        metrics->confusion[(size_t)label * metrics->class_count + answer]++;
    }

    /* Logits that are not numbers have no confidence; they go into the first bin. */
    uint32_t index = confidence > 0.0 ? (uint32_t)(confidence * BIN_COUNT) : 0;
    struct bin *bin = &metrics->bins[index < BIN_COUNT ? index : BIN_COUNT - 1];
    bin->count++;
    bin->correct += answer == label;
    bin->confidence_sum += confidence;
}

void dv_metrics_add(
    struct dv_metrics *metrics, const float *logits, const uint32_t *labels, uint32_t count)
{
    assert(metrics);
    assert(logits);
    assert(labels);

    for (uint32_t i = 0; i < count; i++) {
        assert(labels[i] < metrics->class_count);
        add_one(metrics, logits + (size_t)i * metrics->class_count, labels[i]);
    }
}

uint32_t dv_metrics_class_count(const struct dv_metrics *metrics)
{
    assert(metrics);
    return metrics->class_count;
}

uint64_t dv_metrics_total(const struct dv_metrics *metrics)
{
    assert(metrics);
    return metrics->total;
}

double dv_metrics_accuracy(const struct dv_metrics *metrics)
{
    assert(metrics);
    return metrics->total > 0 ? (double)metrics->correct / (double)metrics->total : NAN;
}

double dv_metrics_loss(const struct dv_metrics *metrics)
{
    assert(metrics);
    return metrics->total > 0 ? metrics->loss_sum / (double)metrics->total : NAN;
}

static double ratio(double part, double whole)
{
    return whole > 0.0 ? part / whole : NAN;
}

/* One class's figures; its F1 is NaN when the class occurs neither as truth nor as answer. */
static struct dv_json *class_to_json(
    const struct dv_metrics *metrics, uint32_t c, const char *name, double *ret_f1)
{
    double hits = (double)metrics->hits[c];
    double truths = (double)metrics->truths[c];
    double answers = (double)metrics->answers[c];

    *ret_f1 = ratio(2.0 * hits, truths + answers);
    struct dv_json *json = dv_json_object();
    dv_json_set_string(json, "class", name);
    dv_json_set_number(json, "precision", ratio(hits, answers));
    dv_json_set_number(json, "recall", ratio(hits, truths));
    dv_json_set_number(json, "f1", *ret_f1);
    dv_json_set_integer(json, "total", (int64_t)metrics->truths[c]);
    return json;
}

static void set_classes(
    struct dv_json *json, const struct dv_metrics *metrics, const char *const *classes)
{
    struct dv_json *list = dv_json_array();
    double f1_sum = 0.0;
    uint32_t f1_count = 0;

    for (uint32_t c = 0; c < metrics->class_count; c++) {
        double f1;
        dv_json_append(list, class_to_json(metrics, c, classes[c], &f1));
        if (isfinite(f1)) {
            f1_sum += f1;
            f1_count++;
        }
    }
    dv_json_set_number(json, "macro_f1", ratio(f1_sum, f1_count));
    dv_json_set(json, "per_class", list);
}

static struct dv_json *confusion_to_json(const struct dv_metrics *metrics)
{
    struct dv_json *rows = dv_json_array();

    for (uint32_t r = 0; r < metrics->class_count; r++) {
        struct dv_json *row = dv_json_array();
        for (uint32_t c = 0; c < metrics->class_count; c++) {
            uint64_t cell = metrics->confusion[(size_t)r * metrics->class_count + c];
            dv_json_append(row, dv_json_integer((int64_t)cell));
        }
        dv_json_append(rows, row);
    }
    return rows;
}

/* Expected calibration error: mean |accuracy - confidence| of the bins, weighted by their size. */
static struct dv_json *calibration_to_json(const struct dv_metrics *metrics)
{
    struct dv_json *bins = dv_json_array();
    double gap_sum = 0.0;

    for (uint32_t i = 0; i < BIN_COUNT; i++) {
        const struct bin *bin = &metrics->bins[i];
        struct dv_json *item = dv_json_object();
        dv_json_set_integer(item, "count", (int64_t)bin->count);
        dv_json_set_number(item, "confidence", ratio(bin->confidence_sum, (double)bin->count));
        dv_json_set_number(item, "accuracy", ratio((double)bin->correct, (double)bin->count));
        dv_json_append(bins, item);
        gap_sum += fabs((double)bin->correct - bin->confidence_sum);
    }

    struct dv_json *json = dv_json_object();
    dv_json_set_number(json, "ece", ratio(gap_sum, (double)metrics->total));
    dv_json_set(json, "bins", bins);
    return json;
}

struct dv_json *dv_metrics_to_json(const struct dv_metrics *metrics, const char *const *classes)
{
    assert(metrics);
    assert(classes);

    struct dv_json *json = dv_json_object();
    dv_json_set_number(json, "accuracy", dv_metrics_accuracy(metrics));
    dv_json_set_number(json, "loss", dv_metrics_loss(metrics));
    dv_json_set_integer(json, "correct", (int64_t)metrics->correct);
    dv_json_set_integer(json, "total", (int64_t)metrics->total);
    set_classes(json, metrics, classes);
    if (metrics->confusion) {
        dv_json_set(json, "confusion", confusion_to_json(metrics));
    }
    dv_json_set(json, "calibration", calibration_to_json(metrics));
    return json;
}

void dv_metrics_softmax(const float *logits, uint32_t class_count, float *ret_probabilities)
{
    assert(logits);
    assert(ret_probabilities);

    double top = -INFINITY;
    for (uint32_t c = 0; c < class_count; c++) {
        top = fmax(top, (double)logits[c]);
    }
    double sum = 0.0;
    for (uint32_t c = 0; c < class_count; c++) {
        sum += exp((double)logits[c] - top);
    }
    for (uint32_t c = 0; c < class_count; c++) {
        ret_probabilities[c] = (float)(exp((double)logits[c] - top) / sum);
    }
}

double dv_metrics_stability(const double *losses, size_t count)
{
    double rises = 0.0;
    double moves = 0.0;

    if (count < 3) {
        return NAN;
    }
    for (size_t i = 1; i < count; i++) {
        double change = losses[i] - losses[i - 1];
        if (!isfinite(change)) {
            change = isfinite(losses[i - 1]) ? fabs(losses[i - 1]) + 1.0 : 1.0;
        }
        moves += fabs(change);
        rises += fmax(change, 0.0);
    }
    return moves > 0.0 ? 1.0 - rises / moves : 1.0;
}

struct dv_json *dv_metrics_usage(void)
{
    struct rusage usage = {0};
    struct dv_json *json = dv_json_object();

    (void)getrusage(RUSAGE_SELF, &usage);
    double cpu = (double)usage.ru_utime.tv_sec + (double)usage.ru_utime.tv_usec * 1e-6 +
                 (double)usage.ru_stime.tv_sec + (double)usage.ru_stime.tv_usec * 1e-6;
    dv_json_set_number(json, "cpu_seconds", cpu);
    dv_json_set_integer(json, "memory_peak_bytes", (int64_t)usage.ru_maxrss * 1024);
    return json;
}
