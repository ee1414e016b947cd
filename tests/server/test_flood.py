# SPDX-License-Identifier: Apache-2.0
"""Thousands of clients that mean no good, while others work with the server as ever.

Usage: test_flood.py DV   on SQLite, or on the PostgreSQL that DV_TEST_POSTGRES names.
"""

import collections
import os
import pathlib
import resource
import select
import socket
import subprocess
import sys
import time
import unittest

from harness import Server, new_database, wait_for

DV = sys.argv.pop(1)
POSTGRES = os.environ.get("DV_TEST_POSTGRES")
COUNT = 2000
DEADLINE = 10  # seconds, of a head as of a body that does not come: http/server.h
PATIENCE = 120  # seconds until even a slow machine has cut them all
UPLOADS = 40  # of 64 that may come in at once
DATABASE = 12  # descriptors of the connections that the store opens when it has more to do, and keeps: store.c


class Attacker:
    def __init__(self, server, data, drips=False):
        self.sock = socket.create_connection((server.host, server.port), timeout=30)
        self.start = time.monotonic()
        self.sock.sendall(data)
        self.sock.setblocking(False)
        self.drips = drips
        self.answer = b""
        self.seconds = None  # until the server had enough

    def drip(self):
        try:
            self.sock.send(b"x")
        except OSError:
            pass  # told by take()

    def take(self):
        """False: the server has ended it."""
        try:
            data = self.sock.recv(65536)
        except BlockingIOError:
            return True
        except ConnectionResetError:
            data = b""
        self.answer += data
        if not data:
            self.seconds = time.monotonic() - self.start
            self.sock.close()
        return bool(data)


class Flood(unittest.TestCase):
    def setUp(self):
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        # The server takes half as many connections as it may have descriptors, less a reserve.
        self.count = min(COUNT, hard // 2 - 200)
        if self.count < 200:
            self.skipTest(f"only {hard} descriptors")
        self.server = Server(DV, new_database(POSTGRES))
        self.addCleanup(self.server.close)
        self.archive = self.server.root / "shapes.zip"
        subprocess.run([DV, "sample", "shapes", self.archive, "--classes", "2", "--count", "20", "--seed", "5"],
                       check=True, stdout=subprocess.DEVNULL)

    def descriptors(self):
        return len(os.listdir(f"/proc/{self.server.process.pid}/fd"))

    def work(self):
        """What others do meanwhile."""
        for path in ("/api/datasets", "/api/jobs", "/api/models", "/api/system/info"):
            self.server.get(path)
        self.assertEqual(self.server.call("GET", "/api/jobs", token=False).status, 401)

    def attack(self):
        server = self.server
        known = f"Host: {server.host}:{server.port}\r\nAuthorization: Bearer {server.token}\r\n"
        body = (b"--B\r\nContent-Disposition: form-data; name=\"name\"\r\n\r\nhalf\r\n"
                b"--B\r\nContent-Disposition: form-data; name=\"file\"; filename=\"f.zip\"\r\n\r\nPK")
        upload = (f"POST /api/datasets HTTP/1.1\r\n{known}Content-Type: multipart/form-data; boundary=B\r\n"
                  f"Content-Length: 1000000\r\n\r\n").encode() + body
        job = f"POST /api/jobs HTTP/1.1\r\n{known}Content-Type: application/json\r\n"
        kinds = [(b"", False), (b"", True), (b"GET /api/jobs HTTP/1.1\r\nHo", False),
                 (b"GET /api/jobs HTTP/1.1\r\nX: ", True),
                 (f"{job}Content-Length: 1000\r\n\r\n{{".encode(), False),
                 (f"{job}Content-Length: 1000\r\n\r\n".encode(), True),
                 (f"{job}Transfer-Encoding: chunked\r\n\r\n3e8\r\n{{".encode(), False)]
        attackers = [Attacker(server, upload) for _ in range(UPLOADS)]
        while len(attackers) < self.count:
            attackers.append(Attacker(server, *kinds[len(attackers) % len(kinds)]))
        return attackers

    def await_ends(self, attackers):
        """How often others were served before the last one was ended."""
        poll = select.epoll()
        self.addCleanup(poll.close)
        left = {attacker.sock.fileno(): attacker for attacker in attackers}
        for descriptor in left:
            poll.register(descriptor, select.EPOLLIN)
        served, end = 0, time.monotonic() + PATIENCE
        while left and time.monotonic() < end:
            for descriptor, _ in poll.poll(0.2):
                if not left[descriptor].take():
                    del left[descriptor]
            for attacker in left.values():
                if attacker.drips:
                    attacker.drip()
            self.work()
            served += 1
        self.assertFalse(left, f"{len(left)} are still there")
        return served

    def test_others_are_served_and_all_is_given_back(self):
        self.server.ready_dataset(self.archive, "before")
        self.work()
        folder = pathlib.Path(self.server.data) / "uploads"
        wait_for(lambda: not list(folder.iterdir()), "the upload's removal")
        before = self.descriptors()

        attackers = self.attack()
        self.assertEqual(self.server.upload(self.archive, "meanwhile").status, 201)
        self.assertGreater(self.await_ends(attackers), 1)

        # They were let in and had their time, all of them: none was refused, or given up for another.
        soon = [attacker for attacker in attackers if attacker.seconds < DEADLINE - 1]
        self.assertEqual([], [(attacker.seconds, attacker.answer[:80]) for attacker in soon])
        answers = collections.Counter(attacker.answer[:12] for attacker in attackers)
        self.assertLessEqual(set(answers), {b"", b"HTTP/1.1 408"})

        self.work()
        self.server.ready_dataset(self.archive, "after")
        wait_for(lambda: not list(folder.iterdir()), "the removal of half uploads")
        # Of each kind of attacker there were more than these.
        wait_for(lambda: self.descriptors() <= before + DATABASE, "descriptors to be given back")
        self.assertEqual({row["name"] for row in self.server.get("/api/datasets")["items"]},
                         {"before", "meanwhile", "after"})
        self.server.assert_whole()


if __name__ == "__main__":
    unittest.main()
