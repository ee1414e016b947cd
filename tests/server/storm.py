# SPDX-License-Identifier: Apache-2.0
"""kill -9 of the server and of workers at random moments over a loop of short jobs: nothing acknowledged is lost, each
job ends completed with the weights of an uninterrupted run, nothing half-made is left.

Usage: storm.py DV [KILLS [SEED]]   on SQLite, or on the PostgreSQL that DV_TEST_POSTGRES names.
"""

import hashlib
import json
import os
import pathlib
import random
import subprocess
import sys
import threading
import time
import urllib.error

from harness import Server, kill, wait_for, worker_of

BODY = {"architecture": "small_cnn", "seed": 11, "max_restarts": 100,
        "hyperparameters": {"epochs": 12, "batch_size": 16, "image_size": 16}}


def weights_of(server, model):
    return hashlib.sha256(server.call("GET", f"/api/models/{model}/download?format=safetensors").body).hexdigest()


class Storm:
    def __init__(self, program, kills, seed):
        self.chance = random.Random(seed)
        self.kills = kills
        self.server = Server(program, os.environ.get("DV_TEST_POSTGRES"))
        archive = self.server.root / "shapes.zip"
        subprocess.run([program, "sample", "shapes", archive, "--classes", "3", "--count", "60", "--seed", "5"],
                       check=True, stdout=subprocess.DEVNULL)
        self.archive = archive.read_bytes()
        self.dataset = self.server.ready_dataset(self.archive, "storm")["id"]
        self.whole = weights_of(self.server, self.finish(self.create())["model_id"])
        self.acknowledged = []   # jobs
        self.datasets = []       # data sets
        self.deleted = []        # data sets that are to be gone
        self.failures = []
        self.is_over = False

    def create(self):
        return self.server.call("POST", "/api/jobs", body={"dataset_id": self.dataset, **BODY}).json

    def finish(self, job):
        row = self.server.wait_job(job["id"])
        if row["status"] != "completed":
            raise AssertionError(row)
        return row

    # One client works on while the other kills.

    def work(self):
        while not self.is_over:
            try:
                answer = self.server.call("POST", "/api/jobs", body={"dataset_id": self.dataset, **BODY})
                if answer.status == 201:
                    self.acknowledged.append(answer.json)
                answer = self.server.upload(self.archive, f"upload {len(self.datasets)}")
                if answer.status == 201:
                    self.datasets.append(answer.json["id"])
                if len(self.datasets) > 3:
                    old = self.datasets.pop(0)
                    if self.server.call("DELETE", f"/api/datasets/{old}").status in (204, 404):
                        self.deleted.append(old)
                while not self.is_over and self.unfinished() > 2:
                    time.sleep(0.05)
            except (OSError, urllib.error.URLError, json.JSONDecodeError, AssertionError):
                time.sleep(0.05)
            except Exception as problem:  # pylint: disable=broad-except
                if "http.client" not in type(problem).__module__:
                    self.failures.append(repr(problem))
                time.sleep(0.05)

    def doubt(self):
        """What is under way is nothing wrong, whoever has just been killed."""
        while not self.is_over:
            try:
                for finding in self.server.fsck()["findings"]:
                    self.failures.append(f"fsck in the storm: {finding}")
            except AssertionError as problem:
                self.failures.append(f"fsck in the storm: {problem}")
            time.sleep(0.2)

    def unfinished(self):
        return sum(self.server.get(f"/api/jobs?status={status}&limit=1")["total"] for status in ("pending", "running"))

    def rage(self):
        server_kills = worker_kills = 0
        while server_kills < self.kills or worker_kills < self.kills:
            time.sleep(self.chance.uniform(0, 0.5))
            worker = worker_of(self.server)
            if worker and worker_kills < self.kills and (self.chance.random() < 0.5 or server_kills >= self.kills):
                kill(worker)
                worker_kills += 1
            elif server_kills < self.kills:
                self.server.kill()
                self.server.start()
                server_kills += 1
                self.check_owners()
        return server_kills, worker_kills

    def check_owners(self):
        """Right after a restart nobody runs that this server has not started."""
        for row in self.server.get("/api/jobs?status=running")["items"]:
            if not row["owner"]:
                self.failures.append(f"job {row['id']} runs without an owner")

    # --- Afterwards

    def check_jobs(self):
        for job in self.acknowledged:
            row = self.finish(job)
            if weights_of(self.server, row["model_id"]) != self.whole:
                self.failures.append(f"job {job['id']} has other weights after {row['restarts']} restarts")
            starts = len(row["runs"])
            if starts != 1:
                self.failures.append(f"job {job['id']} has {starts} runs")

    def check_datasets(self):
        for identifier in self.datasets:
            row = wait_for(lambda: self.server.settled_dataset(identifier), f"data set {identifier}")
            if row["readiness"] != "ready":
                self.failures.append(f"data set {identifier}: {row['error']}")
        for identifier in self.deleted:
            if self.server.call("GET", f"/api/datasets/{identifier}").status != 404:
                self.failures.append(f"data set {identifier} is back")

    def ids(self, noun):
        found, cursor = set(), ""
        while True:
            page = self.server.get(f"/api/{noun}?limit=500{cursor}")
            found |= {row["id"] for row in page["items"]}
            if not page["next_cursor"]:
                return found
            cursor = f"&cursor={page['next_cursor']}"

    def check_files(self):
        """Every row has its folder and every folder its row; nothing is half-made; no upload is left. That is our own
        look at it; dv doctor --fsck, which reads every byte, has the last word."""
        for noun in ("datasets", "models", "jobs"):
            rows = self.ids(noun)
            folder = self.server.data / noun
            wait_for(lambda: not {p.name for p in folder.iterdir()} - rows, f"the sweep of {noun}", 20)
            missing = rows - {p.name for p in folder.iterdir()}
            if noun != "jobs" and missing:
                self.failures.append(f"{noun} without files: {missing}")
        uploads = self.server.data / "uploads"
        wait_for(lambda: not uploads.exists() or not list(uploads.iterdir()), "the sweep of uploads", 20)
        self.server.assert_whole()

    def run(self):
        threads = [threading.Thread(target=self.work), threading.Thread(target=self.doubt)]
        for thread in threads:
            thread.start()
        try:
            counts = self.rage()
        finally:
            self.is_over = True
            for thread in threads:
                thread.join()
        self.server.kill()
        self.server.start()
        self.check_jobs()
        self.check_datasets()
        self.check_files()
        print(f"killed: {counts[0]} servers, {counts[1]} workers; {len(self.acknowledged)} jobs, "
              f"{len(self.datasets) + len(self.deleted)} data sets")
        return self.failures


def main():
    program = str(pathlib.Path(sys.argv[1]).resolve())
    kills = int(sys.argv[2]) if len(sys.argv) > 2 else 8
    seed = int(sys.argv[3]) if len(sys.argv) > 3 else int(time.time())
    print("seed", seed)
    storm = Storm(program, kills, seed)
    try:
        failures = storm.run()
    finally:
        storm.server.close()
    for failure in failures:
        print(failure)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
