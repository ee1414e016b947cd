/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every optimizer against five steps of PyTorch 2 on five numbers, of which the last two have no
 * weight decay; and: state that is saved and loaded continues exactly.
 */
#include "nn/optimizer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>

#define COUNT 5
#define STEPS 5

static const float start[COUNT] = {0.5f, -1.25f, 2.0f, 0.0f, -0.75f};
static const float mask[COUNT] = {1.0f, 1.0f, 1.0f, 0.0f, 0.0f};
static const double rates[STEPS] = {0.1, 0.05, 0.2, 0.01, 0.1};

struct golden {
    const char *name;
    enum dv_optimizer_kind kind;
    double momentum;
    float values[STEPS][COUNT];
};

/* torch.optim with weight_decay=0.05; SGD nesterov=True, Adam beta2 .999, RMSprop alpha .99. */
/* clang-format off */
static const struct golden goldens[] = {
    {"sgd", DV_OPTIMIZER_SGD, 0.9, {
        {0.523750007f, -1.24287498f, 1.97150004f, 0.01425f, -0.797500014f},
        {0.516349673f, -1.23355258f, 1.95558536f, 0.000187499798f, -0.798600018f},
        {0.53771168f, -1.22364032f, 1.83798003f, -0.0123375002f, -0.937460005f},
        {0.534449518f, -1.22258186f, 1.8315767f, -0.0175961237f, -0.940253675f},
        {0.522982359f, -1.23089802f, 1.73836792f, -0.0518737435f, -1.03884697f}}},
    {"sgd without momentum", DV_OPTIMIZER_SGD, 0.0, {
        {0.512499988f, -1.24625003f, 1.98500001f, 0.0075000003f, -0.774999976f},
        {0.50596875f, -1.24213445f, 1.97978747f, -0.00150000025f, -0.770249963f},
        {0.518909037f, -1.24671316f, 1.93798959f, 0.00149999978f, -0.832249939f},
        {0.516999602f, -1.24648976f, 1.93637061f, -0.000900000101f, -0.831899941f},
        {0.517414629f, -1.25475729f, 1.90968871f, -0.00540000014f, -0.868899941f}}},
    {"adam", DV_OPTIMIZER_ADAM, 0.9, {
        {0.599999964f, -1.1500001f, 1.89999998f, 0.0999999791f, -0.849999964f},
        {0.595448792f, -1.10191822f, 1.85148239f, 0.0785329044f, -0.868093669f},
        {0.621849954f, -1.00342977f, 1.65632105f, 0.0221567526f, -1.00139546f},
        {0.618471324f, -0.998775721f, 1.64652097f, 0.0161922239f, -1.00633979f},
        {0.589731336f, -1.01077247f, 1.54786801f, -0.0415498391f, -1.07390571f}}},
    {"adamw", DV_OPTIMIZER_ADAMW, 0.9, {
        {0.597499967f, -1.34375f, 1.88999999f, 0.0999999791f, -0.849999964f},
        {0.602104485f, -1.34329689f, 1.84823453f, 0.0785329044f, -0.868093669f},
        {0.669400573f, -1.45260382f, 1.66597164f, 0.0221567526f, -1.00139546f},
        {0.667742729f, -1.45882106f, 1.65647829f, 0.0161922239f, -1.00633979f},
        {0.659496903f, -1.52968204f, 1.55977821f, -0.0415498391f, -1.07390571f}}},
    {"rmsprop", DV_OPTIMIZER_RMSPROP, 0.9, {
        {1.49999917f, -0.250002652f, 1.0000006f, 0.999998689f, -1.74999964f},
        {1.53864431f, 0.52840066f, 0.377109915f, 0.988118052f, -2.02160954f},
        {1.79760826f, 1.5012908f, -3.1280582f, 1.09962237f, -4.51980257f},
        {1.7331183f, 1.47622037f, -3.24474502f, 1.02678847f, -4.62362719f},
        {0.985010326f, 0.454403907f, -4.32993984f, 0.22613062f, -6.23234272f}}},
};
/* clang-format on */

/* The gradients that the golden numbers were made with. */
static void make_gradients(int step, float gradients[static COUNT])
{
    for (int i = 0; i < COUNT; i++) {
        double sign = (step + i) % 2 == 0 ? 1.0 : -0.5;
        gradients[i] = (float)((0.1 * (i + 1) - 0.25) * sign + 0.03 * step);
    }
}

static struct dv_optimizer *make_optimizer(const struct golden *golden)
{
    struct dv_optimizer_options options = {.kind = golden->kind,
        .count = COUNT,
        .decay_mask = mask,
        .momentum = golden->momentum,
        .weight_decay = 0.05};
    struct dv_optimizer *optimizer = NULL;

    assert_int_equal(dv_optimizer_create(&options, &optimizer, NULL), DV_OK);
    return optimizer;
}

static void take_steps(struct dv_optimizer *optimizer, int from, int to, float *parameters)
{
    for (int step = from; step < to; step++) {
        float gradients[COUNT];
        make_gradients(step, gradients);
        dv_optimizer_step(optimizer, rates[step], parameters, gradients);
    }
}

static void every_optimizer_steps_as_pytorch_does(void **state)
{
    (void)state;
    for (size_t k = 0; k < DV_ARRAY_SIZE(goldens); k++) {
        struct dv_optimizer *optimizer = make_optimizer(&goldens[k]);
        float parameters[COUNT];

        memcpy(parameters, start, sizeof(start));
        for (int step = 0; step < STEPS; step++) {
            take_steps(optimizer, step, step + 1, parameters);
            for (int i = 0; i < COUNT; i++) {
                float want = goldens[k].values[step][i];
                if (fabsf(parameters[i] - want) > 2e-5f * fmaxf(1.0f, fabsf(want))) {
                    fail_msg("%s, step %d, number %d: %.9g, not %.9g", goldens[k].name, step, i,
                        (double)parameters[i], (double)want);
                }
            }
        }
        dv_optimizer_destroy(optimizer);
    }
}

static void saved_and_loaded_state_continues_exactly(void **state)
{
    (void)state;
    for (size_t k = 0; k < DV_ARRAY_SIZE(goldens); k++) {
        struct dv_optimizer *whole = make_optimizer(&goldens[k]);
        struct dv_optimizer *before = make_optimizer(&goldens[k]);
        struct dv_optimizer *after = make_optimizer(&goldens[k]);
        float one[COUNT];
        float two[COUNT];

        memcpy(one, start, sizeof(start));
        memcpy(two, start, sizeof(start));
        take_steps(whole, 0, STEPS, one);
        take_steps(before, 0, 2, two);
        assert_int_equal(dv_optimizer_slot_count(before), dv_optimizer_slot_count(after));
        for (size_t s = 0; s < dv_optimizer_slot_count(before); s++) {
            memcpy(dv_optimizer_slot(after, s), dv_optimizer_slot(before, s), sizeof(start));
        }
        dv_optimizer_set_steps(after, dv_optimizer_steps(before));
        take_steps(after, 2, STEPS, two);
        assert_memory_equal(one, two, sizeof(one));
        dv_optimizer_destroy(whole);
        dv_optimizer_destroy(before);
        dv_optimizer_destroy(after);
    }
}

static void an_unknown_kind_is_not_found(void **state)
{
    struct dv_optimizer_options options = {
        .kind = (enum dv_optimizer_kind)99, .count = 1, .decay_mask = mask};
    struct dv_optimizer *optimizer = NULL;

    (void)state;
    assert_int_equal(dv_optimizer_create(&options, &optimizer, NULL), DV_NOT_FOUND);
    assert_null(optimizer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_optimizer_steps_as_pytorch_does),
        cmocka_unit_test(saved_and_loaded_state_continues_exactly),
        cmocka_unit_test(an_unknown_kind_is_not_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
