# SPDX-License-Identifier: Apache-2.0
"""A data folder with a `supervise` over it (tests/job/supervise.c), for tests that start, kill and ask it."""

import collections
import glob
import hashlib
import json
import os
import pathlib
import shutil
import signal
import subprocess
import tempfile
import time
import uuid

QUICK = {"epochs": 4, "batch_size": 16, "image_size": 16}


def wait_for(condition, seconds=120, interval=0.01):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        value = condition()
        if value:
            return value
        time.sleep(interval)
    raise AssertionError("it did not happen in time")


def processes_below(pid):
    """Children and grandchildren and so on, with their command lines."""
    found = []
    try:
        words = pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except (FileNotFoundError, ProcessLookupError):
        return []
    for word in words:
        try:
            line = pathlib.Path(f"/proc/{word}/cmdline").read_bytes().replace(b"\0", b" ").decode().strip()
        except (FileNotFoundError, ProcessLookupError):
            continue
        found += [(int(word), line), *processes_below(int(word))]
    return found


def is_alive(pid):
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


class Refused(Exception):
    """An answer other than OK; the status is the first argument."""


class Server:
    """One data folder and its database; start() and kill() as often as one likes."""

    def __init__(self, supervise, program, **options):
        self.supervise, self.program, self.options = supervise, program, options
        self.environment = options.pop("environment", {})
        self.data = pathlib.Path(tempfile.mkdtemp(prefix="dv-job-", dir=options.pop("where", "/tmp")))
        self.url = make_database(self.data)
        self.process = None
        self.log = open(self.data / "server.log", "ab")

    def start(self):
        words = [f"{name}={value}" for name, value in self.options.items()]
        environment = {name: value for name, value in os.environ.items() if not name.startswith("DV_TEST")}
        environment |= self.environment
        self.process = subprocess.Popen([self.supervise, self.data, self.url, self.program, *words], text=True,
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.log, env=environment)
        line = self.process.stdout.readline()
        assert line and json.loads(line)["status"] == "READY", self.read_log()
        return self

    def read_log(self):
        return (self.data / "server.log").read_text()

    def kill(self):
        self.process.kill()
        self.reap()

    def stop(self, seconds=30):
        self.process.terminate()
        status = self.process.wait(seconds)
        self.reap()
        return status

    def reap(self):
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()
        self.process = None

    def destroy(self):
        if self.process:
            self.kill()
        self.log.close()
        shutil.rmtree(self.data, ignore_errors=True)

    def ask(self, call, **values):
        self.process.stdin.write(json.dumps({"call": call, **values}) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise ConnectionError("the server has gone: " + self.read_log())
        reply = json.loads(line)
        if reply["status"] != "OK":
            raise Refused(reply["status"], reply["text"])
        return reply["value"]

    # --- What a handler would do

    def upload(self, source, name="shapes"):
        """An archive or a folder as a data set that is still to be read; its id."""
        number = str(uuid.uuid4())
        place = self.data / "uploads" / number
        place.parent.mkdir(exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, place)
        else:
            shutil.copyfile(source, place)
        self.ask("make_dataset", id=number, name=name)
        return number

    def queue(self, dataset, hyperparameters=None, **values):
        number, model = str(uuid.uuid4()), str(uuid.uuid4())
        spec = {"dataset_id": dataset, "strategy": "native", "architecture": values.pop("architecture", "small_cnn"),
                "hyperparameters": {**QUICK, **(hyperparameters or {})}, "seed": values.pop("seed", 1)}
        values.setdefault("thread_count", 1)
        self.ask("make_job", id=number, model_id=model, dataset_id=dataset, spec=spec, **values)
        return number

    def job(self, number):
        return self.ask("get_job", id=number)

    def wait_job(self, number, *statuses, seconds=120):
        statuses = statuses or ("completed", "failed", "cancelled")

        def ended():
            row = self.job(number)
            return row if row["status"] in statuses else None
        return wait_for(ended, seconds)

    def wait_dataset(self, number, *readiness, seconds=120):
        readiness = readiness or ("ready", "error")

        def ended():
            row = self.ask("get_dataset", id=number)
            return row if row["readiness"] in readiness else None
        return wait_for(ended, seconds)

    def make_dataset(self, source):
        number = self.upload(source)
        row = self.wait_dataset(number)
        assert row["readiness"] == "ready", row["error"]
        return number

    def log_texts(self, number):
        return [line["text"] for line in self.ask("list_logs", id=number)["items"]]

    def journal(self, number):
        """What was decided in the course of a job that is not completed."""
        path = self.data / "jobs" / number / "work" / "journal.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()]

    # --- What is there

    def children(self, role=None):
        if not self.process:
            return []
        return [pid for pid, line in processes_below(self.process.pid) if role is None or line.endswith(" " + role)]

    def worker(self):
        found = self.children("worker")
        return found[0] if found else None

    def model_folder(self, number):
        return self.data / self.ask("get_model", id=self.job(number)["model_id"])["model_path"]

    def weights(self, number):
        return hashlib.sha256((self.model_folder(number) / "weights.safetensors").read_bytes()).hexdigest()

    def files(self):
        """Names in each of the folders of DATA, hidden ones too."""
        found = collections.defaultdict(set)
        for kind in ("datasets", "models", "jobs", "uploads"):
            folder = self.data / kind
            found[kind] = {path.name for path in folder.iterdir()} if folder.exists() else set()
        return found

    def check_files(self, datasets=(), models=(), jobs=(), uploads=()):
        """Exactly these, whole; hidden ones are removed in time."""
        wait_for(lambda: not any(name.startswith(".") for names in self.files().values() for name in names))
        assert self.files() == {"datasets": set(datasets), "models": set(models), "jobs": set(jobs),
                                "uploads": set(uploads)}, self.files()
        for name in datasets:
            assert (self.data / "datasets" / name / "dataset.json").exists()
            assert (self.data / "datasets" / name / "manifest.bin").exists()
        self.check_bytes()

    def check_bytes(self):
        """The program's own opinion, which reads every byte; this test's own files lie beside them."""
        command = [self.program, "doctor", "--fsck", "--json", "--data", self.data, "--db", self.url]
        report = json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=False).stdout)
        own = ("dv.sqlite", "dv.sqlite-wal", "dv.sqlite-shm", "server.log", "filler")
        findings = [item for item in report["findings"] if item["path"] not in own]
        assert not findings, findings


def make_database(data):
    server = os.environ.get("DV_TEST_POSTGRES")
    if not server:
        return f"sqlite:{data / 'dv.sqlite'}"
    name = "t" + uuid.uuid4().hex
    binary = sorted(glob.glob("/usr/lib/postgresql/*/bin/createdb"))[-1]
    folder = server.partition("host=")[2]
    subprocess.run([binary, "-h", folder, "-U", "dv", name], check=True)
    return server.replace("/dv?", f"/{name}?")


def make_shapes(program, folder, classes=3, count=120, seed=7):
    archive = folder / f"shapes-{classes}-{count}-{seed}.zip"
    subprocess.run([program, "sample", "shapes", archive, "--classes", str(classes), "--count", str(count), "--seed",
                    str(seed)], check=True, stdout=subprocess.DEVNULL)
    return archive


def stop_process(pid):
    os.kill(pid, signal.SIGSTOP)
