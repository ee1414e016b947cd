# SPDX-License-Identifier: Apache-2.0
"""The client against a scripted endpoint over real HTTP: each row of the error table. Usage: test_errors.py ASK

Waiting takes no time here: the helper adds it to its clock and tells (tests/llm/ask.c).
"""
import json
import pathlib
import subprocess
import sys

import asking
from endpoint import good, raw, say, status
from asking import GOOD, KEY, SCHEMA, Case, question


class Good(Case):
    def test_an_answer(self):
        reply = self.ends([good(GOOD)], "answered", 1)
        self.assertEqual((reply["prompt_tokens"], reply["completion_tokens"]), (120, 60))
        self.assertAlmostEqual(reply["dollars"], (120 * 0.5 + 60 * 2.0) / 1e6)
        self.assertEqual(self.waited_ms, 0)
        self.assertEqual(self.requests[0]["path"], "/v1/chat/completions")
        headers = self.requests[0]["headers"]
        self.assertEqual(headers["Authorization"], "Bearer " + KEY)
        self.assertTrue(headers["User-Agent"].startswith("deepvariance/"))
        body = self.bodies[0]
        self.assertEqual(body["response_format"], {"type": "json_schema", "json_schema": {
            "name": "answer", "strict": True, "schema": SCHEMA}})
        self.assertEqual((body["model"], body["max_completion_tokens"], body["reasoning_effort"]), ("m", 3000, "low"))
        self.assertFalse({"n", "stream", "tools", "logprobs", "stop", "seed"} & set(body))
        self.assertEqual([set(message) for message in body["messages"]], [{"role", "content"}] * 2)

    def test_no_key_no_header(self):
        self.ends([good(GOOD)], "answered", 1, key="")
        self.assertNotIn("Authorization", self.requests[0]["headers"])

    def test_prose_and_thoughts_around_the_object(self):
        self.ends(["prose"], "answered", 1)
        self.ends([say("<think>{maybe?} I'd say {\"a\": 1}</think>" + json.dumps(GOOD))], "answered", 1)
        self.ends([say("", reasoning_content=json.dumps(GOOD))], "answered", 1)

    def test_reasoning_that_is_not_json_alone_is_no_answer(self):
        self.ends([say("", reasoning="I think " + json.dumps(GOOD))], "invalid_answer", 3)

    def test_what_breaks_the_schema_is_told(self):
        reply = self.ask(["wrong-schema"])
        self.assertEqual((reply["outcome"], reply["answer"]), ("answered", {"nom": "net"}))
        self.assertIn("'name' is missing", reply["mismatch"])

    def test_impossible_values_are_the_callers(self):
        reply = self.ask(["impossible"])
        self.assertEqual((reply["outcome"], reply["mismatch"]), ("answered", ""))

    def test_the_transcript(self):
        reply = self.ask(["500", good(GOOD)])
        first, second = reply["exchanges"]
        self.assertEqual((first["status"], first["verdict"], second["verdict"]), (500, "server", "answer"))
        self.assertEqual(json.loads(second["request"]), self.bodies[1])
        self.assertEqual(len(second["request_sha256"]), 64)
        self.assertEqual(second["request_id"], "req_test_1")
        self.assertEqual(json.loads(json.loads(second["answer"])["choices"][0]["message"]["content"]), GOOD)
        self.assertEqual((first["prompt_tokens"], second["prompt_tokens"]), (0, 120))

    def test_a_prompt_that_was_cut_is_noticed(self):
        long = question(messages=[{"role": "user", "content": "word " * 4000}])
        usage = {"prompt_tokens": 2048, "completion_tokens": 10}
        self.assertTrue(self.ask([good(GOOD, usage=usage)], questions=[long])["is_prompt_cut"])
        usage = {"prompt_tokens": 4500, "completion_tokens": 10}
        self.assertFalse(self.ask([good(GOOD, usage=usage)], questions=[long])["is_prompt_cut"])


    def test_a_whole_run(self):
        """As somebody else starts it: endpoint.py --run, each question the next answer."""
        folder = pathlib.Path(__file__).parent
        answers = json.loads((folder / "runs/small.json").read_text())
        with subprocess.Popen([sys.executable, folder / "endpoint.py", "--run", folder / "runs/small.json"],
                              stdout=subprocess.PIPE, text=True) as process:
            url = process.stdout.readline().strip()
            replies = asking.run(url, [question(schema=None)] * len(answers))["replies"]
            process.kill()
        self.assertEqual([reply["answer"] for reply in replies], answers)


class Ladder(Case):
    def test_it_is_stepped_down_and_remembered(self):
        refuse = status(400, None, "This model does not support response format `json_schema`", param="response_format")
        script = [refuse, refuse, status(400, None, "'response_format' of type json_object is not supported"), good(GOOD)]
        reply = self.ends(script, "answered", 4)
        self.assertEqual(reply["rung"], "text")
        formats = [body.get("response_format", {}) for body in self.bodies]
        self.assertEqual([f.get("type") for f in formats], ["json_schema", "json_schema", "json_object", None])
        self.assertEqual([f.get("json_schema", {}).get("strict") for f in formats], [True, False, None, None])
        for body in self.bodies[2:]:  # the schema goes into the prompt then, and the word that json_object wants
            self.assertIn("JSON schema", body["messages"][-1]["content"])
            self.assertIn('"required":["name","depth"]', body["messages"][-1]["content"])
        self.assertEqual(self.memory["m"]["rung"], "text")
        learned = self.memory
        self.ask([refuse, good(GOOD)], questions=[question(), question()])
        self.assertEqual(len(self.bodies), 3)  # the second question begins where the first ended
        self.ends([good(GOOD)], "answered", 1, memory=learned)
        self.assertNotIn("response_format", self.bodies[0])

    def test_a_keyword_that_is_refused_steps_down(self):
        self.ends([status(400, None, "minItems is not supported"), good(GOOD)], "answered", 2)
        self.assertFalse(self.bodies[1]["response_format"]["json_schema"]["strict"])

    def test_it_ends(self):
        self.ends([status(400, None, "bad grammar")], "request", 4)

    def test_another_400_is_no_step(self):
        self.ends([status(400, None, "'messages.0' : property 'timestamp' is wrong")], "request", 1, "timestamp")

    def test_without_a_schema(self):
        free = question(schema=None)
        self.ends([status(400, None, "response_format"), good(GOOD)], "answered", 2, questions=[free])
        self.assertEqual(self.bodies[0]["response_format"], {"type": "json_object"})
        self.assertNotIn("response_format", self.bodies[1])


class Parameters(Case):
    def test_the_output_field_has_two_names(self):
        words = "Unsupported parameter: 'max_completion_tokens' is not supported with this model."
        self.ends([status(400, "unsupported_parameter", words), good(GOOD)], "answered", 2)
        self.assertEqual(self.bodies[1]["max_tokens"], 3000)
        self.assertNotIn("max_completion_tokens", self.bodies[1])
        self.assertTrue(self.memory["m"]["is_old_output_field"])
        self.ends([status(400, "unsupported_parameter", words)], "request", 2)

    def test_a_limit_is_taken_over(self):
        words = "`max_completion_tokens` must be less than or equal to `2048`, the maximum value for this model"
        self.ends([status(400, None, words, param="max_completion_tokens"), good(GOOD)], "answered", 2)
        self.assertEqual(self.bodies[1]["max_completion_tokens"], 2048)
        self.assertEqual(self.memory["m"]["output_max"], 2048)

    def test_fields_are_dropped(self):
        for field, words in (("temperature", "'temperature' does not support 0.4 with this model"),
                             ("reasoning_effort", '"m" does not support thinking'),
                             ("reasoning_effort", "`reasoning_effort` must be one of none, default"),
                             ("seed", "Unrecognized field: seed")):
            self.ends([status(400, None, words), good(GOOD)], "answered", 2, questions=[question(seed=7)])
            self.assertIn(field, self.bodies[0])
            self.assertNotIn(field, self.bodies[1])
            self.ends([status(400, None, words)], "request", 2, questions=[question(seed=7)])


class Answers(Case):
    def test_failed_generation_is_tried_first(self):
        for failed in (json.dumps(GOOD), GOOD, "Here: ```json\n" + json.dumps(GOOD)):
            self.ends([status(400, "json_validate_failed", "Failed", failed_generation=failed)], "answered", 1)

    def test_bad_json_gets_more_room_then_a_lower_rung(self):
        bad = status(400, "json_validate_failed", "max completion tokens reached", failed_generation="")
        self.ends([bad], "invalid_answer", 3)
        self.assertEqual([body["max_completion_tokens"] for body in self.bodies], [3000, 4500, 6750])
        self.assertEqual([body["response_format"]["json_schema"]["strict"] for body in self.bodies], [True, True, False])
        self.ends([bad, good(GOOD)], "answered", 2)

    def test_a_truncated_answer_is_bad_json(self):
        self.ends(["length", good(GOOD)], "answered", 2)
        self.assertEqual(self.bodies[1]["max_completion_tokens"], 4500)
        self.ends(["length"], "invalid_answer", 3)

    def test_prose_alone_nesting_duplicates(self):
        for content in ("I cannot decide.", '{"a":' * 20 + "1" + "}" * 20, '{"a": 1, "a": 2}', '{"a": NaN}',
                        '{"a": "' + "x" * 70000 + '"}'):
            self.ends([say(content)], "invalid_answer", 3)

    def test_a_refusal_is_asked_again_once_and_warmer(self):
        for line in ("refusal", say("  "), say("I will not", finish="content_filter")):
            self.ends([line], "refused", 2)
            self.assertAlmostEqual(self.bodies[1]["temperature"] - self.bodies[0]["temperature"], 0.2)
        self.ends(["refusal", good(GOOD)], "answered", 2)

    def test_422(self):
        self.ends([status(422)], "invalid_answer", 3)
        self.assertEqual([body["response_format"]["json_schema"]["strict"] for body in self.bodies], [True, True, False])

    def test_half_an_envelope_passes(self):
        self.ends(["truncated", good(GOOD)], "answered", 2)
        self.ends(["truncated"], "server", 3)

    def test_a_page_is_no_answer(self):
        page = raw(200, "<html>Welcome</html>", content_type="text/html")
        self.ends([page], "endpoint", 1, "Welcome")
        self.ends([raw(200, '{"models": []}')], "endpoint", 1)

    def test_shapes_that_cannot_be(self):
        for body in ("[]", "null", "7", '{"choices": {}}', '{"choices": [{"message": "x"}]}', '{"choices": [null]}'):
            self.ends([raw(200, body)], "endpoint", 1)
        self.ends([good(GOOD, usage={"prompt_tokens": -5, "completion_tokens": 10 ** 17})], "answered", 1)


if __name__ == "__main__":
    asking.main()
