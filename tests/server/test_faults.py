# SPDX-License-Identifier: Apache-2.0
"""What a server goes through: cut streams, a database that is away, a full disk, two servers, slow starts.

Usage: test_faults.py DV   on SQLite, or on the PostgreSQL that DV_TEST_POSTGRES names.
"""

import http.client
import os
import pathlib
import random
import shlex
import signal
import subprocess
import sys
import threading
import time
import unittest

from harness import SETTLED, Server, new_database, wait_for, worker_of

DV = sys.argv.pop(1)
POSTGRES = os.environ.get("DV_TEST_POSTGRES")
QUICK = {"architecture": "small_cnn", "hyperparameters": {"epochs": 2, "batch_size": 16, "image_size": 16}}
EPOCHS = 150
LONG = {"architecture": "small_cnn", "hyperparameters": {"epochs": EPOCHS, "batch_size": 16, "image_size": 16}}


class Faults(unittest.TestCase):
    def setUp(self):
        self.server = Server(DV, new_database(POSTGRES))
        self.addCleanup(self.server.close)
        self.archive = self.server.root / "shapes.zip"
        subprocess.run([DV, "sample", "shapes", self.archive, "--classes", "3", "--count", "60", "--seed", "5"],
                       check=True, stdout=subprocess.DEVNULL)
        self.dataset = self.server.ready_dataset(self.archive, "shapes")["id"]
        self.cuts = 0

    def tearDown(self):
        if self.server.process.poll() is None:
            self.assertEqual(self.server.fsck()["findings"], [])

    def create(self, **body):
        answer = self.server.call("POST", "/api/jobs", body={"dataset_id": self.dataset, **body})
        self.assertEqual(answer.status, 201, answer.body)
        return answer.json

    # --- Streams

    def follow(self, path, chance, cuts, seen):
        """Ids of a job's events into `seen`, through that many cuts, to its end."""
        is_over = False
        while not is_over:
            stop_after = chance.randrange(1, 3) if self.cuts < cuts else None
            try:
                for number, kind, value in self.server.events(path, seen[-1] if seen else 0):
                    seen.append(number)
                    is_over = kind == "status" and value["data"]["status"] in SETTLED
                    stop_after = stop_after - 1 if stop_after else None
                    if is_over or stop_after == 0:
                        self.cuts += not is_over
                        break
            except (OSError, http.client.HTTPException, AssertionError):
                time.sleep(0.05)  # the server is being started again

    def test_a_stream_that_is_cut_a_hundred_times_sees_each_event_once(self):
        chance = random.Random(4)
        job = self.create(**LONG)
        path = f"/api/jobs/{job['id']}/events"
        found, whole = [], []
        reader = threading.Thread(target=self.follow, args=(path, chance, 100, found))
        reader.start()
        for _ in range(3):
            seen = len(found)
            wait_for(lambda: len(found) >= seen + EPOCHS // 6, "more events")
            self.server.kill()
            self.server.start()
        self.assertEqual(self.server.wait_job(job["id"])["status"], "completed")
        reader.join(60)
        self.assertFalse(reader.is_alive())
        self.follow(path, chance, 0, whole)
        self.assertEqual(found, whole)
        self.assertEqual(len(set(found)), len(found))
        self.assertEqual(self.cuts, 100)

    # --- The database

    @unittest.skipUnless(POSTGRES, "needs PostgreSQL")
    def test_a_database_that_restarts_loses_nothing(self):
        control = shlex.split(os.environ["DV_TEST_PG_CTL"])
        quiet = {"check": True, "stdout": subprocess.DEVNULL, "cwd": "/"}
        job = self.create(**LONG)
        wait_for(lambda: (self.server.settled_job(job["id"]) or self.server.get(f"/api/jobs/{job['id']}"))["epoch"],
                 "the first epoch")
        worker = worker_of(self.server)
        for pause in (0.0, 0.5):
            subprocess.run([*control, "-m", "fast", "stop"], **quiet)
            answer = self.server.call("GET", f"/api/jobs/{job['id']}")
            self.assertEqual(answer.status, 503, answer.body)
            self.assertTrue(answer.headers["Retry-After"])
            self.assertEqual(self.server.call("GET", "/api/system/health", token=False).status, 503)
            time.sleep(pause)
            self.assertEqual(worker_of(self.server), worker, "the training goes on meanwhile")
            subprocess.run([*control, "start"], **quiet)
            wait_for(lambda: self.server.call("GET", "/api/system/health", token=False).status == 200, "health", 10)
        row = self.server.wait_job(job["id"])
        self.assertEqual((row["status"], row["restarts"]), ("completed", 0))
        epochs = [event[2]["data"]["epoch"] for event in self.events_of(job) if event[1] == "metrics"]
        self.assertEqual(epochs, list(range(1, EPOCHS + 1)), "no epoch's event is lost or said twice")

    def events_of(self, job):
        for event in self.server.events(f"/api/jobs/{job['id']}/events"):
            yield event
            if event[1] == "status" and event[2]["data"]["status"] in SETTLED:
                return

    # --- Two of them

    def test_a_second_server_on_the_same_folder_is_told_so(self):
        second = subprocess.run([DV, "serve", "--data", self.server.data, "--listen", "127.0.0.1:0"],
                                capture_output=True, text=True, timeout=30, check=False)
        self.assertEqual(second.returncode, 1)
        self.assertIn(str(self.server.process.pid), second.stderr)

    def test_an_address_in_use_is_told_so(self):
        other = self.server.root / "other"
        second = subprocess.run([DV, "serve", "--data", other, "--listen", f"127.0.0.1:{self.server.port}"],
                                capture_output=True, text=True, timeout=30, check=False)
        self.assertEqual(second.returncode, 1)
        self.assertIn(str(self.server.port), second.stderr)

    def test_no_auth_is_refused_where_others_can_reach_it(self):
        second = subprocess.run([DV, "serve", "--data", self.server.root / "open", "--listen", "0.0.0.0:0", "--no-auth"],
                                capture_output=True, text=True, timeout=30, check=False)
        self.assertEqual(second.returncode, 2)
        self.assertIn("loopback", second.stderr)
        self.assertFalse((self.server.root / "open").exists())

    def test_two_clients_that_end_the_same_job_both_hear_how_it_is(self):
        job = self.create(**LONG)
        answers = []
        threads = [threading.Thread(target=lambda: answers.append(self.server.call("DELETE", f"/api/jobs/{job['id']}")))
                   for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual({answer.status for answer in answers}, {200})
        self.assertEqual(self.server.wait_job(job["id"], 8)["status"], "cancelled")

    # --- Ends

    def test_a_stop_puts_the_running_job_back_and_a_start_goes_on(self):
        job = self.create(**LONG)
        wait_for(lambda: self.server.get(f"/api/jobs/{job['id']}")["epoch"], "the first epoch")
        worker = worker_of(self.server)
        start = time.monotonic()
        self.assertEqual(self.server.stop(), 0)
        self.assertLess(time.monotonic() - start, 15)
        self.assertFalse(pathlib.Path(f"/proc/{worker}").exists())
        self.server.start()
        row = self.server.wait_job(job["id"])
        self.assertEqual((row["status"], row["restarts"]), ("completed", 0))

    def test_a_job_that_is_out_of_time_says_so(self):
        body = {**LONG, "hyperparameters": {**LONG["hyperparameters"], "epochs": 9999}, "timeout_seconds": 1}
        row = self.server.wait_job(self.create(**body)["id"])
        self.assertEqual((row["status"], row["failure_reason"]), ("failed", "timeout"))

    def test_a_worker_that_dies_too_often_fails_its_job(self):
        body = {**LONG, "hyperparameters": {**LONG["hyperparameters"], "epochs": 9999}, "max_restarts": 1}
        job = self.create(**body)
        killed = set()
        while not self.server.settled_job(job["id"]):
            worker = worker_of(self.server)
            if worker and worker not in killed:
                os.kill(worker, signal.SIGKILL)
                killed.add(worker)
            time.sleep(0.01)
        row = self.server.get(f"/api/jobs/{job['id']}")
        self.assertEqual((row["status"], row["failure_reason"], row["restarts"]), ("failed", "signal", 1))
        self.assertEqual(len(killed), 2)
        self.assertEqual(self.server.get(f"/api/models/{job['model_id']}")["status"], "failed")

    def test_higher_priorities_come_first(self):
        self.create(**LONG)
        jobs = [self.create(**QUICK, priority=priority) for priority in (0, 5, -5, 5)]
        order = [jobs[1], jobs[3], jobs[0], jobs[2]]
        first = self.server.get("/api/jobs?status=running")["items"][0]
        self.server.call("DELETE", f"/api/jobs/{first['id']}")
        rows = [self.server.wait_job(job["id"]) for job in order]
        starts = [row["started_at"] for row in rows]
        self.assertEqual(starts, sorted(starts))


class Small(unittest.TestCase):
    """A data folder on a disk that is full."""

    def setUp(self):
        if os.getuid() != 0:
            self.skipTest("needs to mount a small disk")
        self.root = pathlib.Path(subprocess.run(["mktemp", "-d", "/tmp/dv-small-XXXXXX"], capture_output=True, text=True,
                                                check=True).stdout.strip())
        if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=80m", "tmpfs", self.root], check=False).returncode:
            self.root.rmdir()
            self.skipTest("cannot mount a small disk here")
        self.server = Server(DV, new_database(POSTGRES), root=self.root)

    def tearDown(self):
        self.server.close()
        subprocess.run(["umount", "-l", self.root], check=False)
        self.root.rmdir()

    def test_a_full_disk_is_507_and_gone_when_there_is_room(self):
        archive = self.root.parent / f"{self.root.name}.zip"
        subprocess.run([DV, "sample", "shapes", archive, "--classes", "3", "--count", "60"], check=True,
                       stdout=subprocess.DEVNULL)
        content = archive.read_bytes()
        archive.unlink()
        ballast = self.root / "ballast"
        with open(ballast, "wb", buffering=0) as file:
            try:
                while True:
                    file.write(b"x" * 65536)
            except OSError:
                pass
        answer = self.server.upload(content + b"x" * (4 << 20), "too much")
        self.assertEqual(answer.status, 507, answer.body)
        self.assertEqual(self.server.call("GET", "/api/system/health", token=False).status in (200, 503), True)
        ballast.unlink()
        self.server.ready_dataset(content, "fits")
        wait_for(lambda: not list((self.server.data / "uploads").iterdir()), "the upload's removal", 10)


if __name__ == "__main__":
    unittest.main()
