# SPDX-License-Identifier: Apache-2.0
"""What the tests of the client share: ask the helper, look at what the endpoint was sent."""
import json
import subprocess
import sys
import unittest

from endpoint import Endpoint

ASK = sys.argv.pop(1)
KEY = "gsk_dvTestKey0123456789abcdefghijklmnopqrstuvwxyz"
SCHEMA = {"type": "object", "additionalProperties": False, "required": ["name", "depth"],
          "properties": {"name": {"type": "string"}, "depth": {"type": "integer"}}}
GOOD = {"name": "net", "depth": 3}
SETTINGS = {"url": "", "models": ["m"], "allowed": "", "ca_file": "", "price_input": 0.5, "price_output": 2.0,
            "dollars_max": 0, "connect_timeout_ms": 2000, "total_timeout_ms": 60000, "body_timeout_ms": 60000,
            "patience_ms": 0, "tokens_max": 0, "time_max_ms": 0}
STRICT = {"m": {"rung": "strict", "is_old_output_field": False, "has_no_reasoning": False}}


def question(**more):
    return {"messages": [{"role": "system", "content": "You design networks."},
                         {"role": "user", "content": "A net, please."}], "schema": SCHEMA, **more}


def run(url, questions=None, memory=STRICT, key=KEY, cancel_at=-1, **settings):
    task = {"settings": {**SETTINGS, "url": url, **settings}, "key": key, "memory": memory, "cancel_at": cancel_at,
            "questions": questions or [question()]}
    done = subprocess.run([ASK], input=json.dumps(task), capture_output=True, text=True, timeout=100)
    assert KEY not in done.stdout + done.stderr, "the key came out"
    if done.returncode:
        raise AssertionError(done.stderr)
    return json.loads(done.stdout)


class Case(unittest.TestCase):
    def ask(self, script, **more):
        """One question; its reply, with what the endpoint was sent and how long was waited."""
        pages = more.pop("pages", None)
        with Endpoint(script, pages=pages) as endpoint:
            result = run(endpoint.url, **more)
            self.bodies = [request["body"] for request in endpoint.requests]
            self.requests, self.gets = endpoint.requests, endpoint.gets
        self.waited_ms = sum(result["pauses"])
        self.memory = result["memory"]
        self.replies = result["replies"]
        return result["replies"][-1]

    def ends(self, script, outcome, count, words="", **more):
        reply = self.ask(script, **more)
        self.assertEqual(reply["outcome"], outcome, reply["reason"])
        self.assertEqual(len(self.bodies), count)
        self.assertEqual(len(reply["exchanges"]), count)
        self.assertIn(words, reply["reason"])
        if outcome == "answered":
            self.assertEqual(reply["answer"], GOOD)
        else:
            self.assertIsNone(reply["answer"])
            self.assertTrue(reply["reason"])
        return reply


def main():
    sys.exit(not unittest.main(exit=False).result.wasSuccessful())
