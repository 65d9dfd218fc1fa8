"""Writes awkward rows, reads them with `slotwise batch --format arrow`, and compares every cell that pyarrow sees.

Called by check-arrow.sh: check_arrow.py PROGRAM REDIS_CLI URLS WORK_FOLDER [PART...]
"""

import json
import struct
import subprocess
import sys
from pathlib import Path

import pyarrow as pa

PREFIX = "check-arrow:"
TYPES = {"text": "string", "count": "int64", "score": "float64", "flag": "bool", "seen_at": "timestamp_ms"}
ARROW_TYPES = {
    "string": pa.string(),
    "int64": pa.int64(),
    "float64": pa.float64(),
    "bool": pa.bool_(),
    "timestamp_ms": pa.timestamp("ms", tz="UTC"),
}
NOT_A = {
    "string": "not UTF-8",
    "int64": "not an int64",
    "float64": "not a float64",
    "bool": "not a bool",
    "timestamp_ms": "not a timestamp_ms",
}
# Every row: its features as the text that Redis keeps. A feature that is left out is absent.
ROWS = {
    "plain": {"text": "low", "count": "42", "score": "12.34", "flag": "true", "seen_at": "1760000000000"},
    "empty": {"text": "", "count": "0", "score": "0", "flag": "false", "seen_at": "0"},
    "unicode 🦀 é": {"text": "日本語 🦀 e\u0301", "count": "-1", "score": "0.1", "flag": "true", "seen_at": "-1"},
    "breaks\n\"'\\": {"text": "a,\"b\"\r\n\t\\\u0000", "count": "7", "score": "-1.5"},
    "most": {"count": "9223372036854775807", "score": "1.7976931348623157e308", "seen_at": "253402300799999"},
    "least": {"count": "-9223372036854775808", "score": "5e-324", "seen_at": "-62135596800000"},
    "odd floats": {"score": "-0.0"},
    "large": {"score": "1e300", "count": "999999999999999999"},
    "digits": {"score": "0.30000000000000004", "count": "1000000000000000000"},
    "nan": {"score": "NaN"},
    "infinite": {"score": "-inf"},
    "long": {"text": "x" * 100_000},
}
# Values that are no such types; as text they are what they are.
WRONG = {
    "wrong": {"text": "fine", "count": "1.5", "score": "1,5", "flag": "True", "seen_at": "2026-01-01"},
    "half wrong": {"count": "9223372036854775808", "flag": "false"},
}
NOT_UTF8 = b"\xff\xfe\x00"
UNKNOWN = ["nobody", "nobody else"]


def run(*command, stdin=None, exits=0):
    done = subprocess.run(command, input=stdin, capture_output=True)
    if done.returncode != exits:
        sys.exit(f"check-arrow: {command} ended with {done.returncode}: {done.stderr.decode()}")
    return done.stdout


def typed(text, kind):
    """The value that a text is as a type, in a form that compares bit by bit; None where it is none."""
    try:
        if kind == "float64":
            return struct.pack("<d", float(text))
        if kind in ("int64", "timestamp_ms"):
            value = int(text)
            return value if -(2**63) <= value < 2**63 else None
    except ValueError:
        return None
    return {"true": True, "false": False}.get(text) if kind == "bool" else text


def cells(column):
    """A column in the same form. Timestamps as numbers: Python's dates do not reach as far."""
    if pa.types.is_timestamp(column.type):
        column = column.cast(pa.int64())
    values = column.to_pylist()
    if pa.types.is_floating(column.type):
        return [None if value is None else struct.pack("<d", value) for value in values]
    return values


def load(program, cli, urls, work):
    rows = work / "rows.ndjson"
    lines = [json.dumps({"id": id, "features": features}) for id, features in (ROWS | WRONG).items()]
    rows.write_text("\n".join(lines), encoding="utf-8")
    run(program, "load", str(rows), "--redis-url", urls, "--key-prefix", PREFIX)
    first = urls.split(",")[0].removeprefix("redis://").split(":")
    command = [cli, "-c", "-h", first[0], "-p", first[1].rstrip("/")]
    run(*command, "-x", "HSET", f"{PREFIX}bytes", "text", stdin=NOT_UTF8)


def read(program, urls, work, ids, config, exits):
    listed, output = work / "ids.json", work / "rows.arrows"
    listed.write_text("".join(json.dumps(id) + "\n" for id in ids), encoding="utf-8")
    # Small windows: several record batches.
    run(program, "batch", "--ids", str(listed), "--ids-format", "json", "--features", ",".join(TYPES),
        "--format", "arrow", "--batch-size", "5", "--output", str(output), "--redis-url", urls, *config, exits=exits)
    with pa.OSFile(str(output)) as file, pa.ipc.open_stream(file) as stream:
        batches = list(stream)
        table = pa.Table.from_batches(batches, stream.schema)
        if file.read(1):
            sys.exit("check-arrow: there is more after the end of the stream")
    table.validate(full=True)
    if len(batches) < 2:
        sys.exit("check-arrow: all came in one record batch")
    return table


def same(what, seen, wanted):
    if seen != wanted:
        sys.exit(f"check-arrow: {what}:\n  read     {seen!r}\n  expected {wanted!r}")


def check(part, table, ids, types):
    """Compares a table with what was written; `types` says how each feature is read."""
    fields = [pa.field("id", pa.string(), nullable=False)]
    fields += [pa.field(name, ARROW_TYPES[kind]) for name, kind in types.items()]
    fields += [pa.field("__status", pa.string(), nullable=False), pa.field("__error", pa.string())]
    same(f"{part}: schema", list(table.schema), fields)
    same(f"{part}: ids", table["id"].to_pylist(), ids)
    columns = {name: cells(table[name]) for name in types}
    for row, id in enumerate(ids):
        features = {"text": None} if id == "bytes" else (ROWS | WRONG).get(id, {})
        errors = []
        for name, kind in types.items():
            text = features.get(name)
            wanted = None if text is None else typed(text, kind)
            same(f"{part}: {name} of {id!r}", columns[name][row], wanted)
            if name in features and wanted is None:
                errors.append(f"{name}: {NOT_A[kind]}")
        status = {0: "missing", len(types): "found"}.get(len(features), "partial")
        same(f"{part}: status of {id!r}", table["__status"][row].as_py(), status)
        same(f"{part}: error of {id!r}", table["__error"][row].as_py(), "; ".join(errors) or None)
    print(f"check-arrow: {part}: {len(ids)} rows of {len(types)} features are what was written")


def main():
    program, cli, urls, work, *parts = sys.argv[1:]
    work = Path(work)
    load(program, cli, urls, work)
    # Unknown ids in between, and one that comes again.
    ids = [*ROWS, UNKNOWN[0], *WRONG, "bytes", UNKNOWN[1], "plain"]
    config = work / "slotwise.toml"
    entity = [f'[[entity]]\nname = "user"\nprefix = "{PREFIX}"\n']
    entity += [
        f'[[entity.feature]]\nname = "{name}"\ntype = "{kind}"\nkind = "batch"\n' for name, kind in TYPES.items()
    ]
    config.write_text("".join(entity), encoding="utf-8")
    for part in parts or ["untyped", "typed"]:
        how = ["--config", str(config)] if part == "typed" else ["--key-prefix", PREFIX]
        types = TYPES if part == "typed" else dict.fromkeys(TYPES, "string")
        # Values that are not of their type: done, but not all of it.
        exits = 3 if part == "typed" else 0
        check(part, read(program, urls, work, ids, how, exits), ids, types)


main()
