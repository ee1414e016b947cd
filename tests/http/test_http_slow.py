# SPDX-License-Identifier: Apache-2.0
"""Clients that take their time, in each phase, with shortened deadlines; and thousands at once."""

import resource
import socket
import threading
import time
import unittest

from harness import Server, main, multipart, read_answer, read_to_end, wait_for

class Drip(threading.Thread):
    """Sends a byte now and then until the other side has had enough."""

    def __init__(self, sock, data, pause):
        super().__init__(daemon=True)
        self.sock, self.data, self.pause = sock, data, pause
        self.start()

    def run(self):
        try:
            for i in range(len(self.data)):
                self.sock.send(self.data[i:i + 1])
                time.sleep(self.pause)
        except OSError:
            pass


def is_ended(sock):
    """Wait for the other side to close."""
    try:
        read_to_end(sock)
        return True
    except TimeoutError:
        return False


class Slow(unittest.TestCase):
    def test_nothing_is_sent(self):
        with Server(header_seconds=1) as server, server.connect() as sock:
            self.assertTrue(is_ended(sock))

    def test_a_header_that_drips(self):
        with Server(header_seconds=1) as server:
            socks = [server.connect() for _ in range(50)]
            for sock in socks:
                Drip(sock, b"GET /echo HTTP/1.1\r\nX: " + b"y" * 10000, 0.1)
            self.assertEqual(server.get("/echo").code, 200)
            for sock in socks:
                self.assertTrue(is_ended(sock))
                sock.close()
            self.assertEqual(server.counts()["handled"], 1)

    def test_a_later_header_that_drips(self):
        with Server(header_seconds=1, idle_seconds=60) as server, server.connect() as sock:
            sock.sendall(b"GET /echo HTTP/1.1\r\nHost: test\r\n\r\n")
            self.assertEqual(read_answer(sock).code, 200)
            Drip(sock, b"GET /echo HTTP/1.1\r\nX: " + b"y" * 10000, 0.01)
            self.assertTrue(is_ended(sock))

    def test_nothing_more_is_asked(self):
        with Server(idle_seconds=1) as server, server.connect() as sock:
            sock.sendall(b"GET /echo HTTP/1.1\r\nHost: test\r\n\r\n")
            answer = read_answer(sock)
            self.assertEqual(read_to_end(sock, answer.rest), b"")

    def test_a_body_that_drips(self):
        with Server(body_grace_seconds=1, rate_seconds=1) as server:
            json_head = b"POST /echo HTTP/1.1\r\nHost: test\r\nContent-Type: application/json\r\n"
            for framing in [b"Content-Length: 5000\r\n\r\n", b"Transfer-Encoding: chunked\r\n\r\n1388\r\n"]:
                with server.connect() as sock:
                    sock.sendall(json_head + framing)
                    Drip(sock, b" " * 5000, 0.05)
                    self.assertTrue(is_ended(sock))
            self.assertEqual(server.counts()["handled"], 0)

    def test_trailers_that_drip(self):
        with Server(body_grace_seconds=1, rate_seconds=1) as server, server.connect() as sock:
            sock.sendall(b"POST /echo HTTP/1.1\r\nHost: test\r\nContent-Type: application/json\r\n"
                         b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n")
            Drip(sock, b"X: " + b"y" * 1000, 0.05)
            self.assertTrue(is_ended(sock))
            self.assertEqual(server.counts()["handled"], 0)

    def test_an_upload_that_stalls_is_closed_and_forgotten(self):
        with Server(body_grace_seconds=1, rate_seconds=1) as server, server.connect() as sock:
            body = multipart([("name", None, b"n"), ("file", "f", b"y" * 3_000_000)])
            sock.sendall(b"POST /upload HTTP/1.1\r\nHost: test\r\nContent-Type: multipart/form-data; "
                         b"boundary=XBOUNDX\r\nContent-Length: %d\r\n\r\n" % len(body) + body[:1_000_000])
            self.assertTrue(is_ended(sock))
            wait_for(lambda: server.counts()["broken"] == 1, "the file to be closed")
            self.assertEqual(server.files(), [])

    def test_who_is_above_the_rate_may_take_long(self):
        with Server(body_grace_seconds=1, rate_seconds=1, body_rate=1000) as server, server.connect() as sock:
            body = multipart([("name", None, b"n"), ("file", "f", b"y" * 1_000_000)])
            sock.sendall(b"POST /upload HTTP/1.1\r\nHost: test\r\nContent-Type: multipart/form-data; "
                         b"boundary=XBOUNDX\r\nContent-Length: %d\r\n\r\n" % len(body))
            for start in range(0, len(body), 20_000): # two or three windows
                sock.sendall(body[start:start + 20_000])
                time.sleep(0.05)
            self.assertEqual(read_answer(sock).code, 201)

    def test_an_answer_that_is_not_read(self):
        with Server(rate_seconds=1) as server:
            with open(server.folder / "content", "wb") as file:
                file.truncate(100 << 20)
            before, descriptors = server.memory_kb(), server.descriptor_count()
            socks = [server.connect(receive_buffer=4096) for _ in range(50)]
            for sock in socks:
                sock.sendall(b"GET /file HTTP/1.1\r\nHost: test\r\n\r\n")
                self.assertEqual(len(sock.recv(10)), 10)
            self.assertLess(server.memory_kb() - before, 64 << 10) # of 5 GB
            # Who still reads at its own pace gets all of it meanwhile.
            self.assertEqual(len(server.get("/file").body), 100 << 20)
            wait_for(lambda: server.descriptor_count() <= descriptors + 1, "them to be cut")
            for sock in socks:
                self.assertLess(len(read_to_end(sock)), 100 << 20)
                sock.close()

    def test_half_requests_and_ends(self):
        whole = b"POST /echo HTTP/1.1\r\nHost: test\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
        with Server() as server:
            descriptors = server.descriptor_count()
            for at in range(len(whole)):
                with server.connect() as sock:
                    sock.sendall(whole[:at])
                    sock.shutdown(socket.SHUT_WR)
                    self.assertEqual(read_to_end(sock), b"")
            self.assertEqual(server.counts()["handled"], 0)
            wait_for(lambda: server.descriptor_count() <= descriptors + 1, "descriptors to be given back")

    def test_pipelined_and_reset(self):
        with Server() as server:
            descriptors = server.descriptor_count()
            for _ in range(20):
                sock = server.connect()
                sock.sendall(b"GET /echo HTTP/1.1\r\nHost: test\r\n\r\n" * 100)
                sock.setsockopt(1, 13, b"\1\0\0\0\0\0\0\0") # SO_LINGER, 0 seconds: close resets
                sock.close()
            self.assertEqual(server.get("/echo").code, 200)
            wait_for(lambda: server.descriptor_count() <= descriptors + 1, "descriptors to be given back")

    def test_a_slow_handler_holds_up_nobody_else(self):
        with Server() as server:
            socks = [server.connect() for _ in range(4)]
            for sock in socks:
                sock.sendall(b"GET /slow HTTP/1.1\r\nHost: test\r\n\r\n")
            self.assertEqual(server.get("/echo").code, 200)
            for sock in socks:
                self.assertEqual(read_answer(sock).body, b"slow")
                sock.close()


class Many(unittest.TestCase):
    def setUp(self):
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        self.count = min(10_000, hard - 200) # as many as this process may open

    def test_thousands_that_say_nothing_while_others_are_served(self):
        with Server(header_seconds=2) as server:
            socks = []
            for i in range(self.count):
                socks.append(server.connect())
                if i % 200 == 0:
                    self.assertEqual(server.get("/echo").code, 200)
            for _ in range(50):
                self.assertEqual(server.get("/echo").code, 200)
            for sock in socks:
                self.assertTrue(is_ended(sock))
                sock.close()
            wait_for(lambda: server.descriptor_count() < 100, "descriptors to be given back")

    def test_thousands_that_drip_while_others_are_served(self):
        with Server(header_seconds=2) as server:
            socks = []
            for i in range(self.count):
                socks.append(server.connect())
                try:
                    socks[-1].send(b"GET /echo HTTP/1.1\r\nX: ")
                except OSError:
                    pass
                if i % 200 == 0:
                    self.assertEqual(server.get("/echo").code, 200)
            for sock in socks:
                self.assertTrue(is_ended(sock))
                sock.close()

    def test_thousands_that_ask_and_stay(self):
        with Server() as server:
            socks = []
            for _ in range(self.count):
                sock = server.connect()
                sock.sendall(b"GET /echo HTTP/1.1\r\nHost: test\r\n\r\n")
                self.assertEqual(read_answer(sock).code, 200)
                socks.append(sock)
            # The oldest had to go for those who came later; the latest is still there.
            socks[-1].sendall(b"GET /echo HTTP/1.1\r\nHost: test\r\n\r\n")
            self.assertEqual(read_answer(socks[-1]).code, 200)
            for sock in socks:
                sock.close()

    def test_busy_connections_are_not_given_up_for_new_ones(self):
        with Server(connections=4) as server:
            streams = [server.connect() for _ in range(4)]
            for sock in streams:
                sock.sendall(b"GET /events HTTP/1.1\r\nHost: test\r\n\r\n")
                self.assertIn(b" 200 ", sock.recv(1000))
            with server.connect() as sock:
                self.assertTrue(is_ended(sock)) # closed: there is no room
            streams.pop().close()

            def is_served():
                try:
                    return server.get("/echo").code == 200
                except (EOFError, ConnectionResetError):
                    return False
            wait_for(is_served, "room")
            for sock in streams:
                sock.close()

    def test_connections_of_one_address(self):
        with Server(connections_per_address=3) as server:
            socks = [server.connect() for _ in range(3)]
            for sock in socks:
                sock.sendall(b"GET /echo HTTP/1.1\r\nHost: test\r\n\r\n")
                self.assertEqual(read_answer(sock).code, 200)
            with server.connect() as sock:
                self.assertTrue(is_ended(sock))
            for sock in socks:
                sock.close()


class Stop(unittest.TestCase):
    def test_stopping_while_everything_happens(self):
        body = multipart([("name", None, b"n"), ("file", "f", b"y" * 2_000_000)])
        upload = (b"POST /upload HTTP/1.1\r\nHost: test\r\nContent-Type: multipart/form-data; boundary=XBOUNDX\r\n"
                  b"Content-Length: %d\r\n\r\n" % len(body))
        requests = [b"", b"GET /ec", b"GET /slow HTTP/1.1\r\nHost: test\r\n\r\n", upload, upload + body[:500_000],
                    upload + body, b"GET /events HTTP/1.1\r\nHost: test\r\n\r\n",
                    b"GET /file HTTP/1.1\r\nHost: test\r\n\r\n", b"GET /echo HTTP/1.1\r\nHost: test\r\n\r\n"]
        for _ in range(3):
            with Server() as server:
                with open(server.folder / "content", "wb") as file:
                    file.truncate(100 << 20)
                socks = []
                for _ in range(10):
                    for data in requests:
                        socks.append(server.connect())
                        socks[-1].sendall(data)
                opened, whole, broken, streams = server.stop()
                self.assertEqual(opened, whole + broken)
                self.assertEqual(streams, 0)
                self.assertEqual(len(server.files()), whole)
                for sock in socks:
                    sock.close()

    def test_a_request_under_way_is_answered(self):
        with Server() as server, server.connect() as sock:
            sock.sendall(b"GET /slow HTTP/1.1\r\nHost: test\r\n\r\n")
            wait_for(lambda: server.counts()["admitted"] >= 2, "it to be under way")
            server.stop()
            self.assertEqual(read_answer(sock).body, b"slow")


if __name__ == "__main__":
    main()
