# SPDX-License-Identifier: Apache-2.0
"""Requests that mean one thing to a proxy and another to a server, as a table: none of them may let a second,
smuggled request be answered, and each is refused or read in the one way that is left."""

import unittest

from harness import Answer, Server, main, read_answer, read_to_end

EVIL = b"DELETE /echo/evil HTTP/1.1\r\nHost: test\r\n\r\n"
POST = b"POST /echo HTTP/1.1\r\nHost: test\r\nContent-Type: application/json\r\n"
GET = b"GET /echo HTTP/1.1\r\nHost: test\r\n"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"


def fields(count):
    return b"".join(b"X-%d: y\r\n" % i for i in range(count))


CLOSED = 0 # without an answer

# Name: what is sent, the codes one of which is right. The connection has to end.
REFUSED = {
    # Lengths.
    "length and coding": (POST + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + EVIL, [400]),
    "coding and length": (POST + b"Transfer-Encoding: chunked\r\nContent-Length: %d\r\n\r\n0\r\n\r\n" % (5 + len(EVIL))
                          + EVIL, [400]),
    "two lengths": (POST + b"Content-Length: 0\r\nContent-Length: %d\r\n\r\n" % len(EVIL) + EVIL, [400]),
    "two equal lengths": (POST + b"Content-Length: 2\r\nContent-Length: 2\r\n\r\n{}" + EVIL, [400]),
    "two lengths in one": (POST + b"Content-Length: 5, 5\r\n\r\n{}   " + EVIL, [400]),
    "a plus": (POST + b"Content-Length: +5\r\n\r\n{}   " + EVIL, [400]),
    "a minus": (POST + b"Content-Length: -1\r\n\r\n" + EVIL, [400]),
    "hexadecimal length": (POST + b"Content-Length: 0x5\r\n\r\n{}   " + EVIL, [400]),
    "empty length": (POST + b"Content-Length: \r\n\r\n" + EVIL, [400]),
    "spaced length": (POST + b"Content-Length: 5 5\r\n\r\n{}   " + EVIL, [400]),
    "length of 2^64": (POST + b"Content-Length: 18446744073709551616\r\n\r\n" + EVIL, [400, 413]),
    # Codings.
    "xchunked": (POST + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n" + EVIL, [400, 501]),
    "xchunked and length": (POST + b"Content-Length: 5\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n" + EVIL,
                            [400, 501]),
    "gzip, chunked": (POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n" + EVIL, [400, 501]),
    "two codings": (POST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n" + EVIL, [400]),
    "vertical tab": (POST + b"Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n" + EVIL, [400]),
    "blank before the colon": (POST + b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n" + EVIL, [400]),
    "tab before the colon": (POST + b"Transfer-Encoding\t: chunked\r\n\r\n0\r\n\r\n" + EVIL, [400]),
    "length with a blank": (POST + b"Content-Length : %d\r\n\r\n" % len(EVIL) + EVIL, [400]),
    "coding in HTTP/1.0": (CHUNKED.replace(b"1.1", b"1.0") + b"0\r\n\r\n" + EVIL, [400]),
    # Lines.
    "folded header": (GET + b"X-Test: a\r\n b\r\n\r\n" + EVIL, [400]),
    "folded with a tab": (GET + b"X-Test: a\r\n\tb\r\n\r\n" + EVIL, [400]),
    "folded coding": (POST + b"Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n" + EVIL, [400]),
    "folded first": (b"GET /echo HTTP/1.1\r\n Host: test\r\n\r\n" + EVIL, [400]),
    "bare CR in a value": (GET + b"X-Test: a\rContent-Length: 5\r\n\r\n" + EVIL, [400]),
    "bare LF after the first line": (b"GET /echo HTTP/1.1\nHost: test\r\n\r\n" + EVIL, [400]),
    "bare LF in the header": (b"GET /echo HTTP/1.1\r\nHost: test\nX-Test: a\r\n\r\n" + EVIL, [400]),
    "bare LF at its end": (b"GET /echo HTTP/1.1\r\nHost: test\r\n\n" + EVIL, [400]),
    "bare LF everywhere": (b"GET /echo HTTP/1.1\nHost: test\n\n" + EVIL, [400]),
    "bare LF balanced by blanks": (b"GET /echo HTTP/1.1\r\nHost:  test\nX-Test:  a\n\r\n" + EVIL, [400]),
    "NUL in a value": (GET + b"X-Test: a\x00b\r\n\r\n" + EVIL, [400]),
    "NUL before a value": (GET + b"X-Test: \x00b\r\n\r\n" + EVIL, [400]),
    "NUL in a name": (GET + b"X-\x00Test: a\r\n\r\n" + EVIL, [400]),
    "NUL in the target": (b"GET /echo\x00.html HTTP/1.1\r\nHost: test\r\n\r\n" + EVIL, [400]),
    "NUL in the query": (b"GET /echo?a=\x00b HTTP/1.1\r\nHost: test\r\n\r\n" + EVIL, [400]),
    "NUL in the method": (b"GET\x00X /echo HTTP/1.1\r\nHost: test\r\n\r\n" + EVIL, [400]),
    "control in a name": (GET + b"X\x01Test: a\r\n\r\n" + EVIL, [400]),
    "bracket in a name": (GET + b"X(Test: a\r\n\r\n" + EVIL, [400]),
    "empty name": (GET + b": a\r\n\r\n" + EVIL, [400]),
    "no colon": (GET + b"X-Test\r\n\r\n" + EVIL, [400]),
    # First lines.
    "HTTP/2.0": (b"GET /echo HTTP/2.0\r\nHost: test\r\n\r\n" + EVIL, [400, 505]),
    "HTTP/1.1x": (b"GET /echo HTTP/1.1x\r\nHost: test\r\n\r\n" + EVIL, [400, 505]),
    "HTTP/0.9": (b"GET /echo HTTP/0.9\r\nHost: test\r\n\r\n" + EVIL, [400, 505]),
    "HTTP/1.2": (b"GET /echo HTTP/1.2\r\nHost: test\r\n\r\n" + EVIL, [400, 505]),
    "http/1.1": (b"GET /echo http/1.1\r\nHost: test\r\n\r\n" + EVIL, [400, 505]),
    "no version": (b"GET /echo\r\nHost: test\r\n\r\n" + EVIL, [400, 505]),
    "two blanks": (b"GET  /echo HTTP/1.1\r\nHost: test\r\n\r\n" + EVIL, [400]),
    "blanks before the version": (b"GET /echo  HTTP/1.1\r\nHost: test\r\n\r\n" + EVIL, [400]),
    "blank at the line's end": (b"GET /echo HTTP/1.1 \r\nHost: test\r\n\r\n" + EVIL, [400, 505]),
    "tab for a blank": (b"GET\t/echo\tHTTP/1.1\r\nHost: test\r\n\r\n" + EVIL, [400, CLOSED]),
    "blank in the target": (b"GET /echo?a=b c HTTP/1.1\r\nHost: test\r\n\r\n" + EVIL, [400]),
    "unknown method": (b"GE(T /echo HTTP/1.1\r\nHost: test\r\n\r\n" + EVIL, [400]),
    # Hosts.
    "no host": (b"GET /echo HTTP/1.1\r\n\r\n" + EVIL, [400]),
    "two hosts": (GET + b"Host: other\r\n\r\n" + EVIL, [400]),
    "empty host": (b"GET /echo HTTP/1.1\r\nHost: \r\n\r\n" + EVIL, [400]),
    "port of 99999": (b"GET /echo HTTP/1.1\r\nHost: test:99999\r\n\r\n" + EVIL, [400]),
    "at sign": (b"GET /echo HTTP/1.1\r\nHost: test@evil\r\n\r\n" + EVIL, [400]),
    "host with a path": (b"GET /echo HTTP/1.1\r\nHost: test/x\r\n\r\n" + EVIL, [400]),
    "host list": (b"GET /echo HTTP/1.1\r\nHost: test, evil\r\n\r\n" + EVIL, [400]),
    # Sizes.
    "header of 64 KiB": (GET + b"X: " + b"y" * 65536 + b"\r\n\r\n" + EVIL, [431]),
    "header above its limit": (GET + b"X: " + b"y" * 16384 + b"\r\n\r\n" + EVIL, [431]),
    "2000 fields": (GET + fields(2000) + b"\r\n" + EVIL, [431]),
    "65 fields": (GET + fields(64) + b"\r\n" + EVIL, [431]),
    "target of 20 KiB": (b"GET /echo?a=" + b"y" * 20480 + b" HTTP/1.1\r\nHost: test\r\n\r\n" + EVIL, [414]),
    "target above its limit": (b"GET /" + b"y" * 8192 + b" HTTP/1.1\r\nHost: test\r\n\r\n" + EVIL, [414]),
    "4000 query parameters": (b"GET /echo?" + b"&a" * 4000 + b" HTTP/1.1\r\nHost: test\r\n\r\n", [400, 414, 431, CLOSED]),
    # Fields of which there may be one.
    "two authorizations": (GET + b"Authorization: Bearer a\r\nAuthorization: Bearer b\r\n\r\n" + EVIL, [400]),
    "two cookies": (GET + b"Cookie: dv=a\r\nCookie: dv=b\r\n\r\n" + EVIL, [400]),
    "two types": (POST + b"Content-Type: text/plain\r\n\r\n" + EVIL, [400]),
    "unknown expectation": (POST + b"Expect: 200-ok\r\nContent-Length: 2\r\n\r\n", [417]),
    # Chunks.
    "chunk size 0x5": (CHUNKED + b"0x5\r\n{}   \r\n0\r\n\r\n" + EVIL, [400]),
    "chunk size -1": (CHUNKED + b"-1\r\n{}\r\n0\r\n\r\n" + EVIL, [400]),
    "chunk size above 2^64": (CHUNKED + b"10000000000000005\r\n{}   \r\n0\r\n\r\n" + EVIL, [400, 413]),
    "no chunk size": (CHUNKED + b"\r\n{}\r\n0\r\n\r\n" + EVIL, [400]),
    "longer than its chunk": (CHUNKED + b"2\r\n{}   \r\n0\r\n\r\n" + EVIL, [400]),
    "no line end after a chunk": (CHUNKED + b"2\r\n{}0\r\n\r\n" + EVIL, [400]),
    "blank before a chunk size": (CHUNKED + b" 2\r\n{}\r\n0\r\n\r\n" + EVIL, [400]),
}

# What may be answered, as the first request says, if then nothing more is read off the connection.
ENDED = {
    "chunk size ended by LF": (CHUNKED + b"2\n{}\r\n0\r\n\r\n" + EVIL, [200, 400]),
    "LF in a chunk extension": (CHUNKED + b"2;\n{}\r\n0\r\n\r\n" + EVIL, [200, 400]),
    "chunk extension": (CHUNKED + b"2;a=b\r\n{}\r\n0\r\n\r\n" + EVIL, [200, 400]),
    "40 leading zeros": (CHUNKED + b"0" * 40 + b"2\r\n{}\r\n0\r\n\r\n" + EVIL, [200, 400]),
    "smuggled after a chunk": (CHUNKED + b"2\r\n{}\r\n0\r\n\r\n" + EVIL, [200]),
    "trailers": (CHUNKED + b"2\r\n{}\r\n0\r\nAuthorization: Bearer wrong\r\nContent-Length: 40\r\nHost: evil\r\n\r\n"
                 + EVIL, [200]),
    "HTTP/1.0": (b"GET /echo HTTP/1.0\r\nHost: test\r\n\r\n" + EVIL, [200]),
}

# Refused for what they ask, not for how: the connection may go on, and what follows is a request.
ASKED_WRONGLY = {
    "NUL escape": (b"/echo/a%00b", [400]), "dot escape": (b"/echo/%2e%2e%2f", [400]),
    "backslash escape": (b"/echo/..%5c", [400]), "overlong dots": (b"/echo/%c0%ae%c0%ae", [400]),
    "%u escape": (b"/echo/%u002e", [400]), "half an escape": (b"/echo/a%4", [400]), "dots": (b"/echo/../count", [400]),
    "dot": (b"/echo/./x", [400]), "last dots": (b"/echo/..", [400]), "control escape": (b"/echo/a%0d%0ab", [400]),
    "backslash": (b"/echo\\x", [400]), "fragment": (b"/echo#x", [400]), "bytes": (b"/echo/\xff", [400]),
    "not UTF-8": (b"/echo/%ff", [400]), "absolute": (b"http://evil.example/echo", [400]), "star": (b"*", [400]),
    "no slash": (b"echo", [400]), "many segments": (b"/a" * 20, [400]), "twice": (b"/echo?a=1&a=2", [400]),
    "escaped twice": (b"/echo?a=1&%61=2", [400]), "query not UTF-8": (b"/echo?a=%ff", [400]),
    "NUL in the query": (b"/echo?a=%00", [400]), "33 parameters": (b"/echo?" + b"&".join(b"a%d" % i for i in range(33)),
                                                                 [400]),
    "semicolon": (b"/echo;/../count", [400]), "semicolons": (b"/echo/1;x=y/..;/count", [404]),
    "double escape": (b"/count%252e%252e%252f", [404]),
}


class Framing(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = Server(header_seconds=1).__enter__()
        cls.addClassCleanup(cls.server.__exit__)

    def send(self, data):
        """The first answer and how many there were until the connection ended."""
        with self.server.connect(timeout=20) as sock:
            try:
                sock.sendall(data)
            except (BrokenPipeError, ConnectionResetError):
                pass
            try:
                answer = read_answer(sock)
            except EOFError as error:
                if error.args[0]:
                    raise
                return Answer(CLOSED, {}, b""), 1
            rest = read_to_end(sock, answer.rest)
            return answer, 1 + rest.count(b"HTTP/1.1 ")

    def check_table(self, table):
        for name, (data, codes) in table.items():
            for blanks in [b"", b"\r\n"]: # an empty line before the first is to be ignored
                with self.subTest(name=name, blanks=blanks):
                    handled = self.server.counts()["handled"]
                    answer, count = self.send(blanks + data)
                    self.assertIn(answer.code, codes, answer.body)
                    self.assertEqual(count, 1, "a smuggled request was answered")
                    expected = 1 if answer.code == 200 else 0
                    self.assertEqual(self.server.counts()["handled"] - handled, expected)
                    self.assertNotIn(b"/tmp", answer.body)

    def test_what_cannot_be_framed_is_refused_and_the_connection_ends(self):
        self.check_table(REFUSED)

    def test_what_may_be_answered_ends_the_connection(self):
        self.check_table(ENDED)

    def test_refusals_are_problem_documents(self):
        ours = ["length and coding", "two lengths", "folded header", "NUL in the target", "two hosts", "65 fields"]
        for name in ours:
            answer, _ = self.send(REFUSED[name][0])
            self.assertEqual(answer.headers["content-type"], "application/problem+json", name)
            self.assertEqual(answer.json()["status"], answer.code)

    def test_targets_that_would_have_to_be_normalised(self):
        for name, (target, codes) in ASKED_WRONGLY.items():
            with self.subTest(name=name):
                with self.server.connect() as sock:
                    sock.sendall(b"GET " + target + b" HTTP/1.1\r\nHost: test\r\n\r\n" + GET + b"\r\n")
                    answer = read_answer(sock)
                    self.assertIn(answer.code, codes, answer.body)
                    self.assertEqual(answer.headers["content-type"], "application/problem+json")
                    self.assertEqual(read_answer(sock, answer.rest).code, 200)

    def test_hosts(self):
        for host in [b"test", b"TEST:80", b"localhost:8080", b"127.0.0.1"]:
            self.assertEqual(self.server.send(b"GET /echo HTTP/1.1\r\nHost: " + host + b"\r\n\r\n").code, 200)
        for host in [b"evil.example", b"test.evil", b"[::1]", b"[::1]:80", b"tes", b"testt", b"localhost.:80"]:
            answer = self.server.send(b"GET /echo HTTP/1.1\r\nHost: " + host + b"\r\n\r\n")
            self.assertEqual(answer.code, 421, host)
            self.assertNotIn("set-cookie", answer.headers)

    def test_at_their_limits_they_are_answered(self):
        head = GET + fields(63)
        self.assertEqual(self.server.send(head + b"\r\n").code, 200)
        long = GET + b"X: "
        self.assertEqual(self.server.send(long + b"y" * (16384 - len(long) - 4) + b"\r\n\r\n").code, 200)
        self.assertEqual(self.server.send(long + b"y" * (16385 - len(long) - 4) + b"\r\n\r\n").code, 431)
        target = b"/echo?a=" + b"y" * (8192 - 8)
        self.assertEqual(self.server.send(b"GET " + target + b" HTTP/1.1\r\nHost: test\r\n\r\n").code, 200)
        self.assertEqual(self.server.send(b"GET " + target + b"y HTTP/1.1\r\nHost: test\r\n\r\n").code, 414)

    def test_blanks_around_values_are_no_harm(self):
        data = b"GET /echo HTTP/1.1\r\nHost:test\r\nX-Test:\t a b \t \r\nX-Empty:\r\nX-Blank: \r\n\r\n"
        with self.server.connect() as sock:
            sock.sendall(data + data)
            first = read_answer(sock)
            self.assertEqual((first.code, first.json()["x"]), (200, "a b"))
            self.assertEqual(read_answer(sock, first.rest).code, 200)

    def test_every_cut_of_a_request_over_two_writes(self):
        data = POST + b"Content-Length: 7\r\n\r\n{\"a\":1}"
        with self.server.connect() as sock:
            sock.setsockopt(6, 1, 1) # TCP_NODELAY
            for at in range(1, len(data)):
                sock.sendall(data[:at])
                sock.sendall(data[at:])
                answer = read_answer(sock)
                self.assertEqual((answer.code, answer.json()["body"]), (200, {"a": 1}), at)

    def test_ten_megabytes_of_six_byte_chunks_are_refused_before_the_body(self):
        data = (b"POST /echo HTTP/1.1\r\nHost: test\r\nAuthorization: Bearer wrong\r\nContent-Type: application/json\r\n"
                b"Transfer-Encoding: chunked\r\n\r\n" + b"6;a=b\r\n      \r\n" * 700000)
        answer, count = self.send(data)
        self.assertEqual((answer.code, count), (401, 1))


if __name__ == "__main__":
    main()
