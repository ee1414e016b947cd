# SPDX-License-Identifier: Apache-2.0
"""model.py, weights.safetensors and the archive of models with made-up weights, read by PyTorch,
the safetensors package, zipfile and Pillow.

    test_model_py.py MAKE_MODEL
"""

import importlib.util
import json
import keyword
import re
import subprocess
import sys
import tempfile
import unittest
import zipfile
from pathlib import Path

import torch
import torch.nn.functional as F
from PIL import Image
from safetensors.torch import load_file

MAKE_MODEL = None
SOURCE = Path(__file__).resolve().parents[2] / "src" / "format" / "python_source.c"


def rows(*layers):
    return json.dumps({"name": "toy", "layers": list(layers)})


HEAD = {"name": "head", "op": "linear"}
CASES = {
    # name: architecture, rows, columns, channels, resize
    "plain": (rows({"name": "stem", "op": "conv", "out": 8}, HEAD), 9, 7, 1, "stretch"),
    "repeated_conv": (
        rows({"name": "c", "op": "conv", "out": 8, "repeat": 3, "stride": 2, "kernel": 5}, HEAD),
        24, 24, 3, "crop",
    ),
    "no_norm": (
        rows(
            {"name": "c", "op": "conv", "out": 8, "norm": "none", "act": "none"},
            {"name": "r", "op": "residual", "out": 16, "norm": "none"},
            HEAD,
        ),
        8, 8, 1, "pad",
    ),
    "blocks": (
        rows(
            {"name": "stem", "op": "conv", "out": 16},
            {"name": "s1", "op": "residual", "repeat": 2, "out": 16},
            {"name": "s2", "op": "residual", "out": 32, "stride": 2, "groups": 4},
            {"name": "s3", "op": "bottleneck", "repeat": 2, "out": 32, "stride": 2},
            {"name": "p", "op": "pool", "pool": "avg", "kernel": 2},
            {"name": "drop", "op": "dropout", "drop": 0.2},
            HEAD,
        ),
        40, 32, 3, "stretch",
    ),
    "skips": (
        rows(
            {"name": "a", "op": "conv", "out": 8},
            {"name": "b", "op": "conv", "out": 8},
            {"name": "c", "op": "conv", "from": ["a"], "out": 8, "kernel": 1},
            {"name": "join", "op": "add", "from": ["b", "c"], "act": "relu"},
            {"name": "both", "op": "concat", "from": ["join", "a"]},
            {"name": "flat", "op": "flatten"},
            {"name": "fc", "op": "linear", "out": 12, "act": "relu", "norm": "batch"},
            HEAD,
        ),
        6, 6, 3, "stretch",
    ),
    "hostile_names": (
        rows(
            {"name": "class", "op": "conv", "out": 8},
            {"name": "forward", "op": "residual", "out": 8},
            {"name": "type", "op": "conv", "from": ["class"], "out": 8, "kernel": 1},
            {"name": "lambda", "op": "add", "from": ["forward", "type"], "act": "relu"},
            {"name": "train", "op": "linear"},
        ),
        6, 6, 3, "stretch",
    ),
    "gates": (
        rows(
            {"name": "stem", "op": "conv", "out": 24, "act": "silu", "pool": "max"},
            {"name": "s1", "op": "residual", "repeat": 2, "out": 24, "se": 0.25, "drop": 0.2},
            {"name": "s2", "op": "residual", "out": 32, "stride": 2, "shortcut": "pad", "se": 0.5,
             "act": "hardswish"},
            {"name": "s3", "op": "bottleneck", "repeat": 2, "out": 48, "stride": 2, "se": 0.25,
             "shortcut": "pad", "act": "gelu", "drop": 0.1},
            {"name": "s4", "op": "mbconv", "repeat": 3, "out": 40, "stride": 2, "expand": 6,
             "se": 0.25, "act": "silu", "drop": 0.1, "kernel": 5},
            {"name": "s5", "op": "mbconv", "expand": 1, "act": "relu6"},
            HEAD,
        ),
        64, 48, 3, "stretch",
    ),
    "group_norm": (
        rows(
            {"name": "stem", "op": "conv", "repeat": 2, "out": 24, "norm": "group", "pool": "avg"},
            {"name": "d", "op": "dwsep", "repeat": 2, "out": 33, "stride": 2, "norm": "group",
             "act": "leaky_relu", "kernel": 5},
            {"name": "m", "op": "mbconv", "out": 36, "norm": "group", "act": "hardswish",
             "se": 0.25, "stride": 2},
            {"name": "r", "op": "residual", "out": 40, "norm": "group", "act": "none"},
            {"name": "n", "op": "mbconv", "norm": "none", "act": "relu6"},
            {"name": "p", "op": "pool", "kernel": 3, "padding": 1, "stride": 2},
            {"name": "fc", "op": "linear", "out": 24, "norm": "group", "act": "silu"},
            HEAD,
        ),
        40, 40, 3, "stretch",
    ),
    "depthwise": (
        rows(
            {"name": "stem", "op": "conv", "out": 16, "kernel": 4, "padding": 1, "act": "relu6"},
            {"name": "dw", "op": "conv", "groups": 16, "act": "gelu"},
            {"name": "grouped", "op": "bottleneck", "out": 32, "groups": 4, "expand": 2},
            HEAD,
        ),
        20, 20, 1, "stretch",
    ),
    "mobilenet_v2": ('"mobilenet_v2"', 64, 64, 3, "crop"),
    "resnet20": ('"resnet20"', 32, 32, 3, "stretch"),
    "resnet50": ('"resnet50"', 64, 64, 3, "crop"),
    "small_cnn": ('"small_cnn"', 28, 28, 1, "stretch"),
}


def make(folder, case, *more):
    arch, *sizes = CASES[case]
    subprocess.run([MAKE_MODEL, folder, arch, *map(str, sizes), *more], check=True)


def load_module(folder):
    spec = importlib.util.spec_from_file_location("model_under_test", folder / "model.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


ACTIVATIONS = {
    "none": lambda x: x,
    "relu": F.relu,
    "relu6": F.relu6,
    "leaky_relu": F.leaky_relu,
    "silu": F.silu,
    "gelu": F.gelu,
    "hardswish": F.hardswish,
    "sigmoid": torch.sigmoid,
    "hardsigmoid": F.hardsigmoid,
}


def run_node(node, inputs, weights):
    """One node of the primitive graph, straight from its description."""
    op = node["op"]
    own = {key: weights.get(f"{node['name']}.{key}") for key in
           ("weight", "bias", "running_mean", "running_var")}
    window = (node["kernel"], node["stride"], node["padding"])
    x = inputs[0]
    if op == "conv":
        return F.conv2d(x, own["weight"], own["bias"], *window[1:], groups=node["groups"])
    if op == "batch_norm":
        return F.batch_norm(x, own["running_mean"], own["running_var"], own["weight"], own["bias"])
    if op == "activation":
        return ACTIVATIONS[node["act"]](x)
    if op == "pool":
        return F.max_pool2d(x, *window) if node["is_max"] else F.avg_pool2d(x, *window)
    if op == "global_pool":
        return x.amax((2, 3), keepdim=True) if node["is_max"] else x.mean((2, 3), keepdim=True)
    if op == "add":
        return sum(inputs[1:], x)
    if op == "concat":
        return torch.cat(inputs, 1)
    if op == "linear":
        return F.linear(x, own["weight"], own["bias"])
    if op == "group_norm":
        return F.group_norm(x, node["groups"], own["weight"], own["bias"])
    if op == "scale":
        return x * inputs[1]
    if op == "pad_shortcut":
        places = x[:, :, :: node["stride"], :: node["stride"]]
        return F.pad(places, (0, 0, 0, 0, 0, node["out"] - x.shape[1]))
    return {"dropout": lambda: x, "drop_path": lambda: x, "flatten": lambda: x.flatten(1)}[op]()


def run_graph(graph, weights, x):
    values = [x]
    for node in graph["nodes"][1:]:
        values.append(run_node(node, [values[i] for i in node["inputs"]], weights))
    return values[-1]


class ModelFiles(unittest.TestCase):
    def setUp(self):
        temporary = tempfile.TemporaryDirectory()
        self.addCleanup(temporary.cleanup)
        self.folder = Path(temporary.name) / "model"

    def test_computes_the_graph(self):
        for case in CASES:
            with self.subTest(case):
                folder = self.folder / case
                folder.parent.mkdir(exist_ok=True)
                make(folder, case)
                self.check_network(folder)

    def test_computes_the_graph_of_rows_that_are_no_block_it_knows(self):
        for case in ("blocks", "gates", "group_norm", "depthwise"):
            with self.subTest(case):
                folder = self.folder / case
                folder.parent.mkdir(exist_ok=True)
                make(folder, case, "nodes")
                self.assertNotIn("Block(", (folder / "model.py").read_text())
                self.check_network(folder)

    def test_rows_are_blocks_with_what_they_are_made_of(self):
        for case in ("gates", "group_norm", "depthwise", "mobilenet_v2"):
            folder = self.folder / case
            folder.parent.mkdir(exist_ok=True)
            make(folder, case)
            text = (folder / "model.py").read_text()
            self.assertNotIn("place(", text)
            for helper in ("group_norm", "SqueezeExcitation", "DropPath", "PadShortcut"):
                self.assertEqual(f" {helper}(" in text, f"={helper}" in text, (case, helper))

    def test_drops_whole_branches_only_while_training(self):
        make(self.folder, "gates")
        module = load_module(self.folder)
        ones = torch.ones(1000, 4, 3, 3)
        drop = module.DropPath(0.25)
        dropped = drop(ones)[:, 0, 0, 0]
        self.assertEqual(set(dropped.tolist()), {0.0, ones.div(0.75)[0, 0, 0, 0].item()})
        self.assertEqual(drop(ones).std((1, 2, 3)).max().item(), 0)
        self.assertTrue(torch.equal(drop.eval()(ones), ones))

    def check_network(self, folder):
        module = load_module(folder)
        graph = json.loads((folder / "graph.json").read_text())
        weights = load_file(folder / "weights.safetensors")
        own = module.load_weights(folder / "weights.safetensors")
        self.assertEqual(list(own), list(graph["tensors"]))
        for name, value in weights.items():
            self.assertTrue(torch.equal(value, own[name]), name)
            self.assertEqual(list(value.shape), graph["tensors"][name])
        network = module.network()
        state = {k: v for k, v in network.state_dict().items() if "num_batches" not in k}
        self.assertEqual({k: list(v.shape) for k, v in state.items()}, graph["tensors"])
        x = torch.randn(3, len(module.MEAN), module.ROWS, module.COLUMNS)
        with torch.inference_mode():
            expected = run_graph(graph, weights, x)
            self.assertLess((network(x) - expected).abs().max().item(), 1e-4)
        self.assertGreater(expected.std().item(), 1e-3)

    def test_the_blocks_are_classes(self):
        make(self.folder, "blocks")
        text = (self.folder / "model.py").read_text()
        for name in ("ConvBlock(", "ResidualBlock(", "BottleneckBlock("):
            self.assertIn(name, text)
        self.assertNotIn("place(", text)

    def test_names_are_data(self):
        make(self.folder, "plain")
        module = load_module(self.folder)
        description = json.loads((self.folder / "model.json").read_text())
        self.assertEqual(module.CLASSES, description["preprocessing"]["classes"])
        self.assertEqual(module.NAME, description["name"])
        self.assertTrue((self.folder / "model.py").read_text().isascii())

    def test_prepares_odd_pictures(self):
        for case in ("plain", "repeated_conv", "no_norm"):
            folder = self.folder / case
            folder.parent.mkdir(exist_ok=True)
            make(folder, case)
            module = load_module(folder)
            paths = []
            for mode in ("1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16"):
                extension = "tif" if mode == "CMYK" else "png"
                paths.append(folder / f"{mode.replace(';', '')}.{extension}")
                Image.new(mode, (33, 21)).save(paths[-1])
            logits = module.logits(paths)
            self.assertEqual(list(logits.shape), [len(paths), len(module.CLASSES)])
            guesses = module.predict(paths, top_k=2)[0]
            self.assertGreaterEqual(guesses[0]["probability"], guesses[1]["probability"])

    def test_sixteen_bits_keep_the_high_byte_and_alpha_lies_over_white(self):
        make(self.folder, "plain")
        module = load_module(self.folder)
        path = self.folder / "a.png"
        Image.frombytes("I;16", (2, 1), bytes([0xFF, 0x12, 0x00, 0xFE])).save(path)
        self.assertEqual(module.read_picture(path).tobytes(), bytes([0x12, 0xFE]))
        Image.frombytes("LA", (2, 1), bytes([0, 0, 7, 255])).save(path)
        self.assertEqual(module.read_picture(path).tobytes(), bytes([255, 7]))

    def test_the_command_prints_the_best_classes(self):
        make(self.folder, "blocks")
        Image.new("RGB", (50, 60), "red").save(self.folder / "red.png")
        command = [sys.executable, self.folder / "model.py", self.folder / "red.png"]
        result = subprocess.run(command, capture_output=True, text=True, check=True)
        self.assertIn("red.png", result.stdout)
        self.assertIn("%", result.stdout)

    def test_the_archive_is_an_ordinary_zip(self):
        make(self.folder, "plain")
        with zipfile.ZipFile(self.folder / "model.zip") as archive:
            self.assertIsNone(archive.testzip())
            for name in archive.namelist():
                self.assertEqual(archive.read(name), (self.folder / name).read_bytes())
            self.assertEqual(len(archive.namelist()), 7)

    def test_knows_the_names_that_python_and_torch_have(self):
        legal = re.compile("[a-z][a-z0-9_]{0,23}")
        taken = set(keyword.kwlist) | set(dir(torch.nn.Module()))
        listed = set(re.findall(r'"(\w+)"', SOURCE.read_text().split("taken_names[] = {")[1].split("}")[0]))
        self.assertEqual({name for name in taken if legal.fullmatch(name)} - listed, set())


if __name__ == "__main__":
    MAKE_MODEL = sys.argv.pop(1)
    unittest.main()
