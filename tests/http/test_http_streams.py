# SPDX-License-Identifier: Apache-2.0
"""Streams of server-sent events: cut, resumed, many, ended; and clients that do not read."""

import random
import unittest

from harness import Server, main, read_answer, read_to_end, read_until, wait_for


class Stream:
    """A client of /events that keeps what it has not understood yet."""

    def __init__(self, server, last=0, **options):
        self.sock = server.connect(**options)
        last_id = f"Last-Event-ID: {last}\r\n" if last else ""
        self.sock.sendall(f"GET /events HTTP/1.1\r\nHost: test\r\n{last_id}\r\n".encode())
        self.head, self.data = read_until(self.sock, b"\r\n\r\n").split(b"\r\n\r\n", 1)
        self.text = b""

    def read(self):
        """More of the text; False at its end."""
        while b"\r\n" not in self.data:
            piece = self.sock.recv(65536)
            if not piece:
                raise EOFError
            self.data += piece
        line, rest = self.data.split(b"\r\n", 1)
        size = int(line, 16)
        while len(rest) < size + 2:
            piece = self.sock.recv(65536)
            if not piece:
                raise EOFError
            rest += piece
        self.text += rest[:size]
        self.data = rest[size + 2:]
        return size > 0

    def next_block(self):
        """What stands before the next empty line; None at the end."""
        while b"\n\n" not in self.text:
            if not self.read():
                return None
        block, self.text = self.text.split(b"\n\n", 1)
        return block.decode()

    def next_id(self):
        while True:
            block = self.next_block()
            if block is None:
                return None
            lines = dict(line.split(": ", 1) for line in block.split("\n"))
            if "id" in lines:
                assert lines["event"] == "number" and lines["data"] == '{"n":%s}' % lines["id"], block
                return int(lines["id"])

    def close(self):
        self.sock.close()


def more(server, count):
    assert server.post_json("/events", {"count": count}).code == 204


class Streams(unittest.TestCase):
    def test_events_come_as_they_happen(self):
        with Server() as server:
            stream = Stream(server)
            for header in [b"HTTP/1.1 200", b"text/event-stream", b"no-store", b"X-Accel-Buffering: no"]:
                self.assertIn(header, stream.head)
            self.assertEqual(stream.next_block(), "retry: 3000")
            for i in range(1, 50):
                more(server, 1)
                self.assertEqual(stream.next_id(), i)
            more(server, 1000)
            self.assertEqual([stream.next_id() for _ in range(1000)], list(range(50, 1050)))
            stream.close()

    def test_a_stream_cut_a_hundred_times_shows_each_event_once(self):
        generator = random.Random(11)
        with Server() as server:
            seen, made = [], 0
            for _ in range(100):
                count = generator.randrange(1, 60)
                more(server, count)
                made += count
                stream = Stream(server, seen[-1] if seen else 0)
                for _ in range(min(generator.randrange(0, 50), made - len(seen))):
                    seen.append(stream.next_id())
                    if generator.random() < 0.1:
                        more(server, 1)
                        made += 1
                stream.close()
            self.assertEqual(seen, list(range(1, len(seen) + 1)))
            self.assertGreater(len(seen), 500)
            wait_for(lambda: server.counts()["streams"] == 0, "the streams to be let go")

    def test_many_streams_get_everything_and_one_too_many_is_503(self):
        with Server(stream_count=100) as server:
            streams = [Stream(server) for _ in range(100)]
            answer = server.get("/events")
            self.assertEqual((answer.code, answer.headers["retry-after"]), (503, "5"))
            more(server, 300)
            for stream in streams:
                self.assertEqual([stream.next_id() for _ in range(300)], list(range(1, 301)))
                stream.close()
            wait_for(lambda: server.counts()["streams"] == 0, "the streams to be let go")
            stream = Stream(server, 299)
            self.assertEqual(stream.next_id(), 300)
            stream.close()

    def test_heartbeats_and_a_right_that_is_withdrawn(self):
        with Server(heartbeat_seconds=1) as server:
            stream = Stream(server)
            self.assertEqual([stream.next_block() for _ in range(3)], ["retry: 3000", ": still here", ": still here"])
            more(server, -1)
            self.assertIsNone(stream.next_id())
            # It ended as it should, so the connection goes on.
            stream.sock.sendall(b"GET /echo HTTP/1.1\r\nHost: test\r\n\r\n")
            self.assertEqual(read_answer(stream.sock, stream.data).code, 200)
            stream.close()

    def test_a_stream_is_no_matter_for_head_and_old_clients(self):
        with Server() as server:
            answer = server.request("HEAD", "/events")
            self.assertEqual((answer.code, answer.headers["content-type"]), (200, "text/event-stream"))
            wait_for(lambda: server.counts()["streams"] == 0, "the stream to be let go")
            with server.connect() as sock:
                sock.sendall(b"GET /events HTTP/1.0\r\nHost: test\r\n\r\n")
                data = read_until(sock, b"retry: 3000\n\n")
                self.assertNotIn(b"chunked", data)
                more(server, 2)
                read_until(sock, b"id: 2\n", data)

    def test_a_client_that_hangs_up_is_noticed_though_nothing_happens(self):
        with Server() as server: # the first heartbeat would be too late for the test's patience
            streams = [Stream(server) for _ in range(20)]
            self.assertEqual(server.counts()["streams"], 20)
            for stream in streams:
                stream.close()
            wait_for(lambda: server.counts()["streams"] == 0, "the streams to be let go", 14)

    def test_a_client_that_does_not_read_is_cut_and_can_resume(self):
        with Server(heartbeat_seconds=1) as server:
            stream = Stream(server, receive_buffer=4096)
            more(server, 400_000) # more than socket buffers hold
            wait_for(lambda: server.counts()["streams"] == 0, "the stream to be cut")
            seen = []
            try:
                while (number := stream.next_id()) is not None:
                    seen.append(number)
            except (EOFError, ConnectionResetError):
                pass
            stream.close()
            self.assertEqual(seen, list(range(1, len(seen) + 1)))
            self.assertLess(len(seen), 400_000)
            stream = Stream(server, len(seen))
            self.assertEqual([stream.next_id() for _ in range(100)], list(range(len(seen) + 1, len(seen) + 101)))
            stream.close()

    def test_stopping_ends_them(self):
        with Server() as server:
            streams = [Stream(server) for _ in range(10)]
            more(server, 5)
            self.assertEqual([streams[0].next_id() for _ in range(5)], [1, 2, 3, 4, 5])
            self.assertEqual(server.stop()[3], 0)
            for stream in streams:
                read_to_end(stream.sock)
                stream.close()


if __name__ == "__main__":
    main()
