/* SPDX-License-Identifier: Apache-2.0 */
#include "spec_test.h"

#include "base/alloc.h"
#include "base/hash.h"
#include "fixer.h"

#define STEM "{'name':'stem','op':'conv','out':8}"
#define HEAD "{'name':'head','op':'linear'}"

struct mistake {
    const char *rows;
    const char *code, *pointer, *message, *fix; /* NULL: whatever it says */
};

static const struct mistake mistakes[] = {
    /* Names and ops. */
    {STEM ",{'op':'conv'}," HEAD, "E_FIELD", "/layers/1/name", NULL, "set layers[1].name=\"conv\""},
    {STEM ",{'name':'Big Row','op':'conv'}," HEAD, "E_NAME", "/layers/1/name", NULL,
        "set layers[1].name=\"bigrow\""},
    {STEM ",{'name':'input','op':'conv'}," HEAD, "E_NAME", "/layers/1/name", NULL,
        "set layers[1].name=\"input_2\""},
    {STEM ",{'name':7,'op':'conv'}," HEAD, "E_TYPE", "/layers/1/name", NULL, NULL},
    {STEM "," STEM "," HEAD, "E_DUP_NAME", "/layers/1/name",
        "layers[1] \"stem\": the name is already that of layers[0]. Each row needs its own.",
        "set layers[1].name=\"stem_2\""},
    {STEM ",{'name':'a','op':'convv'}," HEAD, "E_VALUE", "/layers/1/op", NULL, "set a.op=\"conv\""},
    {STEM ",{'name':'a'}," HEAD, "E_FIELD", "/layers/1/op", NULL, "set a.op=\"conv\""},
    {STEM ",{'name':'a','op':[]}," HEAD, "E_TYPE", "/layers/1/op", NULL, NULL},
    {STEM ",[1]," HEAD, "E_TYPE", "/layers/1", "layers[1] must be an object, found an array.",
        "write layers[1] as {\"name\":\"conv\",\"op\":\"conv\"}"},
    /* From. */
    {STEM ",{'name':'s1','op':'conv'},{'name':'proj','op':'conv','from':['stage2']}," HEAD,
        "E_FROM", "/layers/2/from/0",
        "layers[2] \"proj\": from \"stage2\" is not an earlier layer. Earlier: input, stem, s1.",
        "set proj.from[0]=\"s1\""},
    {STEM ",{'name':'a','op':'conv','from':['a']}," HEAD, "E_FROM", "/layers/1/from/0", NULL,
        "set a.from[0]=\"stem\""},
    {STEM ",{'name':'a','op':'conv','from':['stem','input']}," HEAD, "E_FROM", "/layers/1/from",
        NULL, "set a.from=[\"stem\"]"},
    {STEM ",{'name':'a','op':'conv'},{'name':'j','op':'add'}," HEAD, "E_FROM", "/layers/2/from",
        "layers[2] \"j\": add takes 2 to 4 inputs, found 0 in from. Earlier: input, stem, a.",
        "set j.from=[\"stem\",\"a\"]"},
    {STEM ",{'name':'a','op':'conv','from':'stem'}," HEAD, "E_TYPE", "/layers/1/from", NULL,
        "set a.from=[\"stem\"]"},
    {STEM ",{'name':'a','op':'conv','from':[3]}," HEAD, "E_TYPE", "/layers/1/from/0", NULL, NULL},
    /* Fields. */
    {"{'name':'a','op':'conv','kernal':5}," HEAD, "E_FIELD", "/layers/0/kernal", NULL,
        "rename \"kernal\" to \"kernel\""},
    {"{'name':'a','op':'conv','colour/~':5}," HEAD, "E_FIELD", "/layers/0/colour~1~0", NULL,
        "remove \"colour/~\""},
    {STEM ",{'name':'gap','op':'global_pool','kernel':3}," HEAD, "E_FIELD", "/layers/1/kernel",
        "layers[1] \"gap\": global_pool takes no kernel, found 3. Legal: name, op, from, pool.",
        "remove \"kernel\""},
    {"{'name':'a','op':'conv','kernel':13}," HEAD, "E_VALUE", "/layers/0/kernel",
        "layers[0] \"a\": kernel=13 is out of range. Legal: 1 to 11.", "set a.kernel=11"},
    {"{'name':'a','op':'conv','kernel':0}," HEAD, "E_VALUE", "/layers/0/kernel", NULL,
        "set a.kernel=1"},
    {"{'name':'a','op':'residual','kernel':4}," HEAD, "E_VALUE", "/layers/0/kernel",
        "layers[0] \"a\": kernel=4 is out of range. Legal: odd, 1 to 11.", "set a.kernel=5"},
    {"{'name':'a','op':'conv','kernel':'5'}," HEAD, "E_TYPE", "/layers/0/kernel",
        "layers[0] \"a\": kernel must be an integer, found \"5\". Legal: 1 to 11.",
        "set a.kernel=5"},
    {"{'name':'a','op':'conv','kernel':2.5}," HEAD, "E_TYPE", "/layers/0/kernel", NULL,
        "set a.kernel=2"},
    {"{'name':'a','op':'conv','kernel':null}," HEAD, "E_TYPE", "/layers/0/kernel", NULL,
        "set a.kernel=3"},
    {"{'name':'a','op':'conv','stride':3}," HEAD, "E_VALUE", "/layers/0/stride", NULL, NULL},
    {"{'name':'a','op':'conv','out':-1}," HEAD, "E_VALUE", "/layers/0/out", NULL, "set a.out=0"},
    {"{'name':'a','op':'conv','out':9223372036854775807}," HEAD, "E_VALUE", "/layers/0/out", NULL,
        "set a.out=1048576"},
    {"{'name':'a','op':'dropout','drop':1}," HEAD, "E_VALUE", "/layers/0/drop", NULL,
        "set a.drop=0.9"},
    {"{'name':'a','op':'conv','act':'relo'}," HEAD, "E_VALUE", "/layers/0/act",
        "layers[0] \"a\": act \"relo\" is not known. Legal: none, relu, relu6, silu, "
        "gelu, hardswish, leaky_relu.",
        "set a.act=\"relu\""},
    {"{'name':'a','op':'conv','act':true}," HEAD, "E_TYPE", "/layers/0/act", NULL, NULL},
    {"{'name':'p','op':'pool','kernel':2,'padding':2}," HEAD, "E_VALUE", "/layers/0/padding",
        "layers[0] \"p\": padding=2 is more than half the kernel of 2. Legal: 0 to 1.",
        "set p.padding=1"},
    {"{'name':'a','op':'residual','se':0.6}," HEAD, "E_VALUE", "/layers/0/se",
        "layers[0] \"a\": se=0.6 is out of range. Legal: 0, or 0.0625 to 0.5.", "set a.se=0.5"},
    {"{'name':'a','op':'mbconv','se':0.05}," HEAD, "E_VALUE", "/layers/0/se", NULL,
        "set a.se=0.0625"},
    {"{'name':'a','op':'bottleneck','out':8,'se':0.01}," HEAD, "E_VALUE", "/layers/0/se", NULL,
        "set a.se=0"},
    {"{'name':'a','op':'residual','se':-1}," HEAD, "E_VALUE", "/layers/0/se", NULL, "set a.se=0"},
    {"{'name':'a','op':'mbconv','se':'x'}," HEAD, "E_TYPE", "/layers/0/se",
        "layers[0] \"a\": se must be a number, found \"x\". Legal: 0, or 0.0625 to 0.5.",
        "set a.se=0"},
    {"{'name':'a','op':'conv','se':0.25}," HEAD, "E_FIELD", "/layers/0/se", NULL, "remove \"se\""},
    {"{'name':'a','op':'dwsep','drop':0.1}," HEAD, "E_FIELD", "/layers/0/drop",
        "layers[0] \"a\": dwsep takes no drop, found 0.1. Legal: name, op, from, repeat, out, "
        "kernel, stride, norm, act.",
        "remove \"drop\""},
    {"{'name':'a','op':'mbconv','groups':2}," HEAD, "E_FIELD", "/layers/0/groups", NULL, NULL},
    {"{'name':'a','op':'mbconv','shortcut':'pad'}," HEAD, "E_FIELD", "/layers/0/shortcut", NULL,
        "remove \"shortcut\""},
    {"{'name':'a','op':'mbconv','expand':9}," HEAD, "E_VALUE", "/layers/0/expand", NULL,
        "set a.expand=8"},
    {"{'name':'a','op':'mbconv','kernel':4}," HEAD, "E_VALUE", "/layers/0/kernel",
        "layers[0] \"a\": kernel=4 is out of range. Legal: odd, 1 to 11.", "set a.kernel=5"},
    {"{'name':'a','op':'conv','norm':'grop'}," HEAD, "E_VALUE", "/layers/0/norm",
        "layers[0] \"a\": norm \"grop\" is not known. Legal: batch, group, none.",
        "set a.norm=\"group\""},
    {"{'name':'a','op':'residual','shortcut':'padd'}," HEAD, "E_VALUE", "/layers/0/shortcut",
        "layers[0] \"a\": shortcut \"padd\" is not known. Legal: conv, pad.",
        "set a.shortcut=\"pad\""},
    {"{'name':'a','op':'conv','pool':'median'}," HEAD, "E_VALUE", "/layers/0/pool",
        "layers[0] \"a\": pool \"median\" is not known. Legal: none, max, avg.",
        "set a.pool=\"none\""},
    {"{'name':'a','op':'mbconv','act':'sigmoid'}," HEAD, "E_VALUE", "/layers/0/act", NULL,
        "set a.act=\"none\""},
    /* The whole. */
    {STEM, "E_HEAD", "/layers/0", NULL, "add {\"name\":\"head\",\"op\":\"linear\"} at the end"},
    {STEM ",{'name':'idle','op':'conv'},{'name':'b','op':'conv','from':['stem']}," HEAD, "E_UNUSED",
        "/layers/1", "layers[1] \"idle\": no later layer takes its output.",
        "remove layers[1] \"idle\""},
    {"", "E_VALUE", "/layers", "layers has 0 rows. Legal: 1 to 4096.", NULL},
};

static void assert_same(const char *wanted, const char *found)
{
    if (wanted) {
        assert_string_equal(found, wanted);
    }
}

static void each_mistake_gets_its_problem(void **state)
{
    (void)state;
    for (size_t i = 0; i < DV_ARRAY_SIZE(mistakes); i++) {
        struct spec_test t = spec_test_build(mistakes[i].rows);
        assert_same(mistakes[i].code, t.problems.items[0].code);
        assert_same(mistakes[i].pointer, t.problems.items[0].pointer);
        assert_same(mistakes[i].message, t.problems.items[0].message);
        assert_same(mistakes[i].fix, t.problems.items[0].fix);
        assert_int_equal(t.problems.count, 1);
        spec_test_finish(&t);
    }
}

static void following_the_fix_makes_the_network_build(void **state)
{
    (void)state;
    for (size_t i = 0; i < DV_ARRAY_SIZE(mistakes); i++) {
        struct spec_test t = spec_test_build(mistakes[i].rows);
        const struct dv_problem *problem = &t.problems.items[0];
        if (!fixer_apply(t.json, problem)) {
            fail_msg("%s: cannot follow \"%s\"", problem->message, problem->fix);
        }
        struct spec_test after = spec_test_build_json(dv_json_ref(t.json));
        if (!after.graph && strcmp(after.problems.items[0].code, "E_UNUSED") != 0) {
            fail_msg("%s Fix: %s: %s", problem->message, problem->fix, after.error.text);
        }
        spec_test_finish(&after);
        spec_test_finish(&t);
    }
}

static void names_several_mistakes_in_the_order_of_the_file(void **state)
{
    struct spec_test t =
        spec_test_build("{'name':'a','op':'conv','kernel':99,'stride':9},{'name':'b','op':'foo'},"
                        "{'name':'a','op':'conv','act':'x','norm':'y'},{'op':'bar'}," HEAD);
    (void)state;

    assert_int_equal(t.problems.count, PROBLEMS_MAX);
    assert_true(t.problems.has_more);
    assert_string_equal(t.problems.items[0].pointer, "/layers/0/kernel");
    assert_string_equal(t.problems.items[1].pointer, "/layers/0/stride");
    assert_string_equal(t.problems.items[2].pointer, "/layers/1/op");
    assert_string_equal(t.problems.items[3].pointer, "/layers/2/name");
    spec_test_finish(&t);
}

static void refuses_what_is_no_architecture(void **state)
{
    static const struct {
        const char *text, *code, *pointer;
    } rows[] = {
        {"[]", "E_TYPE", ""},
        {"{}", "E_FIELD", "/layers"},
        {"{'layers':3}", "E_TYPE", "/layers"},
        {"{'layers':[],'thought':'x'}", "E_FIELD", "/thought"},
        {"{'name':1,'layers':[" HEAD "]}", "E_TYPE", "/name"},
    };
    (void)state;

    for (size_t i = 0; i < DV_ARRAY_SIZE(rows); i++) {
        struct spec_test t = spec_test_build_json(spec_test_json(rows[i].text));
        assert_string_equal(t.problems.items[0].code, rows[i].code);
        assert_string_equal(t.problems.items[0].pointer, rows[i].pointer);
        spec_test_finish(&t);
    }
    struct spec_test t = spec_test_build_json(dv_json_string("resnet19"));
    assert_string_equal(t.problems.items[0].code, "E_PRESET");
    assert_string_equal(t.problems.items[0].fix, "write \"resnet18\"");
    spec_test_finish(&t);
}

static void takes_rows_that_fill_in_every_field(void **state)
{
    /* What a language model writes: fields that do not apply are 0, 1 or none. */
    struct spec_test t = spec_test_build(
        "{'name':'s','op':'residual','from':[],'repeat':1,'out':8,'kernel':5,'stride':1,"
        "'padding':0,'groups':1,'expand':1,'se':0,'norm':'batch','act':'relu','pool':'none','drop':0},"
        "{'name':'gap','op':'global_pool','from':[],'repeat':1,'out':0,'kernel':0,'stride':1,"
        "'padding':0,'groups':1,'expand':1,'se':0,'norm':'none','act':'none','pool':'avg','drop':0},"
        "{'name':'head','op':'linear','from':[],'repeat':1,'out':10,'kernel':0,'stride':1,"
        "'groups':1,'expand':1,'se':0,'norm':'none','act':'none','pool':'none','drop':0}");
    (void)state;

    assert_non_null(t.graph);
    DV_CLEANUP(dv_json_unrefp) struct dv_json *json = dv_arch_to_json(t.arch);
    DV_CLEANUP(dv_freep) char *text = dv_json_print(json);
    assert_string_equal(text, "{\"name\":\"test\",\"layers\":["
                              "{\"name\":\"s\",\"op\":\"residual\",\"out\":8,\"kernel\":5},"
                              "{\"name\":\"gap\",\"op\":\"global_pool\"},"
                              "{\"name\":\"head\",\"op\":\"linear\",\"out\":10}]}");
    spec_test_finish(&t);
}

static void takes_what_others_call_it_and_says_so(void **state)
{
    struct spec_test t = spec_test_build(
        "{'name':'a','op':'mbconv','out':8,'act':'Swish','norm':'bn','drop':0.1},"
        "{'name':'b','op':'conv','act':'identity','norm':'GroupNorm','pool':'average'}," HEAD);
    (void)state;

    assert_non_null(t.graph);
    assert_int_equal(t.arch->rows[0].act, DV_ACT_SILU);
    assert_int_equal(t.arch->rows[0].norm, DV_NORM_BATCH);
    assert_int_equal(t.arch->rows[1].act, DV_ACT_NONE);
    assert_int_equal(t.arch->rows[1].norm, DV_NORM_GROUP);
    assert_int_equal(t.arch->rows[1].pooling, DV_POOLING_AVG);
    static const char *const notes[] = {"\"a\".act=silu, written swish",
        "\"a\".norm=batch, written bn", "\"b\".act=none, written identity",
        "\"b\".norm=group, written groupnorm", "\"b\".pool=avg, written average"};
    for (size_t i = 0; i < DV_ARRAY_SIZE(notes); i++) {
        assert_string_equal(t.graph->notes[i], notes[i]);
    }
    assert_int_equal(t.graph->note_count, DV_ARRAY_SIZE(notes) + 2); /* the head's two */
    spec_test_finish(&t);
}

static void compact_form_keeps_every_field(void **state)
{
    static const char rows[] =
        "[{\"name\":\"a\",\"op\":\"conv\",\"out\":8,\"norm\":\"group\",\"act\":\"gelu\",\"pool\":\"max\"},"
        "{\"name\":\"b\",\"op\":\"residual\",\"out\":16,\"se\":0.25,\"drop\":0.1,\"shortcut\":\"pad\"},"
        "{\"name\":\"c\",\"op\":\"mbconv\",\"expand\":6,\"se\":0.0625,\"act\":\"relu6\",\"drop\":0.2},"
        "{\"name\":\"d\",\"op\":\"dwsep\",\"kernel\":5,\"stride\":2,\"act\":\"hardswish\"},"
        "{\"name\":\"e\",\"op\":\"bottleneck\",\"se\":0.5,\"act\":\"leaky_relu\"},"
        "{\"name\":\"head\",\"op\":\"linear\",\"norm\":\"group\"}]";
    struct dv_json *layers = NULL;
    struct dv_json *arch = dv_json_object();
    (void)state;

    assert_int_equal(dv_json_parse(rows, strlen(rows), &layers, NULL), DV_OK);
    dv_json_set(arch, "layers", layers);
    struct spec_test t = spec_test_build_json(arch);
    assert_non_null(t.graph);
    DV_CLEANUP(dv_json_unrefp) struct dv_json *json = dv_arch_to_json(t.arch);
    DV_CLEANUP(dv_freep) char *text = dv_json_print(dv_json_get(json, "layers"));
    assert_string_equal(text, rows);
    spec_test_finish(&t);
}

static void compact_form_reads_back_as_the_same_rows(void **state)
{
    (void)state;
    const char *const names[] = {"resnet18", "resnet50", "resnet20", "small_cnn"};
    for (size_t i = 0; i < DV_ARRAY_SIZE(names); i++) {
        struct spec_test t = spec_test_build_json(dv_json_string(names[i]));
        struct spec_test again = spec_test_build_json(dv_arch_to_json(t.arch));
        char first[DV_SHA256_TEXT_SIZE], second[DV_SHA256_TEXT_SIZE];
        dv_arch_hash(t.arch, first);
        dv_arch_hash(again.arch, second);
        assert_string_equal(first, second);
        assert_int_equal(again.graph->tensor_count, t.graph->tensor_count);
        for (uint32_t j = 0; j < t.graph->tensor_count; j++) {
            assert_string_equal(again.graph->tensors[j].name, t.graph->tensors[j].name);
        }
        spec_test_finish(&again);
        spec_test_finish(&t);
    }
}

static void hash_of(const char *rows, char *ret_text)
{
    struct spec_test t = spec_test_build(rows);

    assert_non_null(t.arch);
    dv_arch_hash(t.arch, ret_text);
    spec_test_finish(&t);
}

static void hash_ignores_names_and_defaults_but_no_meaning(void **state)
{
    char first[DV_SHA256_TEXT_SIZE], second[DV_SHA256_TEXT_SIZE];
    (void)state;

    hash_of("{'name':'a','op':'conv','out':8},{'name':'b','op':'conv','from':['input'],'out':8},"
            "{'name':'c','op':'add','from':['a','b']}," HEAD,
        first);
    hash_of("{'out':8,'name':'x','op':'conv','kernel':3,'act':'relu'},"
            "{'name':'y','op':'conv','from':['input'],'out':8,'padding':1},"
            "{'name':'z','op':'add','from':['x','y']},{'name':'fc','op':'linear'}",
        second);
    assert_string_equal(first, second);
    hash_of("{'name':'a','op':'conv','out':8},{'name':'b','op':'conv','from':['input'],'out':8},"
            "{'name':'c','op':'add','from':['b','a']}," HEAD,
        second);
    assert_string_not_equal(first, second);
    hash_of("{'name':'a','op':'conv','out':8},{'name':'b','op':'conv','from':['input'],'out':8,"
            "'kernel':5},{'name':'c','op':'add','from':['a','b']}," HEAD,
        second);
    assert_string_not_equal(first, second);
}

static void messages_are_short_and_clean_whatever_was_written(void **state)
{
    DV_CLEANUP(dv_json_unrefp) struct dv_json *row = spec_test_json("{'name':'a','op':'conv'}");
    struct dv_json *layers = dv_json_array();
    struct dv_json *arch = dv_json_object();
    char wild[1001];
    (void)state;

    memset(wild, 'x', sizeof(wild) - 1);
    memcpy(wild, "\x1b[31m\xc3\xa9", 7);
    wild[sizeof(wild) - 1] = '\0';
    dv_json_set_string(row, "act", wild);
    dv_json_set_integer(row, wild, 1);
    dv_json_append(layers, dv_json_ref(row));
    dv_json_set(arch, "layers", layers);
    struct spec_test t = spec_test_build_json(arch);
    assert_int_equal(t.problems.count, 2);
    for (size_t i = 0; i < t.problems.count; i++) {
        assert_true(strlen(t.problems.items[i].message) < 300);
        assert_null(strchr(t.problems.items[i].message, '\x1b'));
    }
    DV_CLEANUP(dv_json_unrefp) struct dv_json *list = dv_problems_to_json(&t.problems);
    assert_int_equal(dv_json_count(list), 2);
    assert_non_null(dv_json_get_string(dv_json_at(list, 0), "message", NULL));
    spec_test_finish(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_mistake_gets_its_problem),
        cmocka_unit_test(following_the_fix_makes_the_network_build),
        cmocka_unit_test(names_several_mistakes_in_the_order_of_the_file),
        cmocka_unit_test(refuses_what_is_no_architecture),
        cmocka_unit_test(takes_rows_that_fill_in_every_field),
        cmocka_unit_test(takes_what_others_call_it_and_says_so),
        cmocka_unit_test(compact_form_keeps_every_field),
        cmocka_unit_test(compact_form_reads_back_as_the_same_rows),
        cmocka_unit_test(hash_ignores_names_and_defaults_but_no_meaning),
        cmocka_unit_test(messages_are_short_and_clean_whatever_was_written),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
