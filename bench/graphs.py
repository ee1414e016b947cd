# SPDX-License-Identifier: Apache-2.0
"""Networks of grouped and depthwise convolutions for compare.py, as lists of nodes that both sides
read: tests/format/graph_json.h on ours, torch_step.py on PyTorch's."""


class Graph:
    """Nodes are numbered from 1; 0 is the picture."""

    def __init__(self, side):
        self.input = [3, side, side]
        self.nodes = []

    def add(self, op, *inputs, **fields):
        self.nodes.append({"op": op, "inputs": list(inputs), **fields})
        return len(self.nodes)

    def conv(self, x, out, kernel=1, stride=1, groups=1, **fields):
        name = f"conv{len(self.nodes)}"
        return self.add("conv", x, name=name, out=out, kernel=kernel, stride=stride,
                        padding=kernel // 2, groups=groups, **fields)

    def norm(self, x, act=None):
        x = self.add("batch_norm", x, name=f"norm{len(self.nodes)}")
        return self.add("activation", x, act=act) if act else x

    def head(self, x, classes):
        x = self.add("flatten", self.add("global_pool", x))
        self.add("linear", x, name="head", out=classes, bias=True)
        return {"input": self.input, "nodes": self.nodes}


def gate(graph, x, inside, channels, act):
    """Squeeze-and-excitation."""
    hidden = graph.conv(graph.add("global_pool", x), inside, bias=True)
    wide = graph.conv(graph.add("activation", hidden, act=act), channels, bias=True)
    return graph.add("scale", x, graph.add("activation", wide, act="sigmoid"))


def mobilenet(side, classes, kernel=3, act="relu6", has_gates=False):
    """MobileNetV2 (Sandler et al. 2018); with gates and larger windows as EfficientNet has them."""
    stages = [(1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2),
              (6, 320, 1, 1)]
    graph = Graph(side)
    x, inside = graph.norm(graph.conv(0, 32, 3, 2), act), 32
    for expand, out, repeat, stage_stride in stages:
        for i in range(repeat):
            stride, wide, y = stage_stride if i == 0 else 1, inside * expand, x
            if expand > 1:
                y = graph.norm(graph.conv(y, wide), act)
            y = graph.norm(graph.conv(y, wide, kernel, stride, wide), act)
            if has_gates:
                y = gate(graph, y, max(8, inside // 4), wide, act)
            y = graph.norm(graph.conv(y, out))
            x = graph.add("add", y, x) if stride == 1 and inside == out else y
            inside = out
    return graph.head(graph.norm(graph.conv(x, 1280), act), classes)


def resnext(side, classes, groups=8):
    """Bottlenecks with grouped convolutions (Xie et al. 2017), for small pictures."""
    graph = Graph(side)
    x, inside = graph.norm(graph.conv(0, 64, 3), "relu"), 64
    for out, stage_stride in ((128, 1), (256, 2), (512, 2)):
        for stride in (stage_stride, 1):
            y = graph.norm(graph.conv(x, out // 2), "relu")
            y = graph.norm(graph.conv(y, out // 2, 3, stride, groups), "relu")
            y = graph.norm(graph.conv(y, out))
            if stride > 1 or inside != out:
                x = graph.norm(graph.conv(x, out, 1, stride))
            x = graph.add("activation", graph.add("add", y, x), act="relu")
            inside = out
    return graph.head(x, classes)
