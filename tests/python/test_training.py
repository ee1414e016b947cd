# SPDX-License-Identifier: Apache-2.0
"""A few steps of training by our engine and by PyTorch, from the same weights on the same pictures:
the same losses, weights and running statistics, and the same answers afterwards.

    test_training.py TRAIN_STEPS
"""

import json
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from test_model_py import HEAD, rows, run_graph, run_node

TRAIN_STEPS = None
RATE, DECAY, SMOOTHING = 0.01, 0.01, 0.1

ARCHITECTURES = {
    "plain": rows(
        {"name": "a", "op": "conv", "out": 8, "norm": "none"},
        {"name": "p", "op": "pool", "pool": "max", "kernel": 2},
        {"name": "b", "op": "conv", "out": 12, "groups": 4, "norm": "none"},
        {"name": "flat", "op": "flatten"},
        {"name": "fc", "op": "linear", "out": 16, "act": "relu"},
        HEAD,
    ),
    "residual": rows(
        {"name": "stem", "op": "conv", "out": 16},
        {"name": "s1", "op": "residual", "repeat": 2, "out": 16},
        {"name": "s2", "op": "residual", "out": 32, "stride": 2},
        {"name": "s3", "op": "bottleneck", "out": 32, "expand": 2},
        {"name": "p", "op": "pool", "pool": "avg", "kernel": 3, "stride": 1, "padding": 1},
        {"name": "join", "op": "add", "from": ["p", "s2"], "act": "relu"},
        {"name": "both", "op": "concat", "from": ["join", "s2"]},
        {"name": "gap", "op": "global_pool", "pool": "max"},
        {"name": "fc", "op": "linear", "out": 16, "norm": "batch", "act": "relu"},
        HEAD,
    ),
}


def nodes(*items):
    """A graph as tests/format/graph_json.h reads it; where a node does not say, it takes the one before."""
    listed = [{"inputs": [i], **item} for i, item in enumerate(items)]
    return json.dumps({"input": [3, 10, 10], "nodes": listed})


def conv(name, out, kernel=1, stride=1, groups=1, **more):
    return {"op": "conv", "name": name, "out": out, "kernel": kernel, "stride": stride,
            "padding": kernel // 2, "groups": groups, **more}


def batch_norm(name):
    return {"op": "batch_norm", "name": name}


def group_norm(name, groups):
    return {"op": "group_norm", "name": name, "groups": groups}


def act(kind):
    return {"op": "activation", "act": kind}


GRAPHS = {
    "inverted bottleneck": nodes(
        conv("stem", 16, 3), batch_norm("stem_bn"), act("relu6"),
        conv("wide", 48), batch_norm("wide_bn"), act("silu"),
        conv("deep", 48, 5, groups=48), batch_norm("deep_bn"), act("silu"),
        {"op": "global_pool"},
        conv("fc1", 8, bias=True), act("silu"), conv("fc2", 48, bias=True), act("sigmoid"),
        {"op": "scale", "inputs": [9, 14]},
        conv("narrow", 16), batch_norm("narrow_bn"),
        {"op": "drop_path", "drop": 0.4},
        {"op": "add", "inputs": [18, 3]},
        {"op": "global_pool"}, {"op": "flatten"},
        {"op": "linear", "name": "head", "out": 5, "bias": True},
    ),
    "group norm": nodes(
        conv("stem", 16, 3), group_norm("stem_gn", 4), act("hardswish"),
        conv("c1", 32, 3, stride=2, groups=4), group_norm("gn1", 8), act("gelu"),
        conv("c2", 32, 3), group_norm("gn2", 2),
        {"op": "pad_shortcut", "inputs": [3], "stride": 2, "out": 32},
        {"op": "add", "inputs": [8, 9]},
        act("silu"),
        {"op": "flatten"},
        {"op": "linear", "name": "fc", "out": 24}, group_norm("gn3", 3), act("leaky_relu"),
        {"op": "linear", "name": "head", "out": 5, "bias": True},
    ),
    "without norms": nodes(
        conv("stem", 12, 3, bias=True), act("leaky_relu"),
        conv("deep", 12, 3, stride=2, groups=12, bias=True), act("hardswish"),
        {"op": "global_pool"},
        conv("fc1", 8, bias=True), act("relu"), conv("fc2", 12, bias=True), act("hardsigmoid"),
        {"op": "scale", "inputs": [4, 9]},
        conv("point", 20, bias=True), act("gelu"),
        {"op": "drop_path", "drop": 0.25},
        conv("last", 20, 3, groups=5, bias=True), act("relu6"),
        {"op": "global_pool"}, {"op": "flatten"},
        {"op": "linear", "name": "head", "out": 5, "bias": True},
    ),
}


def make_optimizer(kind, weights, graph):
    """Weight decay is for the weights of convolutions and linear layers alone."""
    kinds = {node["name"]: node["op"] for node in graph["nodes"]}
    groups = {True: [], False: []}
    for name, value in weights.items():
        module, _, part = name.rpartition(".")
        if not part.startswith("running_"):
            value.requires_grad_()
            groups[part == "weight" and kinds[module] in ("conv", "linear")].append(value)
    parameters = [
        {"params": groups[True], "weight_decay": DECAY},
        {"params": groups[False], "weight_decay": 0.0},
    ]
    if kind == "adamw":
        return torch.optim.AdamW(parameters, lr=RATE)
    return torch.optim.SGD(parameters, lr=RATE, momentum=0.9, nesterov=True)


def run_training(graph, weights, x, factors):
    """As run_graph(), with the statistics of the batch, which move the running ones, and the same
    pictures dropped: `factors` [node, picture]."""
    values = [x]
    for node, factor in zip(graph["nodes"][1:], factors[1:], strict=True):
        inputs = [values[i] for i in node["inputs"]]
        if node["op"] == "batch_norm":
            mean, var, weight, bias = (
                weights[f"{node['name']}.{key}"]
                for key in ("running_mean", "running_var", "weight", "bias")
            )
            values.append(F.batch_norm(inputs[0], mean, var, weight, bias, training=True))
        elif node["op"] == "drop_path":
            values.append(inputs[0] * factor.view(-1, 1, 1, 1))
        else:
            values.append(run_node(node, inputs, weights))
    return values[-1]


class Training(unittest.TestCase):
    def test_takes_the_steps_that_pytorch_takes(self):
        for name, arch in (ARCHITECTURES | GRAPHS).items():
            for kind in ("sgd", "adamw"):
                with self.subTest(f"{name} {kind}"), tempfile.TemporaryDirectory() as folder:
                    self.check(Path(folder), arch, kind)

    def check(self, folder, arch, kind):
        command = [TRAIN_STEPS, folder, arch, kind]
        losses = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
        graph = json.loads((folder / "graph.json").read_text())
        weights, after = load_file(folder / "before.safetensors"), load_file(folder / "after.safetensors")
        batches = load_file(folder / "batches.safetensors")
        optimizer = make_optimizer(kind, weights, graph)
        pixels = batches["pixels"].permute(0, 1, 4, 2, 3)
        labels = batches["labels"].long()
        for step, ours in enumerate(losses):
            logits = run_training(graph, weights, pixels[step], batches["factors"][step])
            optimizer.zero_grad()
            F.cross_entropy(logits, labels[step], label_smoothing=SMOOTHING).backward()
            optimizer.step()
            self.assertAlmostEqual(F.cross_entropy(logits, labels[step]).item(), ours, delta=1e-4)
        dropped = {node["op"] for node in graph["nodes"]} & {"drop_path"}
        self.assertEqual(bool(dropped), (batches["factors"] == 0).any().item())
        for name, value in weights.items():
            moved = (value.detach() - after[name]).abs().max().item()
            self.assertLess(moved, 2e-4 * max(1.0, value.abs().max().item()), name)
        with torch.inference_mode():
            answers = run_graph(graph, weights, pixels[-1])
        ours = load_file(folder / "answers.safetensors")["logits"]
        self.assertLess((answers - ours).abs().max().item(), 1e-3)


if __name__ == "__main__":
    TRAIN_STEPS = sys.argv.pop(1)
    unittest.main()
