# SPDX-License-Identifier: Apache-2.0
"""Uploads that go well, badly, halfway; and a disk that is full."""

import os
import random
import select
import shutil
import subprocess
import tempfile
import unittest

from harness import MULTIPART, Server, main, multipart, read_answer, read_to_end, wait_for

PART = b'--XBOUNDX\r\nContent-Disposition: form-data; name="%s"%s\r\n\r\n%s\r\n'
NAME = PART % (b"name", b"", b"n")
FILE = b'; filename="f.zip"'


def head(length=None, kind="multipart/form-data; boundary=XBOUNDX"):
    framing = f"Content-Length: {length}" if length is not None else "Transfer-Encoding: chunked"
    return f"POST /upload HTTP/1.1\r\nHost: test\r\nContent-Type: {kind}\r\n{framing}\r\n\r\n".encode()


class Uploads(unittest.TestCase):
    def setUp(self):
        self.server = Server().__enter__()
        self.addCleanup(self.server.__exit__)

    def settled(self, opened=0):
        """So many files at least were opened and nothing is left open; what was broken is gone."""
        def look():
            counts = self.server.counts()
            is_closed = opened <= counts["open"] == counts["whole"] + counts["broken"]
            return counts if is_closed and len(self.server.files()) == counts["whole"] else None
        return wait_for(look, "files to be closed and gone")

    def test_sizes_around_a_block(self):
        block = 256 * 1024
        for size in [0, 1, block - 1, block, block + 1, 2 * block, 2 * block + 1, 5 * block]:
            data = random.Random(size).randbytes(size)
            answer = self.server.request("POST", "/upload", MULTIPART,
                                         multipart([("name", None, b"n"), ("file", "f", data)]))
            self.assertEqual(answer.code, 201, answer.body)
            self.assertEqual((self.server.folder / answer.json()["path"]).read_bytes(), data)
        self.assertEqual(self.settled()["broken"], 0)

    def test_bytes_that_look_like_boundaries(self):
        data = b"\r\n--XBOUND" * 100000 + b"\r\n--XBOUND\r\n-\r\n--XBOUNDY--\r\r\n"
        answer = self.server.request("POST", "/upload", MULTIPART,
                                     multipart([("name", None, b"n"), ("file", "f", data)]))
        self.assertEqual((self.server.folder / answer.json()["path"]).read_bytes(), data)

    def test_chunks_of_any_size(self):
        generator = random.Random(7)
        data = generator.randbytes(600000)
        body = multipart([("name", None, b"n"), ("file", "f", data)])
        chunks = b""
        while body:
            size = generator.choice([1, 5, 100, 70000])
            chunks += b"%x\r\n%s\r\n" % (len(body[:size]), body[:size])
            body = body[size:]
        answer = self.server.send(head() + chunks + b"0\r\n\r\n")
        self.assertEqual(answer.code, 201, answer.body)
        self.assertEqual((self.server.folder / answer.json()["path"]).read_bytes(), data)

    def test_bodies_that_are_refused(self):
        file_part = PART % (b"file", FILE, b"data")
        end = b"--XBOUNDX--\r\n"
        cases = {
            "cut off": (NAME + file_part, 400),
            "cut off in the file": ((NAME + file_part)[:-3], 400),
            "cut off in the last boundary": (NAME + file_part + end[:-3], 400),
            "cut off in a header": (NAME + file_part[:20], 400),
            "nothing": (b"", 400),
            "another boundary": ((NAME + file_part + end).replace(b"XBOUNDX", b"YBOUNDY"), 400),
            "something after it": (NAME + file_part + end + b"more", 400),
            "file not last": (NAME + file_part + PART % (b"x", b"", b"y") + end, 400),
            "two files": (NAME + file_part + file_part + end, 400),
            "field twice": (NAME + NAME + file_part + end, 400),
            "field not UTF-8": (PART % (b"name", b"", b"\xff") + file_part + end, 400),
            "field with a NUL": (PART % (b"name", b"", b"a\0b") + file_part + end, 400),
            "nested": (NAME + file_part.replace(b"\r\n\r\n", b"\r\nContent-Type: multipart/mixed\r\n\r\n") + end, 400),
            "refused by the route": (file_part + end, 422),
            "17 parts": (b"".join(PART % (b"%d" % i, b"", b"") for i in range(16)) + file_part + end, 400),
            "header of 1 MiB": (NAME + file_part.replace(b"\r\n\r\n", b"\r\nX: " + b"y" * (1 << 20) + b"\r\n\r\n") + end, 400),
            "fields too long": (PART % (b"name", b"", b"y" * 300000) + file_part + end, 413),
            "file too long": (PART % (b"name", b"", b"small") + PART % (b"file", FILE, b"y" * 1001) + end, 413),
        }
        for name, (body, code) in cases.items():
            with self.subTest(name=name):
                answer = self.server.request("POST", "/upload", MULTIPART, body)
                self.assertEqual(answer.code, code, answer.body)
                self.assertEqual(answer.headers["content-type"], "application/problem+json")
        self.assertEqual(self.settled()["whole"], 0)
        self.assertEqual(self.server.counts()["handled"], 0)

    def test_types_that_are_refused(self):
        for kind, code in [("multipart/mixed; boundary=X", 415), ("application/zip", 415), ("multipart/form-data", 400),
                           ("multipart/form-data; boundary=" + "b" * 71, 400),
                           ("multipart/form-data; boundary=" + "b" * 9000, 400),
                           ("multipart/form-data; boundary=\"a\\\tb\"", 400)]:
            self.assertEqual(self.server.send(head(5, kind) + b"12345").code, code, kind)

    def test_exactly_the_size_that_is_taken(self):
        body = PART % (b"name", b"", b"small") + PART % (b"file", FILE, b"y" * 1000) + b"--XBOUNDX--"
        self.assertEqual(self.server.request("POST", "/upload", MULTIPART, body).code, 201)

    def test_no_file_at_all_is_the_handlers_to_judge(self):
        answer = self.server.request("POST", "/upload", MULTIPART, multipart([("name", None, b"n")]))
        self.assertEqual((answer.code, answer.json()), (201, {"name": "n"}))

    def test_a_refusal_in_the_middle_is_seen_while_the_rest_is_sent(self):
        body = PART % (b"name", b"", b"small") + PART % (b"file", FILE, b"y" * 20_000_000) + b"--XBOUNDX--"
        with self.server.connect() as sock:
            try:
                sock.sendall(head(len(body)) + body)
            except (BrokenPipeError, ConnectionResetError):
                self.fail("reset before the answer could be read")
            answer = read_answer(sock)
            self.assertEqual((answer.code, answer.headers["connection"]), (413, "close"))
            self.assertEqual(read_to_end(sock, answer.rest), b"")
        self.assertEqual(self.settled()["broken"], 1)

    def test_a_client_that_vanishes_leaves_nothing(self):
        body = multipart([("name", None, b"n"), ("file", "f", b"y" * 2_000_000)])
        without_file, with_file = [10, len(NAME)], [300_000, 1_999_999, len(body) - 30, len(body) - 1]
        for at in without_file + with_file:
            with self.server.connect() as sock:
                sock.sendall(head(len(body)) + body[:at])
        counts = self.settled(len(with_file))
        self.assertEqual((counts["whole"], counts["broken"], counts["handled"]), (0, len(with_file), 0))

    def test_a_client_that_resets_leaves_nothing(self):
        body = multipart([("name", None, b"n"), ("file", "f", b"y" * 2_000_000)])
        for at in [len(NAME) + 100, 300_000, 1_999_999]:
            sock = self.server.connect()
            sock.sendall(head(len(body)) + body[:at])
            sock.setsockopt(1, 13, b"\1\0\0\0\0\0\0\0") # SO_LINGER, 0 seconds: close resets
            sock.close()
        wait_for(lambda: not self.server.files(), "the files to go")
        self.assertEqual(self.settled()["whole"], 0)

    def test_many_at_once(self):
        bodies = [multipart([("name", None, b"n"), ("file", "f", random.Random(i).randbytes(700_000 + i))])
                  for i in range(20)]
        socks = [self.server.connect() for _ in bodies]
        for start in range(0, 800_000, 50_000):
            for sock, body in zip(socks, bodies):
                if start == 0:
                    sock.sendall(head(len(body)))
                sock.sendall(body[start:start + 50_000])
        for i, sock in enumerate(socks):
            answer = read_answer(sock)
            data = (self.server.folder / answer.json()["path"]).read_bytes()
            self.assertEqual(data, random.Random(i).randbytes(700_000 + i))
            sock.close()


class Limits(unittest.TestCase):
    def test_no_more_uploads_at_once_than_the_limit(self):
        with Server(upload_count=2) as server:
            body = multipart([("name", None, b"n"), ("file", "f", b"y" * 1000)])
            socks = [server.connect() for _ in range(2)]
            for sock in socks:
                sock.sendall(head(len(body)) + body[:-1])
            wait_for(lambda: server.counts()["open"] == 2, "two uploads")
            answer = server.request("POST", "/upload", MULTIPART, body)
            self.assertEqual((answer.code, answer.headers["retry-after"]), (503, "5"))
            for sock in socks:
                sock.sendall(body[-1:])
                self.assertEqual(read_answer(sock).code, 201)
                sock.close()
            self.assertEqual(server.request("POST", "/upload", MULTIPART, body).code, 201)

    def test_bodies_in_memory_are_bounded_together(self):
        with Server(json_size=20 << 20) as server:
            json_head = b"POST /echo HTTP/1.1\r\nHost: test\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
            size = 15 << 20
            socks = [server.connect() for _ in range(5)]
            for sock in socks: # 5 times 15 MiB, and 64 MiB there are
                sock.sendall(json_head % (size + 1) + b" " * size)
            refused, _, _ = select.select(socks, [], [], 60)
            self.assertEqual([read_answer(sock).code for sock in refused], [503])
            for sock in socks:
                sock.close()
            wait_for(lambda: server.request("POST", "/echo", {"Content-Type": "application/json"},
                                            b" " * size + b"1").code == 200, "the memory to be free")


class FullDisk(unittest.TestCase):
    def test_a_full_disk_is_507_and_the_server_lives(self):
        folder = tempfile.mkdtemp(prefix="dv-http-", dir="/tmp")
        self.addCleanup(shutil.rmtree, folder, ignore_errors=True)
        mount = ["unshare", *([] if os.getuid() == 0 else ["-r"]), "-m", "sh", "-c",
                 f'mount -t tmpfs -o size=4m none {folder} && exec "$0" "$@"']
        if subprocess.run([*mount, "true"], capture_output=True, check=False).returncode != 0:
            self.skipTest("this machine lets nobody mount a small disk")
        with Server(folder, wrapper=mount) as server:
            big = multipart([("name", None, b"n"), ("file", "f", b"y" * (6 << 20))])
            small = multipart([("name", None, b"n"), ("file", "f", b"y" * (1 << 20))])
            for _ in range(3):
                answer = server.request("POST", "/upload", MULTIPART, big)
                self.assertEqual(answer.code, 507, answer.body)
                self.assertNotIn(folder.encode(), answer.body)
                wait_for(lambda: (lambda c: c["open"] == c["broken"] + c["whole"])(server.counts()), "it to be closed")
                self.assertEqual(server.request("POST", "/upload", MULTIPART, small).code, 201)
            self.assertEqual(server.counts()["whole"], 3)


if __name__ == "__main__":
    main()
