# SPDX-License-Identifier: Apache-2.0
"""The same pictures through `dv predict` and through a trained model's own model.py.

Usage: compare_predictions.py DV MODEL_FOLDER PICTURES.zip COUNT
Prints how many top answers agree and how far log-probabilities are apart; fails when a top answer
differs that is no tie, or a log-probability by more than 1e-3.
"""
import importlib.util
import json
import pathlib
import subprocess
import sys
import tempfile
import zipfile

import torch

TOLERANCE = 1e-3


def load_model(folder):
    spec = importlib.util.spec_from_file_location("model", folder / "model.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def take_pictures(archive, count, folder):
    with zipfile.ZipFile(archive) as source:
        names = [n for n in source.namelist() if n.lower().endswith((".png", ".jpg", ".jpeg"))]
        tests = [n for n in names if "test/" in n] or names
        paths = []
        for number, name in enumerate(tests[:: max(1, len(tests) // count)][:count]):
            path = pathlib.Path(folder) / f"{number:05}{pathlib.Path(name).suffix}"
            path.write_bytes(source.read(name))
            paths.append(path)
    return paths


def main():
    dv, folder, archive, count = sys.argv[1], pathlib.Path(sys.argv[2]), sys.argv[3], int(sys.argv[4])
    model = load_model(folder)
    classes = json.loads((folder / "model.json").read_text())["classes"]
    worst, agreed = 0.0, 0
    with tempfile.TemporaryDirectory() as pictures:
        paths = take_pictures(archive, count, pictures)
        theirs = torch.log_softmax(torch.as_tensor(model.logits([str(p) for p in paths])).double(), 1)
        for start in range(0, len(paths), 100):
            part = paths[start : start + 100]
            command = [dv, "predict", str(folder), *map(str, part), "--json", "--top-k", str(len(classes))]
            lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
            for row, guesses in enumerate(json.loads(line)["predictions"] for line in lines):
                reference = theirs[start + row]
                ours = torch.full_like(reference, float("-inf"))
                for guess in guesses:
                    ours[classes.index(guess["class"])] = torch.tensor(guess["probability"]).double().log()
                seen = reference > -12  # smaller ones are lost in a printed probability
                worst = max(worst, float((ours - reference)[seen].abs().max()))
                top = reference.topk(2).values
                is_tie = float(top[0] - top[1]) < TOLERANCE
                agreed += is_tie or int(ours.argmax()) == int(reference.argmax())
    print(f"{agreed} of {len(paths)} top answers agree; log-probabilities differ by at most {worst:.2g}")
    return 0 if agreed == len(paths) and worst <= TOLERANCE else 1


if __name__ == "__main__":
    sys.exit(main())
