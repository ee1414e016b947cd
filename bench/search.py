# SPDX-License-Identifier: Apache-2.0
"""What a search gains over training the default network for as long: the search counts its budget in predicted time,
and what each arm took on this machine is in the table beside what it gained.

    native     the default network, as `dv train` trains it
    native-N   the same for N times its epochs: what the search may cost
    random-N   networks drawn at random from the levels below, each trained whole, until N natives' seconds are spent; the
               best by validation accuracy
    search-N   `--strategy search --max-iterations N`

Usage: search.py DV RESULTS.jsonl N SEEDS ARCHIVE.zip ...     run what RESULTS.jsonl does not have yet
       search.py --table RESULTS.jsonl                        the table, in Markdown

Accuracies are of the test split, which nothing is chosen by. Seeds, sets and arms go round, so that a run that is cut off
has something of everything; it is gone on with by starting it again.
"""
import json
import math
import pathlib
import random
import statistics
import subprocess
import sys
import tempfile
import time


def train(dv, folder, dataset, *options):
    """The job's result, the last line."""
    command = [dv, "train", dataset, "--data", folder, "--json", *map(str, options)]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return json.loads(output.splitlines()[-1])


def write(path, row):
    with open(path, "a", encoding="utf-8") as file:
        file.write(json.dumps(row) + "\n")


def read(path):
    return [json.loads(line) for line in pathlib.Path(path).read_text().splitlines()] if pathlib.Path(path).exists() else []


# --- Random search ---------------------------------------------------------------------------

BLOCKS = ("residual", "conv", "bottleneck", "mbconv", "dwsep")


def draw_architecture(dice, default):
    """The default network with each stage but the first row's drawn anew."""
    layers = []
    for number, row in enumerate(default["layers"]):
        if number > 0 and row["op"] in BLOCKS:
            drawn = {"name": row["name"], "op": dice.choice(BLOCKS), "repeat": dice.choice((1, 2, 3)),
                     "out": max(8, round(row["out"] * dice.choice((0.5, 0.75, 1, 1.25, 1.5)) / 8) * 8),
                     "stride": row.get("stride", 1), "kernel": dice.choice((3, 3, 5)),
                     "act": dice.choice(("relu", "silu", "gelu"))}
            row = drawn
        layers.append(row)
    return {"layers": layers}


def draw_hyperparameters(dice, default):
    return {"learning_rate": default["learning_rate"] * 10 ** dice.uniform(-0.5, 0.5),
            "weight_decay": default["weight_decay"] * 10 ** dice.uniform(-0.5, 0.5),
            "batch_size": round(default["batch_size"] * dice.choice((0.5, 1, 2))),
            "label_smoothing": dice.choice((0, 0.1, 0.2))}


def search_randomly(dv, folder, archive, seed, count, native):
    """The best of what is trained in N natives' time; the last one may be half over it."""
    dice = random.Random(seed)
    best, spent, tried = None, 0.0, 0
    while spent < count - 0.5:
        path = pathlib.Path(folder) / "drawn.json"
        path.write_text(json.dumps(draw_architecture(dice, native["architecture"])))
        options = [f"--set={key}={value}" for key, value in draw_hyperparameters(dice, native["hyperparameters"]).items()]
        tried += 1
        start = time.monotonic()
        try:
            result = train(dv, folder, archive, "--seed", seed, "--strategy", "native", "--arch", path, "--epochs",
                           native["epochs"], *options)
        except subprocess.CalledProcessError:  # it cannot be built, or diverged; half a native, so that it comes to an end
            spent += 0.5
            continue
        spent += (time.monotonic() - start) / native["seconds"]
        if best is None or result["best_val_accuracy"] > best["best_val_accuracy"]:
            best = result
    return best | {"tried": tried}


# --- Runs ------------------------------------------------------------------------------------


def run_arm(dv, folder, archive, seed, arm, count, native):
    options = ["--seed", seed, "--strategy", "search" if arm.startswith("search") else "native"]
    if arm.startswith("random"):
        return search_randomly(dv, folder, archive, seed, count, native)
    if arm.startswith("search"):
        options += ["--max-iterations", count]
    elif arm != "native":
        options += ["--epochs", native["epochs"] * count]
    return train(dv, folder, archive, *options)


def measure(dv, path, archive, seed, arm, count):
    name = pathlib.Path(archive).stem
    rows = {(row["set"], row["seed"], row["arm"]): row for row in read(path)}
    if (name, seed, arm) in rows:
        return
    with tempfile.TemporaryDirectory() as folder:
        start = time.monotonic()
        result = run_arm(dv, folder, archive, seed, arm, count, rows.get((name, seed, "native")))
        row = {"set": name, "seed": seed, "arm": arm, "accuracy": result["accuracy"],
               "val_accuracy": result["best_val_accuracy"], "epochs": result["hyperparameters"]["epochs"],
               "parameters": result["parameters"], "flops": result["flops"], "seconds": round(time.monotonic() - start, 1),
               "hyperparameters": result["hyperparameters"], "architecture": result["architecture"]}
    row |= {key: result[key] for key in ("best_iteration", "proposals", "tried") if key in result}
    write(path, row)
    print({key: row[key] for key in ("set", "seed", "arm", "accuracy", "val_accuracy", "epochs", "seconds")}, flush=True)


def deviation(values):
    return statistics.stdev(values) if len(values) > 1 else math.nan


def print_table(path):
    rows = read(path)
    arms = sorted({row["arm"] for row in rows})
    print("| set | " + " | ".join(arms) + " |")
    print("| --- |" + " --- |" * len(arms))
    for name in sorted({row["set"] for row in rows}):
        cells = []
        for arm in arms:
            found = [row for row in rows if (row["set"], row["arm"]) == (name, arm)]
            values = [100 * row["accuracy"] for row in found]
            seconds = [row["seconds"] for row in found]
            cells.append(f"{statistics.mean(values):.2f} ± {deviation(values):.2f} ({len(values)}; {statistics.mean(seconds):.0f} s)"
                         if values else "")
        print(f"| {name} | " + " | ".join(cells) + " |")


def main():
    if sys.argv[1] == "--table":
        return print_table(sys.argv[2])
    dv, path, count, seeds, *archives = sys.argv[1:]
    for seed in range(int(seeds)):
        for archive in archives:
            for arm in ("native", f"search-{count}", f"native-{count}", f"random-{count}"):
                measure(dv, path, archive, seed, arm, int(count))
    return None


if __name__ == "__main__":
    main()
