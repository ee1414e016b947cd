# SPDX-License-Identifier: Apache-2.0
"""train.py of models that dv has trained, run by PyTorch on the same pictures.

    test_train_py.py DV
"""

import contextlib
import importlib.util
import io
import json
import shutil
import subprocess
import sys
import tempfile
import unittest
import zipfile
from pathlib import Path

import torch
from PIL import Image
from safetensors.torch import load_file

DV = None
ARCHITECTURE = {
    "layers": [
        {"name": "stem", "op": "conv", "out": 8, "stride": 2},
        {"name": "s1", "op": "residual", "out": 16, "stride": 2},
        {"name": "gap", "op": "global_pool", "pool": "avg"},
        {"name": "drop", "op": "dropout", "drop": 0.1},
        {"name": "head", "op": "linear"},
    ]
}


def import_file(path, name):
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


class TrainPy(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = Path(tempfile.mkdtemp(prefix="dv-train-py-"))
        cls.zip = cls.folder / "shapes.zip"
        subprocess.run([DV, "sample", "shapes", cls.zip, "--classes", "2", "--count", "160"],
                       check=True, capture_output=True)
        with zipfile.ZipFile(cls.zip) as archive:
            archive.extractall(cls.folder / "pictures")
        (cls.folder / "arch.json").write_text(json.dumps(ARCHITECTURE))
        cls.models = {schedule: cls.train(schedule) for schedule in ("onecycle", "step")}

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.folder)

    @classmethod
    def train(cls, schedule):
        """A copy of the model's folder that dv trained with this schedule."""
        command = [DV, "train", cls.zip, "--data", cls.folder / "data", "--json", "--seed", "3", "--arch",
                   cls.folder / "arch.json"]
        values = {"epochs": 4, "image_size": 16, "schedule": schedule, "batch_size": 16, "learning_rate": 0.05}
        for key, value in values.items():
            command += ["--set", f"{key}={value}"]
        lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
        place = cls.folder / schedule
        shutil.copytree(json.loads(lines[-1])["model_path"], place)
        return place

    def load(self, schedule):
        """train.py as a module, with the model.py beside it."""
        place = self.models[schedule]
        import_file(place / "model.py", "model")
        return import_file(place / "train.py", "train")

    def test_it_trains_and_model_py_reads_what_it_saves(self):
        place = self.models["onecycle"]
        command = [sys.executable, "train.py", self.folder / "pictures", "--epochs", "2", "--out", "t.safetensors"]
        result = subprocess.run(command, cwd=place, capture_output=True, text=True)
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertEqual(len([line for line in result.stdout.splitlines() if line.startswith("epoch ")]), 2)

        trained, ours = load_file(place / "t.safetensors"), load_file(place / "weights.safetensors")
        self.assertEqual({k: v.shape for k, v in trained.items()}, {k: v.shape for k, v in ours.items()})
        self.assertTrue(all(torch.isfinite(value).all() for value in trained.values()))
        self.assertFalse(torch.equal(trained["head.weight"], ours["head.weight"]))
        again = self.folder / "again"
        shutil.copytree(place, again)
        shutil.copy(place / "t.safetensors", again / "weights.safetensors")
        model = import_file(again / "model.py", "model")
        picture = next((self.folder / "pictures").rglob("*.png"))
        self.assertAlmostEqual(sum(guess["probability"] for guess in model.predict([picture])[0]), 1, places=5)

    def test_the_rate_of_each_epochs_last_step_is_the_one_that_dv_used(self):
        for schedule, place in self.models.items():
            train = self.load(schedule)
            classes = json.loads((place / "model.json").read_text())["dataset"]["classes"]
            steps = sum(entry["train"] for entry in classes) // train.H["batch_size"]
            history = [json.loads(line) for line in (place / "history.jsonl").read_text().splitlines()]
            self.assertEqual(len(history), 4)
            for epoch in history:
                rate = train.rate_of(epoch["epoch"] * steps - 1, 4 * steps, steps)
                self.assertAlmostEqual(rate / epoch["learning_rate"], 1, places=6, msg=f"{schedule} {epoch}")

    def test_what_is_easy_is_learned(self):
        """Dark and light squares, with every optimizer and a folder of splits."""
        train = self.load("onecycle")
        top = self.folder / "squares"
        draw = torch.Generator().manual_seed(1)
        for split, count in {"train": 48, "val": 8, "test": 8}.items():
            for label, name in enumerate(train.model.CLASSES):
                (top / split / name).mkdir(parents=True)
                for i in range(count):
                    shade = int(torch.randint(40, 80, (1,), generator=draw)) + 130 * label
                    Image.new("RGB", (20, 20), (shade,) * 3).save(top / split / name / f"{i}.png")
        splits = train.find_pictures(top)
        self.assertEqual({name: len(split) for name, split in splits.items()}, {"train": 96, "val": 16, "test": 16})
        for optimizer, rate in {"sgd": 0.05, "adam": 0.01, "adamw": 0.01, "rmsprop": 0.001}.items():
            torch.manual_seed(1)
            train.H.update(optimizer=optimizer, learning_rate=rate, augmentation="flip")
            with contextlib.redirect_stdout(io.StringIO()):
                network = train.train(splits, 3)
            self.assertGreaterEqual(train.accuracy(network, *train.load(splits["test"])), 0.9, optimizer)

    def test_every_augmentation_keeps_the_shape_and_changes_something(self):
        train = self.load("onecycle")
        torch.manual_seed(1)
        batch = torch.randn(32, 3, 16, 16)
        for kind in ("crop", "flip", "cutout", "strong"):
            train.H["augmentation"] = kind
            changed = train.augmented(batch)
            self.assertEqual(changed.shape, batch.shape)
            self.assertTrue(torch.isfinite(changed).all())
            self.assertFalse(torch.equal(changed, batch))
        train.H["augmentation"] = "none"
        self.assertTrue(torch.equal(train.augmented(batch), batch))

    def test_validation_pictures_are_taken_from_each_class_and_from_no_two_places(self):
        train = self.load("onecycle")
        splits = train.find_pictures(self.folder / "pictures")
        self.assertEqual(len(splits["train"]) + len(splits["val"]), 160)
        self.assertFalse(set(splits["train"]) & set(splits["val"]))
        self.assertEqual({label for _, label in splits["val"]}, {0, 1})


if __name__ == "__main__":
    DV = Path(sys.argv.pop(1)).resolve()
    unittest.main()
