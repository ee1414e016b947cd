# SPDX-License-Identifier: Apache-2.0
"""What the tests of the HTTP server share: the server itself (serve.c) in a fresh folder, and raw sockets to it."""

import json
import pathlib
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import unittest

SERVE = sys.argv.pop(1) if len(sys.argv) > 1 and not sys.argv[1].startswith("-") else None


class Answer:
    """One HTTP answer off a socket."""

    def __init__(self, code, headers, body, rest=b""):
        self.code, self.headers, self.body, self.rest = code, headers, body, rest

    def json(self):
        return json.loads(self.body)


def read_until(sock, end, data=b""):
    while end not in data:
        piece = sock.recv(65536)
        if not piece:
            raise EOFError(data)
        data += piece
    return data


def unchunk(sock, data):
    body = b""
    while True:
        data = read_until(sock, b"\r\n", data)
        line, data = data.split(b"\r\n", 1)
        size = int(line, 16)
        while len(data) < size + 2:
            data += sock.recv(65536)
        body += data[:size]
        data = data[size + 2:]
        if size == 0:
            return body, data


def read_answer(sock, data=b"", method="GET"):
    """The next answer; what came after it is its `rest`."""
    data = read_until(sock, b"\r\n\r\n", data)
    head, data = data.split(b"\r\n\r\n", 1)
    lines = head.decode("latin-1").split("\r\n")
    code = int(lines[0].split(" ")[1])
    headers = {}
    for line in lines[1:]:
        name, value = line.split(":", 1)
        headers[name.lower()] = value.strip()
    if code == 100:
        return read_answer(sock, data, method)
    if headers.get("transfer-encoding") == "chunked":
        body, data = unchunk(sock, data)
        return Answer(code, headers, body, data)
    size = 0 if method == "HEAD" or code in (204, 304) else int(headers.get("content-length", 0))
    data = bytearray(data)
    while len(data) < size:
        piece = sock.recv(1 << 20)
        if not piece:
            raise EOFError(bytes(data[:1000]))
        data += piece
    return Answer(code, headers, bytes(data[:size]), bytes(data[size:]))


def read_to_end(sock, data=b""):
    """Everything until the other side closes."""
    while True:
        try:
            piece = sock.recv(65536)
        except ConnectionResetError:
            return data
        if not piece:
            return data
        data += piece


class Server:
    """serve.c with these limits; a context."""

    def __init__(self, folder=None, wrapper=(), **limits):
        self.own_folder = folder is None
        self.folder = pathlib.Path(folder or tempfile.mkdtemp(prefix="dv-http-", dir="/tmp"))
        self.limits = limits
        self.wrapper = list(wrapper)

    def __enter__(self):
        words = [f"{name}={value}" for name, value in self.limits.items()]
        self.process = subprocess.Popen([*self.wrapper, SERVE, str(self.folder), *words], text=True,
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.port = int(self.process.stdout.readline().rsplit(":", 1)[1])
        return self

    def stop(self):
        """Its last line: what was opened, whole, broken, and streams left."""
        self.process.stdin.close()
        line = self.process.stdout.read()
        status = self.process.wait(60)
        self.process.stdout.close()
        if status != 0 or not line.startswith("stopped"):
            raise AssertionError(f"the server ended with {status}: {line}")
        return [int(word) for word in line.split()[1:]]

    def __exit__(self, *_):
        try:
            if self.process.stdin and not self.process.stdin.closed:
                self.stop()
        finally:
            if self.process.poll() is None:
                self.process.kill()
            if self.own_folder:
                shutil.rmtree(self.folder, ignore_errors=True)

    def connect(self, timeout=30, receive_buffer=None):
        sock = socket.socket()
        if receive_buffer:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        sock.settimeout(timeout)
        sock.connect(("127.0.0.1", self.port))
        return sock

    def send(self, data, method="GET"):
        """One request on a connection of its own; its answer."""
        with self.connect() as sock:
            sock.sendall(data)
            return read_answer(sock, method=method)

    def request(self, method, path, headers=None, body=None):
        head = {"Host": "test", **(headers or {})}
        if body is not None:
            head.setdefault("Content-Length", str(len(body)))
        lines = "".join(f"{name}: {value}\r\n" for name, value in head.items())
        return self.send(f"{method} {path} HTTP/1.1\r\n{lines}\r\n".encode("latin-1") + (body or b""), method)

    def get(self, path, **headers):
        return self.request("GET", path, {name.replace("_", "-"): value for name, value in headers.items()})

    def post_json(self, path, value):
        return self.request("POST", path, {"Content-Type": "application/json"}, json.dumps(value).encode())

    def counts(self):
        return self.get("/count").json()

    def files(self):
        return sorted(path.name for path in self.folder.iterdir() if path.name.startswith("upload-"))

    def descriptor_count(self):
        return len(list(pathlib.Path(f"/proc/{self.process.pid}/fd").iterdir()))

    def memory_kb(self):
        for line in pathlib.Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1])
        raise AssertionError("no VmRSS")


def wait_for(condition, what, seconds=60):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        value = condition()
        if value:
            return value
        time.sleep(0.02)
    raise AssertionError(f"waited in vain for {what}")


def multipart(parts, boundary="XBOUNDX"):
    """A body of (name, file name or None, bytes)."""
    body = b""
    for name, file_name, data in parts:
        file_part = f'; filename="{file_name}"' if file_name is not None else ""
        body += (f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"{file_part}\r\n\r\n').encode()
        body += data + b"\r\n"
    return body + f"--{boundary}--\r\n".encode()


MULTIPART = {"Content-Type": "multipart/form-data; boundary=XBOUNDX"}


def main():
    unittest.main(verbosity=2)
