# SPDX-License-Identifier: Apache-2.0
"""`dv llm` from outside: spoken to over its channel, and through `dv doctor`. Usage: test_role.py DV"""
import fcntl
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import unittest

from endpoint import Endpoint, echo_key, good, status

DV = sys.argv.pop(1)
KEY = "gsk_dvTestKey0123456789abcdefghijklmnopqrstuvwxyz"
SETTINGS = {"url": "", "models": ["m"], "allowed": "", "ca_file": "", "price_input": 0, "price_output": 0,
            "dollars_max": 0, "connect_timeout_ms": 0, "total_timeout_ms": 0, "body_timeout_ms": 0, "patience_ms": 0,
            "tokens_max": 0, "time_max_ms": 0}
QUESTION = {"messages": [{"role": "user", "content": "a net"}], "short_messages": None, "schema": None,
            "schema_name": None, "temperature": 0.4, "output_max": 0, "seed": 5}
SEALS = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE | fcntl.F_SEAL_SEAL


def memory_file(data, seals=SEALS):
    fd = os.memfd_create("test", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.write(fd, data)
    fcntl.fcntl(fd, fcntl.F_ADD_SEALS, seals)
    return fd


def wait_for(condition, what):
    for _ in range(3000):
        if condition():
            return
        time.sleep(0.01)
    raise AssertionError(f"waited in vain for {what}")


class Role:
    """The parent's side of the channel."""

    def __init__(self, url, settings=None, memory=None, source=None):
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket, self.pending = ours, b""
        ours.settimeout(60)

        def place():
            os.dup2(theirs.fileno(), 3)
            os.set_inheritable(3, True)
        self.process = subprocess.Popen([DV, "llm"], preexec_fn=place, close_fds=False, env={},
                                        stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        theirs.close()
        assert self.receive()[0]["type"] == "hello"
        options = {"settings": {**SETTINGS, "url": url, **(settings or {})}, "memory": memory}
        self.send({"type": "job", "kind": "ask", "source": source, "dataset_folder": None, "job_folder": None,
                   "model_folder": None, "cache_folder": None, "previous_failure": None, "attempt": 0,
                   "thread_count": 0, "memory_max": 0, "options": options})
        self.ack = self.receive()[0]

    def send(self, message, fd=None):
        fds = [] if fd is None else [fd]
        socket.send_fds(self.socket, [json.dumps(message).encode() + b"\n"], fds)
        for passed in fds:
            os.close(passed)

    def receive(self):
        """The next message, and the document that came with it; (None, None) at the end."""
        fds = []
        while b"\n" not in self.pending:
            data, passed, _, _ = socket.recv_fds(self.socket, 65536, 4)
            fds += passed
            if not data:
                return None, None
            self.pending += data
        line, _, self.pending = self.pending.partition(b"\n")
        assert len(line) < 65536
        document = None
        for fd in fds:
            document = json.loads(os.pread(fd, 1 << 26, 0))
            os.close(fd)
        return json.loads(line), document

    def secret(self, key=KEY):
        self.send({"type": "secret", "name": "llm"}, memory_file(key.encode()))
        return self

    def ask(self, question=QUESTION, number=1):
        self.send({"type": "ask", "id": number, "purpose": "test"}, memory_file(json.dumps(question).encode()))

    def end(self):
        self.socket.close()
        output = self.process.communicate(timeout=60)[0]
        assert KEY.encode() not in output
        return self.process.returncode


class Talk(unittest.TestCase):
    def test_questions_are_answered_one_after_the_other(self):
        with Endpoint([status(400, None, "response_format"), good({"a": 1}), good({"b": 2})]) as endpoint:
            role = Role(endpoint.url).secret()
            self.assertEqual(role.ack["type"], "ack")
            role.ask(number=7)
            message, document = role.receive()
            self.assertEqual((message["type"], message["id"], message["outcome"]), ("reply", 7, "answered"))
            self.assertEqual((message["reason"], message["prompt_tokens"]), (None, 120))
            self.assertEqual(document["answer"], {"a": 1})
            self.assertEqual(len(document["exchanges"]), 2)
            role.ask(number=8)
            message, document = role.receive()
            self.assertEqual((message["id"], document["answer"]), (8, {"b": 2}))
            self.assertEqual(len(endpoint.requests), 3)
            self.assertEqual(endpoint.requests[0]["headers"]["Authorization"], "Bearer " + KEY)
            self.assertEqual(role.end(), 0)
            again = Role(endpoint.url, memory=document["memory"]).secret("")
            again.ask()
            self.assertEqual(again.receive()[1]["rung"], "text")  # what was learned holds for another
            self.assertNotIn("Authorization", endpoint.requests[-1]["headers"])
            self.assertEqual(again.end(), 0)

    def test_a_question_and_an_answer_over_the_limit_of_a_line(self):
        words = "x" * 300000
        with Endpoint([good({"a": "y" * 60000})]) as endpoint:
            role = Role(endpoint.url).secret()
            role.ask({**QUESTION, "messages": [{"role": "user", "content": words}]})
            message, document = role.receive()
            self.assertEqual(message["outcome"], "answered")
            self.assertEqual(document["answer"], {"a": "y" * 60000})
            self.assertTrue(endpoint.requests[0]["body"]["messages"][0]["content"].startswith(words))
            self.assertEqual(role.end(), 0)

    def test_what_is_no_question_ends_it(self):
        with Endpoint([good({"a": 1})]) as endpoint:
            for data, seals in ((b"{}", SEALS), (b"no json", SEALS), (json.dumps(QUESTION).encode(), fcntl.F_SEAL_GROW),
                                (json.dumps({**QUESTION, "api_base": "http://x"}).encode(), SEALS),
                                (json.dumps({**QUESTION, "messages": [{"role": "tool", "content": ""}]}).encode(), SEALS)):
                role = Role(endpoint.url).secret()
                role.send({"type": "ask", "id": 1, "purpose": "test"}, memory_file(data, seals))
                self.assertEqual(role.receive()[0]["type"], "failure")
                self.assertEqual(role.end(), 1)
            role = Role(endpoint.url)
            role.ask()  # before the key
            self.assertEqual(role.receive()[0]["type"], "failure")
            self.assertEqual(role.end(), 1)
            self.assertEqual(endpoint.requests, [])

    def test_it_is_cancelled_while_it_asks_and_while_it_waits(self):
        for line in ("hang", status(429, None, "slow", {"retry-after": "300"})):
            with Endpoint([line]) as endpoint:
                role = Role(endpoint.url).secret()
                role.ask()
                wait_for(lambda: endpoint.requests, "the question")
                role.send({"type": "cancel", "reason": None})
                self.assertEqual(role.receive()[0]["outcome"], "cancelled")
                self.assertEqual(role.end(), 0)

    def test_it_is_locked_in_and_shows_no_key(self):
        with Endpoint(["hang"]) as endpoint:
            role = Role(endpoint.url).secret()
            role.ask()
            wait_for(lambda: endpoint.requests, "the question")
            folder = pathlib.Path("/proc", str(role.process.pid))
            lines = dict(line.split(":\t", 1) for line in folder.joinpath("status").read_text().splitlines())
            if role.ack["not_applied"] == []:
                self.assertEqual((lines["NoNewPrivs"], lines["Seccomp"]), ("1", "2"))
            for name in ("environ", "cmdline"):
                try:
                    self.assertNotIn(KEY.encode(), folder.joinpath(name).read_bytes())
                except PermissionError:
                    pass  # as it should be, for all but root
            role.end()


class Doctor(unittest.TestCase):
    def doctor(self, *arguments, **variables):
        environment = {"PATH": os.environ["PATH"], **variables}
        done = subprocess.run([DV, "doctor", *arguments], env=environment, capture_output=True, text=True, timeout=100)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertNotIn(KEY, done.stdout + done.stderr)
        return done.stdout

    def check(self, url, **variables):
        text = self.doctor("--json", DV_LLM_BASE_URL=url, DV_LLM_MODEL="m", DV_LLM_API_KEY=KEY, **variables)
        return json.loads(text)["llm"]

    def test_one_small_call(self):
        with Endpoint([good({"ok": True})]) as endpoint:
            llm = self.check(endpoint.url)
            self.assertEqual((llm["outcome"], llm["model"], llm["reason"]), ("answered", "m", None))
            self.assertEqual(len(endpoint.requests), 1)
            self.assertLess(len(json.dumps(endpoint.requests[0]["body"])), 1000)
            text = self.doctor(DV_LLM_BASE_URL=endpoint.url, DV_LLM_MODEL="m", DV_LLM_API_KEY=KEY)
            self.assertIn("m: answers in", text)

    def test_what_is_wrong_is_said(self):
        with Endpoint([echo_key()]) as endpoint:
            llm = self.check(endpoint.url)
            self.assertEqual(llm["outcome"], "key")
            self.assertNotIn(KEY[:12], json.dumps(llm))
        self.assertEqual(self.check("http://169.254.169.254/v1")["outcome"], "settings")
        llm = json.loads(self.doctor("--json"))["llm"]
        self.assertEqual((llm["is_configured"], llm["summary"]), (False, "not configured"))

    def test_the_environment_of_neither_process_holds_the_key(self):
        with Endpoint(["hang"]) as endpoint:
            doctor = subprocess.Popen([DV, "doctor"], stdout=subprocess.DEVNULL, env={
                "DV_LLM_BASE_URL": endpoint.url, "DV_LLM_MODEL": "m", "DV_LLM_API_KEY": KEY, "GROQ_API_KEY": KEY})
            wait_for(lambda: endpoint.requests, "the question")
            task = pathlib.Path("/proc", str(doctor.pid), "task", str(doctor.pid))
            children = task.joinpath("children").read_text().split()
            self.assertEqual(len(children), 1)
            for pid in (str(doctor.pid), *children):
                try:
                    environment = pathlib.Path("/proc", pid, "environ").read_bytes()
                except PermissionError:
                    continue  # as it should be, for all but root
                self.assertNotIn(KEY.encode(), environment)
                self.assertNotIn(KEY.encode(), pathlib.Path("/proc", pid, "cmdline").read_bytes())
            doctor.send_signal(signal.SIGKILL)
            doctor.wait()
            wait_for(lambda: not pathlib.Path("/proc", children[0]).exists() or "State:\tZ" in
                     pathlib.Path("/proc", children[0], "status").read_text(), "the end of dv llm")

    @unittest.skipUnless(shutil.which("openssl"), "needs openssl")
    def test_certificates_and_names_from_within_the_lock(self):
        with tempfile.TemporaryDirectory() as folder:
            pem, key = pathlib.Path(folder, "cert.pem"), pathlib.Path(folder, "key.pem")
            subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=test",
                            "-addext", "subjectAltName=DNS:localhost", "-keyout", key, "-out", pem],
                           check=True, capture_output=True)
            with Endpoint([good({"ok": True})], certificate=(pem, key)) as endpoint:
                url = endpoint.url.replace("127.0.0.1", "localhost")
                self.assertEqual(self.check(url)["outcome"], "network")
                llm = self.check(url, DV_LLM_CA_FILE=str(pem))
                self.assertEqual(llm["outcome"], "answered", llm["reason"])


class Serve(unittest.TestCase):
    def test_the_key_leaves_the_environment_and_is_written_nowhere(self):
        with tempfile.TemporaryDirectory() as folder:
            server = subprocess.Popen([DV, "serve", "--data", folder, "--listen", "127.0.0.1:0", "--no-auth", "--json"],
                                      stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                      env={"GROQ_API_KEY": KEY, "DV_LLM_MODEL": "m"})
            try:
                ready = json.loads(server.stdout.readline())
                self.assertEqual(ready["type"], "ready")
                try:
                    environment = pathlib.Path("/proc", str(server.pid), "environ").read_bytes()
                    self.assertIn(b"GROQ_API_KEY=", environment)  # the name stays, with nothing behind it
                    self.assertNotIn(KEY.encode(), environment)
                except PermissionError:
                    pass  # as it should be, for all but root
            finally:
                server.send_signal(signal.SIGTERM)
                output = b"".join(server.communicate(timeout=60))
            self.assertEqual(server.returncode, 0)
            self.assertNotIn(KEY.encode(), output)
            for path in pathlib.Path(folder).rglob("*"):
                self.assertTrue(path.is_dir() or KEY.encode() not in path.read_bytes(), path)

    def test_wrong_settings_are_said_and_it_serves(self):
        with tempfile.TemporaryDirectory() as folder:
            server = subprocess.Popen([DV, "serve", "--data", folder, "--listen", "127.0.0.1:0", "--no-auth", "--json"],
                                      stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={"DV_LLM_API_KEY": KEY})
            try:
                self.assertEqual(json.loads(server.stdout.readline())["type"], "ready")
            finally:
                server.send_signal(signal.SIGTERM)
                errors = server.communicate(timeout=60)[1]
            self.assertIn(b"DV_LLM_BASE_URL is not set", errors)
            self.assertNotIn(KEY.encode(), errors)


if __name__ == "__main__":
    sys.exit(not unittest.main(exit=False).result.wasSuccessful())
