/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The operations that are measured: for each kind, the ends of what networks for small pictures are
 * made of and some between, at sizes in and beyond the caches. Together a few seconds' work.
 */
#include "spec/time_probes.h"

#include "base/macro.h"

#include <assert.h>

/* Numbers that go in and come out. */
#define TINY (1u << 12)
#define SMALL (1u << 16)
#define MIDDLE (1u << 20)
#define LARGE (1u << 24) /* far beyond the caches: what memory is asked for decides */

#define MACS_MAX 800000000ull /* a batch, forward: some 20 ms of one core with its backward */

#define EACH(type, item, ...)                                                                      \
    for (const type *item##_list = (const type[]){__VA_ARGS__}, *item = item##_list;               \
         item < item##_list + sizeof((const type[]){__VA_ARGS__}) / sizeof(type); item++)

struct list {
    struct dv_time_op *ops;
    uint32_t count;
};

static uint64_t numbers(struct dv_shape shape)
{
    return (uint64_t)shape.channels * shape.rows * shape.columns;
}

/* Of as many pictures as make `size` numbers. */
static void add(struct list *list, struct dv_time_op op, uint32_t size)
{
    uint64_t picture = numbers(op.input) * op.input_count + numbers(op.output);

    assert(list->count < DV_TIME_PROBES_MAX);
    op.batch = (uint32_t)(size / picture);
    op.batch = op.batch > 0 ? op.batch : 1;
    list->ops[list->count++] = op;
}

/* --- Convolutions ------------------------------------------------------------------------- */

struct conv {
    uint32_t in, out, kernel, stride, groups, side;
};

static void add_conv(struct list *list, struct conv conv, uint32_t size)
{
    uint32_t side = (conv.side - 1) / conv.stride + 1;
    struct dv_time_op op = {.op = DV_NODE_CONV,
        .input = {conv.in, conv.side, conv.side},
        .output = {conv.out, side, side},
        .input_count = 1,
        .kernel = conv.kernel,
        .stride = conv.stride,
        .groups = conv.groups,
        .is_first = conv.in < 4};
    uint64_t weights = (uint64_t)conv.in / conv.groups * conv.out * conv.kernel * conv.kernel;
    uint64_t pictures = size / (numbers(op.input) + numbers(op.output)) + 1;

    if (weights * side * side * pictures <= MACS_MAX) {
        add(list, op, size);
    }
}

static void add_dense(struct list *list)
{
    EACH (uint32_t, kernel, 1, 3, 5) {
        EACH (uint32_t, size, SMALL, MIDDLE, LARGE) {
            EACH (uint32_t, c, 8, 12, 16, 24, 32, 64, 72, 128, 256) {
                uint32_t fits = *kernel > 1 && *size == LARGE ? LARGE / 4 : *size;
                add_conv(list, (struct conv){*c, *c, *kernel, 1, 1, *c > 64 ? 8 : 16}, fits);
            }
        }
        EACH (uint32_t, c, 12, 16, 64) {
            add_conv(list, (struct conv){*c, 2 * *c, *kernel, 2, 1, 16}, MIDDLE);
            add_conv(list, (struct conv){*c, 2 * *c, *kernel, 2, 1, 16}, LARGE / 4);
        }
    }
    /* What widens and narrows, in bottlenecks and mbconv; and the gates' layers of one place. */
    EACH (uint32_t, size, SMALL, MIDDLE, LARGE) {
        EACH (uint32_t, c, 8, 12, 16, 24, 32, 64) {
            add_conv(list, (struct conv){*c, 4 * *c, 1, 1, 1, 16}, *size);
            add_conv(list, (struct conv){4 * *c, *c, 1, 1, 1, 16}, *size);
        }
    }
    EACH (uint32_t, c, 8, 16, 64, 256) {
        add_conv(list, (struct conv){*c, *c, 1, 1, 1, 1}, TINY);
        add_conv(list, (struct conv){*c, *c, 1, 1, 1, 1}, SMALL);
    }
    EACH (uint32_t, in, 1, 3) {
        EACH (uint32_t, out, 8, 16, 64) {
            add_conv(list, (struct conv){*in, *out, 3, 1, 1, 32}, LARGE / 8);
            add_conv(list, (struct conv){*in, *out, 5, 1, 1, 32}, LARGE / 8);
        }
    }
}

static void add_grouped(struct list *list)
{
    EACH (uint32_t, size, MIDDLE, LARGE) {
        EACH (uint32_t, c, 16, 24, 64, 256) {
            EACH (uint32_t, kernel, 1, 3, 5) {
                add_conv(list, (struct conv){*c, *c, *kernel, 1, *c, 16}, *size);
                add_conv(list, (struct conv){*c, *c, *kernel, 2, *c, 16}, *size);
            }
        }
    }
    EACH (uint32_t, kernel, 3, 5) {
        EACH (uint32_t, c, 24, 32, 64, 128) {
            add_conv(list, (struct conv){*c, *c, *kernel, 1, 2, 16}, MIDDLE);
            add_conv(list, (struct conv){*c, *c, *kernel, 1, 4, 16}, MIDDLE);
        }
    }
}

/* --- The others --------------------------------------------------------------------------- */

/* What keeps its shape: of few channels and of many, of whole vectors and of parts. */
static void add_flat(struct list *list, struct dv_time_op op)
{
    op.input_count = op.op == DV_NODE_ADD ? 2 : 1;
    op.groups = op.op == DV_NODE_GROUP_NORM ? 2 : 1;
    EACH (uint32_t, size, TINY, MIDDLE, LARGE) {
        EACH (uint32_t, c, 8, 12, 32, 128) {
            if (op.op == DV_NODE_DROPOUT && *size == LARGE) {
                continue; /* its random numbers take longer than memory */
            }
            uint32_t side = *c > 64 ? 4 : 16;
            op.input = op.output = (struct dv_shape){*c, side, side};
            add(list, op, *size);
        }
    }
}

static void add_shapes(struct list *list, uint32_t c, uint32_t size)
{
    struct dv_shape map = {c, 16, 16}, wide = {2 * c, 16, 16}, half = {c, 8, 8};

    EACH (enum dv_pooling, pooling, DV_POOLING_MAX, DV_POOLING_AVG) {
        struct dv_time_op pool = {.op = DV_NODE_POOL,
            .input = map,
            .output = half,
            .input_count = 1,
            .kernel = 2,
            .stride = 2,
            .groups = 1,
            .pooling = *pooling};
        add(list, pool, size);
        pool.kernel = 3;
        add(list, pool, size);
        pool.op = DV_NODE_GLOBAL_POOL;
        pool.input = half;
        pool.output = (struct dv_shape){c, 1, 1};
        pool.kernel = pool.stride = 0;
        add(list, pool, size);
    }
    struct dv_time_op op = {.op = DV_NODE_CONCAT, .input = map, .output = wide, .input_count = 2};
    op.groups = 1;
    add(list, op, size);
    op.op = DV_NODE_PAD_SHORTCUT;
    op.input_count = 1;
    op.stride = 2;
    op.output = (struct dv_shape){2 * c, 8, 8};
    add(list, op, size);
    op.op = DV_NODE_FLATTEN;
    op.stride = 0;
    op.output = (struct dv_shape){256 * c, 1, 1};
    add(list, op, size);
}

static void add_linear(struct list *list)
{
    EACH (uint32_t, in, 32, 512, 2048) {
        EACH (uint32_t, out, 10, 512) {
            struct dv_time_op op = {.op = DV_NODE_LINEAR,
                .input = {*in, 1, 1},
                .output = {*out, 1, 1},
                .input_count = 1,
                .groups = 1};
            add(list, op, 16 * (*in + *out));
            add(list, op, 128 * (*in + *out));
        }
    }
}

uint32_t dv_time_probes(struct dv_time_op *ret_ops)
{
    struct list list = {.ops = ret_ops};

    add_dense(&list);
    add_grouped(&list);
    EACH (enum dv_activation, act, DV_ACT_RELU, DV_ACT_SILU, DV_ACT_GELU, DV_ACT_HARDSWISH) {
        add_flat(&list, (struct dv_time_op){.op = DV_NODE_BATCH_NORM, .act = *act});
        add_flat(&list, (struct dv_time_op){.op = DV_NODE_GROUP_NORM, .act = *act});
        add_flat(&list, (struct dv_time_op){.op = DV_NODE_ACTIVATION, .act = *act});
    }
    EACH (enum dv_node_op, op, DV_NODE_ADD, DV_NODE_DROPOUT, DV_NODE_DROP_PATH, DV_NODE_SCALE) {
        add_flat(&list, (struct dv_time_op){.op = *op});
    }
    EACH (uint32_t, size, SMALL, LARGE / 8) {
        EACH (uint32_t, c, 8, 12, 24, 64) {
            add_shapes(&list, *c, *size);
        }
    }
    add_linear(&list);
    return list.count;
}
