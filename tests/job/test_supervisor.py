# SPDX-License-Identifier: Apache-2.0
"""The supervisor with real roles and a real store: queue, stops, deaths of workers and of itself.

Usage: test_supervisor.py SUPERVISE DV [unittest arguments]. On SQLite, or on the PostgreSQL of DV_TEST_POSTGRES.
DV_TEST_KILLS says how often each of the tests that kill at random does so, DV_TEST_SEED when.
"""

import os
import pathlib
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
import unittest

from server_double import Refused, Server, is_alive, make_shapes, processes_below, wait_for

SUPERVISE, DV = sys.argv[1:3]
del sys.argv[1:3]
IS_SQLITE = not os.environ.get("DV_TEST_POSTGRES")
IS_SANITIZED = b"__asan_init" in pathlib.Path(DV).read_bytes()
LONG = {"epochs": 5000}  # only ever stopped
SEED = int(os.environ.get("DV_TEST_SEED", "20260111"))
KILLS = int(os.environ.get("DV_TEST_KILLS", "20"))


class Case(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = pathlib.Path(tempfile.mkdtemp(prefix="dv-shapes-"))
        cls.shapes = make_shapes(DV, cls.folder)

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.folder)

    def serve(self, program=DV, **options):
        server = Server(SUPERVISE, program, **options)
        self.addCleanup(server.destroy)
        return server.start()

    def wrap(self, role, before):
        """A program that does something before it becomes dv."""
        path = self.folder / f"wrapped-{role}"
        path.unlink(missing_ok=True)
        path.write_text(f'#!/bin/sh\nif [ "$1" = {role} ]; then\n{before}\nfi\nexec {DV} "$@"\n')
        path.chmod(0o755)
        return path

    def wait_epoch(self, server, job, epoch=1):
        return wait_for(lambda: (server.job(job)["epoch"] or 0) > epoch)

    def check_nothing_runs(self, server, pids=()):
        self.assertEqual(server.children(), [])
        self.assertEqual([pid for pid in pids if is_alive(pid)], [])


class Queue(Case):
    def test_two_jobs_run_one_after_the_other(self):
        server = self.serve()
        dataset = server.make_dataset(self.shapes)
        first, second = server.queue(dataset), server.queue(dataset, seed=2)
        rows = [server.wait_job(job) for job in (first, second)]
        self.assertEqual([row["status"] for row in rows], ["completed"] * 2)
        self.assertGreaterEqual(rows[1]["started_at"], rows[0]["finished_at"])
        self.assertEqual(rows[0]["progress"], 1.0)
        self.assertEqual(rows[0]["failure_reason"], None)
        model = server.ask("get_model", id=rows[0]["model_id"])
        self.assertEqual((model["status"], model["is_partial"]), ("ready", False))
        self.assertEqual(model["model_path"], f"models/{model['id']}/versions/1")
        self.assertTrue((server.data / model["model_path"] / "model.json").exists())
        metrics = [event for event in server.ask("list_events", id=first) if event["type"] == "metrics"]
        self.assertEqual([event["data"]["epoch"] for event in metrics], [1, 2, 3, 4])
        server.check_files([dataset], [row["model_id"] for row in rows])

    def test_the_higher_priority_goes_first(self):
        server = self.serve()
        dataset = server.make_dataset(self.shapes)
        running = server.queue(dataset, LONG)
        wait_for(server.worker)
        low, high = server.queue(dataset, priority=1), server.queue(dataset, priority=7)
        self.assertEqual(server.job(high)["status"], "pending")
        server.ask("cancel_job", id=running)
        self.assertLess(server.wait_job(high)["finished_at"], server.wait_job(low)["finished_at"])

    def test_as_many_run_at_once_as_are_allowed(self):
        server = self.serve(running_jobs_max=2)
        dataset = server.make_dataset(self.shapes)
        jobs = [server.queue(dataset, LONG) for _ in range(3)]
        wait_for(lambda: len(server.children("worker")) == 2)
        self.assertEqual([server.job(job)["status"] for job in jobs], ["running", "running", "pending"])
        usage = server.ask("usage")
        self.assertEqual({item["job_id"] for item in usage}, set(jobs[:2]))
        self.assertEqual({item["role"] for item in usage}, {"worker"})
        self.assertTrue(all(item["rss_bytes"] > 1 << 20 for item in usage))

    def test_a_server_for_new_jobs_leaves_older_ones_alone(self):
        server = self.serve()
        dataset = server.make_dataset(self.shapes)
        server.queue(dataset, LONG)
        old = server.queue(dataset)
        server.stop()
        server.options["new_only"] = 1
        server.start()
        new = server.queue(dataset)
        self.assertEqual(server.wait_job(new)["status"], "completed")
        self.assertEqual(server.job(old)["status"], "pending")
        server.ask("resume_job", id=old)
        self.assertEqual(server.wait_job(old)["status"], "completed")


class Stops(Case):
    def cancel(self, server, job):
        """Its row once it is over, which is within 5 s."""
        pids = server.children()
        before = time.monotonic()
        server.ask("cancel_job", id=job)
        row = server.wait_job(job)
        self.assertLess(time.monotonic() - before, 5.0)
        self.check_nothing_runs(server, pids)
        return row

    def test_a_pending_job_is_cancelled_at_once(self):
        server = self.serve()
        dataset = server.make_dataset(self.shapes)
        server.queue(dataset, LONG)
        wait_for(server.worker)
        pending = server.queue(dataset)
        self.assertEqual(server.ask("cancel_job", id=pending)["status"], "cancelled")
        self.assertEqual(server.ask("get_model", id=server.job(pending)["model_id"])["status"], "draft")

    def test_one_that_waits_to_go_on_leaves_its_best_model(self):
        server = self.serve()
        dataset = server.make_dataset(self.shapes)
        job = server.queue(dataset, LONG)
        self.wait_epoch(server, job)
        urgent = server.queue(dataset, LONG, priority=9)
        server.kill()
        server.start()
        wait_for(server.worker)
        self.assertEqual([server.job(id)["status"] for id in (job, urgent)], ["pending", "running"])
        server.ask("cancel_job", id=job)
        row = server.wait_job(job)
        model = server.ask("get_model", id=row["model_id"])
        self.assertEqual((row["status"], model["status"], model["is_partial"]), ("cancelled", "ready", True))
        self.assertEqual(server.job(urgent)["status"], "running")
        server.ask("resume_job", id=job)  # and now there is nothing more to keep
        self.assertEqual(server.ask("cancel_job", id=job)["status"], "cancelled")
        model = server.ask("get_model", id=row["model_id"])
        self.assertEqual((model["status"], model["current_version"]), ("ready", 1))

    def test_a_cancelled_job_leaves_its_best_model_and_can_go_on(self):
        server = self.serve()
        dataset = server.make_dataset(self.shapes)
        whole = server.queue(dataset, {"epochs": 30})
        self.assertEqual(server.wait_job(whole)["status"], "completed")
        job = server.queue(dataset, {"epochs": 30})
        self.wait_epoch(server, job)
        row = self.cancel(server, job)
        self.assertEqual((row["status"], row["failure_reason"]), ("cancelled", "cancelled"))
        model = server.ask("get_model", id=row["model_id"])
        self.assertEqual((model["status"], model["is_partial"]), ("ready", True))
        self.assertAlmostEqual(model["accuracy"], row["best_accuracy"])
        measured = subprocess.run([DV, "evaluate", server.data / model["model_path"], self.shapes, "--data", self.folder / "e",
                                   "--split", "val", "--json"], capture_output=True, text=True, check=True)
        self.assertIn(f'"accuracy":{model["accuracy"]:.6}'[:18], measured.stdout.replace(" ", ""))
        server.check_files([dataset], [row["model_id"], server.job(whole)["model_id"]], [job])
        server.ask("cancel_job", id=job)  # once more: it stays as it is
        self.assertEqual(server.job(job)["status"], "cancelled")
        server.ask("resume_job", id=job)
        self.assertEqual(server.wait_job(job)["status"], "completed")
        self.assertEqual(server.weights(job), server.weights(whole))
        self.assertFalse(server.ask("get_model", id=row["model_id"])["is_partial"])
        server.check_files([dataset], [row["model_id"], server.job(whole)["model_id"]])

    def test_one_cancelled_before_its_first_epoch_has_no_model(self):
        server = self.serve()
        dataset = server.make_dataset(self.shapes)
        job = server.queue(dataset, {"epochs": 4, "image_size": 224, "batch_size": 64}, architecture="resnet18")
        wait_for(server.worker)
        row = self.cancel(server, job)
        self.assertEqual(row["status"], "cancelled")
        self.assertEqual(server.ask("get_model", id=row["model_id"])["status"], "draft")

    def test_one_that_does_not_listen_is_killed(self):
        server = self.serve()
        dataset = server.make_dataset(self.shapes)
        job = server.queue(dataset, LONG)
        self.wait_epoch(server, job)
        os.kill(server.worker(), signal.SIGSTOP)
        row = self.cancel(server, job)
        self.assertEqual(row["status"], "cancelled")
        self.assertEqual(server.ask("get_model", id=row["model_id"])["status"], "ready")

    def test_a_time_limit_ends_a_job_and_is_given_again_to_one_that_goes_on(self):
        server = self.serve()
        dataset = server.make_dataset(self.shapes)
        job = server.queue(dataset, LONG, timeout_seconds=1)
        row = server.wait_job(job)
        self.assertEqual((row["status"], row["failure_reason"]), ("failed", "timeout"))
        self.assertEqual(server.ask("get_model", id=row["model_id"])["status"], "failed")
        server.ask("resume_job", id=job)
        self.wait_epoch(server, job, row["epoch"])
        self.assertEqual(server.wait_job(job)["failure_reason"], "timeout")

    def test_the_time_of_a_worker_that_died_counts(self):
        server = self.serve()
        dataset = server.make_dataset(self.shapes)
        before = time.monotonic()
        job = server.queue(dataset, LONG, timeout_seconds=2)
        wait_for(lambda: time.monotonic() - before > 1.5 and server.worker())
        os.kill(server.worker(), signal.SIGKILL)
        row = server.wait_job(job)
        self.assertEqual((row["failure_reason"], row["restarts"]), ("timeout", 1))
        self.assertLess(time.monotonic() - before, 8)

    def test_a_worker_that_is_stuck_is_found_out(self):
        server = self.serve(silence_seconds=1)
        dataset = server.make_dataset(self.shapes)
        job = server.queue(dataset, LONG)
        self.wait_epoch(server, job)
        os.kill(server.worker(), signal.SIGSTOP)
        row = server.wait_job(job)
        self.assertEqual((row["status"], row["failure_reason"]), ("failed", "timeout"))
        self.assertIn("stuck", row["error"])
        self.assertIn("the worker has said nothing for 1 s", server.log_texts(job))
        self.check_nothing_runs(server)

    def test_a_server_that_is_asked_to_end_puts_its_jobs_back(self):
        server = self.serve()
        dataset = server.make_dataset(self.shapes)
        whole, job = server.queue(dataset, {"epochs": 25}), server.queue(dataset, {"epochs": 25})
        server.wait_job(whole)
        self.wait_epoch(server, job)
        self.assertEqual(server.stop(), 0)
        server.start()
        row = server.wait_job(job)
        self.assertEqual((row["status"], row["restarts"]), ("completed", 0))
        self.assertEqual(server.weights(job), server.weights(whole))


class Deaths(Case):
    def test_a_worker_killed_at_any_moment_ends_with_the_same_weights(self):
        dice = random.Random(SEED)
        server = self.serve()
        dataset = server.make_dataset(self.shapes)
        whole = server.queue(dataset, {"epochs": 30})
        self.assertEqual(server.wait_job(whole)["status"], "completed")
        kills = 0
        jobs = []
        while kills < KILLS:
            job = server.queue(dataset, {"epochs": 30}, max_restarts=KILLS)
            jobs.append(job)
            while kills < KILLS and server.job(job)["status"] in ("pending", "running"):
                time.sleep(dice.uniform(0, 0.25))
                worker = server.worker()
                if worker:
                    os.kill(worker, signal.SIGKILL)
                    kills += 1
                    wait_for(lambda: not is_alive(worker))
        for job in jobs:
            row = server.wait_job(job)
            self.assertEqual((row["status"], row["error"]), ("completed", None))
            self.assertEqual(server.weights(job), server.weights(whole))
        self.assertEqual(sum(server.job(job)["restarts"] for job in jobs), kills)

    def test_restarts_have_an_end(self):
        server = self.serve()
        dataset = server.make_dataset(self.shapes)
        job = server.queue(dataset, LONG, max_restarts=2)
        for _ in range(3):
            worker = wait_for(server.worker)
            os.kill(worker, signal.SIGKILL)
            wait_for(lambda: not is_alive(worker))
        row = server.wait_job(job)
        self.assertEqual((row["status"], row["failure_reason"], row["restarts"]), ("failed", "signal", 2))
        self.assertIn("killed by signal 9", row["error"])

    def test_a_job_that_is_wrong_in_itself_is_not_tried_again(self):
        server = self.serve()
        dataset = server.make_dataset(self.shapes)
        architecture = {"name": "odd", "layers": [{"op": "conv", "out": 4, "kernel": 3, "stride": 64, "padding": 0},
                                                  {"op": "conv", "out": 4, "kernel": 9, "padding": 0},
                                                  {"op": "linear", "name": "head"}]}
        row = server.wait_job(server.queue(dataset, architecture=architecture))
        self.assertEqual((row["status"], row["restarts"]), ("failed", 0))

    @unittest.skipIf(IS_SANITIZED, "a sanitizer needs more memory than the limit")
    def test_one_that_runs_out_of_memory_goes_on_with_less(self):
        server = self.serve(memory_max=150000000)
        dataset = server.make_dataset(self.shapes)
        job = server.queue(dataset, {"epochs": 1, "batch_size": 512, "image_size": 32}, architecture="resnet20",
                           max_restarts=9)
        row = server.wait_job(job)
        self.assertEqual((row["status"], row["error"]), ("completed", None))
        self.assertGreater(row["restarts"], 0)
        self.assertLessEqual(row["hyperparameters"]["batch_size"], 512 >> row["restarts"])

    @unittest.skipIf(IS_SANITIZED, "a sanitizer needs more memory than the limit")
    def test_one_that_is_resumed_after_running_out_of_memory_takes_less_again(self):
        """Its restarts count from nothing then, and what was decided for an earlier worker is not for this one."""
        server = self.serve(memory_max=120000000)
        dataset = server.make_dataset(self.shapes)
        job = server.queue(dataset, {"epochs": 1, "batch_size": 512, "image_size": 32}, architecture="resnet20",
                           max_restarts=1)
        batches = []
        row = server.wait_job(job)
        while row["status"] == "failed" and len(batches) < 8:
            self.assertEqual((row["failure_reason"], row["restarts"]), ("oom", 1))
            batches.append(min(entry["next_batch_size"] for entry in server.journal(job) if entry["event"] == "oom"))
            server.ask("resume_job", id=job)
            row = server.wait_job(job)
        self.assertEqual(row["status"], "completed")
        self.assertGreater(len(batches), 0)
        self.assertEqual(sorted(set(batches), reverse=True), batches)  # each time less

    def test_a_server_killed_at_any_moment_loses_and_repeats_nothing(self):
        dice = random.Random(SEED + 1)
        server = self.serve()
        dataset = server.make_dataset(self.shapes)
        whole = server.queue(dataset, {"epochs": 15})
        self.assertEqual(server.wait_job(whole)["status"], "completed")
        weights = server.weights(whole)
        jobs = []
        for _ in range(KILLS):
            if not any(server.job(job)["status"] in ("pending", "running") for job in jobs):
                jobs += [server.queue(dataset, {"epochs": 15}) for _ in range(2)]
            time.sleep(dice.uniform(0, 0.35))
            below = [pid for pid, _ in processes_below(server.process.pid)]
            server.kill()
            wait_for(lambda: not any(is_alive(pid) for pid in below), seconds=5)
            server.start()
            running = server.ask("list_jobs", status="running")["items"]
            self.assertLessEqual(len(running), 1)
        for job in jobs:
            row = server.wait_job(job)
            self.assertEqual((row["status"], row["restarts"]), ("completed", 0))
            self.assertEqual(server.weights(job), weights)
            ends = [event for event in server.ask("list_events", id=job)
                    if event["type"] == "status" and event["data"]["status"] == "completed"]
            self.assertEqual(len(ends), 1)
        server.check_files([dataset], [server.job(job)["model_id"] for job in [whole, *jobs]])

    @unittest.skipUnless(IS_SQLITE, "holds the database's lock")
    def test_a_model_that_was_published_without_its_row_is_not_trained_again(self):
        server = self.serve()
        dataset = server.make_dataset(self.shapes)
        job = server.queue(dataset, {"epochs": 30})
        self.wait_epoch(server, job)
        lock = sqlite3.connect(server.data / "dv.sqlite", isolation_level=None)
        lock.execute("BEGIN IMMEDIATE")
        wait_for(lambda: list((server.data / "models").glob("*/versions/1/model.json")))
        server.kill()
        lock.close()
        server.start()
        row = server.wait_job(job)
        self.assertEqual((row["status"], row["restarts"]), ("completed", 0))
        # What the first worker said last may have been lost with the server; a second says it now.
        texts = server.log_texts(job)
        after = texts[texts.index("the training was done before the restart"):]
        self.assertEqual([text for text in after if "process " in text], [])
        server.check_files([dataset], [row["model_id"]])

    @unittest.skipUnless(IS_SQLITE, "holds the database's lock")
    def test_training_goes_on_while_the_database_is_away(self):
        server = self.serve()
        dataset = server.make_dataset(self.shapes)
        job = server.queue(dataset, {"epochs": 30})
        self.wait_epoch(server, job)
        lock = sqlite3.connect(server.data / "dv.sqlite", isolation_level=None)
        lock.execute("BEGIN IMMEDIATE")
        wait_for(lambda: list((server.data / "models").glob("*/versions/1/model.json")))
        time.sleep(1)
        lock.close()
        self.assertEqual(server.wait_job(job)["status"], "completed")
        epochs = [event["data"]["epoch"] for event in server.ask("list_events", id=job) if event["type"] == "metrics"]
        self.assertEqual(epochs, list(range(1, 31)))

    @unittest.skipUnless(IS_SQLITE, "one database's constraint is like another's")
    def test_a_result_that_the_database_refuses_fails_the_job(self):
        server = self.serve()
        dataset = server.make_dataset(self.shapes)
        database = sqlite3.connect(server.data / "dv.sqlite", isolation_level=None)
        self.addCleanup(database.close)
        database.execute("CREATE TRIGGER refuse BEFORE INSERT ON model_versions BEGIN SELECT RAISE(ABORT, 'not today'); END")
        job = server.queue(dataset)
        row = server.wait_job(job, seconds=60)
        self.assertEqual((row["status"], row["failure_reason"]), ("failed", "error"))
        self.assertIn("not today", row["error"])
        database.execute("DROP TRIGGER refuse")
        server.ask("resume_job", id=job)
        row = server.wait_job(job)
        self.assertEqual(row["status"], "completed", row["error"])
        server.check_files([dataset], [row["model_id"]])

    @unittest.skipIf(IS_SQLITE, "restarts PostgreSQL")
    def test_training_goes_on_while_postgresql_is_restarted(self):
        server = self.serve()
        dataset = server.make_dataset(self.shapes)
        job = server.queue(dataset, {"epochs": 150})
        self.wait_epoch(server, job)
        for _ in range(3):
            subprocess.run([*os.environ["DV_TEST_PG_CTL"].split(), "-m", "immediate", "restart"], check=True, cwd="/",
                           stdout=subprocess.DEVNULL)
            time.sleep(0.5)

        def is_over():
            try:
                return server.job(job)["status"] == "completed"
            except Refused as refused:
                self.assertEqual(refused.args[0], "UNAVAILABLE")
        wait_for(is_over)
        epochs = [event["data"]["epoch"] for event in server.ask("list_events", id=job) if event["type"] == "metrics"]
        self.assertEqual(epochs, list(range(1, 151)))


class Ingest(Case):
    def test_an_upload_becomes_a_data_set_and_goes(self):
        server = self.serve()
        number = server.upload(self.shapes)
        row = server.wait_dataset(number)
        self.assertEqual((row["readiness"], row["error"], row["total_samples"]), ("ready", None, 120))
        self.assertEqual(sum(item["count"] for item in row["classes"]), 120)
        self.assertEqual(len(row["source_hash"]), 64)
        server.check_files([number])

    def test_what_is_no_archive_ends_in_error_with_a_reason(self):
        server = self.serve()
        path = self.folder / "no.zip"
        path.write_bytes(b"this is no archive" * 100)
        row = server.wait_dataset(server.upload(path))
        self.assertEqual(row["readiness"], "error")
        self.assertIn("ZIP", row["error"])
        server.check_files()

    def test_a_set_that_is_refused_shows_what_was_found(self):
        server = self.serve()
        folder = self.folder / "broken"
        for name in ("a/1.jpg", "a/2.jpg", "b/1.jpg", "b/2.jpg"):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(b"no picture")
        row = server.wait_dataset(server.upload(folder))
        self.assertEqual(row["readiness"], "error")
        self.assertEqual(sum(row["finding_counts"].values()), 4)
        self.assertEqual(sorted(item["path"] for item in row["findings"]), ["a/1.jpg", "a/2.jpg", "b/1.jpg", "b/2.jpg"])
        server.check_files()

    def test_one_that_crashes_over_its_upload_is_tried_three_times(self):
        server = self.serve(self.wrap("ingest", "kill -SEGV $$"))
        row = server.wait_dataset(server.upload(self.shapes))
        self.assertEqual(row["readiness"], "error")
        self.assertIn("signal 11", row["error"])
        self.assertEqual(server.read_log().count("trying again"), 2)
        server.check_files()

    def test_one_that_is_deleted_while_it_is_read_leaves_nothing(self):
        server = self.serve(self.wrap("ingest", "sleep 1"))
        number, other = server.upload(self.shapes), server.upload(self.shapes)
        wait_for(lambda: server.children())
        server.ask("delete_dataset", id=number)
        server.ask("delete_dataset", id=other)
        wait_for(lambda: server.ask("list_trash") == [])
        server.check_files()
        self.check_nothing_runs(server)

    def test_a_server_killed_at_any_moment_of_an_ingest_leaves_nothing_half_made(self):
        dice = random.Random(SEED + 2)
        archive = make_shapes(DV, self.folder, count=1500)
        server = self.serve()
        numbers = [server.upload(archive) for _ in range(3)]
        for _ in range(KILLS):
            time.sleep(dice.uniform(0, 0.25))
            server.kill()
            server.start()
            if all(server.ask("get_dataset", id=number)["readiness"] == "ready" for number in numbers):
                numbers.append(server.upload(archive))
        rows = [server.wait_dataset(number) for number in numbers]
        self.assertEqual({row["readiness"] for row in rows}, {"ready"})
        self.assertEqual(len({row["content_hash"] for row in rows}), 1)
        server.check_files(numbers)

    def test_a_server_killed_while_it_deletes_leaves_nothing(self):
        dice = random.Random(SEED + 3)
        server = self.serve()
        for _ in range(10):
            dataset = server.make_dataset(self.shapes)
            job = server.queue(dataset, {"epochs": 1})
            model = server.wait_job(job)["model_id"]
            server.ask("delete_model", id=model)
            server.ask("delete_dataset", id=dataset)
            time.sleep(dice.uniform(0, 0.01))
            server.kill()
            server.start()
        wait_for(lambda: server.ask("list_trash") == [])
        server.check_files()


class Recovery(Case):
    def test_what_no_row_speaks_of_goes_unless_it_is_whole(self):
        server = self.serve()
        dataset = server.make_dataset(self.shapes)
        job = server.queue(dataset, LONG)
        self.wait_epoch(server, job)
        server.kill()
        ids = [f"{n:08}-1111-4111-8111-111111111111" for n in range(10)]
        half, whole = server.data / "datasets" / ids[0], server.data / "datasets" / ids[1]
        for path in (half, whole, server.data / "datasets" / f".{ids[2]}", server.data / "models" / ids[3],
                     server.data / "models" / ids[4] / "versions" / "1", server.data / "jobs" / ids[5] / "work",
                     server.data / "jobs" / f".{ids[6]}", server.data / "uploads" / ids[7]):
            path.mkdir(parents=True)
        (half / "manifest.bin").write_bytes(b"x")
        for name in ("dataset.json", "manifest.bin"):
            (whole / name).write_bytes(b"x")
        (server.data / "uploads" / f"{ids[8]}.zip").write_bytes(b"x")
        (server.data / "uploads" / dataset).write_bytes(b"it is a data set by now")
        (server.data / "datasets" / "notes.txt").write_text("not ours")
        server.start()
        wait_for(server.worker)
        wait_for(lambda: server.files()["uploads"] == set())
        wait_for(lambda: not any(name.startswith(".") for names in server.files().values() for name in names))
        self.assertEqual(server.files()["datasets"], {dataset, ids[1], "notes.txt"})
        self.assertEqual(server.files()["models"], {ids[4]})
        self.assertEqual(server.files()["jobs"], {job})
        log = server.read_log()
        self.assertEqual(log.count("is in no row of the database"), 2)

    def test_a_server_killed_while_it_cancels_makes_the_partial_model_afterwards(self):
        dice = random.Random(SEED + 4)
        server = self.serve()
        dataset = server.make_dataset(self.shapes)
        jobs = []
        for _ in range(8):
            job = server.queue(dataset, LONG)
            jobs.append(job)
            self.wait_epoch(server, job)
            server.ask("cancel_job", id=job)
            time.sleep(dice.uniform(0, 0.25))
            server.kill()
            server.start()
            row = server.wait_job(job)
            model = server.ask("get_model", id=row["model_id"])
            self.assertEqual((row["status"], model["status"], model["is_partial"]), ("cancelled", "ready", True))
            self.assertEqual([version["version"] for version in model["versions"]], [1])
        server.check_files([dataset], [server.job(job)["model_id"] for job in jobs], jobs)


class Disk(Case):
    """A data folder on a small disk of its own, if this user may make one."""

    def mount(self, size):
        folder = pathlib.Path(tempfile.mkdtemp(prefix="dv-disk-"))
        self.addCleanup(shutil.rmtree, folder, ignore_errors=True)
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder], capture_output=True,
                              check=False)
        if done.returncode:
            self.skipTest("this user cannot mount a small disk")
        self.addCleanup(subprocess.run, ["umount", "-l", folder], check=True)
        return folder

    def fill(self, place, leave):
        path = place / "filler"
        with open(path, "wb", buffering=0) as file:
            try:
                while shutil.disk_usage(place).free > leave:
                    file.write(b"x" * 4096)
            except OSError:  # others write too
                pass
        return path

    def test_a_full_disk_fails_the_job_and_not_the_server(self):
        place = self.mount("24m")
        server = self.serve(where=place)
        dataset = server.make_dataset(self.shapes)
        whole = server.queue(dataset)
        self.assertEqual(server.wait_job(whole)["status"], "completed")
        job = server.queue(dataset, {"epochs": 2000}, architecture="resnet20")
        self.wait_epoch(server, job)
        filler = self.fill(place, leave=3 << 20)  # what the database needs
        row = server.wait_job(job)
        self.assertEqual((row["status"], row["failure_reason"]), ("failed", "disk_full"))
        filler.unlink()
        server.ask("resume_job", id=job)
        self.wait_epoch(server, job, row["epoch"])
        server.ask("cancel_job", id=job)
        self.assertEqual(server.wait_job(job)["status"], "cancelled")

    def test_a_disk_with_room_for_nothing_is_waited_for(self):
        place = self.mount("24m")
        server = self.serve(where=place)
        dataset = server.make_dataset(self.shapes)
        job = server.queue(dataset, {"epochs": 2000})
        self.wait_epoch(server, job)
        filler = self.fill(place, leave=0)
        wait_for(lambda: not server.children())
        time.sleep(1)
        self.assertIsNone(server.process.poll())
        filler.unlink()
        row = server.wait_job(job)
        self.assertEqual((row["status"], row["failure_reason"]), ("failed", "disk_full"))
        self.assertEqual(server.wait_job(server.queue(dataset))["status"], "completed")

    def test_a_job_that_needs_more_disk_than_there_is_does_not_begin(self):
        server = self.serve(where=self.mount("24m"))
        dataset = server.make_dataset(self.shapes)
        row = server.wait_job(server.queue(dataset, {"image_size": 512}))
        self.assertEqual((row["status"], row["failure_reason"]), ("failed", "disk_full"))
        self.assertIn("training needs about 101 MB of disk, and there are 2", row["error"])

    def test_an_ingest_on_a_full_disk_ends_in_error(self):
        place = self.mount("8m")
        server = self.serve(where=place)
        pictures = self.folder / "pictures"
        for label in "ab":
            (pictures / label).mkdir(parents=True, exist_ok=True)
            for i in range(20):  # noise does not get smaller
                size = 200
                body = random.Random(i + ord(label)).randbytes(3 * size * size)
                header = b"BM" + (54 + len(body)).to_bytes(4, "little") + bytes(4) + (54).to_bytes(4, "little")
                header += (40).to_bytes(4, "little") + size.to_bytes(4, "little") * 2 + (1).to_bytes(2, "little")
                header += (24).to_bytes(2, "little") + bytes(4) + len(body).to_bytes(4, "little") + bytes(16)
                (pictures / label / f"{i}.bmp").write_bytes(header + body)
        number = server.upload(pictures)
        row = server.wait_dataset(number)
        self.assertEqual(row["readiness"], "error")
        self.assertIn("space", row["error"])
        server.check_files()


class Output(Case):
    def test_a_worker_that_prints_ten_megabytes_is_kept_within_bounds(self):
        server = self.serve(self.wrap("worker", "yes 'a line that says nothing' | head -c 10000000"))
        dataset = server.make_dataset(self.shapes)
        job = server.queue(dataset)
        self.assertEqual(server.wait_job(job)["status"], "completed")
        lines = [event["data"] for event in server.ask("list_events", id=job, type="log")]
        printed = [line for line in lines if line["source"] == "output"]
        self.assertGreaterEqual(len(printed), 1000)
        self.assertLess(len(printed), 3000)
        omitted = [line["text"] for line in lines if line["text"].endswith("too many at once")]
        self.assertTrue(omitted)
        # 25 bytes a line, its end included: each was written or counted
        counted = sum(int(text.split()[0]) for text in omitted)
        self.assertAlmostEqual(counted + len(printed), 10000000 / 25, delta=1)

    def test_lines_that_no_database_takes_are_made_clean(self):
        server = self.serve(self.wrap("worker", "printf 'caf\\303\\251 \\377\\376 bell\\007\\n'; head -c 9000 /dev/zero | "
                                      "tr '\\000' y; echo"))
        dataset = server.make_dataset(self.shapes)
        job = server.queue(dataset)
        self.assertEqual(server.wait_job(job)["status"], "completed")
        printed = [event["data"]["text"] for event in server.ask("list_events", id=job, type="log")
                   if event["data"]["source"] == "output"]
        self.assertEqual(printed[0], "caf\u00e9 ?? bell?")
        self.assertEqual("".join(printed[1:]), "y" * 9000)
        self.assertTrue(all(len(text) <= 4096 for text in printed))


if __name__ == "__main__":
    unittest.main()
