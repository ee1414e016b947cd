# SPDX-License-Identifier: Apache-2.0
"""PyTorch's half of bench/compare.py: the same networks, batch, threads and optimizer, timed the
same way. Both memory formats are tried and the better one is reported, so that the comparison is
with PyTorch at its best without torch.compile."""
import json
import sys
import time
from pathlib import Path

import torch
from torch import nn


class Block(nn.Module):
    def __init__(self, inside, out, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(inside, out, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(out)
        self.conv2 = nn.Conv2d(out, out, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(out)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = None
        if stride != 1 or inside != out:
            self.downsample = nn.Sequential(nn.Conv2d(inside, out, 1, stride, bias=False), nn.BatchNorm2d(out))

    def forward(self, x):
        skip = x if self.downsample is None else self.downsample(x)
        y = self.relu(self.bn1(self.conv1(x)))
        return self.relu(self.bn2(self.conv2(y)) + skip)


def resnet(preset, classes):
    if preset == "resnet18":
        stem = [nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64), nn.ReLU(inplace=True), nn.MaxPool2d(3, 2, 1)]
        widths, repeat = [64, 128, 256, 512], 2
    else:
        stem = [nn.Conv2d(3, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU(inplace=True)]
        widths, repeat = [16, 32, 64], (int(preset.removeprefix("resnet")) - 2) // 6
    layers, inside = stem, stem[0].out_channels
    for stage, width in enumerate(widths):
        for i in range(repeat):
            layers.append(Block(inside, width, 2 if stage > 0 and i == 0 else 1))
            inside = width
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(inside, classes))


class Nodes(nn.Module):
    """A network of graphs.py."""

    ACTIVATIONS = {"relu": nn.ReLU, "relu6": nn.ReLU6, "silu": nn.SiLU}

    def __init__(self, graph):
        super().__init__()
        self.nodes, channels = graph["nodes"], [graph["input"][0]]
        self.layers = nn.ModuleList()
        for node in self.nodes:
            inside = channels[node["inputs"][0]]
            self.layers.append(self.layer(node, inside))
            channels.append(node.get("out", inside))

    def layer(self, node, inside):
        op = node["op"]
        if op == "conv":
            return nn.Conv2d(inside, node["out"], node["kernel"], node["stride"], node["padding"],
                             groups=node["groups"], bias=node.get("bias", False))
        if op == "activation":
            kind = self.ACTIVATIONS.get(node["act"])
            return kind(inplace=True) if kind else nn.Sigmoid()
        if op == "linear":
            return nn.Linear(inside, node["out"])
        plain = {"global_pool": lambda: nn.AdaptiveAvgPool2d(1), "flatten": nn.Flatten,
                 "batch_norm": lambda: nn.BatchNorm2d(inside)}
        return plain.get(op, nn.Identity)()

    def forward(self, x):
        values = [x]
        for node, layer in zip(self.nodes, self.layers):
            inputs = [values[i] for i in node["inputs"]]
            if node["op"] == "add":
                values.append(inputs[0] + inputs[1])
            elif node["op"] == "scale":
                values.append(inputs[0] * inputs[1])
            else:
                values.append(layer(inputs[0]))
        return values[-1]


def network(name, classes):
    if name.endswith(".json"):
        return Nodes(json.loads(Path(name).read_text()))
    return resnet(name, classes)


def measure(name, side, classes, batch, seconds, memory_format):
    torch.manual_seed(1)
    model = network(name, classes).to(memory_format=memory_format).train()
    pixels = torch.randn(batch, 3, side, side).contiguous(memory_format=memory_format)
    labels = torch.arange(batch) % classes
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-4, momentum=0.9, nesterov=True, weight_decay=5e-4)
    loss_function = nn.CrossEntropyLoss(label_smoothing=0.1)
    step, start = 0, 0.0
    while step < 3 or time.perf_counter() - start < seconds:
        if step == 2:
            start = time.perf_counter()
        optimizer.zero_grad(set_to_none=True)
        loss = loss_function(model(pixels), labels)
        loss.backward()
        optimizer.step()
        step += 1
    return (step - 2) * batch / (time.perf_counter() - start)


def main():
    name, side, classes, batch, threads, seconds = sys.argv[1], *map(int, sys.argv[2:7])
    torch.set_num_threads(threads)
    rates = {
        "contiguous": measure(name, side, classes, batch, seconds / 2, torch.contiguous_format),
        "channels_last": measure(name, side, classes, batch, seconds / 2, torch.channels_last),
    }
    best = max(rates, key=rates.get)
    print(json.dumps({"images_per_second": round(rates[best], 2), "memory_format": best, "torch": torch.__version__}))


if __name__ == "__main__":
    main()
