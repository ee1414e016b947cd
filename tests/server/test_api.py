# SPDX-License-Identifier: Apache-2.0
"""Every call of the API, right and wrong, on SQLite or, where DV_TEST_POSTGRES names one, on PostgreSQL.

Usage: test_api.py DV
"""

import io
import json
import os
import pathlib
import re
import subprocess
import sys
import unittest
import urllib.parse
import uuid
import zipfile

from contract import CONTRACT, checked_call
from harness import Server, wait_for, worker_of

DV = sys.argv.pop(1)
QUICK = {"architecture": "small_cnn", "hyperparameters": {"epochs": 2, "batch_size": 16, "image_size": 16}}
LONG = {"architecture": "small_cnn", "hyperparameters": {"epochs": 5000, "batch_size": 16, "image_size": 16}}


class Api(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = Server(DV, os.environ.get("DV_TEST_POSTGRES"))
        cls.archive = cls.server.root / "shapes.zip"
        subprocess.run([DV, "sample", "shapes", cls.archive, "--classes", "3", "--count", "60", "--seed", "5"],
                       check=True, stdout=subprocess.DEVNULL)
        cls.dataset = cls.server.ready_dataset(cls.archive, "shapes")
        cls.job = cls.call("POST", "/api/jobs", 201, body={"dataset_id": cls.dataset["id"], **QUICK})
        cls.done = cls.server.wait_job(cls.job["id"])
        cls.model = cls.call("GET", f"/api/models/{cls.job['model_id']}", 200)

    @classmethod
    def tearDownClass(cls):
        findings = cls.server.fsck()["findings"]
        cls.server.close()
        assert not findings, findings

    @classmethod
    def call(cls, method, path, status, **options):
        """A call whose answer is held against the contract."""
        return checked_call(cls.server, method, path, status, **options)

    def pointers(self, problem):
        return [error["pointer"] for error in problem["errors"]]

    # --- The contract itself

    def test_the_server_gives_the_contract_and_every_path_of_it_exists(self):
        self.assertEqual(self.server.get("/api/openapi.json"), CONTRACT)
        missing = str(uuid.uuid4())
        for path, operations in CONTRACT["paths"].items():
            for method in operations:
                place = path.replace("{id}", missing).replace("{sample}", "0")
                answer = self.server.call(method.upper(), place, token=False)
                if operations[method].get("security") == []:
                    self.assertNotIn(answer.status, (401, 403, 404, 405), f"{method} {path}")
                else:
                    self.assertEqual(answer.status, 401, f"{method} {path}")

    def test_what_is_no_call_is_404_and_a_wrong_method_405(self):
        for path in ("/api/nothing", "/api/datasets/", "/api/jobs/x/y/z", "//api/datasets"):
            self.assertEqual(self.server.call("GET", path).status, 404, path)
        self.assertEqual(self.server.call("GET", "/api/datasets/../jobs").status, 400)
        answer = self.server.call("DELETE", "/api/strategies")
        self.assertEqual(answer.status, 405)
        self.assertIn("GET", answer.headers["Allow"])

    def test_the_contracts_limits_of_a_job_are_the_servers(self):
        nowhere = {"dataset_id": str(uuid.uuid4())} # 404: everything else was taken
        for name, member in CONTRACT["components"]["schemas"]["JobCreate"]["properties"].items():
            if "maximum" in member:
                for legal, wrong in ((member["minimum"], member["minimum"] - 1), (member["maximum"], member["maximum"] + 1)):
                    self.call("POST", "/api/jobs", 404, body={**nowhere, name: legal})
                    problem = self.call("POST", "/api/jobs", 422, body={**nowhere, name: wrong})
                    self.assertEqual(self.pointers(problem), [f"/{name}"])
        problem = self.call("POST", "/api/jobs", 422, body={**nowhere, "base_model_id": str(uuid.uuid4())})
        self.assertEqual(self.pointers(problem), ["/base_model_id"])

    # --- Access

    def test_a_wrong_token_is_401_everywhere(self):
        for token in ("", "dv_", "dv_" + "0" * 64, self.server.token[:-1], self.server.token + "0", "x" * 5000):
            headers = {"Authorization": f"Bearer {token}"}
            self.assertEqual(self.server.call("GET", "/api/jobs", token=False, headers=headers).status, 401, token)
        headers = {"Authorization": f"Basic {self.server.token}"}
        self.assertEqual(self.server.call("GET", "/api/jobs", token=False, headers=headers).status, 401)
        # One that was sent is said to be wrong, not to be missing.
        for headers, words in (({}, "needs a token"), ({"Authorization": "Bearer dv_1"}, "no such token"),
                               ({"Cookie": "dv_session=dv_1"}, "sign in again")):
            answer = self.server.call("GET", "/api/jobs", token=False, headers=headers)
            self.assertIn(words, answer.json["detail"])
            self.assertEqual("invalid_token" in answer.headers["WWW-Authenticate"], bool(headers))

    def test_a_session_is_the_pages_and_ends(self):
        made = self.server.call("POST", "/api/session", body={"token": self.server.token}, token=False)
        self.assertEqual(made.status, 201)
        attributes = made.headers["Set-Cookie"].split("; ")
        self.assertLessEqual({"HttpOnly", "SameSite=Strict", "Path=/"}, set(attributes))
        cookie = {"Cookie": attributes[0]}
        self.assertEqual(self.server.call("GET", "/api/jobs", token=False, headers=cookie).status, 200)
        # Another site's page sends the cookie along, but cannot say that it is ours.
        path = f"/api/datasets/{uuid.uuid4()}"
        self.assertEqual(self.server.call("DELETE", path, token=False, headers=cookie).status, 403)
        evil = {**cookie, "Origin": "http://evil.example"}
        self.assertEqual(self.server.call("DELETE", path, token=False, headers=evil).status, 403)
        own = {**cookie, "Origin": self.server.url}
        self.assertEqual(self.server.call("DELETE", path, token=False, headers=own).status, 404)
        self.assertEqual(self.server.call("DELETE", "/api/session", token=False, headers=own).status, 204)
        self.assertEqual(self.server.call("GET", "/api/jobs", token=False, headers=cookie).status, 401)
        self.call("POST", "/api/session", 401, body={"token": "dv_wrong"}, token=False)
        self.call("POST", "/api/session", 422, body={}, token=False)

    # --- Data sets

    def test_a_data_set_tells_what_it_holds(self):
        row = self.call("GET", f"/api/datasets/{self.dataset['id']}", 200)
        self.assertEqual(row["readiness"], "ready")
        self.assertEqual(row["total_samples"], 60)
        self.assertEqual(sum(c["count"] for c in row["classes"]), 60)
        for entry in row["classes"]:
            self.assertEqual(entry["count"], entry["train"] + entry["val"] + entry["test"])

    def test_an_upload_that_is_no_zip_ends_in_error(self):
        identifier = self.server.upload(b"this is no archive", "no zip").json["id"]
        row = wait_for(lambda: self.server.settled_dataset(identifier), "the end")
        self.assertEqual(row["readiness"], "error")
        self.assertTrue(row["error"])
        self.call("POST", "/api/jobs", 409, body={"dataset_id": identifier})
        self.call("DELETE", f"/api/datasets/{identifier}", 204)

    def test_bad_files_are_findings_of_a_good_set(self):
        content = io.BytesIO(pathlib.Path(self.archive).read_bytes())
        with zipfile.ZipFile(content, "a") as archive:
            archive.writestr("circle/broken.png", b"\x89PNG\r\n\x1a\nnothing")
            archive.writestr("circle/empty.jpg", b"")
        row = self.server.ready_dataset(content.getvalue(), "mixed")
        self.assertLessEqual({"corrupt_image", "empty_file"}, {f["code"] for f in row["findings"]})
        self.call("DELETE", f"/api/datasets/{row['id']}", 204)

    def test_wrong_uploads_are_refused_with_the_field(self):
        upload = self.server.upload
        self.assertEqual(upload(b"x", "n", domain="tabular").status, 422)
        self.assertEqual(upload(b"x", "n", domain="sound").json["errors"][0]["pointer"], "/domain")
        self.assertEqual(upload(b"x", "").status, 422)
        self.assertEqual(upload(b"x", "n" * 201).status, 422)
        self.assertEqual(upload(b"x", "n", colour="red").status, 422)
        self.assertEqual(self.server.call("POST", "/api/datasets", body={"name": "x"}).status, 415)

    def test_a_data_set_is_changed_by_name_and_field(self):
        row = self.server.ready_dataset(self.archive, "to change")
        path = f"/api/datasets/{row['id']}"
        changed = self.call("PUT", path, 200, body={"description": "déjà vu", "metadata": {"a": [1, None]}})
        self.assertEqual(changed["description"], "déjà vu")
        self.assertEqual(changed["metadata"], {"a": [1, None]})
        self.assertEqual(changed["name"], "to change")
        self.assertEqual(self.call("PATCH", f"{path}/name", 200, body={"name": "新しい"})["name"], "新しい")
        problem = self.call("PUT", path, 422, body={"name": 5, "colour": "red", "metadata": []})
        self.assertEqual(set(self.pointers(problem)), {"/name", "/colour", "/metadata"})
        self.call("PATCH", f"{path}/name", 422, body={})
        self.call("PATCH", f"{path}/name", 422, body={"name": "  "})
        self.call("PUT", path, 422, body=[1, 2])
        self.call("PUT", path, 400, raw=b'{"name": ', headers={"Content-Type": "application/json"})
        self.call("PUT", path, 400, raw=b'{"name": "\xff"}', headers={"Content-Type": "application/json"})
        self.call("PUT", path, 400, raw=b"[" * 5000, headers={"Content-Type": "application/json"})
        self.call("PUT", path, 415, raw=b"{}", headers={"Content-Type": "text/plain"})
        self.call("DELETE", path, 204)
        self.call("GET", path, 404)
        self.call("DELETE", path, 404)
        wait_for(lambda: not (self.server.data / "datasets" / row["id"]).exists(), "the files' end")

    def test_lists_are_paged_filtered_and_sorted(self):
        rows = [self.server.ready_dataset(self.archive, f"page {i}") for i in range(3)]
        seen, cursor = [], None
        while True:
            page = self.server.get(f"/api/datasets?search=page&limit=2&sort=name{f'&cursor={cursor}' if cursor else ''}")
            seen += [item["name"] for item in page["items"]]
            self.assertEqual(page["total"], 3)
            cursor = page["next_cursor"]
            if cursor is None:
                break
        self.assertEqual(seen, ["page 0", "page 1", "page 2"])
        self.assertEqual(self.server.get("/api/datasets?readiness=error&search=page")["total"], 0)
        for query in ("limit=0", "limit=501", "limit=x", "sort=size", "cursor=zz", "readiness=big", "domain=x"):
            self.call("GET", f"/api/datasets?{query}", 422)
        for row in rows:
            self.call("DELETE", f"/api/datasets/{row['id']}", 204)

    def test_samples_are_listed_and_shown(self):
        path = f"/api/datasets/{self.dataset['id']}/samples"
        page = self.call("GET", f"{path}?limit=7", 200)
        self.assertEqual(page["total"], 60)
        ids, cursor = [s["id"] for s in page["items"]], page["next_cursor"]
        while cursor:
            page = self.call("GET", f"{path}?limit=7&cursor={cursor}", 200)
            ids += [s["id"] for s in page["items"]]
            cursor = page["next_cursor"]
        self.assertEqual(len(set(ids)), 60)
        test = self.call("GET", f"{path}?split=test&class=circle", 200)
        self.assertTrue(all(s["split"] == "test" and s["class"] == "circle" for s in test["items"]))
        self.call("GET", f"{path}?split=other", 422)
        self.call("GET", f"{path}?class=nobody", 422)
        image = f"{path}/{ids[0]}/image"
        original = self.call("GET", image, 200)
        self.assertIn("attachment", original.headers["Content-Disposition"])
        self.assertEqual(original.headers["X-Content-Type-Options"], "nosniff")
        for size in (96, 256):
            preview = self.call("GET", f"{image}?size={size}", 200)
            self.assertEqual(preview.headers["Content-Type"], "image/jpeg")
            self.assertEqual(preview.body[:3], b"\xff\xd8\xff")
        self.call("GET", f"{image}?size=97", 422)
        for sample in ("60", "-1", "x", "99999999999999999999"):
            self.call("GET", f"{path}/{sample}/image", 404)

    def test_wrong_ids_are_404(self):
        for identifier in (str(uuid.uuid4()), "1", "x" * 300):
            for noun in ("datasets", "models", "jobs"):
                self.assertEqual(self.server.call("GET", f"/api/{noun}/{identifier}").status, 404, identifier)

    # --- Jobs and models

    def test_a_job_ends_with_a_model(self):
        self.assertEqual(self.done["status"], "completed", self.done["error"])
        self.assertEqual(self.done["progress"], 1)
        self.assertEqual(len(self.done["runs"]), 1)
        self.assertEqual(self.model["status"], "ready")
        self.assertEqual(len(self.model["classes"]), 3)
        self.assertEqual(self.model["versions"][0]["version"], 1)
        self.assertEqual(self.model["hyperparameters"]["epochs"], 2)
        metrics = self.call("GET", f"/api/models/{self.model['id']}/metrics", 200)
        self.assertEqual(len(metrics["history"]), 2)
        self.assertEqual(len(metrics["iterations"]), 1)
        self.assertEqual(metrics["accuracy"], self.model["accuracy"])
        self.assertEqual(len(metrics["per_class"]), 3)

    def test_a_long_search_is_shown_whole(self):
        made_up = ", ".join(f"('{uuid.uuid4()}', '{self.done['id']}', {iteration}, 'completed', '2026-01-31T12:00:00.000Z')"
                            for iteration in range(2, 1001))
        self.addCleanup(self.server.sql, "DELETE FROM training_runs WHERE iteration > 1")
        self.server.sql(f"INSERT INTO training_runs (id, job_id, iteration, status, created_at) VALUES {made_up}")
        for path, member in ((f"/api/jobs/{self.done['id']}", "runs"), (f"/api/models/{self.model['id']}/metrics", "iterations")):
            shown = self.call("GET", path, 200)[member]
            self.assertEqual([run["iteration"] for run in shown], list(range(1, 1001)), path)

    def test_wrong_jobs_are_refused_with_a_pointer(self):
        good = {"dataset_id": self.dataset["id"]}
        cases = [({}, "/dataset_id"), ({**good, "epochs": 3}, "/epochs"),
                 ({**good, "hyperparameters": {"learning_rate": -1}}, "/hyperparameters/learning_rate"),
                 ({**good, "hyperparameters": {"lr": 1}}, "/hyperparameters/lr"), ({**good, "device": "cuda"}, "/device"),
                 ({**good, "strategy": "magic"}, "/strategy"), ({**good, "strategy": "llm"}, "/strategy"),
                 ({**good, "seed": 1.5}, "/seed"), ({"dataset_id": 7}, "/dataset_id"),
                 ({**good, "architecture": {"name": "x", "layers": [{"name": "a", "op": "conf"}]}},
                  "/architecture/layers/0/op"), ({**good, "architecture": "resnet19"}, "/architecture"),
                 ({**good, "architecture": {"name": "x", "layers": [  # a sum of two sizes
                     {"name": "a", "op": "conv", "out": 8}, {"name": "b", "op": "conv", "out": 8, "stride": 2},
                     {"name": "c", "op": "add", "from": ["a", "b"]}, {"name": "d", "op": "linear"}]}},
                  "/architecture/layers/2/from"),
                 ({**good, "architecture": {"name": "x", "layers": [  # a head for other classes
                     {"name": "a", "op": "conv", "out": 8}, {"name": "d", "op": "linear", "out": 77}]}},
                  "/architecture/layers/1/out")]
        for body, pointer in cases:
            problem = self.call("POST", "/api/jobs", 422, body=body)
            self.assertIn(pointer, self.pointers(problem), body)
        self.call("POST", "/api/jobs", 404, body={"dataset_id": str(uuid.uuid4())})

    def test_a_running_job_is_watched_cancelled_and_resumed(self):
        job = self.call("POST", "/api/jobs", 201, body={"dataset_id": self.dataset["id"], "name": "long", **LONG})
        kinds = set()
        for _, kind, _ in self.server.events(f"/api/jobs/{job['id']}/events"):
            kinds.add(kind)
            if {"status", "metrics", "log"} <= kinds:
                break
        worker = wait_for(lambda: worker_of(self.server), "the worker")
        waiting = self.call("POST", "/api/jobs", 201, body={"dataset_id": self.dataset["id"], **QUICK})
        self.assertEqual(self.call("GET", f"/api/jobs/{waiting['id']}", 200)["status"], "pending")
        self.call("DELETE", f"/api/datasets/{self.dataset['id']}", 409)
        self.call("DELETE", f"/api/models/{job['model_id']}", 409)
        self.call("DELETE", f"/api/jobs/{job['id']}", 200)
        row = self.server.wait_job(job["id"], 6)
        self.assertEqual(row["status"], "cancelled")
        wait_for(lambda: not pathlib.Path(f"/proc/{worker}").exists(), "the worker's end", 2)
        self.assertEqual(self.call("DELETE", f"/api/jobs/{job['id']}", 200)["status"], "cancelled")
        model = self.call("GET", f"/api/models/{job['model_id']}", 200)
        self.assertEqual((model["status"], model["is_partial"]), ("ready", True))
        self.assertEqual(self.server.wait_job(waiting["id"])["status"], "completed")
        self.call("POST", f"/api/jobs/{waiting['id']}/resume", 409)
        self.assertEqual(self.call("POST", f"/api/jobs/{job['id']}/resume", 200)["status"], "pending")
        wait_for(lambda: self.server.get(f"/api/jobs/{job['id']}")["status"] == "running", "going on")
        self.call("DELETE", f"/api/jobs/{job['id']}", 200)
        self.assertGreaterEqual(self.server.wait_job(job["id"])["epoch"], row["epoch"])
        self.call("DELETE", f"/api/models/{job['model_id']}", 204)
        self.call("GET", f"/api/jobs/{job['id']}", 404)
        wait_for(lambda: not (self.server.data / "models" / job["model_id"]).exists(), "the files' end")

    def test_logs_are_paged_and_filtered(self):
        path = f"/api/jobs/{self.job['id']}/logs"
        everything = self.call("GET", path, 200)
        self.assertGreater(everything["total"], 0)
        first = self.call("GET", f"{path}?limit=1", 200)["items"][0]
        after = self.call("GET", f"{path}?after={first['id']}", 200)
        self.assertEqual(after["total"], everything["total"] - 1)
        self.assertEqual(self.call("GET", f"{path}?search=no%20such%20words", 200)["total"], 0)
        self.call("GET", f"{path}?level=loud", 422)
        self.call("GET", f"{path}?after=-1", 422)
        number, kind, _ = next(self.server.events(f"{path}?follow=1"))
        self.assertEqual((number, kind), (everything["items"][0]["id"], "log"))

    def test_logs_are_searched_in_any_case_as_a_list_and_as_a_stream(self):
        architecture = {"name": "Größe", "layers": [{"op": "conv", "name": "c", "out": 4, "kernel": 3},
                                                    {"op": "global_pool", "name": "p"}, {"op": "linear", "name": "head"}]}
        job = self.call("POST", "/api/jobs", 201, body={"dataset_id": self.dataset["id"], **QUICK,
                                                        "architecture": architecture})
        self.assertEqual(self.server.wait_job(job["id"])["status"], "completed")
        path = f"/api/jobs/{job['id']}/logs?search={urllib.parse.quote('GRÖSSE')}"
        found = self.call("GET", path, 200)["items"]
        self.assertEqual(len(found), 1)
        number, _, value = next(self.server.events(f"{path}&follow=1"))
        self.assertEqual((number, value["data"]["text"]), (found[0]["id"], found[0]["text"]))
        self.assertIn("Größe", found[0]["text"])

    def test_a_data_set_that_was_looked_at_frees_its_disk_when_it_is_deleted(self):
        identifier = self.server.ready_dataset(self.archive, "looked at")["id"]
        self.assertEqual(self.server.call("GET", f"/api/datasets/{identifier}/samples/0/image").status, 200)

        def held():
            links = pathlib.Path(f"/proc/{self.server.process.pid}/fd").iterdir()
            return [link for link in links if os.path.lexists(link) and "/packs/" in os.readlink(link) and
                    (identifier in os.readlink(link) or "(deleted)" in os.readlink(link))]
        self.assertEqual(len(held()), 1)
        self.call("DELETE", f"/api/datasets/{identifier}", 204)
        self.assertEqual(held(), [])

    def test_a_stream_goes_on_after_the_last_event(self):
        path = f"/api/jobs/{self.job['id']}/events"
        whole = []
        for event in self.server.events(path):
            whole.append(event[0])
            if event[1] == "status" and event[2]["data"]["status"] == "completed":
                break
        seen = []
        while len(seen) < len(whole):
            for event in self.server.events(path, seen[-1] if seen else 0):
                seen.append(event[0])
                break  # cut after each one
        self.assertEqual(seen, whole)
        self.assertEqual(self.server.call("GET", path, headers={"Last-Event-ID": "x"}).status, 422)

    def test_a_server_without_tokens_does_not_listen_to_other_sites(self):
        server = Server(DV, options=["--no-auth"])
        self.addCleanup(server.close)

        def code(method, **headers):
            named = {key.replace("_", "-"): value for key, value in headers.items()}
            body = {"name": "x"} if method == "PUT" else None
            return server.call(method, f"/api/datasets/{uuid.uuid4()}" if body else "/api/datasets", headers=named, body=body,
                               token=False).status
        self.assertEqual(code("GET"), 200)
        self.assertEqual(code("PUT"), 404)  # heard: there is no such data set
        own = f"{server.host}:{server.port}"
        for host in (own, f"localhost:{server.port}", "LOCALHOST", "127.1.2.3", "[::1]:80"):
            self.assertEqual(code("GET", Host=host), 200, host)
        for host in ("evil.example", "evil.example:8080", "127.0.0.1.evil.example", "localhost.evil.example", "127.x",
                     "10.0.0.1"):
            self.assertEqual(code("GET", Host=host), 403, host)
        self.assertEqual(code("PUT", Origin="http://evil.example"), 403)
        self.assertEqual(code("PUT", Sec_Fetch_Site="cross-site"), 403)
        self.assertEqual(code("PUT", Origin="null"), 403)
        self.assertEqual(code("PUT", Origin=f"http://{own}"), 404)
        self.assertEqual(code("PUT", Sec_Fetch_Site="same-origin"), 404)

    def test_the_page_is_fetched_once(self):
        tags = set()
        for path in ("/", "/assets/app.css", "/assets/app.js", "/assets/docs.js", "/assets/icon.svg", "/api/docs",
                     "/api/openapi.json"):
            with self.subTest(path=path):
                whole = self.server.call("GET", path)
                self.assertEqual((whole.status, whole.headers["Cache-Control"]), (200, "no-cache"))
                self.assertGreater(len(whole.body), 100)
                self.assertIn("default-src 'none'", whole.headers["Content-Security-Policy"])
                tags.add(whole.headers["ETag"])
                again = self.server.call("GET", path, headers={"If-None-Match": whole.headers["ETag"]})
                self.assertEqual((again.status, again.body), (304, b""))
                self.assertEqual(again.headers["ETag"], whole.headers["ETag"])
                other = self.server.call("GET", path, headers={"If-None-Match": '"another"'})
                self.assertEqual((other.status, other.body), (200, whole.body))
        self.assertEqual(len(tags), 7)
        self.assertEqual(self.server.call("GET", "/assets/none.js").status, 404)

    def test_downloads_have_ranges_and_an_etag(self):
        path = f"/api/models/{self.model['id']}/download"
        whole = self.call("GET", path, 200)
        with zipfile.ZipFile(io.BytesIO(whole.body)) as archive:
            self.assertIsNone(archive.testzip())
            self.assertLessEqual({"model.json", "weights.safetensors", "model.py", "metrics.json", "card.md"},
                                 set(archive.namelist()))
        part = self.server.call("GET", path, headers={"Range": "bytes=10-19"})
        self.assertEqual((part.status, part.body), (206, whole.body[10:20]))
        self.assertEqual(self.server.call("GET", path, headers={"Range": "bytes=99999999-"}).status, 416)
        same = self.server.call("GET", path, headers={"If-None-Match": whole.headers["ETag"]})
        self.assertEqual(same.status, 304)
        self.assertIn(b"import torch", self.call("GET", f"{path}?format=py", 200).body)
        self.call("GET", f"{path}?format=exe", 422)
        self.call("GET", f"{path}?format=onnx", 422)

    def test_a_download_has_the_models_name_in_whole_characters(self):
        path = f"/api/models/{self.model['id']}"
        self.addCleanup(self.call, "PATCH", f"{path}/name", 200, body={"name": self.model["name"]})
        self.call("PATCH", f"{path}/name", 200, body={"name": "x" + "\u00e4" * 80})
        disposition = self.call("GET", f"{path}/download?format=py", 200).headers["Content-Disposition"]
        name = urllib.parse.unquote(disposition.partition("filename*=UTF-8''")[2], errors="strict")
        self.assertEqual(name, "x" + "\u00e4" * 49 + ".py")

    def test_a_model_is_renamed_and_described(self):
        path = f"/api/models/{self.model['id']}"
        self.assertEqual(self.call("PATCH", f"{path}/name", 200, body={"name": "renamed"})["name"], "renamed")
        self.assertEqual(self.call("PUT", path, 200, body={"description": "good"})["description"], "good")
        self.call("PUT", path, 422, body={"accuracy": 1.0})
        self.assertEqual(self.call("GET", "/api/models?search=RENAMED", 200)["total"], 1)
        self.call("GET", "/api/models?status=perfect", 422)

    # --- System

    def test_the_system_tells_how_it_is(self):
        health = self.call("GET", "/api/system/health", 200, token=False)
        self.assertEqual(health["status"], "ok")
        metrics = self.call("GET", "/api/system/metrics", 200)
        self.assertGreater(metrics["memory"]["total_bytes"], 0)
        self.assertEqual(len(metrics["cpu"]["cores"]), os.cpu_count())
        self.call("GET", "/api/system/info", 200)
        strategies = self.call("GET", "/api/strategies", 200)
        self.assertIn("native", [s["name"] for s in strategies["items"]])
        text = self.server.call("GET", "/metrics").body.decode()
        self.assertRegex(text, r'dv_jobs\{status="completed"\} [1-9]')

    def test_the_page_is_served_to_anyone_and_runs_no_foreign_script(self):
        page = self.server.call("GET", "/", token=False)
        self.assertEqual(page.status, 200)
        self.assertIn("script-src 'self'", page.headers["Content-Security-Policy"])
        for asset in re.findall(rb'(?:href|src)="(/assets/[^"]+)"', page.body):
            self.assertEqual(self.server.call("GET", asset.decode(), token=False).status, 200)
        self.assertIn(self.server.call("GET", "/assets/../dv.db", token=False).status, (400, 404))


if __name__ == "__main__":
    unittest.main()
