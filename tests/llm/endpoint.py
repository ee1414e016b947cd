# SPDX-License-Identifier: Apache-2.0
"""A chat-completions endpoint over real HTTP that does what its script says, one line a request.

As a module:   with Endpoint([status(500), good({"a": 1})]) as endpoint: ... endpoint.url, endpoint.requests
By itself:     endpoint.py [--port N] [--run FILE] [NAME ...]     prints its base URL, then serves until killed

NAME is one of NAMED below; FILE is a JSON list of the objects that a model would answer, in order (runs/, written by hand). When
the script is over it goes on with its last line. An answer from here proves plumbing; it says nothing about models.
"""
import argparse
import http.server
import json
import pathlib
import socket
import ssl
import struct
import threading
import time

USAGE = {"prompt_tokens": 120, "completion_tokens": 60, "total_tokens": 180}
RATE_WORDS = ("Rate limit reached for model `openai/gpt-oss-120b` in organization `org_1` service tier `on_demand` on "
              "tokens per minute (TPM): Limit 8000, Used 5972, Requested 4351. Please try again in 5.289s. Need more "
              "tokens? Upgrade to Dev Tier today at https://console.groq.com/settings/billing")


# --- Lines of a script: each is a function of the handler --------------------------------------------------------

def raw(code, body, headers=(), content_type="application/json"):
    """Exactly this."""
    def act(handler):
        data = body if isinstance(body, bytes) else body.encode()
        handler.send_response(code)
        handler.send_header("Content-Type", content_type)
        handler.send_header("Content-Length", str(len(data)))
        handler.send_header("x-request-id", "req_test_1")
        for name, value in dict(headers).items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(data)
    return act


def say(content, finish="stop", usage=USAGE, headers=(), **message):
    """A completion whose content is this text."""
    choice = {"index": 0, "message": {"role": "assistant", "content": content, **message}, "finish_reason": finish}
    return raw(200, json.dumps({"id": "c1", "object": "chat.completion", "model": "m", "choices": [choice],
                                "usage": usage}), headers)


def good(answer, **more):
    return say(json.dumps(answer), **more)


def status(code, error_code=None, message="no", headers=(), **more):
    error = {"message": message, "type": "some_error", "code": error_code, **more}
    return raw(code, json.dumps({"error": error}), headers)


def cut(before=b'{"choices": [{"message": {"content": "{'):
    """Promise more than is sent, then reset the connection."""
    def act(handler):
        handler.send_response(200)
        handler.send_header("Content-Length", "100000")
        handler.end_headers()
        handler.wfile.write(before)
        handler.wfile.flush()
        handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        handler.close_connection = True
    return act


def hang(handler):
    """Take the request and say nothing until the other side goes."""
    while not handler.server.is_over.wait(0.05):
        try:
            if handler.connection.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) == b"":
                break
        except BlockingIOError:
            continue
        except OSError:
            break
    handler.close_connection = True


def trickle(handler):
    """A byte at a time, for ever."""
    handler.send_response(200)
    handler.send_header("Content-Length", "100000000")
    handler.end_headers()
    try:
        while not handler.server.is_over.wait(0.02):
            handler.wfile.write(b" ")
            handler.wfile.flush()
    except OSError:
        pass
    handler.close_connection = True


def endless(handler):
    """As fast as it goes, for ever."""
    handler.send_response(200)
    handler.send_header("Transfer-Encoding", "chunked")
    handler.end_headers()
    block = b"10000\r\n" + b"x" * 65536 + b"\r\n"
    try:
        while not handler.server.is_over.is_set():
            handler.wfile.write(block)
    except OSError:
        pass
    handler.close_connection = True


def echo_key(code=401):
    """An error that repeats the key it was sent."""
    def act(handler):
        key = handler.headers.get("Authorization", "").removeprefix("Bearer ")
        words = f"Incorrect API key provided: {key} ({key[:12]}..., ...{key[-10:]}). Authorization: Bearer {key}"
        status(code, "invalid_api_key", words)(handler)
    return act


def echo_in_answer(handler):
    """An answer that repeats the key it was sent."""
    key = handler.headers.get("Authorization", "").removeprefix("Bearer ")
    good({"thought": f"my key is {key}", "name": key})(handler)


NAMED = {
    "good": good({"name": "net", "depth": 3}),
    "401": status(401, "invalid_api_key", "Invalid API Key"),
    "403": status(403, "permission_denied", "Not allowed"),
    "403-1010": raw(403, "error code: 1010", content_type="text/plain"),
    "404-model": status(404, "model_not_found", "The model `x` does not exist or you do not have access to it."),
    "404": raw(404, "404 page not found", content_type="text/plain"),
    "413": status(413, "rate_limit_exceeded", "Request too large for model: Limit 8000, Requested 32979"),
    "429": status(429, "rate_limit_exceeded", RATE_WORDS, {"retry-after": "2"}),
    "429-words": status(429, "rate_limit_exceeded", RATE_WORDS),
    "429-bare": raw(429, "slow down", content_type="text/plain"),
    "429-day": status(429, "rate_limit_exceeded", "tokens per day", {"retry-after": "1800"}),
    "429-money": status(429, "insufficient_quota", "You exceeded your current quota"),
    "498": status(498, "capacity_exceeded", "Flex tier capacity exceeded"),
    "500": status(500, None, "internal error"),
    "502": raw(502, "<html>Bad Gateway</html>", content_type="text/html"),
    "503-loading": raw(503, '{"error":{"code":503,"message":"Loading model","type":"unavailable_error"}}'),
    "529": status(529, None, "overloaded"),
    "cut": cut(), "hang": hang, "trickle": trickle, "endless": endless,
    "truncated": raw(200, '{"choices": [{"message": {"content": "{\\"a\\'),
    "length": say('{"name": "net", "dep', finish="length"),
    "prose": say('Sure! Here it is:\n```json\n{"name": "net", "depth": 3}\n```\nHope that helps {smile}.'),
    "wrong-schema": good({"nom": "net"}),
    "impossible": good({"name": "net", "depth": -7}),
    "refusal": say(None, refusal="I can't help with that."),
    "redirect": raw(302, "", {"Location": "http://169.254.169.254/latest/meta-data/"}),
    "echo-key": echo_key(),
}


# --- The server --------------------------------------------------------------------------------------------------

class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def handle(self):
        try:
            super().handle()
        except OSError:
            pass  # the other side has gone, as some tests have it go

    def do_GET(self):
        self.server.gets.append(self.path)
        answer = self.server.pages.get(self.path)
        if callable(answer):
            answer(self)
        elif answer:
            answer.pop(0)(self) if len(answer) > 1 else answer[0](self)
        else:
            NAMED["404"](self)

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        with self.server.lock:
            self.server.requests.append({"path": self.path, "headers": dict(self.headers), "time": time.monotonic(),
                                         "body": json.loads(body)})
            line = self.server.script.pop(0) if len(self.server.script) > 1 else self.server.script[0]
        line(self)


class Endpoint:
    def __init__(self, script, port=0, pages=None, certificate=None):
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self.server.daemon_threads = True
        self.server.script = [NAMED[line] if isinstance(line, str) else line for line in script]
        self.server.pages = pages or {}
        self.server.requests, self.server.gets = [], []
        self.server.lock, self.server.is_over = threading.Lock(), threading.Event()
        scheme = "http"
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*certificate)
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
            self.server.handle_error = lambda *_: None  # a client that refuses the certificate goes away
            scheme = "https"
        self.port = self.server.server_address[1]
        self.url = f"{scheme}://127.0.0.1:{self.port}/v1"

    @property
    def requests(self):
        return self.server.requests

    @property
    def gets(self):
        return self.server.gets

    def __enter__(self):
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_):
        self.server.is_over.set()
        self.server.shutdown()
        self.server.server_close()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--run")
    parser.add_argument("names", nargs="*")
    options = parser.parse_args()
    script = [NAMED[name] for name in options.names]
    if options.run:
        script += [good(answer) for answer in json.loads(pathlib.Path(options.run).read_text())]
    with Endpoint(script or [NAMED["good"]], options.port) as endpoint:
        print(endpoint.url, flush=True)
        threading.Event().wait()


if __name__ == "__main__":
    main()
