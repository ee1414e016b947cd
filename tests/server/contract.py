# SPDX-License-Identifier: Apache-2.0
"""contract/openapi.json, and answers held against it."""

import json
import pathlib
import re

CONTRACT = json.loads((pathlib.Path(__file__).resolve().parents[2] / "contract" / "openapi.json").read_text(encoding="utf-8"))


def check_schema(value, schema, where=""):
    """As much of JSON Schema as the contract uses."""
    if "$ref" in schema:
        return check_schema(value, CONTRACT["components"]["schemas"][schema["$ref"].rsplit("/", 1)[1]], where)
    if "oneOf" in schema:
        return any_matches(value, schema["oneOf"], where)
    kinds = schema.get("type")
    kinds = [kinds] if isinstance(kinds, str) else kinds
    names = {dict: "object", list: "array", str: "string", bool: "boolean", type(None): "null"}
    kind = names.get(type(value)) or ("integer" if isinstance(value, int) else "number")
    if kinds and kind not in kinds and not (kind == "integer" and "number" in kinds):
        raise AssertionError(f"{where}: {value!r} is no {kinds}")
    if "enum" in schema and value is not None and value not in schema["enum"]:
        raise AssertionError(f"{where}: {value!r} is none of {schema['enum']}")
    if isinstance(value, dict):
        for name in schema.get("required", []):
            if name not in value:
                raise AssertionError(f"{where}: {name} is missing")
        for name, member in value.items():
            if name in schema.get("properties", {}):
                check_schema(member, schema["properties"][name], f"{where}/{name}")
            elif schema.get("additionalProperties") is False:
                raise AssertionError(f"{where}: {name} is not in the contract")
    if isinstance(value, list) and "items" in schema:
        for index, item in enumerate(value):
            check_schema(item, schema["items"], f"{where}/{index}")
    return True


def any_matches(value, schemas, where):
    problems = []
    for schema in schemas:
        try:
            return check_schema(value, schema, where)
        except AssertionError as problem:
            problems.append(str(problem))
    raise AssertionError("; ".join(problems))


def find_operation(method, path):
    for pattern, operations in CONTRACT["paths"].items():
        if re.fullmatch(re.sub(r"\{[a-z]+\}", "[^/]+", pattern), path) and method.lower() in operations:
            return operations[method.lower()]
    raise AssertionError(f"{method} {path} is not in the contract")


def checked_call(server, method, path, status, **options):
    """A call whose answer is held against the contract."""
    answer = server.call(method, path, **options)
    if answer.status != status:
        raise AssertionError(f"{method} {path}: {answer.status}, not {status}: {answer.body[:500]}")
    responses = find_operation(method, path.partition("?")[0])["responses"]
    if str(status) not in responses:
        raise AssertionError(f"{method} {path}: the contract has no {status}")
    if status >= 400:
        if not answer.headers["Content-Type"].startswith("application/problem+json"):
            raise AssertionError(f"{method} {path}: {answer.headers['Content-Type']}")
        check_schema(answer.json, {"$ref": "#/components/schemas/Problem"}, path)
        if answer.json["status"] != status:
            raise AssertionError("the document says another status")
        return answer.json
    content = responses[str(status)].get("content", {})
    if "application/json" in content and answer.headers["Content-Type"].partition(";")[0] not in set(content) - {"application/json"}:
        check_schema(answer.json, content["application/json"]["schema"], path)
        return answer.json
    return answer
