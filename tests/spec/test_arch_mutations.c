/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Random changes of good architectures: nothing crashes, everything builds or has problems, and
 * following the fixes leads to a network or to a problem that has no fix. The seed is fixed;
 * another one is the program's first argument.
 */
#include "spec_test.h"

#include "base/random.h"
#include "base/text.h"
#include "fixer.h"

enum { MUTANTS = 4000, CHANGES_MAX = 4, ROUNDS_MAX = 60 };

static uint64_t seed = 20260101;

static const char *const parents[] = {
    "{'name':'stem','op':'conv','out':32},{'name':'s1','op':'residual','repeat':2,'out':32},"
    "{'name':'s2','op':'residual','repeat':2,'out':64,'stride':2},"
    "{'name':'s3','op':'bottleneck','out':128,'stride':2,'groups':4},"
    "{'name':'proj','op':'conv','from':['s2'],'out':128,'kernel':1,'stride':2,'act':'none'},"
    "{'name':'join','op':'add','from':['s3','proj'],'act':'relu'},"
    "{'name':'gap','op':'global_pool','pool':'avg'},{'name':'dp','op':'dropout','drop':0.2},"
    "{'name':'head','op':'linear','out':10}",
    "{'name':'a','op':'conv','out':16,'kernel':5},{'name':'p','op':'pool','kernel':3,'stride':2},"
    "{'name':'b','op':'conv','from':['p'],'out':16},{'name':'c','op':'concat','from':['p','b']},"
    "{'name':'d','op':'add','from':['c','c']},{'name':'f','op':'flatten'},"
    "{'name':'l','op':'linear','out':64,'norm':'batch','act':'relu','drop':0.5},"
    "{'name':'head','op':'linear'}",
    "{'name':'stem','op':'conv','out':24,'norm':'group','act':'gelu','pool':'max'},"
    "{'name':'m','op':'mbconv','repeat':2,'out':32,'stride':2,'expand':6,'se':0.25,'act':'silu',"
    "'drop':0.1},{'name':'d','op':'dwsep','out':48,'act':'hardswish'},"
    "{'name':'r','op':'residual','out':64,'stride':2,'shortcut':'pad','se':0.125,'drop':0.2},"
    "{'name':'b','op':'bottleneck','from':['r'],'out':64,'groups':2,'shortcut':'pad',"
    "'act':'leaky_relu'},{'name':'j','op':'add','from':['r','b'],'act':'relu6'},"
    "{'name':'head','op':'linear'}",
};

static const char *const values[] = {"0", "1", "2", "3", "4", "5", "7", "11", "12", "64", "1000",
    "1048576", "-1", "4294967296", "9223372036854775807", "0.5", "1e308", "-0.0", "null", "true",
    "[]", "{}", "''", "'none'", "'relu'", "'silu'", "'batch'", "'max'", "'avg'", "'conv'",
    "'residual'", "'bottleneck'", "'pool'", "'global_pool'", "'add'", "'concat'", "'flatten'",
    "'dropout'", "'linear'", "'mbconv'", "'dwsep'", "'group'", "'pad'", "'swish'", "'relu6'", "'input'", "'s1'", "'head'", "['input']", "['s1']",
    "['a','p']", "['stem','s2']", "['input','s1','s2']", "[1]", "['\\u0000']", "'\\u001b[0m'",
    "[['a']]"};

static const char *const keys[] = {"name", "op", "from", "repeat", "out", "kernel", "stride",
    "padding", "groups", "expand", "se", "norm", "act", "pool", "drop", "shortcut", "kernal", "/~"};

static size_t below(struct dv_random *random, size_t limit)
{
    return (size_t)dv_random_below(random, limit);
}

/* A value from the list; those that the JSON reader refuses itself become null. */
static struct dv_json *random_value(struct dv_random *random)
{
    const char *text = values[below(random, DV_ARRAY_SIZE(values))];
    char copy[64];
    struct dv_json *json = NULL;
    size_t size = strlen(text);

    for (size_t i = 0; i <= size; i++) {
        copy[i] = text[i] == '\'' ? '"' : text[i];
    }
    return dv_json_parse(copy, size, &json, NULL) == DV_OK ? json : dv_json_null();
}

/* Take a row out, put it in twice, or swap it with another. */
static void change_rows(struct dv_random *random, struct dv_json *arch)
{
    struct dv_json *old = dv_json_get(arch, "layers");
    struct dv_json *list = dv_json_array();
    size_t count = dv_json_count(old);
    size_t at = below(random, count + 1);
    size_t other = below(random, count + 1);
    size_t kind = below(random, 3);

    for (size_t i = 0; i < count; i++) {
        size_t source = kind == 0 && i == at ? other : kind == 0 && i == other ? at : i;
        struct dv_json *row = dv_json_at(old, source);
        if (row && !(kind == 1 && i == at)) {
            dv_json_append(list, dv_json_copy(row));
        }
        if (row && kind == 2 && i == at) {
            dv_json_append(list, dv_json_copy(row));
        }
    }
    dv_json_set(arch, "layers", list);
}

static void change(struct dv_random *random, struct dv_json *arch)
{
    struct dv_json *layers = dv_json_get(arch, "layers");
    size_t kind = below(random, 20);

    if (kind == 0) {
        dv_json_set(arch, kind % 2 ? "name" : "layers", random_value(random));
        return;
    }
    if (kind < 4) {
        change_rows(random, arch);
        return;
    }
    struct dv_json *row = dv_json_at(layers, below(random, dv_json_count(layers) + 1));
    const char *key = keys[below(random, DV_ARRAY_SIZE(keys))];
    if (!dv_json_is_object(row)) {
        return;
    }
    if (kind < 7) {
        dv_json_remove(row, key);
    } else {
        dv_json_set(row, key, random_value(random));
    }
}

static struct dv_json *make_mutant(uint64_t number)
{
    struct dv_random random = dv_random_make(seed, DV_RANDOM_SAMPLE, number, 0);
    const char *parent = parents[number % DV_ARRAY_SIZE(parents)];
    struct dv_json *arch = dv_json_object();
    char text[2048];

    (void)snprintf(text, sizeof(text), "[%s]", parent);
    dv_json_set_string(arch, "name", "mutant");
    dv_json_set(arch, "layers", spec_test_json(text));
    for (size_t i = below(&random, CHANGES_MAX) + 1; i > 0; i--) {
        change(&random, arch);
    }
    return arch;
}

static bool has_problem(const struct spec_test *t, const struct dv_problem *problem)
{
    for (size_t i = 0; i < t->problems.count; i++) {
        const struct dv_problem *other = &t->problems.items[i];
        if (dv_text_equal(other->code, problem->code) &&
            dv_text_equal(other->pointer, problem->pointer) &&
            dv_text_equal(other->message, problem->message)) {
            return true;
        }
    }
    return false;
}

/* Follow fixes to the end. False: it came to a problem without one that can be followed. */
static bool repair(struct dv_json *arch, uint64_t number)
{
    for (size_t round = 0; round < ROUNDS_MAX; round++) {
        struct spec_test t = spec_test_build_json(dv_json_ref(arch));
        if (t.graph) {
            spec_test_finish(&t);
            return true;
        }
        const struct dv_problem *first = &t.problems.items[0];
        if (!fixer_apply(arch, first)) {
            print_message("%s Fix: %s\n", first->message, first->fix);
            spec_test_finish(&t);
            return false;
        }
        struct spec_test after = spec_test_build_json(dv_json_ref(arch));
        if (has_problem(&after, first)) {
            fail_msg("mutant %llu: %s is still there after: %s", (unsigned long long)number,
                first->message, first->fix);
        }
        spec_test_finish(&after);
        spec_test_finish(&t);
    }
    fail_msg("mutant %llu: fixes lead nowhere", (unsigned long long)number);
    return false;
}

static void mutants_build_or_have_problems_whose_fixes_work(void **state)
{
    size_t built = 0;
    size_t stuck = 0;
    (void)state;

    print_message("seed %llu\n", (unsigned long long)seed);
    for (uint64_t i = 0; i < MUTANTS; i++) {
        DV_CLEANUP(dv_json_unrefp) struct dv_json *arch = make_mutant(i);
        struct spec_test t = spec_test_build_json(dv_json_ref(arch));
        built += t.graph != NULL;
        if (t.graph) {
            struct spec_test again = spec_test_build_json(dv_arch_to_json(t.arch));
            assert_non_null(again.graph);
            assert_int_equal(again.graph->parameter_count, t.graph->parameter_count);
            spec_test_finish(&again);
        }
        spec_test_finish(&t);
        stuck += !repair(arch, i);
    }
    print_message(
        "%zu of %d mutants build; %zu came to a problem without a fix\n", built, MUTANTS, stuck);
    assert_true(built > MUTANTS / 20);
    assert_true(stuck < MUTANTS / 20);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(mutants_build_or_have_problems_whose_fixes_work),
    };

    if (argc > 1 && !dv_text_to_uint64(argv[1], &seed)) {
        return 2;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
