# SPDX-License-Identifier: Apache-2.0
"""Files in whole and in part, entity tags, attachments."""

import random
import unittest

from harness import Server, main, read_answer

CONTENT = random.Random(1).randbytes(3_000_000)


class Files(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = Server().__enter__()
        cls.addClassCleanup(cls.server.__exit__)
        (cls.server.folder / "content").write_bytes(CONTENT)

    def test_a_whole_file(self):
        answer = self.server.get("/file")
        self.assertEqual((answer.code, answer.body), (200, CONTENT))
        self.assertEqual(answer.headers["etag"], '"abc"')
        self.assertEqual(answer.headers["accept-ranges"], "bytes")
        self.assertNotIn("content-disposition", answer.headers)

    def test_content_that_begins_within_a_file(self):
        self.assertEqual(self.server.get("/file?offset=2999990").body, CONTENT[2999990:])
        answer = self.server.get("/file?offset=1000", Range="bytes=-10")
        self.assertEqual((answer.code, answer.body), (206, CONTENT[-10:]))
        self.assertEqual(answer.headers["content-range"], "bytes 2998990-2998999/2999000")
        self.assertEqual(self.server.get("/file?offset=1000", Range="bytes=0-4").body, CONTENT[1000:1005])
        empty = self.server.get("/file?offset=3000000")
        self.assertEqual((empty.code, empty.body, empty.headers["content-length"]), (200, b"", "0"))

    def test_ranges(self):
        size = len(CONTENT)
        for text, first, end in [("0-0", 0, 1), ("5-99", 5, 100), ("2999999-", size - 1, size), ("-7", size - 7, size),
                                 ("100000-2000000", 100000, 2000001), ("2999990-9999999999", 2999990, size)]:
            answer = self.server.get("/file", Range="bytes=" + text)
            self.assertEqual((answer.code, answer.body), (206, CONTENT[first:end]))
            self.assertEqual(answer.headers["content-range"], f"bytes {first}-{end - 1}/{size}")
        for text in ["5-2", "0-0,", "0-1,5-6", "0-0," * 3000, "x"]:
            answer = self.server.get("/file", Range="bytes=" + text)
            self.assertEqual((answer.code, len(answer.body)), (200, size))
        for text in ["3000000-", "-0"]:
            answer = self.server.get("/file", Range="bytes=" + text)
            self.assertEqual((answer.code, answer.headers["content-range"]), (416, f"bytes */{size}"))
            self.assertEqual(answer.headers["content-type"], "application/problem+json")

    def test_a_download_that_is_cut_is_resumed(self):
        data = b""
        while len(data) < len(CONTENT):
            with self.server.connect() as sock:
                sock.sendall(b"GET /file HTTP/1.1\r\nHost: test\r\nRange: bytes=%d-\r\nIf-Range: \"abc\"\r\n\r\n"
                             % len(data))
                got = b""
                while len(got) < 400_000 and len(got) - got.find(b"\r\n\r\n") - 4 + len(data) < len(CONTENT):
                    got += sock.recv(65536)
                self.assertIn(b" 206 ", got[:20])
                data += got.split(b"\r\n\r\n", 1)[1]
        self.assertEqual(data, CONTENT)

    def test_conditions(self):
        answer = self.server.get("/file", If_None_Match='"abc"')
        self.assertEqual((answer.code, answer.body, answer.headers["etag"]), (304, b"", '"abc"'))
        self.assertEqual(self.server.get("/file", If_None_Match='"x"').code, 200)
        self.assertEqual(self.server.get("/file", If_Match='"x"').code, 412)
        self.assertEqual(self.server.get("/file", If_Match='"abc"', Range="bytes=0-0").code, 206)
        self.assertEqual(self.server.get("/file", If_Range='"x"', Range="bytes=0-0").code, 200)
        with self.server.connect() as sock: # nothing is sent where nothing belongs: the next answer is in place
            sock.sendall(b"GET /file HTTP/1.1\r\nHost: test\r\nIf-None-Match: \"abc\"\r\n\r\n"
                         b"HEAD /file HTTP/1.1\r\nHost: test\r\nRange: bytes=0-0\r\n\r\n"
                         b"GET /echo HTTP/1.1\r\nHost: test\r\n\r\n")
            answer = read_answer(sock)
            self.assertEqual(answer.code, 304)
            answer = read_answer(sock, answer.rest, "HEAD")
            self.assertEqual((answer.code, answer.headers["content-length"]), (200, str(len(CONTENT))))
            self.assertEqual(read_answer(sock, answer.rest).code, 200)

    def test_assets(self):
        answer = self.server.get("/")
        self.assertEqual((answer.headers["etag"], answer.headers["cache-control"]), ('"p1"', "no-cache"))
        self.assertEqual(self.server.get("/", If_None_Match='W/"p1"').code, 304)
        self.assertEqual(self.server.get("/", Range="bytes=0-1").code, 200)

    def test_names_of_attachments(self):
        answer = self.server.get("/file?offset=2999999&name=a%20b%22%3B%C3%A4%2F.zip")
        self.assertEqual(answer.headers["content-disposition"],
                         "attachment; filename=\"a b_;___.zip\"; filename*=UTF-8''a%20b%22%3B%C3%A4%2F.zip")
        answer = self.server.get("/file?offset=2999999&name=a%0D%0AX-Evil:%201")
        self.assertNotIn("x-evil", answer.headers)
        self.assertEqual(answer.code, 200)
        answer = self.server.get("/file?offset=2999999&name=" + "%C3%A4" * 1000)
        self.assertEqual((answer.code, answer.body), (200, CONTENT[-1:]))

    def test_descriptors_are_given_back(self):
        before = self.server.descriptor_count()
        for _ in range(50):
            self.server.get("/file", Range="bytes=0-0")
            self.server.get("/file", If_None_Match='"abc"')
            self.server.get("/file", If_Match='"x"')
            self.server.get("/file", Range="bytes=-0")
            self.server.get("/file?offset=3000000")
            self.server.request("HEAD", "/file")
        with self.server.connect(receive_buffer=4096) as sock:
            sock.sendall(b"GET /file HTTP/1.1\r\nHost: test\r\n\r\n")
            sock.recv(10) # and gone in the middle
        for _ in range(500):
            if self.server.descriptor_count() <= before:
                break
            self.server.get("/echo")
        self.assertLessEqual(self.server.descriptor_count(), before)


if __name__ == "__main__":
    main()
