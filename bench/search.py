# SPDX-License-Identifier: Apache-2.0
"""What a search gains over training the default network, at the same cost: epochs times multiply-adds, as the search
counts its budget, so that a busy machine changes nothing but the seconds.

    native     the default network, as `dv train` trains it
    native-N   the same for N times its epochs: what the search may cost
    search-N   `--strategy search --max-iterations N`

Usage: search.py DV RESULTS.jsonl N SEEDS ARCHIVE.zip ...     run what RESULTS.jsonl does not have yet
       search.py --table RESULTS.jsonl                        the table, in Markdown

Accuracies are of the test split, which nothing is chosen by. Sets, seeds and arms go round, so that a run that is cut off
has something of everything; it is gone on with by starting it again.
"""
import json
import math
import pathlib
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


def measure(dv, path, archive, seed, arm, count):
    rows = read(path)
    name = pathlib.Path(archive).stem
    if any((row["set"], row["seed"], row["arm"]) == (name, seed, arm) for row in rows):
        return
    options = ["--seed", seed]
    if arm.startswith("search"):
        options += ["--strategy", "search", "--max-iterations", count]
    else:
        options += ["--strategy", "native"]
    if arm == f"native-{count}":
        epochs = next(row["epochs"] for row in rows if (row["set"], row["seed"], row["arm"]) == (name, seed, "native"))
        options += ["--epochs", epochs * count]
    with tempfile.TemporaryDirectory() as folder:
        start = time.monotonic()
        result = train(dv, folder, archive, *options)
        row = {"set": name, "seed": seed, "arm": arm, "accuracy": result["accuracy"],
               "epochs": result["hyperparameters"]["epochs"], "parameters": result["parameters"], "flops": result["flops"],
               "seconds": round(time.monotonic() - start, 1)}
    if arm.startswith("search"):
        search = result["metrics"]
        row["best_iteration"] = search.get("best_iteration")
        row["proposals"] = search.get("proposals")
    write(path, row)
    print(row, flush=True)


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
            for arm in ("native", f"native-{count}", f"search-{count}"):
                measure(dv, path, archive, seed, arm, int(count))
    return None


if __name__ == "__main__":
    main()
