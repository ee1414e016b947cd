# SPDX-License-Identifier: Apache-2.0
"""The whole program from outside: real commands, real roles, killed and interrupted."""

import contextlib
import fcntl
import hashlib
import http.server
import json
import os
import pathlib
import pty
import random
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import termios
import threading
import time
import unittest
import uuid
import zipfile
import zlib

DV = sys.argv.pop(1)
# A sanitizer reserves more address space than any limit on memory allows.
IS_SANITIZED = b"__asan_init" in pathlib.Path(DV).read_bytes()
QUICK = ["--arch", "small_cnn", "--epochs", "4", "--batch-size", "16", "--set", "image_size=16"]


def run(*arguments, check=0, **options):
    result = subprocess.run([DV, *map(str, arguments)], capture_output=True, text=True, timeout=300,
                            **options)
    if check is not None and result.returncode != check:
        raise AssertionError(f"{arguments}: exit status {result.returncode}, not {check}\n"
                             f"{result.stdout}\n{result.stderr}")
    return result


def lines_of(text):
    return [json.loads(line) for line in text.splitlines()]


def weights_hash(result):
    path = pathlib.Path(result["model_path"]) / "weights.safetensors"
    return hashlib.sha256(path.read_bytes()).hexdigest()


def children_of(pid):
    try:
        text = pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text()
    except FileNotFoundError:
        return []
    return [int(word) for word in text.split()]


def role_of(pid, role):
    """The pid of the process in this role below a command, or None: that of a server is its grandchild."""
    for child in children_of(pid):
        try:
            if pathlib.Path(f"/proc/{child}/cmdline").read_bytes().split(b"\0")[1] == role.encode():
                return child
        except (FileNotFoundError, ProcessLookupError, IndexError):
            continue
        if found := role_of(child, role):
            return found
    return None


def worker_of(pid):
    return role_of(pid, "worker")


def wait_for(condition, seconds=60, step=0.01):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        value = condition()
        if value:
            return value
        time.sleep(step)
    raise AssertionError("it did not happen in time")


def cpu_seconds(pid):
    """What a process has computed so far; none once it is gone."""
    try:
        fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Training:
    """A `dv train` in the background: what it says, and what its worker had computed when it said it."""

    EPOCHS = 100

    def __init__(self, archive, data, *more):
        self.data = data
        self.lines = []
        self.command = subprocess.Popen([DV, "train", archive, "--data", data, "--json", *QUICK, "--epochs",
                                         str(self.EPOCHS), *more], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                        text=True)
        self.listener = threading.Thread(target=self.listen)
        self.listener.start()

    def listen(self):
        for text in self.command.stdout:
            self.lines.append((json.loads(text), cpu_seconds(worker_of(self.command.pid))))

    def wait_for(self, condition):
        def value():
            if self.command.poll() is not None:
                raise AssertionError(f"it has ended: {self.lines[-1][0]['type']}")
            return condition()
        return wait_for(value, 120, 0.0005)

    def result(self):
        errors = self.command.stderr.read()
        self.command.wait(300)
        self.listener.join()
        if self.command.returncode != 0:
            raise AssertionError(f"{str(self.lines[-1][0])[:500]}\n{errors}")
        return self.lines[-1][0]

    def stop(self):
        self.command.kill()
        self.command.wait()
        self.listener.join()
        self.command.stdout.close()
        self.command.stderr.close()

    def epochs(self):
        return [line for line, _ in self.lines if line.get("is_epoch_end")]

    def has_trained(self):
        return any(line["epoch"] == self.EPOCHS for line in self.epochs())

    def checkpoints(self):
        """Whatever of its files changes while it trains, half-written ones too."""
        with os.scandir(next(self.data.glob("jobs/*/work"))) as folder:
            return {(entry.name, entry.inode()) for entry in folder}

    def load_seconds(self):
        return next(seconds for line, seconds in self.lines if line.get("status") == "training")

    def measuring_seconds(self):
        """Of all its threads together, at most: they may have waited."""
        metrics = self.lines[-1][0]["metrics"]
        return metrics["training"]["thread_count"] * (metrics["val"]["seconds"] + metrics["test"]["seconds"])


def noise_png(seed, side=16):
    """A grey picture like no other."""
    chance = random.Random(seed)
    rows = b"".join(b"\0" + chance.randbytes(side) for _ in range(side))

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    header = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b""))


class CommandLine(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.root = pathlib.Path(tempfile.mkdtemp(prefix="dv-cli-"))
        cls.archive = cls.root / "shapes.zip"
        run("sample", "shapes", cls.archive, "--classes", 3, "--count", 120, "--seed", 7)
        cls.data = cls.root / "data"
        cls.trained = lines_of(cls.train(cls.data, check=0).stdout)
        cls.result = cls.trained[-1]

    @classmethod
    def one_picture(cls):
        """A picture of the archive as a file."""
        picture = cls.root / "picture.png"
        if not picture.exists():
            with zipfile.ZipFile(cls.archive) as shapes:
                picture.write_bytes(shapes.read(shapes.namelist()[0]))
        return picture

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.root)

    @classmethod
    def train(cls, data, *more, check=0, **options):
        return run("train", cls.archive, "--data", data, "--json", *QUICK, *more, check=check, **options)

    @classmethod
    def start_train(cls, data, *more, **options):
        return subprocess.Popen([DV, "train", cls.archive, "--data", data, "--json", *QUICK, *more],
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options)

    def test_training_prints_events_and_a_result(self):
        kinds = {line["type"] for line in self.trained}
        self.assertLessEqual({"progress", "result"}, kinds)
        self.assertEqual(self.result["type"], "result")
        for key in ("accuracy", "model_id", "model_path", "hyperparameters", "metrics"):
            self.assertIn(key, self.result)
        epochs = [line for line in self.trained if line.get("is_epoch_end")]
        self.assertEqual([line["epoch"] for line in epochs], [1, 2, 3, 4])
        self.assertTrue(all(line["status"] == "training" for line in epochs))

    def test_in_a_pipe_an_epoch_is_a_line(self):
        done = run("train", self.archive, "--data", self.root / "plain", *QUICK)
        epochs = [line.split("/")[0] for line in done.stdout.splitlines() if line.startswith("epoch ")]
        self.assertEqual(epochs, ["epoch 1", "epoch 2", "epoch 3", "epoch 4"])

    def test_an_accuracy_has_the_name_of_its_split(self):
        for splits in (("train", "val", "test"), ("train", "val")):
            archive = self.root / f"{len(splits)}.zip"
            with zipfile.ZipFile(self.archive) as shapes, zipfile.ZipFile(archive, "w") as target:
                for index, name in enumerate(shapes.namelist()):
                    target.writestr(f"{splits[index % len(splits)]}/{name}", shapes.read(name))
            done = run("train", archive, "--data", self.root / "splits", *QUICK)
            name = {"test": "test", "val": "validation"}[splits[-1]]
            self.assertRegex(done.stdout, rf"(?m)^{name} accuracy \d+\.\d\d %")

    def test_on_a_terminal_progress_stays_in_one_row(self):
        for columns in (40, 100):
            with self.subTest(columns):
                ours, theirs = pty.openpty()
                fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
                command = subprocess.Popen([DV, "train", self.archive, "--data", self.root / f"tty-{columns}", *QUICK],
                                           stdout=theirs, stderr=subprocess.DEVNULL)
                os.close(theirs)
                shown = b""
                with contextlib.suppress(OSError):  # the end of a terminal
                    while part := os.read(ours, 65536):
                        shown += part
                os.close(ours)
                self.assertEqual(command.wait(60), 0)
                rows = [row for row in shown.decode().replace("\x1b[K", "").split("\r") if "epoch" in row]
                self.assertGreater(len(rows), 3)
                self.assertLess(max(map(len, rows)), columns)
                self.assertEqual(any("#" in row for row in rows), columns == 100)

    def test_the_model_can_be_listed_shown_measured_and_asked(self):
        model = self.result["model_id"]
        listed = lines_of(run("model", "list", "--data", self.data, "--json").stdout)[0]
        self.assertIn(model, [item["id"] for item in listed["items"]])
        measured = lines_of(run("evaluate", model, self.archive, "--data", self.data,
                                "--json").stdout)
        self.assertEqual(len(measured), 1)
        self.assertAlmostEqual(measured[0]["accuracy"], self.result["accuracy"], places=6)
        for key in ("loss", "correct", "total", "per_class"):
            self.assertIn(key, measured[0])

    def test_what_is_shown_to_a_person_fits_on_a_screen(self):
        accuracy = f"{100 * self.result['accuracy']:.2f} %"
        model = run("model", "show", self.result["model_id"], "--data", self.data).stdout
        job = run("job", "show", self.result["job_id"], "--data", self.data).stdout
        for text, words in ((model, [self.result["model_id"], "ready", accuracy, self.result["model_path"]]),
                            (job, [self.result["job_id"], "completed", "4 of 4", self.result["model_id"]])):
            self.assertLess(len(text.splitlines()), 20)
            for word in words:
                self.assertIn(word, text)

    def test_pictures_are_classified_and_bad_ones_named(self):
        picture = self.one_picture()
        done = run("predict", self.result["model_id"], picture, "/etc/hostname", "--data", self.data,
                   "--json", check=1)
        good, bad = lines_of(done.stdout)
        self.assertEqual(good["path"], str(picture))
        self.assertEqual(len(good["predictions"]), 3)
        self.assertEqual(bad["type"], "error")

    def test_what_is_no_picture_file_is_refused_at_once(self):
        pipe = self.root / "pipe"
        os.mkfifo(pipe)
        done = run("predict", self.result["model_id"], pipe, self.root, self.archive, "--data", self.data, "--json",
                   check=1)
        lines = lines_of(done.stdout)
        self.assertEqual([line["path"] for line in lines], [str(pipe), str(self.root), str(self.archive)])
        self.assertEqual([line["status"] for line in lines], ["INVALID", "INVALID", "UNSUPPORTED"])
        run("train", pipe, "--data", self.root / "piped", check=1)

    def test_a_dying_reader_of_pictures_is_named_with_the_picture(self):
        picture = self.one_picture()
        command = subprocess.Popen([DV, "predict", self.result["model_id"], *[picture] * 20000, "--data", self.data],
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        command.stdout.readline()
        os.kill(role_of(command.pid, "infer"), signal.SIGKILL)
        _, errors = command.communicate(timeout=60)
        self.assertEqual(command.returncode, 1)
        self.assertIn(f"dv: {picture}: dv infer was killed by signal 9 (Killed)", errors)

    def test_an_answer_for_more_classes_than_a_message_holds_says_so(self):
        archive = self.root / "many.zip"
        with zipfile.ZipFile(archive, "w") as many:
            for index in range(700):
                for number in range(2):
                    many.writestr(f"class-{index:03}-{'x' * 100}/{number}.png", noise_png(2 * index + number))
        data = self.root / "many"
        result = lines_of(run("train", archive, "--data", data, "--arch", "small_cnn", "--epochs", 1, "--set",
                              "image_size=16", "--json").stdout)[-1]
        for top_k, status in ((700, 1), (300, 0)):
            done = run("predict", result["model_id"], self.one_picture(), "--top-k", top_k, "--data", data, "--json",
                       check=status)
            line = lines_of(done.stdout)[0]
            if status:
                self.assertIn("--top-k", line["message"])
            else:
                self.assertEqual(len(line["predictions"]), top_k)

    def test_the_same_archive_is_one_data_set(self):
        listed = lines_of(run("dataset", "list", "--data", self.data, "--json").stdout)[0]
        self.assertEqual(listed["total"], 1)
        shown = lines_of(run("dataset", "show", listed["items"][0]["id"], "--data", self.data,
                             "--json").stdout)[0]
        self.assertEqual(shown["readiness"], "ready")
        self.assertEqual(shown["findings"], [])

    def test_data_sets_are_made_and_deleted_with_their_files(self):
        data = self.root / "made"
        made = lines_of(run("dataset", "create", "my shapes", self.archive, "--data", data,
                            "--json").stdout)[-1]
        self.assertEqual(made["name"], "my shapes")
        run("dataset", "delete", made["id"], "--data", data)
        self.assertEqual(list((data / "datasets").iterdir()), [])
        run("dataset", "show", made["id"], "--data", data, check=1)

    def test_what_needs_no_data_folder_makes_none(self):
        with tempfile.TemporaryDirectory(prefix="dv-cli-") as folder:
            run("predict", self.result["model_path"], self.one_picture(), cwd=folder)
            run("model", "list", "--server", "http://127.0.0.1:1", cwd=folder, check=1)
            run("train", "nothing.zip", "--epochs", "x", cwd=folder, check=2)
            self.assertEqual(list(pathlib.Path(folder).iterdir()), [])

    def test_lists_are_empty_where_nothing_was_made(self):
        for noun in ("dataset", "model", "job"):
            listed = lines_of(run(noun, "list", "--data", self.root / "nothing", "--json").stdout)[0]
            self.assertEqual((listed["items"], listed["total"]), ([], 0))

    def test_names_that_are_not_utf8_are_refused_with_a_reason(self):
        latin = os.fsencode(self.root) + b"/caf\xe9.zip"
        shutil.copyfile(os.fsencode(self.archive), latin)
        data = self.root / "latin"
        archive = os.fsencode(self.archive)
        cases = ([b"dataset", b"create", b"caf\xe9", archive], [b"dataset", b"create", b"", archive],
                 [b"train", latin], [b"train", archive, b"--name", b"caf\xe9"])
        for case in cases:
            with self.subTest(case):
                done = subprocess.run([DV, *case, "--data", data, "--json"], capture_output=True, timeout=60)
                self.assertIn(done.returncode, (1, 2))
                line = json.loads(done.stdout.splitlines()[-1])
                self.assertEqual(line["status"], "INVALID")
        listed = lines_of(run("dataset", "list", "--data", data, "--json").stdout)[0]
        self.assertEqual(listed["items"], [])

    def test_a_name_moves_no_cursor(self):
        data = self.root / "escape"
        done = run("dataset", "create", "a\x1b[2Jb\nc", self.archive, "--data", data)
        self.assertIn('"a?[2Jb?c"', done.stdout)
        self.assertNotIn("\x1b", done.stdout + run("dataset", "list", "--data", data).stdout)

    def test_a_bad_archive_is_a_data_set_that_says_why(self):
        data = self.root / "bad"
        archive = self.root / "bad.zip"
        archive.write_bytes(self.archive.read_bytes()[:-100])
        done = run("train", archive, "--data", data, "--json", check=1)
        error = lines_of(done.stdout)[-1]
        self.assertEqual((error["type"], error["status"]), ("error", "INVALID"))
        listed = lines_of(run("dataset", "list", "--data", data, "--json").stdout)[0]["items"]
        self.assertEqual([(item["readiness"], item["total_samples"]) for item in listed], [("error", None)])
        self.assertIn(listed[0]["id"], error["message"])
        self.assertEqual([*(data / "uploads").iterdir(), *(data / "jobs").iterdir()], [])

    def on_small_disk(self, size, *arguments):
        """Run a command with its data folder on a disk of this size; its output, then what is in the folder."""
        disk = self.root / "disk"
        disk.mkdir(exist_ok=True)
        script = ('mount -t tmpfs -o size="$1" tmpfs "$2" || exit 77; disk=$2; shift 2; "$@"; status=$?; '
                  'cd "$disk"; find . >&2; exit $status')
        done = subprocess.run(["unshare", "-rm", "sh", "-c", script, "sh", size, disk, DV, *map(str, arguments),
                               "--data", disk / "data", "--json"], capture_output=True, text=True, timeout=120)
        if "unshare" in done.stderr or done.returncode == 77:
            self.skipTest("a small disk cannot be mounted here")
        return done.returncode, lines_of(done.stdout), done.stderr.splitlines()

    def test_a_full_disk_is_said_and_leaves_nothing_half_made(self):
        status, lines, files = self.on_small_disk("600k", "dataset", "create", "x", self.archive)
        self.assertEqual(status, 1)
        self.assertEqual(lines[-1]["status"], "NO_SPACE")
        self.assertEqual([file for file in files if file.startswith(("./data/datasets/", "./data/uploads/"))], [])
        status, lines, files = self.on_small_disk("70m", "train", self.archive, "--arch", "resnet18", "--epochs", 1)
        self.assertEqual(status, 1)
        self.assertEqual(lines[-1]["failure_reason"], "disk_full")
        self.assertEqual([file for file in files if file.startswith("./data/models/") or file.endswith(".tmp")], [])

    def test_wrong_usage_is_exit_status_2(self):
        for arguments in ([], ["nothing"], ["train"], ["train", "a", "b"], ["train", "a", "--lr"],
                          ["train", self.archive, "--epochs", "0"], ["sample", "cats", "x.zip"],
                          ["train", self.archive, "--detach", "--data", self.data], ["dataset", "show"], ["worker"],
                          ["job", "show"], ["job", "logs", "a", "b"], ["serve", "extra"],
                          ["predict", "a", "b", "--top-k", "0"], ["predict", "a", "b", "--top-k", "-3"],
                          ["evaluate", "a", "b", "--split", "half"], ["sample", "shapes", "x.zip", "--classes", "1"],
                          ["sample", "shapes", self.root / "x.zip", "--count", "1"],
                          ["model", "download", "a", "--format", "zip", "--data", self.data],
                          ["serve", "--listen", "here", "--data", self.data],
                          ["train", self.archive, "--base", "00000000-0000-4000-8000-000000000000", "--data", self.data],
                          ["train", self.archive, "--strategy", "magic", "--data", self.data]):
            with self.subTest(arguments):
                run(*arguments, check=2)

    def test_wrong_usage_is_said_in_the_words_of_who_wrote_it(self):
        for arguments, words in ((["dataset", "add", "x"], "there is no 'add'"),
                                 (["dataset", "show"], "'show' takes 1 argument, not 0"),
                                 (["dataset", "create", "x"], "'create' takes 2 arguments, not 1"),
                                 (["train", self.archive, "--strategy", "magic", "--data", self.data], "dv: strategy: found")):
            with self.subTest(arguments):
                self.assertIn(words, run(*arguments, check=2).stderr)

    def test_every_failure_is_a_line_with_a_status_and_a_message(self):
        for arguments in (["train", self.archive, "--set", "epochs=0"], ["train", self.archive, "--strategy", "magic"],
                          ["train", "nothing.zip"], ["predict", "nothing", "a"], ["evaluate", "nothing", "a"],
                          ["dataset", "show", "nothing"], ["model", "delete", "nothing"],
                          ["sample", "shapes", "/dev/null"]):
            with self.subTest(arguments):
                data = [] if arguments[0] == "sample" else ["--data", self.data]
                done = run(*arguments, *data, "--json", check=None)
                self.assertIn(done.returncode, (1, 2))
                if done.stdout or done.returncode == 1:
                    line = lines_of(done.stdout)[-1]
                    self.assertEqual(line["type"], "error")
                    self.assertTrue(line["status"] and line["message"])

    def test_every_command_has_help(self):
        for command in ("serve", "train", "job", "evaluate", "predict", "dataset", "model", "sample", "doctor"):
            self.assertIn("usage: dv " + command, run(command, "--help").stdout)
        self.assertIn("sandbox", lines_of(run("doctor", "--json").stdout)[0])

    def test_the_doctor_looks_at_the_disk_that_data_would_be_on(self):
        for folder in (self.root, self.root / "not" / "made" / "yet"):
            disk = lines_of(run("doctor", "--json", "--data", folder, cwd="/dev/shm").stdout)[0]["disk"]
            space = os.statvfs(self.root)
            self.assertEqual(disk["exists"], folder == self.root)
            self.assertAlmostEqual(disk["free_bytes"] / (space.f_bavail * space.f_frsize), 1, places=1)

    def test_a_second_command_joins_the_first_and_outlives_it(self):
        data = self.root / "busy"
        shutil.copytree(self.data / "cache", data / "cache")
        first = self.start_train(data, "--set", "epochs=5000")
        wait_for(lambda: worker_of(first.pid))
        second = self.start_train(data, "--name", "second")

        def names():
            jobs = lines_of(run("job", "list", "--data", data, "--json").stdout)[0]["items"]
            return {job["model_name"]: job["status"] for job in jobs}
        wait_for(lambda: names() == {"shapes": "running", "second": "pending"}, step=0.1)
        self.assertIsNone(role_of(second.pid, "serve"))
        first.send_signal(signal.SIGTERM)
        first.communicate(timeout=30)
        self.assertEqual(first.returncode, 130)
        output, errors = second.communicate(timeout=60)
        self.assertEqual(second.returncode, 0, errors)
        self.assertEqual(weights_hash(lines_of(output)[-1]), weights_hash(self.result))
        self.assertEqual(names(), {"shapes": "cancelled", "second": "completed"})

    def serve(self, name):
        """A server in the background: its process, its address and the environment of its clients."""
        data = self.root / name
        server = subprocess.Popen([DV, "serve", "--listen", "127.0.0.1:0", "--data", data, "--json"],
                                  stdout=subprocess.PIPE, text=True)
        self.addCleanup(server.stdout.close)
        self.addCleanup(server.wait)
        self.addCleanup(server.kill)
        url = json.loads(server.stdout.readline())["url"]
        return data, url, {**os.environ, "DV_TOKEN": (data / "owner-token").read_text().strip()}

    def test_a_server_elsewhere_does_what_one_of_our_own_does(self):
        data, url, environment = self.serve("elsewhere")
        with tempfile.TemporaryDirectory(prefix="dv-cli-") as here:
            def ask(*arguments, **options):
                return lines_of(run(*arguments, "--server", url, "--json", cwd=here, env=environment, **options).stdout)
            result = ask("train", self.archive, *QUICK)[-1]
            self.assertTrue(pathlib.Path(result["model_path"]).is_relative_to(data))
            detached = ask("train", self.archive, *QUICK, "--epochs", "5000", "--detach")[-1]
            self.assertEqual(detached["type"], "job")
            wait_for(lambda: ask("job", "show", detached["id"])[0]["status"] == "running", step=0.1)
            ask("job", "cancel", detached["id"])
            ended = ask("job", "logs", detached["id"], "-f")
            self.assertTrue(any("cancelled" in line["text"] for line in ended), ended)
            self.assertEqual(ask("job", "show", detached["id"])[0]["status"], "cancelled")
            self.assertEqual(ask("job", "resume", detached["id"])[0]["status"], "pending")
            ask("job", "cancel", detached["id"])
            ask("model", "download", result["model_id"], "-o", "model.zip")
            with zipfile.ZipFile(pathlib.Path(here) / "model.zip") as archive:
                self.assertIn("weights.safetensors", archive.namelist())
            ask("model", "delete", result["model_id"])
            self.assertFalse(pathlib.Path(result["model_path"]).exists())
            self.assertEqual([path.name for path in pathlib.Path(here).iterdir()], ["model.zip"])
            denied = run("job", "list", "--server", url, "--json", cwd=here, check=1, env={**environment, "DV_TOKEN": "x"})
            self.assertEqual(lines_of(denied.stdout)[0]["status"], "DENIED")
            self.assertIn("no such token", denied.stdout)
            for token in ({}, {"DV_TOKEN": ""}):
                bare = {key: value for key, value in environment.items() if key != "DV_TOKEN"}
                nameless = run("job", "list", "--server", url, cwd=here, check=1, env={**bare, **token})
                self.assertIn(f"{url} wants a token: set DV_TOKEN", nameless.stderr)

    def test_an_event_that_was_cut_off_comes_again(self):
        job = str(uuid.UUID(int=7))
        asked = []

        def event(number, kind, **data):
            return f"id: {number}\nevent: {kind}\ndata: {json.dumps({'id': number, 'at': 'now', 'data': data})}\n\n"
        events = {number: event(number, "log", level="info", text=f"line {number}") for number in range(1, 4)}
        events[4] = event(4, "status", status="completed")

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                self.send_response(200)
                self.end_headers()
                if not self.path.endswith("/events"):
                    self.wfile.write(json.dumps({"id": job, "status": "completed"}).encode())
                    return
                asked.append(int(self.headers.get("Last-Event-ID", 0)))
                text = "".join(text for number, text in events.items() if number > asked[-1])
                if len(asked) == 1:  # the connection ends within the second
                    text = text[:text.index("line 2")]
                self.wfile.write(text.encode())

            def log_message(self, *_):
                pass
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.addCleanup(server.server_close)
        self.addCleanup(server.shutdown)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        done = run("job", "logs", job, "-f", "--server", f"http://127.0.0.1:{server.server_port}", "--json")
        self.assertEqual([line["text"] for line in lines_of(done.stdout)], ["line 1", "line 2", "line 3"])
        self.assertEqual(asked, [0, 1])

    def test_who_serves_the_data_folder_is_asked(self):
        data, _, _ = self.serve("served")
        result = lines_of(self.train(data).stdout)[-1]
        self.assertTrue(pathlib.Path(result["model_path"]).is_dir())
        job = lines_of(self.train(data, "--epochs", "5000", "--detach").stdout)[-1]
        run("job", "cancel", job["id"], "--data", data)

    def test_a_folder_is_a_data_set_like_its_archive(self):
        folder, data = self.root / "folder", self.root / "of-folder"
        with zipfile.ZipFile(self.archive) as shapes:
            shapes.extractall(folder)
        first = next(folder.rglob("*.png"))
        (first.parent / "link.png").symlink_to(first)
        (first.parent / ".hidden.png").write_bytes(first.read_bytes())
        made = [lines_of(run("train", folder, "--data", data, "--json", *QUICK).stdout) for _ in range(2)]
        listed = lines_of(run("dataset", "list", "--data", data, "--json").stdout)[0]["items"]
        self.assertEqual([(item["name"], item["total_samples"], item["findings"]) for item in listed],
                         [("folder", 120, [])])
        self.assertTrue(any("link.png" in line.get("text", "") for line in made[0]))
        self.assertEqual(weights_hash(made[0][-1]), weights_hash(made[1][-1]))
        self.assertEqual([path.name for path in (data / "cache").iterdir() if path.name.startswith(".")], [])

    def test_a_killed_server_is_replaced_and_the_command_goes_on(self):
        data = self.root / "replaced"
        shutil.copytree(self.data / "cache", data / "cache")
        command = self.start_train(data, "--epochs", "40")
        whole = lines_of(self.train(self.data, "--epochs", "40").stdout)[-1]
        for _ in range(3):
            worker = wait_for(lambda: command.poll() is not None or worker_of(command.pid))
            server = role_of(command.pid, "serve")
            if worker is True or not server:
                break
            os.kill(server, signal.SIGKILL)
            wait_for(lambda: not pathlib.Path(f"/proc/{worker}").exists())
        output, errors = command.communicate(timeout=60)
        self.assertEqual(command.returncode, 0, errors)
        self.assertEqual(weights_hash(lines_of(output)[-1]), weights_hash(whole))

    def test_an_interrupt_ends_in_bounded_time_and_takes_the_worker_along(self):
        data = self.root / "interrupted"
        command = self.start_train(data, "--set", "epochs=5000")
        worker = wait_for(lambda: worker_of(command.pid))
        start = time.monotonic()
        command.send_signal(signal.SIGINT)
        output, _ = command.communicate(timeout=20)
        self.assertEqual(command.returncode, 130)
        self.assertLess(time.monotonic() - start, 6)
        self.assertFalse(pathlib.Path(f"/proc/{worker}").exists())
        self.assertRegex(lines_of(output)[-1]["message"], "--resume goes on from here$")

    def test_an_interrupted_sample_leaves_nothing(self):
        with tempfile.TemporaryDirectory(prefix="dv-cli-") as folder:
            with subprocess.Popen([DV, "sample", "shapes", "a.zip", "--count", "1000000"], cwd=folder, text=True,
                                  stderr=subprocess.PIPE) as command:
                wait_for(lambda: list(pathlib.Path(folder).iterdir()))
                command.send_signal(signal.SIGINT)
                self.assertEqual(command.communicate(timeout=60)[1], "dv: interrupted\n")
            self.assertEqual(command.returncode, 130)
            self.assertEqual(list(pathlib.Path(folder).iterdir()), [])

    def test_a_command_without_a_terminal_goes_on_when_that_hangs_up(self):
        data = self.root / "nohup"
        command = self.start_train(data, preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN))
        wait_for(lambda: worker_of(command.pid))
        command.send_signal(signal.SIGHUP)
        output, errors = command.communicate(timeout=60)
        self.assertEqual(command.returncode, 0, errors)
        self.assertEqual(lines_of(output)[-1]["type"], "result")

    def test_output_that_cannot_be_written_is_a_failure(self):
        with open("/dev/full", "w") as full:
            for arguments in (["dataset", "list", "--data", self.data], ["doctor"], ["--help"]):
                with self.subTest(arguments):
                    done = subprocess.run([DV, *map(str, arguments)], stdout=full, stderr=subprocess.PIPE, text=True)
                    self.assertEqual(done.returncode, 1)
                    self.assertIn("standard output", done.stderr)

    def test_a_reader_that_has_enough_ends_the_command_without_a_word(self):
        def read_one_line(*arguments):
            with subprocess.Popen([DV, *map(str, arguments)], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                  text=True) as command:
                line = command.stdout.readline()
                command.stdout.close()
                self.assertIn(command.wait(timeout=60), (0, 1))
                self.assertEqual(command.stderr.read(), "")
            return line
        self.assertIn("shapes", read_one_line("dataset", "list", "--data", self.data))
        data, _, _ = self.serve("unread")
        job = lines_of(self.train(data, "--epochs", "5000", "--detach").stdout)[-1]
        self.assertIn("works with", read_one_line("job", "logs", job["id"], "-f", "--data", data))
        row = lines_of(run("job", "cancel", job["id"], "--data", data, "--json").stdout)[0]
        self.assertIn(row["status"], ("running", "cancelled")) # it outlived who followed it

    def test_commands_work_without_standard_descriptors(self):
        data = self.root / "closed"
        command = f"exec {DV} dataset create closed {self.archive} --data {data} <&- >&- 2>&-"
        self.assertEqual(subprocess.run(["sh", "-c", command], timeout=60).returncode, 0)
        listed = lines_of(run("dataset", "list", "--data", data, "--json").stdout)[0]
        self.assertEqual([item["name"] for item in listed["items"]], ["closed"])
        self.assertRegex((data / "lock").read_text(), r"\Apid \d+\nhttp://127.0.0.1:\d+\n\Z")

    def test_a_command_without_standard_input_can_be_interrupted(self):
        command = self.start_train(self.root / "no-input", "--set", "epochs=5000", preexec_fn=lambda: os.close(0))
        wait_for(lambda: worker_of(command.pid))
        command.send_signal(signal.SIGINT)
        command.communicate(timeout=20)
        self.assertEqual(command.returncode, 130)

    def test_a_worker_that_dies_too_often_fails_the_job_with_its_reason(self):
        data = self.root / "dying"
        command = self.start_train(data, "--set", "epochs=5000", "--max-restarts", "1")
        killed = set()
        while command.poll() is None:
            worker = worker_of(command.pid)
            if worker and worker not in killed:
                os.kill(worker, signal.SIGKILL)
                killed.add(worker)
            time.sleep(0.01)
        output, _ = command.communicate()
        self.assertEqual(command.returncode, 1)
        self.assertEqual(len(killed), 2)
        self.assertEqual(lines_of(output)[-1]["failure_reason"], "signal")

    @unittest.skipIf(IS_SANITIZED, "memory is not limited under a sanitizer")
    def test_a_worker_that_runs_out_of_memory_gets_a_smaller_batch(self):
        data = self.root / "oom"
        environment = {**os.environ, "DV_WORKER_MEMORY": "400000000"}
        done = self.train(data, "--arch", "resnet20", "--batch-size", "512", "--epochs", "1",
                          "--set", "image_size=64", "--max-restarts", "9", env=environment)
        lines = lines_of(done.stdout)
        result = lines[-1]
        halvings = [line for line in lines if line["type"] == "log" and "out of memory" in line["text"]]
        self.assertGreater(len(halvings), 0)
        self.assertEqual(result["restarts"], len(halvings))
        self.assertEqual(result["hyperparameters"]["batch_size"], int(halvings[-1]["text"].split()[-1]))
        self.assertLessEqual(result["hyperparameters"]["batch_size"], 512 >> len(halvings))

    @unittest.skipIf(IS_SANITIZED, "memory is not limited under a sanitizer")
    def test_a_worker_that_fits_nowhere_fails_the_job_as_oom(self):
        data = self.root / "never"
        environment = {**os.environ, "DV_WORKER_MEMORY": "400000000"}
        done = self.train(data, "--arch", "resnet20", "--batch-size", "512", "--epochs", "1",
                          "--set", "image_size=64", "--max-restarts", "0", env=environment, check=1)
        self.assertEqual(lines_of(done.stdout)[-1]["failure_reason"], "oom")

    def test_a_time_limit_ends_the_job_with_its_reason(self):
        data = self.root / "timeout"
        done = self.train(data, "--set", "epochs=5000", "--timeout", "1", check=1)
        self.assertEqual(lines_of(done.stdout)[-1]["failure_reason"], "timeout")

    def test_to_a_person_a_failure_is_said_once_and_in_its_place(self):
        done = subprocess.run([DV, "train", self.archive, *QUICK, "--set", "epochs=5000", "--timeout", "1", "--data",
                               self.root / "said"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60)
        self.assertEqual(done.stdout.count("the time limit of 1 s has passed"), 1)
        self.assertEqual(done.stdout.splitlines()[-1], "dv: the time limit of 1 s has passed (timeout)")
        self.assertLess(done.stdout.index("data set"), done.stdout.index("network"))

    def split_archive(self):
        """Few pictures to train on, so that epochs are short; many to measure with, so that this is long."""
        shapes, split = self.root / "for-split.zip", self.root / "split.zip"
        run("sample", "shapes", shapes, "--classes", 3, "--count", 12000, "--seed", 8)
        with zipfile.ZipFile(shapes) as source, zipfile.ZipFile(split, "w") as target:
            for index, name in enumerate(source.namelist()):
                target.writestr(("train/" if index % 120 == 0 else "test/") + name, source.read(name))
        return split

    def await_moment(self, kind, training, worker, whole, chance):
        """Until a moment of this kind, at random; in the worker's own time, so that load does not matter."""
        if kind == "load":
            limit = chance.uniform(0, whole.load_seconds() / 2)
            training.wait_for(lambda: cpu_seconds(worker) >= limit)
        elif kind == "epoch":
            count = len(training.epochs()) + chance.randint(1, 4)
            training.wait_for(lambda: len(training.epochs()) >= count)
        elif kind == "checkpoint":
            before = training.checkpoints()
            training.wait_for(lambda: training.checkpoints() != before)
        else:
            is_first = not training.has_trained()
            training.wait_for(training.has_trained)
            begin = cpu_seconds(worker) if is_first else 0
            limit = begin + chance.uniform(0, whole.measuring_seconds() / 10)
            training.wait_for(lambda: cpu_seconds(worker) >= limit)

    def test_twenty_killed_workers_change_no_bit_of_the_model(self):
        seed = int(os.environ.get("DV_TEST_SEED", time.time()))
        print("seed", seed, file=sys.stderr)
        chance = random.Random(seed)
        moments = ["load"] * 5 + ["epoch"] * 6 + ["checkpoint"] * 6
        chance.shuffle(moments)
        moments += ["evaluation"] * 3
        archive = self.split_archive()
        whole = Training(archive, self.root / "whole")
        self.addCleanup(whole.stop)
        expected = whole.result()
        # The engine's measured choices are part of the bits: both runs use the same.
        shutil.copytree(self.root / "whole" / "cache", self.root / "killed" / "cache")
        training = Training(archive, self.root / "killed", "--max-restarts", "20")
        self.addCleanup(training.stop)
        killed = set()
        for moment in moments:
            worker = training.wait_for(lambda: {worker_of(training.command.pid)} - killed - {None}).pop()
            self.await_moment(moment, training, worker, whole, chance)
            os.kill(worker, signal.SIGKILL)
            killed.add(worker)
        result = training.result()
        self.assertEqual(len(killed), 20)
        self.assertEqual(result["restarts"], 20)
        self.assertEqual(weights_hash(result), weights_hash(expected))
        self.assertEqual(result["accuracy"], expected["accuracy"])

    def test_a_killed_command_goes_on_with_resume_and_ends_the_same(self):
        data = self.root / "resumed"
        shutil.copytree(self.data / "cache", data / "cache")
        for delay in (0.0, 0.5, 1.0):
            command = self.start_train(data, "--resume")
            worker = wait_for(lambda: command.poll() is not None or worker_of(command.pid))
            time.sleep(delay)
            command.kill()
            command.communicate()
            if worker is not True:
                wait_for(lambda: not pathlib.Path(f"/proc/{worker}").exists())
        result = lines_of(self.train(data, "--resume").stdout)[-1]
        self.assertEqual(weights_hash(result), weights_hash(self.result))
        again = lines_of(self.train(data, "--resume").stdout)
        self.assertEqual(again, [result])
        listed = lines_of(run("job", "list", "--data", data, "--json").stdout)[0]
        self.assertEqual(listed["total"], 1)


if __name__ == "__main__":
    unittest.main()
