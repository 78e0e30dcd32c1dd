"""What schemathesis adds to its own requests and checks when it drives the mirror (tests/mirror/stores/contract/driven.rs).

Loaded through SCHEMATHESIS_HOOKS. Most random requests ask for nothing that exists, in a time without samples. Some of
them are led to the samples of the test, so that the ways behind the decoder are driven, too.
"""

import copy
import json
import os
import zlib

import schemathesis

KEY = os.environ["MIRROR_KEY"]
START = int(os.environ["MIRROR_START"])
# What the store has, and what Prometheus refuses, for each query kind.
METRICS = {
    "__counter__": ["requests_total", "load"],
    "__gauge__": ["temperature", "load", "special"],
    "__histogram__": ["latency", "load"],
    "__summary__": ["pause_seconds", "load"],
    "~": ["sum(load)", "load", "scalar(load)", "sum(", "1 + 1"],
}


def choose(number, options):
    return options[number % len(options)]


def kind(condition):
    """The query kind that a condition names, if it is one that does."""
    key = condition.get("key") if isinstance(condition, dict) else None
    return key if isinstance(key, str) and key in METRICS else None


@schemathesis.hook
def before_call(context, case, kwargs):
    if not isinstance(case.body, dict):
        return
    # Parts of a body may be shared with the next one.
    body = case.body = copy.deepcopy(case.body)
    # The same for the same body, so that a run can be repeated.
    number = zlib.crc32(json.dumps(body, sort_keys=True, default=str).encode())
    if isinstance(body.get("connectionDetails"), dict) and number % 4:
        body["connectionDetails"] = {"target": "live"}
    query = body.get("query")
    if not isinstance(query, dict):
        return
    number //= 4
    if number % 8 and isinstance(query.get("startTime"), int):
        query["startTime"] = START
        query["endTime"] = START + choose(number, [60_000, 60_000, 3_600_000, 0, 180 * 86_400_000])
    number //= 8
    conditions = query.setdefault("conditions", [])
    if not isinstance(conditions, list) or number % 4 == 0:
        return
    number //= 4
    kinds = [condition for condition in conditions if kind(condition)][:1]
    if not kinds:
        kinds = [{"key": choose(number, list(METRICS)), "value": {}}]
    if isinstance(kinds[0].get("value"), dict):
        kinds[0]["value"]["value"] = choose(number, METRICS[kind(kinds[0])])
    others = [condition for condition in conditions if not kind(condition)]
    query["conditions"] = kinds + others[: number % 3]


@schemathesis.check
def carries_the_key(ctx, response, case):
    """Every answer but 401 has the key of this mirror, and 401 has none."""
    got = response.headers.get("x-mirror-api-key", [None])[0]
    expected = None if response.status_code == 401 else KEY
    assert got == expected, f"X-MIRROR-API-KEY is {got!r} and not {expected!r}"


@schemathesis.check
def fails_only_with_the_store(ctx, response, case):
    """The store of the test works: 5xx is for targets that do not exist, and for requests that leave it no time."""
    if response.status_code < 500:
        return
    body = json.loads(response.content)
    asked = case.body.get("connectionDetails") if isinstance(case.body, dict) else None
    hurried = isinstance(asked, dict) and ("requestTimeout" in asked or "request_timeout_seconds" in asked)
    if response.status_code == 502 and "is not a target of this mirror" in body["details"]:
        return
    if response.status_code == 504 and hurried:
        return
    raise AssertionError(f"{response.status_code}: {body}")
