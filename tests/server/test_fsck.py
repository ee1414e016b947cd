# SPDX-License-Identifier: Apache-2.0
"""dv doctor --fsck: nothing to say of a whole data folder, with its server and without; each damage is found.

Usage: test_fsck.py DV   on SQLite, or on the PostgreSQL that DV_TEST_POSTGRES names.
"""

import contextlib
import json
import os
import pathlib
import shutil
import subprocess
import sys
import unittest
import uuid

from harness import Server, wait_for

DATABASE = os.environ.get("DV_TEST_POSTGRES")
BODY = {"architecture": "small_cnn", "seed": 3, "hyperparameters": {"epochs": 1, "batch_size": 16, "image_size": 16}}
TREES = ("datasets", "models", "jobs", "uploads")


def flip(path, at):
    """One bit of the byte at this part of the file."""
    data = bytearray(path.read_bytes())
    data[int(at * (len(data) - 1))] ^= 1
    path.write_bytes(data)


def change_json(path, key, value):
    content = json.loads(path.read_text(encoding="utf-8"))
    content[key] = value
    path.write_text(json.dumps(content), encoding="utf-8")


class Fsck(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = server = Server(PROGRAM, DATABASE)
        archive = server.root / "shapes.zip"
        subprocess.run([PROGRAM, "sample", "shapes", archive, "--classes", "2", "--count", "40"],
                       check=True, stdout=subprocess.DEVNULL)
        cls.dataset = server.ready_dataset(archive)["id"]
        job = server.call("POST", "/api/jobs", body={"dataset_id": cls.dataset, **BODY}).json
        row = server.wait_job(job["id"])
        assert row["status"] == "completed", row
        cls.model, cls.done = row["model_id"], row["id"]
        body = {"dataset_id": cls.dataset, **BODY, "hyperparameters": {**BODY["hyperparameters"], "epochs": 5000}}
        cls.cancelled = server.call("POST", "/api/jobs", body=body).json["id"]
        wait_for(lambda: (server.get(f"/api/jobs/{cls.cancelled}")["epoch"] or 0) >= 1, "an epoch")
        server.call("DELETE", f"/api/jobs/{cls.cancelled}")
        assert server.wait_job(cls.cancelled)["status"] == "cancelled"
        server.call("GET", f"/api/models/{cls.model}/download")  # leaves an archive
        server.assert_whole()
        cls.held_by = server.fsck()["held_by"]
        server.stop()
        cls.data = server.data

    @classmethod
    def tearDownClass(cls):
        cls.server.close()

    # --- Undoing

    @contextlib.contextmanager
    def damage(self):
        """What is done to files within is undone afterwards."""
        before = {path.name for path in self.data.iterdir()}
        for tree in TREES:
            shutil.copytree(self.data / tree, self.server.root / "kept" / tree)
        try:
            yield
        finally:
            for tree in TREES:
                shutil.rmtree(self.data / tree, ignore_errors=True)
                shutil.move(self.server.root / "kept" / tree, self.data / tree)
            for path in self.data.iterdir():
                if path.name not in before and not path.name.startswith("dv.db"):
                    path.unlink()

    def sql(self, *statements):
        self.server.sql(*statements)

    # --- Looking

    def found(self):
        report = self.server.fsck()
        for item in report["findings"]:
            self.assertTrue(item["message"] and item["advice"], item)
        return {(item["code"], item["path"]) for item in report["findings"]}

    def left(self):
        report = self.server.fsck()
        self.assertEqual(report["findings"], [])
        return {item["path"] for item in report["left_overs"]}

    def assert_found(self, code, path):
        """This and nothing else."""
        self.assertEqual(self.found(), {(code, path)})

    # --- Tests

    def test_a_whole_folder_is_whole(self):
        report = self.server.fsck()
        self.assertEqual((report["findings"], report["left_overs"]), ([], []))
        checked = report["checked"]
        self.assertEqual([checked[key] for key in ("datasets", "models", "jobs")], [1, 2, 2])
        self.assertGreaterEqual(checked["versions"], 1)  # the cancelled job may have left one
        self.assertGreater(checked["bytes"], 10000)
        self.assertIsNone(report["held_by"])
        self.assertIn(self.server.url, self.held_by)
        self.assertEqual(report["database"], "postgresql" if DATABASE else "sqlite")

    def test_nothing_is_changed(self):
        def state():
            return {path: path.stat().st_mtime_ns for path in self.data.rglob("*") if not path.name.startswith("dv.db-")}
        before = state()
        self.server.fsck()
        self.assertEqual(state(), before)

    def test_damage_to_a_data_set(self):
        folder = f"datasets/{self.dataset}"
        place = self.data / folder
        pack = place / "packs" / "000.pack"
        cases = [("damaged", folder, lambda at=at: flip(pack, at)) for at in (0, 0.37, 1)]
        cases += [
            ("damaged", folder, lambda: os.truncate(pack, pack.stat().st_size - 1)),
            ("damaged", folder, pack.unlink),
            ("damaged", folder, (place / "manifest.bin").unlink),
            ("damaged", folder, lambda: flip(place / "manifest.bin", 0.5)),
            ("damaged", folder, (place / "dataset.json").unlink),
            ("damaged", folder, lambda: (place / "dataset.json").write_text("{")),
            ("mismatch", folder, lambda: change_json(place / "dataset.json", "total_samples", 39)),
            ("mismatch", folder, lambda: change_json(place / "dataset.json", "content_hash", "0" * 64)),
            ("missing", folder, lambda: shutil.rmtree(place)),
            ("unknown_file", f"{folder}/notes", lambda: (place / "notes").write_text("x")),
            ("unknown_file", f"{folder}/packs/001.pack", lambda: (place / "packs" / "001.pack").write_text("x")),
        ]
        for code, path, do in cases:
            with self.subTest(code=code, path=path), self.damage():
                do()
                self.assert_found(code, path)

    def test_damage_to_a_version(self):
        folder = f"models/{self.model}/versions"
        place = self.data / folder / "1"
        cases = [("damaged", f"{folder}/1", lambda name=name: flip(place / name, 0.9))
                 for name in ("weights.safetensors", "model.json", "model.py", "metrics.json", "card.md")]
        cases += [
            ("damaged", f"{folder}/1", (place / "weights.safetensors").unlink),
            ("damaged", f"{folder}/1", lambda: (place / "card.md").rename(place / "card.txt")),
            ("damaged", f"{folder}/1", lambda: (place / "more").mkdir()),
            ("missing", f"{folder}/1", lambda: shutil.rmtree(place)),
            ("no_row", f"{folder}/2", lambda: (self.data / folder / "2").mkdir()),
            ("unknown_file", f"{folder}/last", lambda: (self.data / folder / "last").mkdir()),
            ("unknown_file", f"models/{self.model}/archives/7.zip",
             lambda: (self.data / "models" / self.model / "archives" / "7.zip").write_text("x")),
            ("unknown_file", f"models/{self.model}/x", lambda: (self.data / "models" / self.model / "x").mkdir()),
        ]
        for code, path, do in cases:
            with self.subTest(code=code, path=path), self.damage():
                do()
                self.assert_found(code, path)

    def test_damage_to_a_job(self):
        folder = f"jobs/{self.cancelled}"
        record = self.data / folder / "job.json"
        cases = [
            ("damaged", f"{folder}/job.json", lambda: record.write_text("[")),
            ("damaged", f"{folder}/job.json", lambda: change_json(record, "id", self.done)),
            ("unknown_file", f"{folder}/core", lambda: (self.data / folder / "core").write_text("x")),
        ]
        for code, path, do in cases:
            with self.subTest(code=code, path=path), self.damage():
                do()
                self.assert_found(code, path)

    def test_bytes_without_a_row(self):
        identifier = str(uuid.uuid4())
        for tree in ("datasets", "models", "jobs"):
            with self.subTest(tree=tree), self.damage():
                (self.data / tree / identifier).mkdir()
                self.assert_found("no_row", f"{tree}/{identifier}")
        for name in ("datasets/mine", "models/mine", "jobs/mine", "uploads/mine", "mine", "datasets/.mine"):
            with self.subTest(name=name), self.damage():
                (self.data / name).write_text("x")
                self.assert_found("unknown_file", name)

    def test_what_the_server_removes_by_itself_is_no_finding(self):
        identifier = str(uuid.uuid4())
        paths = [f"datasets/.{identifier}", f"models/.{identifier}", f"jobs/.{identifier}", f"uploads/.{identifier}",
                 f"uploads/{identifier}", f"uploads/{self.dataset}", f"jobs/{self.done}",
                 f"jobs/{self.cancelled}/job.json.tmp", "owner-token.tmp"]
        for path in paths:
            with self.subTest(path=path), self.damage():
                (self.data / path).write_text("x")
                self.assertEqual(self.left(), {path})

    def test_zz_rows_that_are_wrong(self):
        """The last, since what is done to a row stays: each on top of those before."""
        folder, models = f"datasets/{self.dataset}", f"models/{self.model}"
        version = ("damaged", f"{models}/versions/1")
        other = str(uuid.uuid4())
        now = "'2026-01-01T00:00:00.000Z'"
        steps = [
            (f"INSERT INTO trash (path, created_at) VALUES ('{folder}', {now})", ("doomed", folder)),
            (f"UPDATE models SET status = 'training' WHERE id = '{self.model}'", ("limbo", None)),
            (f"UPDATE model_versions SET content_hash = NULL WHERE model_id = '{self.model}'",
             ("no_hash", f"{models}/versions/1")),
            (f"UPDATE model_versions SET content_hash = 'ff' WHERE model_id = '{self.model}'", version),
            (f"DELETE FROM model_versions WHERE model_id = '{self.model}'", ("no_row", f"{models}/versions/1")),
            (f"UPDATE models SET status = 'ready' WHERE id = '{self.model}'", ("no_version", None)),
            (f"UPDATE datasets SET content_hash = '{'0' * 64}'", ("mismatch", folder)),
            ("UPDATE datasets SET readiness = 'error'", ("unexpected_files", folder)),
            (f"UPDATE jobs SET status = 'pending', dataset_id = NULL WHERE id = '{self.cancelled}'",
             ("no_dataset", None)),
            (f"DELETE FROM jobs WHERE id = '{self.cancelled}'", ("no_row", f"jobs/{self.cancelled}")),
            ("UPDATE models SET dataset_id = NULL", None),
            ("UPDATE jobs SET dataset_id = NULL", None),
            (f"INSERT INTO datasets (id, name, domain, task, readiness, created_at, updated_at) VALUES "
             f"('{other}', 'n', 'vision', 'classification', 'processing', {now}, {now})",
             ("missing_upload", f"uploads/{other}")),
            ("DELETE FROM trash", None),
            (f"DELETE FROM datasets WHERE id = '{self.dataset}'", ("no_row", folder)),
        ]
        if not DATABASE:
            steps.append((f"INSERT INTO training_logs (id, job_id, at, level, source, text) VALUES "
                          f"(-1, '{other}', {now}, 'info', 'x', 'x')", ("database_damaged", None)))
        for statement, expected in steps:
            with self.subTest(statement=statement):
                self.sql(statement)
                if expected:
                    self.assertIn(expected, self.found())

    def test_where_there_is_no_database(self):
        result = subprocess.run([PROGRAM, "doctor", "--fsck", "--json", "--data", str(self.server.root)],
                                stdout=subprocess.PIPE, text=True, check=False)
        self.assertEqual(result.returncode, 1)
        self.assertIn("no database", json.loads(result.stdout)["message"])
        self.assertFalse((self.server.root / "dv.db").exists())

    def test_a_person_is_told_what_to_do(self):
        with self.damage():
            shutil.rmtree(self.data / "datasets" / self.dataset)
            command = [PROGRAM, "doctor", "--fsck", "--data", str(self.data), *(["--db", DATABASE] if DATABASE else [])]
            result = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
        self.assertEqual(result.returncode, 1)
        self.assertRegex(result.stdout, f"missing: datasets/{self.dataset}: .*gone .*upload it again")


if __name__ == "__main__":
    PROGRAM = str(pathlib.Path(sys.argv.pop(1)).resolve())
    unittest.main()
