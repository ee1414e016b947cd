# SPDX-License-Identifier: Apache-2.0
"""A worker that speaks the protocol (src/wire/message.h) and does what `script.json` in DATA says, for the tests of what
the server does with a search: it trains nothing. Each step is a list:

  ["run", {...}]             a candidate begins or has ended
  ["epoch", iteration]       the end of an epoch
  ["ask", number, {...}]     a question, whose purpose is "draft"
  ["hear", number]           wait for its reply, and put it into heard.jsonl of DATA
  ["die", signal, times]     by that signal, the first so many times that it is come to
  ["wait", name]             until DATA/name is there
  ["line", text]             this line on the channel, with whatever has been said before
  ["bare", {...}]            this message without a document
  ["result", {...}]          the end
"""
import fcntl
import json
import os
import pathlib
import signal
import socket
import sys
import time

VERSION = sys.argv[2]
SEALS = 0x0002 | 0x0004 | 0x0008
ADD_SEALS = 1033


class Channel:
    def __init__(self):
        self.socket = socket.socket(fileno=3)
        self.rest, self.fds = b"", []

    def send(self, message, document=None):
        fds = []
        if document is not None:
            fds.append(os.memfd_create("document", os.MFD_ALLOW_SEALING))
            os.write(fds[0], json.dumps(document).encode())
            fcntl.fcntl(fds[0], ADD_SEALS, SEALS)
        socket.send_fds(self.socket, [json.dumps(message).encode() + b"\n"], fds)
        for fd in fds:
            os.close(fd)

    def receive(self):
        while b"\n" not in self.rest:
            data, fds, _, _ = socket.recv_fds(self.socket, 65536, 4)
            if not data:
                sys.exit(1)
            self.rest += data
            self.fds += fds
        line, _, self.rest = self.rest.partition(b"\n")
        message = json.loads(line)
        document = None
        if message["type"] == "reply":
            fd = self.fds.pop(0)
            document = json.loads(os.pread(fd, 1 << 20, 0))
            os.close(fd)
        if message["type"] == "cancel":
            sys.exit(1)
        return message, document


def progress(iteration):
    nothing = dict.fromkeys(("loss", "accuracy", "val_loss", "val_accuracy", "best_accuracy", "learning_rate",
                             "images_per_second", "eta_seconds"))
    return {"type": "progress", "stage": "training", "status": None, "iteration": iteration, "epoch": 1, "epochs": 4, "step": 1,
            "steps": 1, **nothing, "fraction": 0.5, "is_epoch_end": True}


def main():
    channel = Channel()
    channel.send({"type": "hello", "role": "worker", "version": VERSION, "pid": os.getpid()})
    job, _ = channel.receive()
    channel.send({"type": "ack", "not_applied": []})
    work = pathlib.Path(job["job_folder"])
    data = work.parents[2]
    with open(data / "jobs.jsonl", "a", encoding="utf-8") as file:
        file.write(json.dumps({**job, "pid": os.getpid()}) + "\n")
    for index, (what, *values) in enumerate(json.loads((data / "script.json").read_text())):
        if what == "run":
            channel.send({"type": "run", "iteration": values[0]["iteration"], "status": values[0]["status"]}, values[0])
        elif what == "epoch":
            channel.send(progress(values[0]))
        elif what == "ask":
            channel.send({"type": "ask", "id": values[0], "purpose": "draft"}, values[1])
        elif what == "hear":
            message, document = channel.receive()
            assert message["id"] == values[0], message
            with open(data / "heard.jsonl", "a", encoding="utf-8") as file:
                file.write(json.dumps({**message, **document}) + "\n")
        elif what == "die":
            with open(data / f"died-{index}", "a", encoding="utf-8") as file:
                file.write("x")
            if (data / f"died-{index}").stat().st_size <= values[1]:
                os.kill(os.getpid(), getattr(signal, values[0]))
        elif what == "wait":
            while not (data / values[0]).exists():
                time.sleep(0.01)
        elif what == "bare":
            channel.send(values[0])
        elif what == "result":
            (work / "model").mkdir(exist_ok=True)
            (work / "model" / "model.json").write_text("{}")
            (work / "result.json").write_text(json.dumps(values[0]))
            channel.send({"type": "result", "value": {}})
            return


main()
