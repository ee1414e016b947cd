/* SPDX-License-Identifier: Apache-2.0 */
#include "train/predict.h"

#include "base/alloc.h"
#include "base/arena.h"
#include "data/image.h"
#include "format/model_file.h"
#include "train/inference.h"
#include "train/metrics.h"

#include <assert.h>
#include <unistd.h>

struct dv_predictor {
    struct dv_arena *arena;
    struct dv_model *model; /* in the arena */
    struct dv_inference *inference;
    uint8_t *prepared; /* [row, column, channel] */
    float *pixels;     /* the same, normalised */
};

static enum dv_status make_buffers(struct dv_predictor *predictor, struct dv_error *reterr)
{
    const struct dv_preprocessing *input = &predictor->model->preprocessing;
    size_t count = (size_t)input->rows * input->columns * input->channels;
    void *prepared = NULL;
    void *pixels = NULL;

    enum dv_status status = dv_try_alloc(count, 1, &prepared, reterr);
    predictor->prepared = prepared;
    if (status == DV_OK) {
        status = dv_try_alloc_aligned(count * sizeof(float), &pixels, reterr);
        predictor->pixels = pixels;
    }
    return status;
}

enum dv_status dv_predictor_create(const char *model_folder, uint32_t thread_count,
    struct dv_predictor **ret_predictor, struct dv_error *reterr)
{
    long processors = sysconf(_SC_NPROCESSORS_ONLN);

    assert(model_folder);
    assert(ret_predictor);

    struct dv_predictor *predictor = dv_alloc(sizeof(*predictor));
    predictor->arena = dv_arena_create(0);
    enum dv_status status =
        dv_model_read(model_folder, predictor->arena, &predictor->model, reterr);
    if (status == DV_OK) {
        struct dv_inference_options options = {.graph = predictor->model->graph,
            .preprocessing = &predictor->model->preprocessing,
            .weights = predictor->model->values,
            .batch_size = 1,
            .thread_count = thread_count > 0 ? thread_count
                            : processors > 0 ? (uint32_t)processors
                                             : 1};
        status = dv_inference_create(&options, &predictor->inference, reterr);
    }
    if (status == DV_OK) {
        status = make_buffers(predictor, reterr);
    }
    if (status != DV_OK) {
        dv_predictor_destroy(predictor);
        return status;
    }
    *ret_predictor = predictor;
    return DV_OK;
}

struct dv_predictor *dv_predictor_destroy(struct dv_predictor *predictor)
{
    if (!predictor) {
        return NULL;
    }
    dv_inference_destroy(predictor->inference);
    dv_free(predictor->prepared);
    dv_free(predictor->pixels);
    dv_arena_destroy(predictor->arena);
    return dv_free(predictor);
}

uint32_t dv_predictor_class_count(const struct dv_predictor *predictor)
{
    assert(predictor);
    return predictor->model->preprocessing.class_count;
}

const char *dv_predictor_class_name(const struct dv_predictor *predictor, uint32_t class_index)
{
    assert(predictor);
    assert(class_index < predictor->model->preprocessing.class_count);
    return predictor->model->preprocessing.classes[class_index];
}

/* One prepared picture of bytes to floats on the network's scale: (x / 255 - mean) / std. */
static void normalise(struct dv_predictor *predictor)
{
    const struct dv_preprocessing *input = &predictor->model->preprocessing;
    size_t count = (size_t)input->rows * input->columns;

    for (size_t i = 0; i < count; i++) {
        for (uint32_t c = 0; c < input->channels; c++) {
            size_t at = i * input->channels + c;
            float x = (float)predictor->prepared[at] / 255.0f;
            predictor->pixels[at] = (x - input->mean[c]) / input->std[c];
        }
    }
}

enum dv_status dv_predictor_logits(struct dv_predictor *predictor, const void *data, size_t size,
    float *ret_logits, struct dv_error *reterr)
{
    struct dv_image image = {0};
    enum dv_finding_code finding;

    assert(predictor);
    assert(data);
    assert(ret_logits);

    enum dv_status status = dv_image_decode(data, size, &image, &finding, reterr);
    if (status == DV_OK) {
        status =
            dv_image_prepare(&image, &predictor->model->preprocessing, predictor->prepared, reterr);
        dv_image_finish(&image);
    }
    if (status != DV_OK) {
        return status;
    }
    normalise(predictor);
    const float *logits = dv_inference_logits(predictor->inference, predictor->pixels);
    memcpy(ret_logits, logits, dv_predictor_class_count(predictor) * sizeof(float));
    return DV_OK;
}

enum dv_status dv_predictor_predict(struct dv_predictor *predictor, const void *data, size_t size,
    float *ret_probabilities, struct dv_error *reterr)
{
    enum dv_status status = dv_predictor_logits(predictor, data, size, ret_probabilities, reterr);

    if (status == DV_OK) {
        dv_metrics_softmax(
            ret_probabilities, dv_predictor_class_count(predictor), ret_probabilities);
    }
    return status;
}

void dv_predictor_rank(const struct dv_predictor *predictor, const float *probabilities,
    uint32_t top_count, uint32_t *ret_classes)
{
    uint32_t class_count = dv_predictor_class_count(predictor);

    assert(top_count <= class_count);
    for (uint32_t rank = 0; rank < top_count; rank++) {
        uint32_t best = UINT32_MAX;
        for (uint32_t c = 0; c < class_count; c++) {
            bool is_taken = false;
            for (uint32_t k = 0; k < rank; k++) {
                is_taken = is_taken || ret_classes[k] == c;
            }
            if (!is_taken && (best == UINT32_MAX || probabilities[c] > probabilities[best])) {
                best = c;
            }
        }
        ret_classes[rank] = best;
    }
}
