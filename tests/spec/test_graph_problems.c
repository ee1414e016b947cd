/* SPDX-License-Identifier: Apache-2.0 */
/* Each mistake gets its problem, and following the fix takes it away. */
#include "spec_test.h"

#include "fixer.h"

#define HEAD "{'name':'gap','op':'global_pool'},{'name':'head','op':'linear'}"

struct mistake {
    const char *rows;
    const char *code, *pointer, *message, *fix; /* NULL: whatever it says */
};

static const struct mistake mistakes[] = {
    {"{'name':'s3','op':'conv','out':128,'stride':2},"
     "{'name':'proj','op':'conv','from':['input'],'out':128,'kernel':1,'act':'none'},"
     "{'name':'join','op':'add','from':['s3','proj'],'act':'relu'}," HEAD,
        "E_ADD_SHAPE", "/layers/2/from",
        "layers[2] \"join\": inputs differ: s3=[128,16,16], proj=[128,32,32].",
        "set proj.stride=2 (gives [128,16,16])"},
    {"{'name':'a','op':'conv','out':32},{'name':'b','op':'conv','out':64},"
     "{'name':'join','op':'add','from':['a','b']}," HEAD,
        "E_ADD_SHAPE", "/layers/2/from", NULL, "set b.out=32 (gives [32,32,32])"},
    {"{'name':'a','op':'conv','out':32},{'name':'b','op':'conv','out':64,'stride':2},"
     "{'name':'c','op':'conv','out':64,'stride':2},"
     "{'name':'join','op':'add','from':['a','c']}," HEAD,
        "E_ADD_SHAPE", "/layers/3/from", NULL, NULL},
    {"{'name':'a','op':'conv','out':32},{'name':'b','op':'global_pool'},"
     "{'name':'c','op':'flatten'},{'name':'d','op':'add','from':['a','c']},"
     "{'name':'head','op':'linear'}",
        "E_ADD_SHAPE", "/layers/3/from", NULL, NULL},
    {"{'name':'a','op':'conv','out':8},{'name':'b','op':'pool','kernel':4},"
     "{'name':'join','op':'concat','from':['a','b']}," HEAD,
        "E_CONCAT_SHAPE", "/layers/2/from", NULL, NULL},
    {"{'name':'stem','op':'conv','out':32},{'name':'s2','op':'conv','out':64,'groups':3}," HEAD,
        "E_GROUPS", "/layers/1/groups",
        "layers[1] \"s2\": groups=3 does not divide in=32. Legal: 1,2,4,8,16,32.",
        "set s2.groups=2"},
    /* Of 1048583, a prime: what no row can have is not looked for. */
    {"{'name':'p','op':'global_pool'},{'name':'a','op':'conv','out':1048576,'groups':1},"
     "{'name':'b','op':'conv','from':['p'],'out':7},"
     "{'name':'c','op':'concat','from':['a','b']},{'name':'d','op':'conv','groups':2}," HEAD,
        "E_GROUPS", "/layers/4/groups",
        "layers[4] \"d\": groups=2 does not divide in=1048583. Legal: 1.", "set d.groups=1"},
    {"{'name':'b','op':'bottleneck','out':30,'expand':4}," HEAD, "E_VALUE", "/layers/0/expand",
        "layers[0] \"b\": expand=4 does not divide out=30. Legal: 1,2,3,5,6.", "set b.expand=3"},
    {"{'name':'b','op':'bottleneck','out':32,'groups':5}," HEAD, "E_GROUPS", "/layers/0/groups",
        "layers[0] \"b\": groups=5 does not divide out/expand=8. Legal: 1,2,4,8.",
        "set b.groups=4"},
    {"{'name':'a','op':'conv','out':4},{'name':'p','op':'pool','kernel':11},"
     "{'name':'q','op':'pool','kernel':11}," HEAD,
        "E_SHAPE", "/layers/2/kernel",
        "layers[2] \"q\": a kernel of 11 with padding 0 does not fit on a map of [4,2,2].",
        "set q.kernel=2, q.stride=2, q.padding=0"},
    {"{'name':'p','op':'global_pool'},{'name':'c','op':'conv','kernel':5,'padding':1}," HEAD,
        "E_SHAPE", "/layers/1/kernel", NULL, "set c.padding=2"},
    {"{'name':'f','op':'flatten'},{'name':'c','op':'conv','out':8},"
     "{'name':'head','op':'linear'}",
        "E_SHAPE", "/layers/1/op",
        "layers[1] \"c\": conv needs a map [channel, row, column], found features [3072].",
        "replace layers[1] by "
        "{\"name\":\"c\",\"op\":\"linear\",\"out\":8,\"act\":\"relu\"}"},
    {"{'name':'f','op':'flatten'}," HEAD, "E_SHAPE", "/layers/1/op", NULL,
        "replace layers[1] by {\"name\":\"gap\",\"op\":\"flatten\"}"},
    {"{'name':'gap','op':'global_pool'},{'name':'head','op':'linear','out':7}", "E_HEAD",
        "/layers/1/out", "layers[1] \"head\": the last row has out=7, the data set has 10 classes.",
        "set head.out=10"},
    {"{'name':'s','op':'residual','repeat':1000,'out':8},"
     "{'name':'t','op':'residual','repeat':1000,'out':8}," HEAD,
        "E_NODES", "/layers/1/repeat",
        "layers[1] \"t\": the network has more than 10000 operations.", "set s.repeat=250"},
    {"{'name':'f','op':'flatten'},{'name':'a','op':'linear','out':1048576},"
     "{'name':'b','op':'concat','from':['a','a','a','a']},"
     "{'name':'c','op':'concat','from':['b','b','b','b']},"
     "{'name':'d','op':'concat','from':['c','c','c','c']},"
     "{'name':'e','op':'concat','from':['d','d','d','d']},"
     "{'name':'g','op':'concat','from':['e','e','e','e']},"
     "{'name':'h','op':'concat','from':['g','g','g','g']},{'name':'head','op':'linear'}",
        "E_SIZE", "/layers/7/op", NULL, "set a.out=64"},
    {"{'name':'gap0','op':'global_pool'},{'name':'a','op':'conv','out':1048576,'kernel':1},"
     "{'name':'b','op':'concat','from':['a','a','a','a']},"
     "{'name':'c','op':'concat','from':['b','b','b','b']},"
     "{'name':'d','op':'concat','from':['c','c','c','c']},"
     "{'name':'e','op':'concat','from':['d','d','d','d']},"
     "{'name':'m','op':'mbconv','expand':8}," HEAD,
        "E_SIZE", "/layers/6/op", NULL, "set a.out=64"},
    {"{'name':'a','op':'conv','out':64},"
     "{'name':'b','op':'residual','out':32,'shortcut':'pad'}," HEAD,
        "E_SHAPE", "/layers/1/shortcut",
        "layers[1] \"b\": a padded shortcut cannot go from 64 channels to 32. Legal: conv, or out "
        "of 64 and more.",
        "set b.shortcut=\"conv\""},
    {"{'name':'a','op':'conv','out':64},"
     "{'name':'b','op':'bottleneck','out':32,'stride':2,'shortcut':'pad'}," HEAD,
        "E_SHAPE", "/layers/1/shortcut", NULL, "set b.shortcut=\"conv\""},
    {"{'name':'gap0','op':'global_pool'},{'name':'a','op':'conv','out':8,'pool':'avg'}," HEAD,
        "E_SHAPE", "/layers/1/pool",
        "layers[1] \"a\": its 2x2 pool does not fit on a map of [8,1,1].", "set a.pool=\"none\""},
    {"{'name':'f','op':'flatten'},{'name':'m','op':'mbconv','out':8,'act':'silu'},"
     "{'name':'head','op':'linear'}",
        "E_SHAPE", "/layers/1/op", NULL,
        "replace layers[1] by "
        "{\"name\":\"m\",\"op\":\"linear\",\"out\":8,\"act\":\"silu\"}"},
    {"{'name':'a','op':'conv','out':32},{'name':'m','op':'mbconv','out':64,'stride':2},"
     "{'name':'d','op':'dwsep','from':['a'],'out':64},"
     "{'name':'join','op':'add','from':['m','d']}," HEAD,
        "E_ADD_SHAPE", "/layers/3/from",
        "layers[3] \"join\": inputs differ: m=[64,16,16], d=[64,32,32].",
        "set d.stride=2 (gives [64,16,16])"},
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
        assert_int_equal(t.problems.count, 1);
        assert_same(mistakes[i].code, t.problems.items[0].code);
        assert_same(mistakes[i].pointer, t.problems.items[0].pointer);
        assert_same(mistakes[i].message, t.problems.items[0].message);
        assert_same(mistakes[i].fix, t.problems.items[0].fix);
        assert_true(strncmp(t.error.text, t.problems.items[0].message, 20) == 0);
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
        /* What had only fed the mistake may be idle now; that is another problem. */
        if (!after.graph && strcmp(after.problems.items[0].code, "E_UNUSED") != 0) {
            fail_msg("%s Fix: %s: %s", problem->message, problem->fix, after.error.text);
        }
        spec_test_finish(&after);
        spec_test_finish(&t);
    }
}

static void sizes_are_refused_before_they_wrap(void **state)
{
    (void)state;

    struct spec_test t =
        spec_test_build("{'name':'a','op':'conv','out':1048576,'kernel':11},"
                        "{'name':'b','op':'conv','out':1048576,'kernel':11},"
                        "{'name':'c','op':'conv','out':1048576,'kernel':11,'repeat':100}," HEAD);
    assert_null(t.graph);
    assert_string_equal(t.problems.items[0].code, "E_SIZE");
    spec_test_finish(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_mistake_gets_its_problem),
        cmocka_unit_test(following_the_fix_makes_the_network_build),
        cmocka_unit_test(sizes_are_refused_before_they_wrap),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
