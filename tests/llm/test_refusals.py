# SPDX-License-Identifier: Apache-2.0
"""The client and an endpoint that refuses, fails, stalls or lies about where it is; budgets and the breaker.
Usage: test_refusals.py ASK"""
import json
import pathlib
import shutil
import subprocess
import tempfile
import unittest

import endpoint as scripted
import asking
from endpoint import Endpoint, good, raw, say, status
from asking import GOOD, KEY, STRICT, Case, question, run


class Final(Case):
    """What is not asked again."""

    def test_the_key(self):
        for line in ("401", "403"):
            reply = self.ends([line], "key", 1)
            self.assertIn(line[:3], reply["reason"])
        self.ask(["401", good(GOOD)], questions=[question(), question()])
        self.assertEqual([reply["outcome"] for reply in self.replies], ["key", "key"])
        self.assertEqual(len(self.requests), 1)  # nor for the next question

    def test_money(self):
        self.ends(["429-money"], "money", 1, "current quota")
        self.ends([status(402, None, "pay")], "money", 1)

    def test_a_rate_limit_that_speaks_of_billing_is_none_of_money(self):
        self.assertIn("billing", scripted.RATE_WORDS)
        self.ends(["429-words", good(GOOD)], "answered", 2)

    def test_blocked(self):
        self.ends(["403-1010"], "blocked", 1, "error code: 1010")

    def test_a_wrong_base_url(self):
        self.ends(["404"], "endpoint", 1, "/v1")

    def test_a_redirect_is_not_followed(self):
        self.ends(["redirect"], "endpoint", 1, "redirect")
        self.assertEqual(self.gets, [])

    def test_other_refusals(self):
        self.ends([status(424, None, "mcp")], "request", 1, "424")
        self.ends([status(405, None, "no")], "request", 1)

    def test_a_model_that_is_gone(self):
        pages = {"/v1/models": raw(200, json.dumps({"data": [{"id": "this"}, {"id": "that"}]}))}
        self.ends(["404-model"], "model_gone", 1, "this, that", pages=pages)
        self.ends([status(400, "model_decommissioned")], "model_gone", 1, "does not say")
        reply = self.ends(["404-model", good(GOOD)], "answered", 2, models=["old", "new"])
        self.assertEqual([body["model"] for body in self.bodies], ["old", "new"])
        self.assertEqual(reply["model"], "new")


class TooLarge(Case):
    short = [{"role": "user", "content": "short"}]

    def test_413_is_shrunk_once(self):
        self.ends(["413", good(GOOD)], "answered", 2, questions=[question(short_messages=self.short)])
        self.assertEqual(self.bodies[1]["max_completion_tokens"], 1500)
        self.assertEqual(self.bodies[1]["messages"], self.short)
        self.ends(["413"], "too_large", 2, "Requested 32979")

    def test_a_context_that_is_too_short(self):
        long = status(400, "context_length_exceeded", "This model's maximum context length is 4096 tokens")
        self.ends([long, good(GOOD)], "answered", 2, questions=[question(short_messages=self.short)])
        self.assertEqual(self.bodies[1]["messages"], self.short)
        self.ends([long], "too_large", 1)


class Passing(Case):
    """What is tried again, three times in all."""

    def test_servers(self):
        for code in (500, 502, 503, 504, 529, 408, 409, 425, 499):
            self.ends([status(code), status(code), good(GOOD)], "answered", 3)
            self.assertEqual(self.waited_ms, 1000 + 2000)  # the jitter is set to its middle
            self.ends([status(code)], "server", 3, str(code))

    def test_a_rate_limit_with_a_header(self):
        self.ends(["429", good(GOOD)], "answered", 2)
        self.assertEqual(self.waited_ms, 2250)
        self.ends([status(503, None, "x", {"retry-after": "7"}), good(GOOD)], "answered", 2)
        self.assertEqual(self.waited_ms, 7500)

    def test_a_rate_limit_with_words_or_nothing(self):
        self.ends(["429-words", good(GOOD)], "answered", 2)
        self.assertEqual(self.waited_ms, 5789)
        self.ends(["429-bare", good(GOOD)], "answered", 2)
        self.assertEqual(self.waited_ms, 1000)
        self.ends(["429"], "rate_limited", 3)
        reset = status(429, "rate_limit_exceeded", "slow", {"x-ratelimit-reset-tokens": "1m2.5s"})
        self.ends([reset, good(GOOD)], "answered", 2)
        self.assertEqual(self.waited_ms, 63000)

    def test_a_day_is_not_waited_for(self):
        reply = self.ends(["429-day"], "rate_limited", 1)
        self.assertGreaterEqual(reply["wait_ms"], 1800000)
        self.assertEqual(self.waited_ms, 0)

    def test_nor_longer_than_patience(self):
        self.ends(["429"], "rate_limited", 1, patience_ms=1500)
        self.assertEqual(self.waited_ms, 0)

    def test_a_full_tier_is_left(self):
        self.ends(["498", good(GOOD)], "answered", 2)
        self.assertEqual(self.bodies[1]["service_tier"], "on_demand")
        self.ends(["498"], "server", 3)

    def test_a_model_that_loads_is_waited_for(self):
        pages = {"/health": [status(503), status(503), raw(200, "{}")]}
        self.ends(["503-loading", good(GOOD)], "answered", 2, pages=pages)
        self.assertEqual(self.gets, ["/health"] * 3)
        self.assertEqual(self.waited_ms, 3 * 2000 + 1000)
        self.ends(["503-loading"], "server", 1, "loading", pages={"/health": status(503)})
        self.assertEqual(self.waited_ms, 300000)

    def test_connections(self):
        self.ends(["cut", good(GOOD)], "answered", 2)
        self.ends(["cut"], "network", 3)
        self.ends(["hang"], "network", 3, "timed out", total_timeout_ms=200)
        self.ends(["trickle"], "network", 3, "did not end", body_timeout_ms=200)
        with Endpoint([good(GOOD)]) as endpoint:
            url = endpoint.url
        reply = run(url)["replies"][0]  # nobody listens there any more
        self.assertEqual((reply["outcome"], len(reply["exchanges"])), ("network", 3))

    def test_an_endless_answer(self):
        reply = self.ends(["endless"], "endpoint", 1, "larger than")
        self.assertLess(len(json.dumps(reply)), 100000)

    def test_tokens_that_are_used_up_are_waited_for(self):
        few = {"x-ratelimit-limit-tokens": "8000", "x-ratelimit-remaining-tokens": "100",
               "x-ratelimit-reset-tokens": "40s"}
        self.ask([good(GOOD, headers=few), good(GOOD)], questions=[question(), question()])
        self.assertEqual([reply["outcome"] for reply in self.replies], ["answered", "answered"])
        self.assertTrue(39000 <= self.waited_ms <= 40000, self.waited_ms)
        small = {"x-ratelimit-limit-tokens": "2000"}  # what is over the limit is refused whatever it is
        self.ask([good(GOOD, headers=small), good(GOOD)], questions=[question(), question()])
        self.assertLess(self.bodies[1]["max_completion_tokens"], 2000)

    def test_cancelling(self):
        for script, cancel_at, count in ((["429"], 5, 1), (["hang"], 0, 0)):
            reply = self.ask(script, cancel_at=cancel_at)
            self.assertEqual(reply["outcome"], "cancelled", reply["reason"])
            self.assertLessEqual(len(self.requests), count + 1)
            self.assertLess(self.waited_ms, 1000)


class Bounds(Case):
    def outcomes(self, count, script, **more):
        self.ask(script, questions=[question()] * count, **more)
        return [reply["outcome"] for reply in self.replies]

    def test_the_breaker(self):
        outcomes = self.outcomes(10, ["404"])
        self.assertEqual(outcomes, ["endpoint"] * 3 + ["offline"] * 5 + ["endpoint", "offline"])
        self.assertEqual(len(self.requests), 4)
        outcomes = self.outcomes(10, ["404", "404", "404", good(GOOD)])
        self.assertEqual(outcomes, ["endpoint"] * 3 + ["offline"] * 5 + ["answered"] * 2)
        outcomes = self.outcomes(6, ["404", "404", good(GOOD), "404", "404", good(GOOD)])
        self.assertNotIn("offline", outcomes)

    def test_a_budget_of_tokens(self):
        outcomes = self.outcomes(6, [good(GOOD, usage={"prompt_tokens": 500, "completion_tokens": 500})], tokens_max=3000)
        self.assertEqual(outcomes[-1], "budget")
        spent = sum(reply["prompt_tokens"] + reply["completion_tokens"] for reply in self.replies)
        self.assertLessEqual(spent, 3000)
        self.assertEqual(outcomes, ["answered"] * 3 + ["budget"] * 3)
        self.assertLess(self.bodies[2]["max_completion_tokens"], 1000)

    def test_a_budget_of_money(self):
        usage = {"prompt_tokens": 100, "completion_tokens": 500}
        outcomes = self.outcomes(8, [good(GOOD, usage=usage)], dollars_max=0.005)
        self.assertEqual(outcomes[-1], "budget")
        self.assertLessEqual(sum(reply["dollars"] for reply in self.replies), 0.005)
        self.assertEqual(outcomes, ["answered"] * 4 + ["budget"] * 4)

    def test_a_budget_of_time(self):
        outcomes = self.outcomes(4, ["429", good(GOOD)] * 4, time_max_ms=2600)
        self.assertEqual(outcomes, ["answered", "rate_limited", "answered", "budget"][:2] + outcomes[2:])
        self.assertLess(self.waited_ms, 2600)


class Secrets(Case):
    """asking.run() looks for the key in whatever comes out; here the endpoint says it."""

    def test_an_error_with_the_key_in_it(self):
        for line in (scripted.echo_key(), scripted.echo_key(400), scripted.echo_key(500)):
            reply = self.ask([line])
            text = json.dumps(reply)
            self.assertNotIn(KEY[:12], text)
            self.assertNotIn(KEY[-10:], text)
            self.assertIn("****", text)

    def test_an_answer_with_the_key_in_it(self):
        reply = self.ask([scripted.echo_in_answer], questions=[question(schema=None)])
        self.assertEqual(reply["answer"]["name"], "*" * len(KEY))

    def test_a_key_that_is_escaped(self):
        key = "abcdef/ghijkl/mnopqr/stuvwx"
        content = json.dumps({"name": "A"}).replace("A", key.replace("/", "\\/"))
        reply = self.ask([say(content)], key=key, questions=[question(schema=None)])
        self.assertEqual(reply["answer"]["name"], "*" * len(key))
        self.assertNotIn(key, json.dumps(reply))


class Destinations(Case):
    def refused(self, url, **settings):
        try:
            reply = run(url, **settings)["replies"][0]
        except AssertionError as failure:
            return str(failure)
        self.assertEqual(reply["outcome"], "destination", reply["reason"])
        return reply["reason"]

    def test_where_a_key_is_never_sent(self):
        for url in ("http://169.254.169.254/v1", "http://[::ffff:169.254.169.254]/v1", "http://[fe80::1]/v1",
                    "http://100.100.100.200/v1", "http://[fd00:ec2::254]/v1", "http://0.0.0.0:80/v1",
                    "https://[64:ff9b::a9fe:a9fe]/v1", "http://[::]/v1", "https://224.0.0.1/v1"):
            self.assertIn("link-local or reserved", self.refused(url))
        self.assertIn("unencrypted", self.refused("http://8.8.8.8/v1"))
        for url in ("ftp://x/v1", "file:///etc/passwd", "https://a@b/v1", "https://u:secretpassword@h/v1", "https:///v1",
                    "https://h/v1?x", "https://h/v1#x", "https://h/../v1", "https://h:0/v1", "https://h:99999/", "https://h%41/"):
            self.assertNotIn("secretpassword", self.refused(url))

    def test_other_spellings_of_this_machine(self):
        with Endpoint([good(GOOD)]) as endpoint:
            for host in ("2130706433", "0x7f000001", "0177.0.0.1", "127.1"):
                self.refused(f"http://{host}:{endpoint.port}/v1")
            self.assertEqual(endpoint.requests, [])
            for host in ("127.0.0.1", "localhost"):
                reply = run(f"http://{host}:{endpoint.port}/v1")["replies"][0]
                self.assertEqual(reply["outcome"], "answered")
            reply = run(f"http://127.1:{endpoint.port}/v1", allowed="10.0.0.0/8, 127.0.0.1")["replies"][0]
            self.assertEqual(reply["outcome"], "answered")
            self.refused(f"http://127.1:{endpoint.port}/v1", allowed="127.0.0.2")


@unittest.skipUnless(shutil.which("openssl"), "needs openssl")
class Certificates(Case):
    def test_one_that_nobody_vouches_for(self):
        with tempfile.TemporaryDirectory() as folder:
            pem, key = pathlib.Path(folder, "cert.pem"), pathlib.Path(folder, "key.pem")
            subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=test",
                            "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", pem],
                           check=True, capture_output=True)
            with Endpoint([good(GOOD)], certificate=(pem, key)) as endpoint:
                reply = run(endpoint.url)["replies"][0]
                self.assertEqual(reply["outcome"], "network")
                self.assertIn("certificate", reply["reason"])
                self.assertEqual(endpoint.requests, [])
                reply = run(endpoint.url, ca_file=str(pem))["replies"][0]
                self.assertEqual(reply["outcome"], "answered", reply["reason"])
                reply = run(endpoint.url.replace("127.0.0.1", "localhost"), ca_file=str(pem))["replies"][0]
                self.assertEqual(reply["outcome"], "network")  # the certificate is another's


if __name__ == "__main__":
    asking.main()
