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


def run_training(graph, weights, x):
    """As run_graph(), with the statistics of the batch, which move the running ones."""
    values = [x]
    for node in graph["nodes"][1:]:
        inputs = [values[i] for i in node["inputs"]]
        if node["op"] == "batch_norm":
            mean, var, weight, bias = (
                weights[f"{node['name']}.{key}"]
                for key in ("running_mean", "running_var", "weight", "bias")
            )
            values.append(F.batch_norm(inputs[0], mean, var, weight, bias, training=True))
        else:
            values.append(run_node(node, inputs, weights))
    return values[-1]


class Training(unittest.TestCase):
    def test_takes_the_steps_that_pytorch_takes(self):
        for name, arch in ARCHITECTURES.items():
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
            logits = run_training(graph, weights, pixels[step])
            optimizer.zero_grad()
            F.cross_entropy(logits, labels[step], label_smoothing=SMOOTHING).backward()
            optimizer.step()
            self.assertAlmostEqual(F.cross_entropy(logits, labels[step]).item(), ours, delta=1e-4)
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
