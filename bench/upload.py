# SPDX-License-Identifier: Apache-2.0
"""How fast the HTTP server takes a large upload, beside `cp` of the same file in the same run, what memory it
takes, and how long others wait meanwhile. Usage: upload.py BUILD [GIGABYTES] [FOLDER]

cp ends when its copy is in the kernel's memory, the server when its file is on the disk; so the copy is timed with
the sync that makes it as durable, and without."""

import multiprocessing
import os
import pathlib
import subprocess
import sys
import tempfile
import time

BUILD = pathlib.Path(sys.argv[1])
GIGABYTES = float(sys.argv[2]) if len(sys.argv) > 2 else 2
FOLDER = sys.argv[3] if len(sys.argv) > 3 else "/tmp"

sys.argv = [sys.argv[0], str(BUILD / "tests/http/http-serve")]
sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "tests/http"))
from harness import Server, read_answer  # noqa: E402


def ask_meanwhile(port, stop, result):
    """Small requests, one after the other, on one connection; how long each took."""
    server = Server()
    waits = []
    server.port = port
    with server.connect() as sock:
        while not stop.is_set():
            start = time.monotonic()
            sock.sendall(b"GET /echo HTTP/1.1\r\nHost: test\r\n\r\n")
            read_answer(sock)
            waits.append(time.monotonic() - start)
            time.sleep(0.005)
    result.send(waits)


def copy(source, target):
    start = time.monotonic()
    subprocess.run(["cp", source, target], check=True)
    plain = time.monotonic() - start
    fd = os.open(target, os.O_RDWR)
    os.fsync(fd)
    os.close(fd)
    synced = time.monotonic() - start
    os.unlink(target)
    return plain, synced


def cpu_seconds(server):
    fields = pathlib.Path(f"/proc/{server.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def upload(server, source):
    """Seconds, and the most memory the server had meanwhile."""
    size = os.path.getsize(source)
    head = (b'--XBOUNDX\r\nContent-Disposition: form-data; name="name"\r\n\r\nn\r\n'
            b'--XBOUNDX\r\nContent-Disposition: form-data; name="file"; filename="f.zip"\r\n\r\n')
    tail = b"\r\n--XBOUNDX--\r\n"
    peak, sent = 0, 0
    with server.connect(timeout=600) as sock, open(source, "rb") as file:
        start = time.monotonic()
        sock.sendall(b"POST /upload HTTP/1.1\r\nHost: test\r\nContent-Type: multipart/form-data; boundary=XBOUNDX\r\n"
                     b"Content-Length: %d\r\n\r\n" % (len(head) + size + len(tail)) + head)
        while sent < size:
            sent += sock.sendfile(file, sent, min(32 << 20, size - sent))
            peak = max(peak, server.memory_kb())
        sock.sendall(tail)
        answer = read_answer(sock)
        seconds = time.monotonic() - start
    assert answer.code == 201 and answer.json()["size"] == size, answer.body
    os.unlink(server.folder / answer.json()["path"])
    return seconds, max(peak, server.memory_kb())


def main():
    size = int(GIGABYTES * 1e9)
    with tempfile.TemporaryDirectory(prefix="dv-bench-", dir=FOLDER) as folder:
        source = os.path.join(folder, "source")
        with open(source, "wb") as file:
            block = os.urandom(1 << 20)
            for start in range(0, size, len(block)):
                file.write(block[:size - start])
            os.fsync(file.fileno())
        with Server(folder) as server:
            idle = server.memory_kb()
            for _ in range(2): # the second time the file is in memory for both
                plain, synced = copy(source, os.path.join(folder, "copy"))
                stop = multiprocessing.Event()
                receiver, sender = multiprocessing.Pipe(False)
                asking = multiprocessing.Process(target=ask_meanwhile, args=(server.port, stop, sender))
                asking.start()
                before = cpu_seconds(server)
                seconds, peak = upload(server, source)
                used = cpu_seconds(server) - before
                stop.set()
                times = sorted(receiver.recv())
                asking.join()
                print(f"cp {size / plain / 1e6:.0f} MB/s, with sync {size / synced / 1e6:.0f} MB/s; "
                      f"upload {size / seconds / 1e6:.0f} MB/s: {100 * plain / seconds:.0f} % and "
                      f"{100 * synced / seconds:.0f} %; memory {idle / 1e3:.0f} MB idle, {peak / 1e3:.0f} MB at most; "
                      f"{1e9 * used / size:.2f} CPU s per GB; {len(times)} other requests, median {1e3 * times[len(times) // 2]:.1f} ms, "
                      f"p99 {1e3 * times[len(times) * 99 // 100]:.1f} ms, longest {1e3 * times[-1]:.1f} ms", flush=True)


if __name__ == "__main__":
    main()
