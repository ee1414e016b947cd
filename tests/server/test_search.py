# SPDX-License-Identifier: Apache-2.0
"""Searches from outside: the real server, worker, strategies and `dv llm`, and an endpoint over real HTTP that answers by script or
misbehaves. What it answers proves plumbing, nothing about models. On SQLite, or on the PostgreSQL of DV_TEST_POSTGRES.

Usage: test_search.py DV
"""

import json
import os
import pathlib
import random
import subprocess
import sys
import time
import unittest
import uuid

from contract import checked_call
from harness import Server, children_of, kill, new_database, wait_for, worker_of

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "llm"))

from endpoint import NAMED, Endpoint, good, hang  # noqa: E402

DV = sys.argv.pop(1)
KEY = "gsk_dvTestKey0123456789abcdefghijklmnopqrstuvwxyz"
QUICK = {"epochs": 2, "batch_size": 16, "image_size": 16}
# An architecture as a model would write it.
NET = {"architecture": {"name": "small", "layers": [{"op": "conv", "out": 8, "kernel": 3}, {"op": "relu"}, {"op": "global_avg_pool"},
                                                    {"op": "linear", "out": "classes"}]},
       "hyperparameters": {"learning_rate": 0.05}, "hypothesis": "small is enough", "thought": "a small one"}
# Those that end a question within seconds; the slow ones are in tests/llm.
MISBEHAVIOUR = ["401", "403", "403-1010", "404", "404-model", "413", "429-day", "429-money", "cut", "endless", "truncated", "length",
                "prose", "wrong-schema", "impossible", "refusal", "redirect", "echo-key"]
SEED = int(os.environ.get("DV_TEST_SEED", "20260111"))


def child_of(server, role):
    """The pid of the server's child in this role, or None."""
    for child in children_of(server.process.pid):
        try:
            if pathlib.Path(f"/proc/{child}/cmdline").read_bytes().split(b"\0")[1:2] == [role.encode()]:
                return child
        except (FileNotFoundError, ProcessLookupError):
            pass
    return None


class Case(unittest.TestCase):
    environment = None
    times = {}  # the machine's table by name, measured by the first server's first search

    @classmethod
    def setUpClass(cls):
        cls.server = Server(DV, new_database(os.environ.get("DV_TEST_POSTGRES")), environment=cls.environment)
        cls.archive = cls.server.root / "shapes.zip"
        subprocess.run([DV, "sample", "shapes", cls.archive, "--classes", "3", "--count", "120", "--seed", "5"], check=True,
                       stdout=subprocess.DEVNULL)
        cls.dataset = cls.server.ready_dataset(cls.archive)
        for name, text in Case.times.items():
            path = cls.server.data / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)

    @classmethod
    def tearDownClass(cls):
        Case.times = {path.relative_to(cls.server.data): path.read_text()
                      for path in cls.server.data.glob("cache/**/times-*.json")}
        findings = cls.server.fsck()["findings"]
        cls.server.close()
        assert not findings, findings

    @classmethod
    def call(cls, method, path, status, **options):
        return checked_call(cls.server, method, path, status, **options)

    @classmethod
    def start(cls, **more):
        body = {"dataset_id": cls.dataset["id"], "hyperparameters": QUICK, "max_iterations": 3, "seed": 3, **more}
        return cls.call("POST", "/api/jobs", 201, body=body)["id"]

    @classmethod
    def finish(cls, job):
        row = cls.server.wait_job(job)
        if row["status"] != "completed":
            raise AssertionError(f"{row['status']}: {row['error']}")
        return row

    def wait_progress(self, job):
        """Until a checkpoint was written: a candidate that two workers die of without one between is given up."""
        for _ in range(2):  # an epoch's checkpoint is there when the next one's metrics are
            if not self.server.settled_job(job):
                before = self.server.get(f"/api/jobs/{job}")["progress"]
                wait_for(lambda: self.server.settled_job(job)
                         or self.server.get(f"/api/jobs/{job}")["progress"] > before, "the job's going on")

    def weights(self, job):
        model = self.server.get(f"/api/jobs/{job}")["model_id"]
        return self.server.call("GET", f"/api/models/{model}/download?format=safetensors").body

    def replay(self, job, **more):
        """A job that says nothing but what it replays; checked to have tried the same to the letter."""
        replay = self.call("POST", "/api/jobs", 201, body={"dataset_id": self.dataset["id"], "replay_of": job, **more})
        self.assertEqual((replay["strategy"], replay["spec"]["replay_of"]), ("search", job))
        return replay["id"]

    def check_replay(self, replay, job):
        row = self.finish(replay)
        self.assertEqual(row["result"]["ended"], self.server.get(f"/api/jobs/{job}")["result"]["ended"])
        self.assertEqual(self.weights(replay), self.weights(job))
        whole, again = (self.server.get(f"/api/jobs/{which}/runs")["items"] for which in (job, replay))
        for key in ("iteration", "operator", "parents", "architecture", "hyperparameters", "best_accuracy", "verdict"):
            self.assertEqual([run[key] for run in again], [run[key] for run in whole], key)
        self.assertEqual({run["source"] for run in again}, {"default", "replay"})

    def log_texts(self, job):
        return [line["text"] for line in self.server.get(f"/api/jobs/{job}/logs?limit=500")["items"]]


class Search(Case):
    """Without an endpoint."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.job = cls.finish(cls.start(strategy="search"))

    def test_a_model_that_cannot_be_asked_is_said_before_anything_is_started(self):
        problem = self.call("POST", "/api/jobs", 422, body={"dataset_id": self.dataset["id"], "strategy": "llm"})
        self.assertEqual(problem["errors"][0]["pointer"], "/strategy")
        self.assertIn("DV_LLM_BASE_URL", problem["errors"][0]["message"])
        llm, = [item for item in self.call("GET", "/api/strategies", 200)["items"] if item["name"] == "llm"]
        self.assertFalse(llm["can_run"])
        self.assertIn("DV_LLM_BASE_URL", llm["reason"])
        info = self.call("GET", "/api/system/info", 200)["llm"]
        self.assertEqual(info, {"is_configured": False, "base_url": None, "models": []})
        self.assertIn("DV_LLM_BASE_URL", self.call("POST", "/api/system/llm/test", 409)["detail"])

    def test_the_machine_was_measured_and_the_table_kept(self):
        table, = self.server.data.glob("cache/**/times-*.json")
        self.assertTrue(all(seconds > 0 for seconds in json.loads(table.read_text())["seconds"].values()))

    def test_the_tree_can_be_read_back(self):
        path = f"/api/jobs/{self.job['id']}/runs"
        items = self.call("GET", path, 200)["items"]
        self.assertEqual([run["iteration"] for run in items], [1, 2, 3])
        self.assertEqual((items[0]["source"], items[0]["operator"], items[0]["parents"]), ("default", "default", []))
        for run in items:
            self.assertEqual(run["status"], "completed")
            self.assertTrue(run["hypothesis"] and run["architecture"] and run["hyperparameters"] and run["history"])
            self.assertIsInstance(run["best_accuracy"], float)
            self.assertIsInstance(run["repairs"], int)
            self.assertTrue(all(1 <= parent < run["iteration"] for parent in run["parents"]))
        self.assertEqual([run["verdict"] for run in items].count("best"), 1)
        model = self.server.get(f"/api/models/{self.job['model_id']}")
        best, = [run for run in items if run["verdict"] == "best"]
        self.assertEqual(model["versions"][0]["run_id"], best["id"])
        self.assertEqual(model["parameters"], best["parameters"])

    def test_a_list_of_runs_goes_page_by_page(self):
        path, seen, cursor = f"/api/jobs/{self.job['id']}/runs?limit=1", [], ""
        while cursor is not None:
            page = self.call("GET", path + (f"&cursor={cursor}" if cursor else ""), 200)
            seen += [run["iteration"] for run in page["items"]]
            cursor = page["next_cursor"]
        self.assertEqual(seen, [1, 2, 3])

    def test_candidates_are_events_as_they_come(self):
        events = []
        for _, kind, value in self.server.events(f"/api/jobs/{self.job['id']}/events"):
            if kind == "run":
                events.append((value["data"]["iteration"], value["data"]["status"]))
            if kind == "status" and value["data"]["status"] == "completed":
                break
        self.assertEqual([event for event in events if event[1] == "completed"], [(n, "completed") for n in (1, 2, 3)])
        self.assertEqual(events, sorted(events, key=lambda event: event[0]))

    def test_metrics_have_every_iteration(self):
        metrics = self.call("GET", f"/api/models/{self.job['model_id']}/metrics", 200)
        self.assertEqual([run["iteration"] for run in metrics["iterations"]], [1, 2, 3])
        for run in metrics["iterations"]:
            self.assertIn("inference", run["metrics"])
            self.assertIn("usage", run["metrics"])
        proposals = self.job["result"]["metrics"]["proposals"]
        self.assertGreaterEqual(proposals["asked"], proposals["valid_first"])

    def test_a_job_is_exported_with_its_search(self):
        answer = self.call("GET", f"/api/jobs/{self.job['id']}/exchanges?format=jsonl", 200)
        self.assertIn("attachment", answer.headers["Content-Disposition"])
        lines = [json.loads(line) for line in answer.body.splitlines()]
        self.assertEqual([line["type"] for line in lines], ["job", "run", "run", "run"])
        self.assertEqual(self.call("GET", f"/api/jobs/{self.job['id']}/exchanges", 200)["total"], 0)
        self.call("GET", f"/api/jobs/{self.job['id']}/exchanges?format=xml", 422)
        self.call("GET", f"/api/jobs/{uuid.uuid4()}/exchanges", 404)

    def test_a_job_killed_anywhere_ends_with_the_same_weights(self):
        dice = random.Random(SEED)
        job, kills = self.start(strategy="search"), 0
        while kills < 6 and not self.server.settled_job(job):
            time.sleep(dice.uniform(0, 0.4))
            worker = worker_of(self.server)
            if kills % 3 == 2:
                self.server.kill()
                self.server.start()
            elif worker:
                kill(worker)
            kills += 1
            self.wait_progress(job)
        self.finish(job)
        self.assertEqual(self.weights(job), self.weights(self.job["id"]))

    def test_a_search_can_be_replayed_whatever_is_killed(self):
        job = self.job["id"]
        self.check_replay(self.replay(job), job)
        replay, kills = self.replay(job), 0
        while kills < 2 and not self.server.settled_job(replay):
            kill(wait_for(lambda: worker_of(self.server) or self.server.settled_job(replay), "a worker"))
            kills += 1
            self.wait_progress(replay)
        self.check_replay(replay, job)

    def test_what_cannot_be_replayed_is_refused(self):
        other = self.server.root / "other.zip"
        subprocess.run([DV, "sample", "shapes", other, "--classes", "3", "--count", "30", "--seed", "6"], check=True,
                       stdout=subprocess.DEVNULL)
        native = self.finish(self.start(strategy="native"))
        for body in ({"replay_of": str(uuid.uuid4())}, {"replay_of": "7"}, {"replay_of": 7}, {"replay_of": native["id"]},
                     {"replay_of": self.job["id"], "strategy": "native"},
                     {"replay_of": self.job["id"], "dataset_id": self.server.ready_dataset(other)["id"]}):
            with self.subTest(body=body):
                problem = self.call("POST", "/api/jobs", 422, body={"dataset_id": self.dataset["id"], **body})
                self.assertEqual([error["pointer"] for error in problem["errors"]], ["/replay_of"])

    def test_the_command_line_replays(self):
        words = [DV, "train", self.dataset["id"], "--server", self.server.url, "--replay", self.job["id"], "--json"]
        lines = subprocess.run(words, env={**os.environ, "DV_TOKEN": self.server.token}, capture_output=True, text=True,
                               check=True).stdout.splitlines()
        self.check_replay(json.loads(lines[-1])["job_id"], self.job["id"])

    def test_the_command_line_shows_candidates(self):
        words = [DV, "train", self.dataset["id"], "--server", self.server.url, "--strategy", "search", "--max-iterations", "3",
                 "--epochs", "2", "--batch-size", "16", "--set", "image_size=16", "--seed", "3"]
        environment = {**os.environ, "DV_TOKEN": self.server.token}
        plain = subprocess.run(words, env=environment, capture_output=True, text=True, check=True).stdout
        for number in (1, 2, 3):
            self.assertRegex(plain, rf"(?m)^#{number} +(default|tpe|mutation) +\w.* \d+\.\d\d % +(first|better|worse|tie) ")
        self.assertRegex(plain, r"(?m)^best: #\d \w+")
        self.assertRegex(plain, r"(?m)^proposals: \d checked, \d right at first, \d after repair, 0 by a stand-in$")
        lines = [json.loads(line) for line in
                 subprocess.run([*words, "--json"], env=environment, capture_output=True, text=True, check=True).stdout.splitlines()]
        self.assertEqual({line["iteration"] for line in lines if line["type"] == "run"}, {1, 2, 3})
        self.assertEqual(lines[-1]["type"], "result")
        shown = subprocess.run([DV, "job", "show", self.job["id"], "--server", self.server.url], env=environment,
                               capture_output=True, text=True, check=True).stdout
        self.assertRegex(shown, r"(?m)^candidates\n#1 .*\n#2 .*\n#3 .*\nbest: #")


class Asking(Case):
    """With an endpoint."""

    @classmethod
    def setUpClass(cls):
        cls.endpoint = Endpoint([good(NET)])
        cls.endpoint.__enter__()
        cls.environment = {"DV_LLM_BASE_URL": cls.endpoint.url, "DV_LLM_MODEL": "m", "DV_LLM_API_KEY": KEY}
        super().setUpClass()

    @classmethod
    def tearDownClass(cls):
        cls.endpoint.__exit__()
        super().tearDownClass()

    def answer_with(self, *script):
        self.endpoint.server.script = [NAMED[line] if isinstance(line, str) else line for line in script]
        self.endpoint.requests.clear()

    def ask(self, *script):
        """A whole search; what was asked in it. Skipped where the strategy asks nobody."""
        self.answer_with(*script)
        job = self.finish(self.start(strategy="llm"))
        if not self.endpoint.requests:
            self.skipTest("strategy llm asks nobody in this build")
        return job, self.call("GET", f"/api/jobs/{job['id']}/exchanges", 200)["items"]

    def test_the_endpoint_is_shown_and_tested(self):
        self.answer_with(good({"ok": True}))
        info = self.call("GET", "/api/system/info", 200)["llm"]
        self.assertEqual(info, {"is_configured": True, "base_url": self.endpoint.url, "models": ["m"]})
        llm, = [item for item in self.call("GET", "/api/strategies", 200)["items"] if item["name"] == "llm"]
        self.assertTrue(llm["can_run"])
        answer = self.call("POST", "/api/system/llm/test", 200)
        self.assertEqual((answer["outcome"], answer["model"]), ("answered", "m"))
        self.answer_with("echo-key")
        answer = self.call("POST", "/api/system/llm/test", 200)
        self.assertEqual(answer["outcome"], "key")
        self.assertNotIn(KEY, json.dumps(answer))

    def test_one_test_at_a_time(self):
        self.answer_with(hang)
        first = subprocess.Popen([sys.executable, "-c", "import sys, urllib.request as u; "
                                  "u.urlopen(u.Request(sys.argv[1], method='POST', headers={'Authorization': 'Bearer ' + sys.argv[2]}))",
                                  f"{self.server.url}/api/system/llm/test", self.server.token])
        wait_for(lambda: self.endpoint.requests, "the first call")
        self.call("POST", "/api/system/llm/test", 409)
        self.assertEqual(first.wait(60), 0)

    def test_what_was_asked_is_stored_and_exported(self):
        job, exchanges = self.ask(good(NET))
        self.assertEqual(len({item["number"] for item in exchanges}), len(exchanges))
        self.assertEqual(job["result"]["llm"]["questions"], len(exchanges))
        self.assertEqual(exchanges[0]["outcome"], "answered")
        shown = subprocess.run([DV, "job", "show", job["id"], "--server", self.server.url], capture_output=True, text=True,
                               env={**os.environ, "DV_TOKEN": self.server.token}, check=True).stdout
        self.assertRegex(shown, rf"(?m)^language model: {len(exchanges)} questions, [1-9]\d* tokens, ")
        lines = [json.loads(line) for line in
                 self.call("GET", f"/api/jobs/{job['id']}/exchanges?format=jsonl", 200).body.splitlines()]
        self.assertEqual([line["number"] for line in lines if line["type"] == "exchange"], [item["number"] for item in exchanges])

    def test_a_replay_asks_nobody(self):
        job, _ = self.ask(good(NET))
        self.answer_with("401")
        replay = self.replay(job["id"])
        self.check_replay(replay, job["id"])
        self.assertEqual(self.endpoint.requests, [])
        self.assertEqual(self.call("GET", f"/api/jobs/{replay}/exchanges", 200)["total"], 0)

    def test_a_test_figure_is_never_in_a_question(self):
        job, exchanges = self.ask(good(NET))
        figures = {run["accuracy"] for run in self.server.get(f"/api/jobs/{job['id']}/runs")["items"]}
        known = {run["best_accuracy"] for run in self.server.get(f"/api/jobs/{job['id']}/runs")["items"]}
        asked = json.dumps([item["request"] for item in exchanges])
        for figure in figures - known:
            self.assertNotIn(f"{figure:.4f}", asked)

    def test_no_misbehaviour_stops_a_job(self):
        for name in MISBEHAVIOUR:
            with self.subTest(name=name):
                job, exchanges = self.ask(name)
                self.assertEqual(len(self.server.get(f"/api/jobs/{job['id']}/runs")["items"]), 3)
                self.assertTrue(any("language model" in text for text in self.log_texts(job["id"])))
                self.assertTrue(exchanges)
                self.assertNotIn(KEY, json.dumps(exchanges))

    def test_kills_in_the_middle_change_nothing(self):
        whole, _ = self.ask(good(NET))
        for victim in ("worker", "llm", "server"):
            with self.subTest(victim=victim):
                self.answer_with(hang, good(NET))
                job = self.start(strategy="llm")
                wait_for(lambda: self.endpoint.requests or self.server.settled_job(job), "a question")
                if victim == "server":
                    self.server.kill()
                    self.server.start()
                else:
                    kill(wait_for(lambda: child_of(self.server, victim), f"dv {victim}"))
                self.finish(job)
                self.assertEqual(self.weights(job), self.weights(whole["id"]))

    def test_the_key_is_nowhere(self):
        self.answer_with("echo-key")
        job = self.start(strategy="llm")
        while not self.server.settled_job(job):
            for child in [self.server.process.pid, *children_of(self.server.process.pid)]:
                self.check_process(child)
        self.finish(job)
        self.call("POST", "/api/system/llm/test", 200)
        for path in self.server.root.rglob("*"):
            if path.is_file():
                self.assertNotIn(KEY.encode(), path.read_bytes(), path)
        database = os.environ.get("DV_TEST_POSTGRES") and self.server.database
        if database:
            dump = subprocess.run(["pg_dump", database], capture_output=True, check=False)
            self.assertNotIn(KEY.encode(), dump.stdout)
        for path in (f"/api/jobs/{job}", f"/api/jobs/{job}/logs?limit=500", f"/api/jobs/{job}/exchanges",
                     f"/api/jobs/{job}/exchanges?format=jsonl", "/api/system/info", "/metrics"):
            self.assertNotIn(KEY.encode(), self.server.call("GET", path).body, path)

    def check_process(self, pid):
        """Environment and arguments of all; the memory of those that never had the key, which is what a core dump would show."""
        try:
            words = pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
            for name in ("environ", "cmdline"):
                self.assertNotIn(KEY.encode(), pathlib.Path(f"/proc/{pid}/{name}").read_bytes())
            limits = pathlib.Path(f"/proc/{pid}/limits").read_text()
            if words[1:2] in ([b"serve"], [b"llm"]):
                self.assertRegex(limits, r"Max core file size +0 ")
            elif words[1:2] == [b"worker"]:
                self.assertNotIn(KEY.encode(), read_memory(pid))
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            pass


def read_memory(pid):
    """What is writable in it, as far as we may look."""
    found = b""
    with open(f"/proc/{pid}/maps", encoding="ascii") as maps, open(f"/proc/{pid}/mem", "rb", 0) as memory:
        for line in maps:
            span, rights = line.split()[:2]
            begin, end = (int(word, 16) for word in span.split("-"))
            if "w" not in rights or end - begin > 64 << 20:
                continue
            try:
                memory.seek(begin)
                found += memory.read(end - begin)
            except OSError:
                pass
    return found


if __name__ == "__main__":
    unittest.main()
