"""What schemathesis has to know of this API: its formats, and which faults of the server are none."""

import json
import zlib

import jsonschema_rs
import schemathesis

BATCH = "/v1/features/batch"
ACCEPTS = [
    "*/*",
    "application/json",
    "application/x-ndjson",
    "text/csv",
    "application/vnd.apache.arrow.stream",
]
EMPTY_ROW = {"id": "", "status": "missing", "features": {}}
# How an Arrow IPC stream begins: a message with metadata follows.
ARROW_CONTINUATION = b"\xff\xff\xff\xff"


def within_the_config(fields):
    """Valid fields that only the config refuses would hide what comes behind them; most of them are put right."""
    if not isinstance(fields, dict) or zlib.crc32(repr(fields).encode(errors="replace")) % 8 == 0:
        return fields
    if isinstance(fields.get("entity"), str):
        fields["entity"] = "user"
    if isinstance(fields.get("feature_set"), str):
        if fields.get("features") is None:
            fields["feature_set"] = "fraud"
        else:
            del fields["feature_set"]
    elif "ids" in fields and fields.get("features") is None and fields.get("feature_set") is None:
        fields["feature_set"] = "fraud"
    for name, most in [("timeout_ms", 30_000), ("ttl_seconds", 60_000_000_000)]:
        if isinstance(fields.get(name), int) and most < fields[name] < 2**62:
            fields[name] = most
    return fields


@schemathesis.hook
def map_query(ctx, query):
    return within_the_config(query)


@schemathesis.hook
def map_body(ctx, body):
    return within_the_config(body)


@schemathesis.hook
def before_call(ctx, case, kwargs):
    """Asks for every format in turn, the same one for the same body."""
    if case.operation.path == BATCH and case.method.upper() == "POST":
        place = zlib.crc32(repr(case.body).encode(errors="replace"))
        case.headers["Accept"] = "text/html" if place % 32 == 0 else ACCEPTS[place % len(ACCEPTS)]


@schemathesis.serializer("application/x-ndjson")
def write_lines(ctx, value):
    rows = value if isinstance(value, list) else [value]
    return "".join(json.dumps(row, default=str) + "\n" for row in rows).encode()


@schemathesis.deserializer("application/x-ndjson")
def read_lines(ctx, response):
    """Holds every line to the schema of one; the last stands for all."""
    components = ctx.operation.schema.raw_schema["components"]
    row = jsonschema_rs.validator_for({"$ref": "#/components/schemas/RowLine", "components": components})
    lines = [json.loads(line) for line in response.content.splitlines()]
    for line in lines:
        row.validate(line)
    return lines[-1] if lines else EMPTY_ROW


@schemathesis.deserializer("application/vnd.apache.arrow.stream")
def read_arrow(ctx, response):
    """What is in the stream is for scripts/check-arrow.sh; here it has to be one."""
    if not response.content.startswith(ARROW_CONTINUATION):
        raise ValueError("no Arrow IPC stream")
    return response.content.decode("latin-1")


@schemathesis.check
def no_server_error(ctx, response, case):
    """A deadline that the request gave itself may pass, also when a write is already under way; nothing else is the
    server's fault."""
    said = (case.query, case.body, dict(case.headers or {}))
    timed = "timeout_ms" in repr(said) or "timeout-ms" in repr(said).lower()
    late = response.status_code == 504 or (response.status_code == 503 and b'"outcome_unknown"' in response.content)
    assert response.status_code < 500 or (late and timed), f"a {response.status_code}"
