# SPDX-License-Identifier: Apache-2.0
"""A `dv serve` of a test's own, and a small client: urllib only, so that nothing has to be installed."""

import http.client
import json
import os
import pathlib
import shutil
import signal
import sqlite3
import subprocess
import tempfile
import time
import urllib.parse
import uuid

SETTLED = ("completed", "failed", "cancelled")


def wait_for(condition, what, seconds=90):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        value = condition()
        if value:
            return value
        time.sleep(0.02)
    raise AssertionError(f"{what} did not happen in {seconds} s")


class Answer:
    def __init__(self, response, body):
        self.status = response.status
        self.headers = response.headers
        self.body = body

    @property
    def json(self):
        return json.loads(self.body)


def new_database(address):
    """A database of a test's own beside the one at `address`: a data folder and a database belong to each other."""
    if not address:
        return None
    name = f"dv_{uuid.uuid4().hex}"
    subprocess.run(["psql", "-q", "-v", "ON_ERROR_STOP=1", address, "-c", f"CREATE DATABASE {name}"], check=True)
    parts = urllib.parse.urlsplit(address)
    return urllib.parse.urlunsplit(parts._replace(path=f"/{name}"))


class Server:
    """Started at once; `database` as of --db, None: SQLite in the data folder."""

    def __init__(self, program, database=None, root=None, options=(), environment=None):
        self.program = program
        self.database = database
        self.owns_root = root is None
        self.root = pathlib.Path(root or tempfile.mkdtemp(prefix="dv-server-"))
        self.data = self.root / "data"
        self.options = [*(["--db", database] if database else []), *options]
        self.environment = environment
        self.process = None
        self.start()

    def start(self):
        command = [self.program, "serve", "--data", self.data, "--listen", "127.0.0.1:0", "--json", *self.options]
        self.process = subprocess.Popen([str(word) for word in command], stdout=subprocess.PIPE, text=True,
                                        env={**os.environ, **(self.environment or {})})
        line = self.process.stdout.readline()
        if not line:
            raise AssertionError(f"the server ended with {self.process.wait()}")
        ready = json.loads(line)
        if ready["type"] != "ready":
            raise AssertionError(line)
        address = urllib.parse.urlparse(ready["url"])
        self.host, self.port = address.hostname, address.port
        self.url = ready["url"]
        self.token = (self.data / "owner-token").read_text(encoding="ascii").strip()

    def kill(self):
        self.process.kill()
        self.process.communicate()

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.communicate(timeout=30)
        return self.process.returncode

    def close(self):
        if self.process.poll() is None:
            self.stop()
        if self.owns_root:
            shutil.rmtree(self.root, ignore_errors=True)

    def call(self, method, path, body=None, headers=None, raw=None, token=True):
        sent = dict(headers or {})
        if token:
            sent["Authorization"] = f"Bearer {self.token}"
        if body is not None:
            raw = json.dumps(body).encode()
            sent.setdefault("Content-Type", "application/json")
        connection = http.client.HTTPConnection(self.host, self.port, timeout=30)
        try:
            connection.request(method, path, body=raw, headers=sent)
            response = connection.getresponse()
            return Answer(response, response.read())
        finally:
            connection.close()

    def get(self, path, **options):
        answer = self.call("GET", path, **options)
        if answer.status != 200:
            raise AssertionError(f"GET {path}: {answer.status} {answer.body[:400]}")
        return answer.json

    def upload(self, archive, name="pictures", **fields):
        boundary = "dvtestboundary"
        parts = [f'--{boundary}\r\nContent-Disposition: form-data; name="{key}"\r\n\r\n{value}\r\n'.encode()
                 for key, value in {"name": name, **fields}.items()]
        content = archive if isinstance(archive, bytes) else pathlib.Path(archive).read_bytes()
        parts.append(f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="a.zip"\r\n'
                     "Content-Type: application/zip\r\n\r\n".encode())
        body = b"".join(parts) + content + f"\r\n--{boundary}--\r\n".encode()
        return self.call("POST", "/api/datasets", raw=body,
                         headers={"Content-Type": f"multipart/form-data; boundary={boundary}"})

    def sql(self, *statements):
        """Behind its back."""
        if self.database:
            for statement in statements:
                subprocess.run(["psql", "-q", "-v", "ON_ERROR_STOP=1", self.database, "-c", statement], check=True)
            return
        connection = sqlite3.connect(self.data / "dv.db")
        with connection:
            for statement in statements:
                connection.execute(statement)
        connection.close()

    def fsck(self):
        """What `dv doctor --fsck` says of the data folder, with the server or without it."""
        command = [self.program, "doctor", "--fsck", "--json", "--data", self.data,
                   *(["--db", self.database] if self.database else [])]
        result = subprocess.run([str(word) for word in command], stdout=subprocess.PIPE, text=True, check=False)
        report = json.loads(result.stdout)
        if result.returncode != (1 if report.get("findings") else 0):
            raise AssertionError(f"exit status {result.returncode}: {result.stdout}")
        return report

    def assert_whole(self, seconds=20):
        """Nothing is wrong, and what is on its way out goes by itself."""
        def look():
            report = self.fsck()
            if report["findings"]:
                raise AssertionError(json.dumps(report["findings"], indent=1))
            return not report["left_overs"]
        wait_for(look, "the removal of all that is left over", seconds)

    def ready_dataset(self, archive, name="pictures"):
        answer = self.upload(archive, name)
        if answer.status != 201:
            raise AssertionError(f"upload: {answer.status} {answer.body}")
        identifier = answer.json["id"]
        row = wait_for(lambda: self.settled_dataset(identifier), "the data set's end")
        if row["readiness"] != "ready":
            raise AssertionError(row["error"])
        return row

    def settled_dataset(self, identifier):
        row = self.get(f"/api/datasets/{identifier}")
        return row if row["readiness"] in ("ready", "error") else None

    def settled_job(self, identifier):
        row = self.get(f"/api/jobs/{identifier}")
        return row if row["status"] in SETTLED else None

    def wait_job(self, identifier, seconds=120):
        return wait_for(lambda: self.settled_job(identifier), "the job's end", seconds)

    def events(self, path, last=0):
        """Events of a stream as (id, type, value), until the connection ends."""
        connection = http.client.HTTPConnection(self.host, self.port, timeout=40)
        headers = {"Authorization": f"Bearer {self.token}"}
        if last:
            headers["Last-Event-ID"] = str(last)
        connection.request("GET", path, headers=headers)
        response = connection.getresponse()
        if response.status != 200:
            raise AssertionError(f"{path}: {response.status} {response.read()}")
        number, kind = 0, "message"
        try:
            while True:
                line = response.readline().decode()
                if not line:
                    return
                line = line.rstrip("\r\n")
                if line.startswith("id: "):
                    number = int(line[4:])
                elif line.startswith("event: "):
                    kind = line[7:]
                elif line.startswith("data: "):
                    yield number, kind, json.loads(line[6:])
        finally:
            connection.close()


def children_of(pid):
    try:
        return [int(word) for word in pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except FileNotFoundError:
        return []


def worker_of(server):
    """The pid of the `dv worker` that this server has started, or None."""
    for child in children_of(server.process.pid):
        try:
            if b"worker" in pathlib.Path(f"/proc/{child}/cmdline").read_bytes():
                return child
        except (FileNotFoundError, ProcessLookupError):
            pass
    return None


def kill(pid):
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
