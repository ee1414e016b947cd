/* SPDX-License-Identifier: Apache-2.0 */
#include "spec_test.h"

#include "spec/job_spec.h"

#define ID "00000000-0000-4000-8000-000000000000"

static const char *const only_native[] = {"native", NULL};
static const char *const all[] = {"native", "llm", "search", "transfer", NULL};

struct parsed {
    struct dv_arena *arena;
    struct dv_json *json;
    struct dv_problems problems;
    struct dv_job_spec *spec;
};

static struct parsed parse(const char *text, struct dv_capabilities capabilities)
{
    struct parsed p = {.arena = dv_arena_create(0), .json = spec_test_json(text)};
    struct dv_error error = {0};

    dv_problems_init(&p.problems, p.arena, 5);
    enum dv_status status =
        dv_job_spec_parse(p.json, &capabilities, p.arena, &p.problems, &p.spec, &error);
    assert_int_equal(status, p.problems.count > 0 ? DV_INVALID : DV_OK);
    assert_int_equal(status == DV_OK, p.spec != NULL);
    return p;
}

static void finish(struct parsed *p)
{
    p->json = dv_json_unref(p->json);
    p->arena = dv_arena_destroy(p->arena);
}

static void wrong_requests_are_refused_with_the_place(void **state)
{
    static const struct {
        const char *text, *code, *pointer;
    } rows[] = {
        {"[]", "E_TYPE", ""},
        {"{}", "E_FIELD", "/dataset_id"},
        {"{'dataset_id':'../../etc'}", "E_VALUE", "/dataset_id"},
        {"{'dataset_id':7}", "E_TYPE", "/dataset_id"},
        {"{'dataset_id':'" ID "','stratgy':'native'}", "E_FIELD", "/stratgy"},
        {"{'dataset_id':'" ID "','strategy':'magic'}", "E_VALUE", "/strategy"},
        {"{'dataset_id':'" ID "','strategy':'llm'}", "E_UNSUPPORTED", "/strategy"},
        {"{'dataset_id':'" ID "','device':'tpu'}", "E_VALUE", "/device"},
        {"{'dataset_id':'" ID "','device':'cuda'}", "E_UNSUPPORTED", "/device"},
        {"{'dataset_id':'" ID "','name':''}", "E_VALUE", "/name"},
        {"{'dataset_id':'" ID "','target_accuracy':1.1}", "E_VALUE", "/target_accuracy"},
        {"{'dataset_id':'" ID "','max_iterations':-1}", "E_VALUE", "/max_iterations"},
        {"{'dataset_id':'" ID "','timeout_seconds':1.5}", "E_TYPE", "/timeout_seconds"},
        {"{'dataset_id':'" ID "','seed':9007199254740993}", "E_VALUE", "/seed"},
        {"{'dataset_id':'" ID "','max_restarts':101}", "E_VALUE", "/max_restarts"},
        {"{'dataset_id':'" ID "','base_model_id':'x'}", "E_VALUE", "/base_model_id"},
        {"{'dataset_id':'" ID "','replay_of':'x'}", "E_VALUE", "/replay_of"},
        {"{'dataset_id':'" ID "','strategy':'native','replay_of':'" ID "'}", "E_UNSUPPORTED", "/replay_of"},
        {"{'dataset_id':'" ID "','base_model_id':'" ID "'}", "E_UNSUPPORTED", "/base_model_id"},
        {"{'dataset_id':'" ID "','strategy':'native','base_model_id':'" ID "'}", "E_UNSUPPORTED",
            "/base_model_id"},
        {"{'dataset_id':'" ID "','hyperparameters':{'epochs':0}}", "E_VALUE",
            "/hyperparameters/epochs"},
        {"{'dataset_id':'" ID "','architecture':'resnet19'}", "E_PRESET", "/architecture"},
        {"{'dataset_id':'" ID "','architecture':{'layers':[{'name':'a','op':'x'}]}}", "E_VALUE",
            "/architecture/layers/0/op"},
    };
    (void)state;

    for (size_t i = 0; i < DV_ARRAY_SIZE(rows); i++) {
        struct parsed p = parse(rows[i].text, (struct dv_capabilities){.strategies = only_native});
        assert_int_equal(p.problems.count, 1);
        assert_string_equal(p.problems.items[0].code, rows[i].code);
        assert_string_equal(p.problems.items[0].pointer, rows[i].pointer);
        finish(&p);
    }
}

static void a_request_is_filled_in_and_written_again(void **state)
{
    struct parsed p = parse("{'dataset_id':'" ID "','strategy':'Native','device':'CPU',"
                            "'hyperparameters':{'epochs':2},'architecture':'resnet20',"
                            "'target_accuracy':0.9,'seed':5,'name':'mine'}",
        (struct dv_capabilities){.strategies = only_native});
    (void)state;

    assert_non_null(p.spec);
    assert_string_equal(p.spec->strategy, "native");
    assert_string_equal(p.spec->device, "cpu");
    assert_int_equal(p.spec->max_restarts, DV_MAX_RESTARTS_DEFAULT);
    assert_int_equal(p.spec->seed, 5);
    DV_CLEANUP(dv_json_unrefp) struct dv_json *json = dv_job_spec_to_json(p.spec);
    DV_CLEANUP(dv_arena_destroyp) struct dv_arena *arena = dv_arena_create(0);
    const struct dv_capabilities capabilities = {.strategies = only_native};
    struct dv_problems problems;
    struct dv_job_spec *again = NULL;
    dv_problems_init(&problems, arena, 5);
    assert_int_equal(dv_job_spec_parse(json, &capabilities, arena, &problems, &again, NULL), DV_OK);
    assert_string_equal(again->name, "mine");
    assert_true(again->target_accuracy > 0.89);
    assert_int_equal(dv_json_get_integer(again->hyperparameters, "epochs", 0), 2);
    assert_string_equal(dv_json_to_string(again->architecture, ""), "resnet20");
    finish(&p);
}

static void auto_is_the_first_strategy_that_fits_and_is_here(void **state)
{
    static const struct {
        const char *members, *chosen;
        bool has_all, has_llm;
    } rows[] = {
        {"", "native", false, false},
        {"", "native", true, false},
        {"", "llm", true, true},
        {",'max_iterations':5", "search", true, false},
        {",'max_iterations':1", "native", true, false},
        {",'max_iterations':5", "native", false, true},
        {",'base_model_id':'" ID "'", "transfer", true, true},
        {",'replay_of':'" ID "'", "search", true, true},
        {",'strategy':'native','max_iterations':5", "native", true, true},
    };
    (void)state;

    for (size_t i = 0; i < DV_ARRAY_SIZE(rows); i++) {
        const struct dv_capabilities capabilities = {
            .strategies = rows[i].has_all ? all : only_native, .has_llm = rows[i].has_llm};
        char text[256];
        (void)snprintf(text, sizeof(text), "{'dataset_id':'" ID "'%s}", rows[i].members);
        struct parsed p = parse(text, capabilities);
        assert_non_null(p.spec);
        assert_string_equal(dv_job_spec_strategy(p.spec, &capabilities), rows[i].chosen);
        finish(&p);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(wrong_requests_are_refused_with_the_place),
        cmocka_unit_test(a_request_is_filled_in_and_written_again),
        cmocka_unit_test(auto_is_the_first_strategy_that_fits_and_is_here),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
