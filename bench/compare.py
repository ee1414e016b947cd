# SPDX-License-Identifier: Apache-2.0
"""Training speed beside PyTorch's, in one run, in turns (this sort of machine is shared and noisy:
read the ratios). Usage: compare.py BUILD_FOLDER [ROUNDS]"""
import json
import os
import statistics
import subprocess
import sys
import tempfile

import graphs

CASES = [  # name, preset or graph, side, classes, batch
    ("ResNet-20, 32 px, batch 128", "resnet20", 32, 10, 128),
    ("ResNet-18, 64 px, batch 64", "resnet18", 64, 200, 64),
    ("MobileNetV2, 64 px, batch 64", graphs.mobilenet, 64, 100, 64),
    ("... 5x5, gates, silu", lambda *size: graphs.mobilenet(*size, 5, "silu", True), 64, 100, 64),
    ("ResNeXt of 8 groups, 32 px, 64", graphs.resnext, 32, 10, 64),
]
SECONDS = 8


def run(command):
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def make_network(network, side, classes, folder):
    """A preset's name, or the path of a file with the graph."""
    if isinstance(network, str):
        return network
    path = os.path.join(folder, "graph.json")
    with open(path, "w") as file:
        json.dump(network(side, classes), file)
    return path


def main():
    with tempfile.TemporaryDirectory() as folder:
        compare(folder)


def compare(folder):
    build = sys.argv[1]
    rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 3
    threads = str(os.cpu_count())
    here = os.path.dirname(os.path.abspath(__file__))
    peak = run([f"{build}/bench/peak", threads])
    print(f"peak: {peak['gflops']:.0f} GFLOP/s of fused multiply-adds, {threads} threads, {peak['instruction_set']}")
    print(f"{'network':30} {'dv img/s':>10} {'torch img/s':>12} {'ratio':>7} {'of peak':>8}")
    for name, network, side, classes, batch in CASES:
        path = make_network(network, side, classes, folder)
        arguments = [path, *map(str, (side, classes, batch)), threads, str(SECONDS)]
        pairs = [
            (run([f"{build}/bench/step", *arguments]), run([sys.executable, f"{here}/torch_step.py", *arguments]))
            for _ in range(rounds)
        ]
        ours = statistics.median(pair[0]["images_per_second"] for pair in pairs)
        theirs = statistics.median(pair[1]["images_per_second"] for pair in pairs)
        ratio = statistics.median(pair[0]["images_per_second"] / pair[1]["images_per_second"] for pair in pairs)
        share = statistics.median(pair[0]["gflops"] for pair in pairs) / peak["gflops"]
        print(f"{name:30} {ours:10.0f} {theirs:12.0f} {ratio:7.2f} {share:8.0%}", flush=True)


if __name__ == "__main__":
    main()
