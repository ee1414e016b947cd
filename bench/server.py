# SPDX-License-Identifier: Apache-2.0
"""`dv serve` as its users meet it: how soon it answers, what it takes when idle, a large upload beside `cp` of the same
file in the same run with others asking meanwhile, and ten thousand connections of clients that mean no good.

Usage: server.py DV [GIGABYTES] [CONNECTIONS] [FOLDER]   with DV_TEST_POSTGRES as in tests/tools/with_postgres.py
"""

import collections
import http.client
import multiprocessing
import os
import pathlib
import resource
import select
import socket
import sys
import tempfile
import time
import urllib.parse
import urllib.request
import zipfile

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "tests/server"))
from harness import Server, new_database  # noqa: E402

DV = sys.argv[1]
GIGABYTES = float(sys.argv[2]) if len(sys.argv) > 2 else 2
CONNECTIONS = int(sys.argv[3]) if len(sys.argv) > 3 else 10000
FOLDER = sys.argv[4] if len(sys.argv) > 4 else tempfile.gettempdir()
POSTGRES = os.environ.get("DV_TEST_POSTGRES")
MEGABYTE = 1 << 20


def memory(server, what="VmRSS"):
    """Bytes; VmHWM: the most there ever were."""
    for line in pathlib.Path(f"/proc/{server.process.pid}/status").read_text().splitlines():
        if line.startswith(what + ":"):
            return int(line.split()[1]) * 1024
    return 0


def describe(times):
    times = sorted(times)
    return (f"{len(times)} requests, median {1e3 * times[len(times) // 2]:.1f} ms, "
            f"p99 {1e3 * times[len(times) * 99 // 100]:.1f} ms, longest {1e3 * times[-1]:.1f} ms")


# --- Others meanwhile

def ask(url, token, stop, result):
    """What the page asks for, one after the other, on one connection; how long each took."""
    address = urllib.parse.urlsplit(url)
    connection = http.client.HTTPConnection(address.hostname, address.port, timeout=60)
    paths = ["/api/jobs?limit=20", "/api/datasets?limit=20", "/api/models?limit=20", "/api/system/info"]
    waits = []
    while not stop.is_set():
        start = time.monotonic()
        connection.request("GET", paths[len(waits) % len(paths)], headers={"Authorization": f"Bearer {token}"})
        response = connection.getresponse()
        response.read()
        assert response.status == 200, response.status
        waits.append(time.monotonic() - start)
        time.sleep(0.005)
    result.send(waits)


class Others:
    def __init__(self, server):
        self.stop = multiprocessing.Event()
        self.receiver, sender = multiprocessing.Pipe(False)
        self.process = multiprocessing.Process(target=ask, args=(server.url, server.token, self.stop, sender))
        self.process.start()

    def end(self):
        self.stop.set()
        waits = self.receiver.recv()
        self.process.join()
        return waits


# --- Start

def measure_start(root):
    for what in ("a new data folder", "one that was there"):
        times = []
        for i in range(20):
            folder = pathlib.Path(root) / (f"new{i}" if what.startswith("a new") else "new0")
            folder.mkdir(exist_ok=True)
            start = time.monotonic()
            server = Server(DV, new_database(POSTGRES) if what.startswith("a new") else None, root=folder)
            with urllib.request.urlopen(server.url + "/api/system/health") as answer:
                assert answer.status == 200
            times.append(time.monotonic() - start)
            server.close()
        times.sort()
        print(f"ready with {what}: median {1e3 * times[10]:.0f} ms, longest of {len(times)} {1e3 * times[-1]:.0f} ms",
              flush=True)


# --- Upload

def make_archive(path, size):
    block = os.urandom(4 * MEGABYTE)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED, allowZip64=True) as archive:
        for i in range(max(1, size // len(block))):
            archive.writestr(f"class{i % 4}/{i}.jpg", block)
    fd = os.open(path, os.O_RDWR)
    os.fsync(fd)
    os.close(fd)


def copy(source, target):
    """Seconds until cp has ended, and until what it wrote is on the disk."""
    start = time.monotonic()
    os.system(f"cp '{source}' '{target}'")
    plain = time.monotonic() - start
    fd = os.open(target, os.O_RDWR)
    os.fsync(fd)
    os.close(fd)
    synced = time.monotonic() - start
    os.unlink(target)
    return plain, synced


def upload(server, source):
    size = os.path.getsize(source)
    head = (b'--XBOUNDX\r\nContent-Disposition: form-data; name="name"\r\n\r\nlarge\r\n'
            b'--XBOUNDX\r\nContent-Disposition: form-data; name="file"; filename="f.zip"\r\n\r\n')
    tail = b"\r\n--XBOUNDX--\r\n"
    with socket.create_connection((server.host, server.port), timeout=600) as sock, open(source, "rb") as file:
        start = time.monotonic()
        sock.sendall(f"POST /api/datasets HTTP/1.1\r\nHost: {server.host}:{server.port}\r\n"
                     f"Authorization: Bearer {server.token}\r\nContent-Type: multipart/form-data; boundary=XBOUNDX\r\n"
                     f"Content-Length: {len(head) + size + len(tail)}\r\n\r\n".encode() + head)
        sock.sendfile(file)
        sock.sendall(tail)
        answer = http.client.HTTPResponse(sock)
        answer.begin()
        seconds = time.monotonic() - start
        assert answer.status == 201, answer.read()
    return seconds


def measure_upload(root):
    source = os.path.join(root, "source.zip")
    make_archive(source, int(GIGABYTES * 1e9))
    size = os.path.getsize(source)
    for _ in range(3):  # after the first, what fits of the file is in memory for both
        plain, synced = copy(source, os.path.join(root, "copy"))
        folder = pathlib.Path(tempfile.mkdtemp(dir=root))
        server = Server(DV, new_database(POSTGRES), root=folder)
        others = Others(server)
        seconds = upload(server, source)
        waits, most = others.end(), memory(server, "VmHWM")
        server.kill()
        os.system(f"rm -rf '{folder}'")
        print(f"upload of {size / 1e9:.1f} GB: {size / seconds / 1e6:.0f} MB/s, cp {size / plain / 1e6:.0f} MB/s, with sync "
              f"{size / synced / 1e6:.0f} MB/s: {100 * plain / seconds:.0f} % and {100 * synced / seconds:.0f} %; "
              f"{most / 1e6:.0f} MB of memory at most; meanwhile {describe(waits)}", flush=True)
    os.unlink(source)


# --- Flood

def measure_flood(server):
    """Clients that say nothing, half a head, half a body, or one byte now and then, until all are cut or answered."""
    host = f"Host: {server.host}:{server.port}\r\nAuthorization: Bearer {server.token}\r\n"
    kinds = [b"", b"GET /api/jobs HTTP/1.1\r\nHo",
             f"POST /api/jobs HTTP/1.1\r\n{host}Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{{".encode(),
             b"GET /api/jobs HTTP/1.1\r\n"]
    idle, others, ends = memory(server), Others(server), collections.Counter()
    poll = select.epoll()
    open_socks = {}
    start = time.monotonic()
    for i in range(CONNECTIONS):
        sock = socket.socket()
        sock.settimeout(60)
        try:
            sock.connect((server.host, server.port))
            sock.sendall(kinds[i % len(kinds)])
        except OSError:
            ends["refused"] += 1
            continue
        sock.setblocking(False)
        open_socks[sock.fileno()] = (sock, i % len(kinds))
        poll.register(sock.fileno(), select.EPOLLIN)
    connected = time.monotonic() - start
    dripped = time.monotonic()
    while open_socks and time.monotonic() - start < 300:
        for fd, _ in poll.poll(0.5):
            sock, _ = open_socks[fd]
            try:
                data = sock.recv(4096)
            except OSError:
                data = b""
            if data.startswith(b"HTTP/1.1 "):
                ends[data[9:12].decode()] += 1
            elif not data:
                ends["closed"] += 1
            if not data:
                poll.unregister(fd)
                sock.close()
                del open_socks[fd]
        if time.monotonic() - dripped > 1:
            dripped = time.monotonic()
            for sock, kind in open_socks.values():
                if kind == 3:
                    try:
                        sock.send(b"X")
                    except OSError:
                        pass
    over = time.monotonic() - start
    waits = others.end()
    print(f"{CONNECTIONS} connections, made in {connected:.1f} s, ended after {over:.1f} s "
          f"({', '.join(f'{name} {count}' for name, count in sorted(ends.items()))}; {len(open_socks)} left); memory "
          f"{idle / 1e6:.0f} MB before, {memory(server, 'VmHWM') / 1e6:.0f} MB at most; meanwhile {describe(waits)}; "
          f"{len(os.listdir(f'/proc/{server.process.pid}/fd'))} descriptors after it", flush=True)


def main():
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with tempfile.TemporaryDirectory(prefix="dv-bench-", dir=FOLDER) as root:
        measure_start(root)
        server = Server(DV, new_database(POSTGRES))
        time.sleep(2)
        print(f"idle: {memory(server) / 1e6:.1f} MB", flush=True)
        if CONNECTIONS > 0:
            measure_flood(server)
        server.close()
        if GIGABYTES > 0:
            measure_upload(root)


if __name__ == "__main__":
    main()
