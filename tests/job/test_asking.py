# SPDX-License-Identifier: Apache-2.0
"""What the server does for a search: its candidates, its questions to a language model, and deaths in the middle. A scripted worker
(scripted_worker.py), the real supervisor and store, the real `dv llm`, an endpoint over real HTTP.

Usage: test_asking.py SUPERVISE DV. On SQLite, or on the PostgreSQL of DV_TEST_POSTGRES.
"""
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import unittest

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "llm"))

from endpoint import Endpoint, good, hang  # noqa: E402
from server_double import Server, make_shapes, wait_for  # noqa: E402

SUPERVISE, DV = sys.argv[1:3]
del sys.argv[1:3]
VERSION = subprocess.run([DV, "--version"], capture_output=True, text=True, check=True).stdout.split()[-1]
KEY = "gsk_dvTestKey0123456789abcdefghijklmnopqrstuvwxyz"
QUESTION = {"messages": [{"role": "user", "content": "A net, please."}], "short_messages": None, "schema": None,
            "schema_name": None, "temperature": 0.5, "output_max": 0, "seed": -1}
RESULT = {"accuracy": 0.5, "loss": 1.0, "hyperparameters": {}, "metrics": {"best_iteration": 2}, "history": []}


def run(iteration, status, **more):
    return ["run", {"iteration": iteration, "status": status, "source": "llm", "operator": "draft", "parents": [],
                    "repairs": 0, **more}]


FIRST = run(1, "completed", source="default", operator="default", best_accuracy=0.5, verdict="first")
SECOND = run(2, "completed", best_accuracy=0.625, verdict="better", parents=[1], hypothesis="wider")
END = ["result", RESULT]


class Case(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = pathlib.Path(tempfile.mkdtemp(prefix="dv-asking-"))
        cls.shapes = make_shapes(DV, cls.folder)
        cls.program = cls.folder / "program"
        cls.program.write_text(f'#!/bin/sh\nif [ "$1" = worker ]; then exec {sys.executable} {HERE}/scripted_worker.py worker '
                               f'{VERSION} worker; fi\nexec {DV} "$@"\n')
        cls.program.chmod(0o755)

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.folder)

    def serve(self, script, steps, **options):
        """A server whose jobs take these steps, with an endpoint that follows the script; None: without one."""
        environment = {}
        if script is not None:
            self.endpoint = Endpoint(script)
            self.endpoint.__enter__()
            self.addCleanup(self.endpoint.__exit__)
            environment = {"DV_LLM_BASE_URL": self.endpoint.url, "DV_LLM_MODEL": "m", "DV_LLM_API_KEY": KEY}
        server = Server(SUPERVISE, self.program, environment=environment, **options)
        self.addCleanup(server.destroy)
        (server.data / "script.json").write_text(json.dumps(steps))
        server.start()
        self.dataset = server.make_dataset(self.shapes)
        return server

    def queue(self, server, **values):
        return server.queue(self.dataset, strategy="llm", **values)

    def lines(self, server, name):
        path = server.data / name
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def exchanges(self, server, job):
        return server.ask("list_exchanges", id=job)["items"]

    def complete(self, server, job):
        row = server.wait_job(job)
        self.assertEqual((row["status"], row["error"]), ("completed", None), server.log_texts(job))
        return row


class Questions(Case):
    def test_an_answer_is_stored_and_told(self):
        server = self.serve([good({"name": "net", "depth": 3})], [FIRST, ["ask", 16, QUESTION], ["hear", 16], SECOND, END])
        job = self.queue(server)
        row = self.complete(server, job)
        heard, = self.lines(server, "heard.jsonl")
        self.assertEqual((heard["outcome"], heard["answer"], heard["model"]), ("answered", {"name": "net", "depth": 3}, "m"))
        self.assertNotIn("exchanges", heard)
        stored, = self.exchanges(server, job)
        self.assertEqual((stored["number"], stored["purpose"], stored["outcome"], stored["prompt_tokens"],
                          stored["completion_tokens"]), (16, "draft", "answered", 120, 60))
        self.assertEqual(stored["request"], QUESTION)
        self.assertEqual(stored["response"]["answer"], heard["answer"])
        self.assertEqual(len(stored["response"]["exchanges"]), 1)
        self.assertEqual((row["result"]["llm"]["questions"], row["result"]["llm"]["answered"]), (1, 1))
        self.assertEqual(self.endpoint.requests[0]["headers"]["Authorization"], f"Bearer {KEY}")
        wait_for(lambda: not server.children())

    def test_a_number_that_has_its_answer_is_not_asked_again(self):
        steps = [["ask", 16, QUESTION], ["hear", 16], ["die", "SIGKILL", 1], ["ask", 16, QUESTION], ["hear", 16], END]
        server = self.serve([good({"n": 1}), good({"n": 2})], steps)
        self.complete(server, self.queue(server))
        heard = self.lines(server, "heard.jsonl")
        self.assertEqual([line["answer"] for line in heard], [{"n": 1}] * 3)
        self.assertEqual(len(self.endpoint.requests), 1)

    def test_restarts_of_the_server_lose_no_answer(self):
        steps = [["ask", 16, QUESTION], ["hear", 16], ["wait", "go-on"], ["ask", 24, QUESTION], ["hear", 24], END]
        server = self.serve([good({"n": n}) for n in range(9)], steps)
        job = self.queue(server)
        for count in range(1, 4):
            wait_for(lambda: len(self.lines(server, "heard.jsonl")) == count)
            server.kill()
            server.start()
        (server.data / "go-on").touch()
        row = self.complete(server, job)
        self.assertEqual(row["restarts"], 0)
        self.assertEqual([line["answer"]["n"] for line in self.lines(server, "heard.jsonl")], [0, 0, 0, 0, 1])
        self.assertEqual(len(self.endpoint.requests), 2)

    def test_dv_llm_is_started_again_once(self):
        server = self.serve([hang, good({"n": 1})], [["ask", 16, QUESTION], ["hear", 16], END])
        job = self.queue(server)
        wait_for(lambda: self.endpoint.requests)
        os.kill(server.children("llm")[0], signal.SIGKILL)
        self.complete(server, job)
        self.assertEqual(self.lines(server, "heard.jsonl")[0]["answer"], {"n": 1})
        self.assertTrue(any("starting it again" in text for text in server.log_texts(job)))

    def test_dv_llm_that_dies_twice_stops_no_job(self):
        steps = [["ask", 16, QUESTION], ["hear", 16], ["ask", 24, QUESTION], ["hear", 24], END]
        server = self.serve([hang], steps)
        job = self.queue(server)
        for count in (1, 2):
            wait_for(lambda: len(self.endpoint.requests) == count)
            os.kill(server.children("llm")[0], signal.SIGKILL)
        self.complete(server, job)
        heard = self.lines(server, "heard.jsonl")
        self.assertEqual([(line["outcome"], line["answer"]) for line in heard], [("offline", None)] * 2)
        self.assertIn("killed by signal 9", heard[0]["reason"])
        self.assertEqual([row["outcome"] for row in self.exchanges(server, job)], ["offline"] * 2)

    def test_without_an_endpoint_nobody_is_asked(self):
        server = self.serve(None, [["ask", 16, QUESTION], ["hear", 16], END])
        self.complete(server, self.queue(server))
        self.assertEqual(self.lines(server, "heard.jsonl")[0]["outcome"], "offline")

    def test_a_job_that_is_cancelled_waits_for_no_answer(self):
        server = self.serve([hang], [["ask", 16, QUESTION], ["hear", 16], END])
        job = self.queue(server)
        wait_for(lambda: self.endpoint.requests)
        server.ask("cancel_job", id=job)
        self.assertEqual(server.wait_job(job)["status"], "cancelled")
        wait_for(lambda: not server.children())

    def test_what_is_no_question_ends_the_job(self):
        for step in (["bare", {"type": "ask", "id": 8, "purpose": "draft"}], ["ask", 0, QUESTION], ["ask", 8, [1]],
                     ["bare", {"type": "run", "iteration": 1, "status": "running"}], ["run", {"iteration": 0, "status": "running"}],
                     ["bare", {"type": "reply", "id": 8, "outcome": "answered", "reason": None, "model": "m", "wait_ms": 0,
                               "prompt_tokens": 0, "completion_tokens": 0, "dollars": 0, "latency_ms": 0}]):
            server = self.serve([good({})], [step, ["wait", "never"]])
            row = server.wait_job(self.queue(server, max_restarts=0))
            self.assertEqual(row["status"], "failed")
            self.assertIn("breaks the protocol", row["error"])
            server.destroy()


class Runs(Case):
    def test_candidates_are_rows_and_events(self):
        server = self.serve(None, [run(1, "running"), FIRST, run(2, "running"), SECOND, END])
        job = self.queue(server)
        self.complete(server, job)
        rows = server.ask("list_runs", id=job)["items"]
        self.assertEqual([(row["iteration"], row["status"], row["verdict"], row["parents"]) for row in rows],
                         [(1, "completed", "first", []), (2, "completed", "best", [1])])
        self.assertEqual(rows[1]["hypothesis"], "wider")
        events = [event["data"] for event in server.ask("list_events", id=job, type="run")]
        self.assertEqual(events[-1]["verdict"], "better")
        self.assertEqual([event["iteration"] for event in events], sorted(event["iteration"] for event in events))

    def test_a_death_at_a_candidate_is_not_the_jobs(self):
        steps = [FIRST, run(2, "running"), ["die", "SIGKILL", 2], SECOND, END]
        server = self.serve(None, steps)
        job = self.queue(server, max_restarts=0)
        row = self.complete(server, job)
        self.assertEqual(row["restarts"], 0)
        self.assertEqual([row["restarts"] for row in server.ask("list_runs", id=job)["items"]], [0, 2])
        workers = self.lines(server, "jobs.jsonl")
        self.assertEqual([line["previous_failure"] for line in workers], [None, "signal", "signal"])

    def test_a_third_death_in_a_row_ends_the_job(self):
        server = self.serve(None, [FIRST, run(2, "running"), ["die", "SIGKILL", 9], END])
        row = server.wait_job(self.queue(server))
        self.assertEqual((row["status"], row["failure_reason"], row["restarts"]), ("failed", "signal", 0))
        self.assertIn("candidate 2 has ended 3 workers in a row", row["error"])
        self.assertEqual(len(self.lines(server, "jobs.jsonl")), 3)

    def test_an_epoch_between_breaks_the_row(self):
        server = self.serve(None, [FIRST, run(2, "running"), ["epoch", 2], ["die", "SIGKILL", 4], SECOND, END])
        job = self.queue(server, max_restarts=0)
        self.complete(server, job)
        self.assertEqual([row["restarts"] for row in server.ask("list_runs", id=job)["items"]], [0, 1])

    def test_deaths_between_candidates_are_the_jobs(self):
        server = self.serve(None, [FIRST, ["die", "SIGKILL", 1], SECOND, END])
        job = self.queue(server)
        self.assertEqual(self.complete(server, job)["restarts"], 1)

    def test_restarts_of_the_server_keep_the_count(self):
        steps = [FIRST, run(2, "running"), ["die", "SIGKILL", 2], ["wait", "go-on"], ["die", "SIGKILL", 9], END]
        server = self.serve(None, steps)
        job = self.queue(server)
        wait_for(lambda: len(self.lines(server, "jobs.jsonl")) == 3)
        server.kill()
        server.start()
        wait_for(lambda: len(self.lines(server, "jobs.jsonl")) == 4)
        (server.data / "go-on").touch()
        row = server.wait_job(job)
        self.assertIn("candidate 2 has ended 3 workers in a row", row["error"])


if __name__ == "__main__":
    unittest.main()
