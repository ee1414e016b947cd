# SPDX-License-Identifier: Apache-2.0
"""Ordinary requests: routes, bodies, answers, headers."""

import unittest

from harness import MULTIPART, Server, main, multipart, read_answer, wait_for


class Requests(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = Server(json_size=2000).__enter__()
        cls.addClassCleanup(cls.server.__exit__)

    def check_problem(self, answer, code):
        self.assertEqual(answer.code, code, answer.body)
        self.assertEqual(answer.headers["content-type"], "application/problem+json")
        value = answer.json()
        self.assertEqual(value["status"], code)
        self.assertEqual(value["type"], "about:blank")
        self.assertTrue(value["title"])
        self.assertTrue(value["detail"])

    def test_a_route_has_its_parameters_query_headers_and_cookies(self):
        answer = self.server.get("/echo/a%20b%C3%A4?x=1&y=%C3%A4+z&e=", X_Test="v \t", Cookie="a=b; dv=c1; dv=c2")
        self.assertEqual(answer.code, 200)
        value = answer.json()
        self.assertEqual(value["id"], "a bä")
        self.assertEqual(value["path"], "/echo/a%20b%C3%A4")
        self.assertEqual(value["query"], {"x": "1", "y": "ä z", "e": ""})
        self.assertEqual((value["x"], value["cookie"], value["address"]), ("v", "c1", "127.0.0.1"))
        self.assertEqual(answer.headers["x-answer"], "yes")

    def test_literals_go_before_parameters_and_methods_decide(self):
        self.assertEqual(self.server.get("/echo/literal").json()["pattern"], "/echo/literal")
        self.assertEqual(self.server.get("/echo/other").json()["pattern"], "/echo/{id}")
        self.assertEqual(self.server.request("DELETE", "/echo/literal").json()["pattern"], "/echo/{id}")
        self.assertEqual(self.server.get("/echo/7/deep/a/b%20c").json()["rest"], "a/b c")

    def test_what_is_not_there_is_404_405_501(self):
        for path in ["/nothing", "/echo/", "/echo//", "//echo", "/echo/a/b", "/count/", "/Count"]:
            self.check_problem(self.server.get(path), 404)
        answer = self.server.request("PUT", "/echo")
        self.check_problem(answer, 405)
        self.assertEqual(answer.headers["allow"], "GET, HEAD, POST, OPTIONS")
        self.check_problem(self.server.request("BREW", "/echo"), 501)
        self.check_problem(self.server.request("TRACE", "/echo"), 501)

    def test_head_and_options(self):
        answer = self.server.request("HEAD", "/")
        self.assertEqual((answer.code, answer.body, answer.headers["content-length"]), (200, b"", "31"))
        answer = self.server.request("OPTIONS", "/echo/x")
        self.assertEqual((answer.code, answer.headers["allow"]), (204, "GET, HEAD, DELETE, OPTIONS"))
        self.assertFalse([name for name in answer.headers if name.startswith("access-control")])

    def test_every_answer_has_the_security_headers(self):
        for answer in [self.server.get("/echo"), self.server.get("/nothing"), self.server.get("/problem")]:
            self.assertEqual(answer.headers["x-content-type-options"], "nosniff")
            self.assertEqual(answer.headers["cache-control"], "no-store")
            self.assertEqual(answer.headers["referrer-policy"], "no-referrer")
            self.assertIn("sandbox", answer.headers["content-security-policy"])
        page = self.server.get("/")
        self.assertIn("script-src 'self'", page.headers["content-security-policy"])
        self.assertNotIn("sandbox", page.headers["content-security-policy"])

    def test_a_problem_has_its_pointers(self):
        answer = self.server.get("/problem")
        self.check_problem(answer, 422)
        self.assertEqual(answer.json()["errors"], [{"pointer": "/name", "message": "is missing"}])

    def test_json_bodies(self):
        self.assertEqual(self.server.post_json("/echo", {"a": [1, None]}).json()["body"], {"a": [1, None]})
        self.assertIsNone(self.server.request("POST", "/echo").json()["body"])
        for body in [b"{", b"[1,]", b'{"a":1,"a":2}', b"\xff", b'"\xed\xa0\x80"', b"NaN", b"1 2", b"[" * 900,
                     b"[" * 33 + b"]" * 33]:
            answer = self.server.request("POST", "/echo", {"Content-Type": "application/json"}, body)
            self.check_problem(answer, 400)
        for kind in ["text/plain", "application/jsonx", "", "multipart/form-data"]:
            self.check_problem(self.server.request("POST", "/echo", {"Content-Type": kind}, b"{}"), 415)
        good = self.server.request("POST", "/echo", {"Content-Type": "Application/JSON; charset=utf-8"}, b"{}")
        self.assertEqual(good.code, 200)

    def test_a_body_at_its_limit_and_one_byte_above(self):
        fits = b'"' + b"x" * 1998 + b'"'
        headers = {"Content-Type": "application/json"}
        self.assertEqual(self.server.request("POST", "/echo", headers, fits).code, 200)
        self.check_problem(self.server.request("POST", "/echo", headers, fits + b" "), 413)

    def test_chunked_bodies(self):
        head = (b"POST /echo HTTP/1.1\r\nHost: test\r\nContent-Type: application/json\r\n"
                b"Transfer-Encoding: chunked\r\n\r\n")
        answer = self.server.send(head + b'3\r\n{"a\r\n4\r\n":1}\r\n0\r\n\r\n')
        self.assertEqual(answer.json()["body"], {"a": 1})
        self.assertEqual(answer.headers["connection"], "close")
        one_by_one = b"".join(b"1\r\n \r\n" for _ in range(3000))
        self.check_problem(self.server.send(head + one_by_one + b"0\r\n\r\n"), 413)

    def test_a_body_where_none_belongs(self):
        self.check_problem(self.server.request("GET", "/echo", {}, b"x"), 400)
        self.check_problem(self.server.request("DELETE", "/echo/1", {}, b"x" * 100000), 400)
        self.assertEqual(self.server.request("GET", "/echo", {}, b"").code, 200)

    def test_a_coded_body_is_refused(self):
        headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
        self.check_problem(self.server.request("POST", "/echo", headers, b"{}"), 415)

    def test_admission_comes_before_the_body(self):
        handled = self.server.counts()["handled"]
        wrong = {"Authorization": "Bearer wrong"}
        self.check_problem(self.server.request("POST", "/echo", wrong, b"{}"), 401)
        head = "POST /upload HTTP/1.1\r\nHost: test\r\nAuthorization: Bearer wrong\r\nContent-Length: 99999999\r\n"
        with self.server.connect() as sock:
            sock.sendall((head + "Expect: 100-continue\r\n\r\n").encode())
            data = sock.recv(65536)
            self.assertTrue(data.startswith(b"HTTP/1.1 401"), data)
        with self.server.connect() as sock: # without waiting, and much of it: the answer is seen all the same
            sock.sendall((head + "\r\n").encode() + b"x" * 3000000)
            answer = read_answer(sock)
            self.check_problem(answer, 401)
            self.assertEqual(answer.headers["www-authenticate"], "Bearer")
            self.assertEqual(answer.headers["connection"], "close")
            self.assertEqual(answer.rest + sock.recv(10), b"")
        self.assertEqual(self.server.counts()["handled"], handled)

    def test_a_connection_is_kept_after_a_refusal(self):
        with self.server.connect() as sock:
            body = b"x" * 1000
            sock.sendall(b"POST /echo HTTP/1.1\r\nHost: test\r\nAuthorization: Bearer wrong\r\n"
                         b"Content-Length: 1000\r\n\r\n" + body + b"GET /echo HTTP/1.1\r\nHost: test\r\n\r\n")
            first = read_answer(sock)
            self.assertEqual(first.code, 401)
            self.assertEqual(read_answer(sock, first.rest).code, 200)

    def test_an_upload_lands_in_its_file(self):
        data = bytes(range(256)) * 5000
        body = multipart([("name", None, "ä".encode()), ("file", "../../x.zip", data)])
        answer = self.server.request("POST", "/upload", MULTIPART, body)
        self.assertEqual(answer.code, 201, answer.body)
        value = answer.json()
        self.assertEqual((value["name"], value["size"]), ("ä", len(data)))
        self.assertEqual((self.server.folder / value["path"]).read_bytes(), data)

    def test_pipelined_requests_are_answered_in_order(self):
        with self.server.connect() as sock:
            sock.sendall(b"".join(b"GET /echo/%d HTTP/1.1\r\nHost: test\r\n\r\n" % i for i in range(100)))
            rest = b""
            for i in range(100):
                answer = read_answer(sock, rest)
                self.assertEqual(answer.json()["id"], str(i))
                rest = answer.rest

    def test_old_clients(self):
        with self.server.connect() as sock:
            sock.sendall(b"GET /echo HTTP/1.0\r\nHost: localhost\r\nConnection: keep-alive\r\n\r\n")
            answer = read_answer(sock)
            self.assertEqual(answer.code, 200)
            self.assertEqual(sock.recv(10), b"")

    def test_done_is_called_for_each_answer(self):
        with Server() as server:
            for path in ["/echo", "/nothing", "/problem"]:
                server.get(path)
            # A call that is answered may not be counted yet, so one's own counts are not.
            wait_for(lambda: server.counts()["done"] >= 3, "three to be done")


if __name__ == "__main__":
    main()
