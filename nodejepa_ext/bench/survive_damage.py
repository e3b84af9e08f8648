"""Ways to damage a file, by what it is: bytes of any, cells of a table, values of JSON and TOML,
arrays and tensors. Each takes the sound bytes and a random stream -> other bytes.
"""

from __future__ import annotations

import hashlib
import io
import json
import random
import re
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

VALUES: tuple[str, ...] = (
    "null",
    '"x"',
    "[]",
    "{}",
    "true",
    "-1",
    "0.5",
    "1000000000",
    "1e999",
    "NaN",
    "0",
)
VALUES += ('"\\ud800"', '"\\u0000"', '"a/../../x"', "9" * 5000, "[" * 10**5 + "]" * 10**5)
OF_TOML: tuple[str, ...] = ("'x'", "[]", "{}", "true", "-1", "0.5", "inf", "nan", "1979-05-27")
OF_TOML += ("9" * 5000, "[" * 10**5 + "]" * 10**5)
CELLS: tuple[str, ...] = (
    "",
    " ",
    "nan",
    "inf",
    "-inf",
    "1e999",
    "1e40",
    "1_000",
    "-0",
    "0x10",
    " 1",
    "\u0661",
    "-1",
)
CELLS += ("\0", '"a\nb"', '"', "'", "True", "None", "2020-01-01", "e\u0301", "\u00e9", "9" * 5000)
CELLS += (
    "1.5",
    "01",
    "1e3",
    "1;2",
    "1,2",
    "train",
    "val",
    "x" * 70_000,
    "\ufeff",
    "\u2028",
    "#",
    "%",
)
MARK = "@here@"
Damage = Callable[[bytes, random.Random], bytes]


def cut(payload: bytes, rng: random.Random) -> bytes:
    """Cut off anywhere."""
    return payload[: rng.randrange(max(1, len(payload)))]


def flip(payload: bytes, rng: random.Random) -> bytes:
    """One bit another."""
    if not payload:
        return b"\x01"
    found = bytearray(payload)
    found[rng.randrange(len(found))] ^= 1 << rng.randrange(8)
    return bytes(found)


def scramble(payload: bytes, rng: random.Random) -> bytes:
    """Up to 16 bytes another."""
    found = bytearray(payload)
    for _ in range(rng.randint(1, 16)):
        if found:
            found[rng.randrange(len(found))] = rng.randrange(256)
    return bytes(found)


def insert(payload: bytes, rng: random.Random) -> bytes:
    """Bytes in between that are not UTF-8, or a NUL."""
    at = rng.randrange(len(payload) + 1)
    return payload[:at] + rng.choice((b"\xff\xfe\x00", b"\0", b"\n", b"\xc3")) + payload[at:]


def move(payload: bytes, rng: random.Random) -> bytes:
    """A piece gone, twice, or elsewhere."""
    a, b = sorted(rng.randrange(len(payload) + 1) for _ in range(2))
    piece, rest = payload[a:b], payload[:a] + payload[b:]
    at = rng.randrange(len(rest) + 1)
    return rng.choice((rest, payload[:b] + piece + payload[b:], rest[:at] + piece + rest[at:]))


def replace(payload: bytes, rng: random.Random) -> bytes:
    """Something else altogether."""
    others = [b"", b"\n", b"\x00" * 100, b"[" * 10**5, b"{}", b"[]\n", b"\xef\xbb\xbf" + payload]
    others += [payload.replace(b"\n", b"\r\n") + b"\n\n", payload.replace(b"\n", b"\r")]
    others += [payload + payload, payload.decode("latin-1").encode("utf-16"), rng.randbytes(300)]
    return rng.choice(others)


BYTES: tuple[Damage, ...] = (cut, flip, scramble, insert, move, replace)


def cells(payload: bytes, rng: random.Random) -> bytes:
    """Of a table as text: a cell, a line or the header another."""
    text = payload.decode("utf-8", "replace")
    rows = text.splitlines()
    if not rows:
        return b"a"
    at = rng.randrange(len(rows))
    parts = re.split(r"([,\t ])", rows[at])
    place = 2 * rng.randrange((len(parts) + 1) // 2)
    way = rng.randrange(8)
    if way < 4:
        parts[place] = rng.choice(CELLS)
        rows[at] = "".join(parts)
    elif way == 4:
        rows[at] = "".join(parts[:place])
    elif way == 5:
        rows[at] += rng.choice(",\t ") + rng.choice(CELLS)
    elif way == 6:
        rows.insert(at, rows.pop(rng.randrange(len(rows))))
    else:
        del rows[at]
    return ("\n".join(rows) + "\n").encode("utf-8", "surrogatepass")


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Paths to all values within; of a list, to those of its first and last item."""
    found = [path]
    if isinstance(value, dict):
        for name in value:
            found += places(value[name], (*path, name))
    if isinstance(value, list):
        for i in sorted({0, len(value) - 1}) if value else ():
            found += places(value[i], (*path, i))
    return found


def changed(value: Any, path: tuple[Any, ...], gone: bool) -> Any:
    """A copy with MARK at the path, or without what is there."""
    if not path:
        return MARK
    copy = dict(value) if isinstance(value, dict) else list(value)
    if gone and len(path) == 1:
        del copy[path[0]]
    else:
        copy[path[0]] = changed(value[path[0]], path[1:], gone)
    return copy


def json_value(payload: bytes, rng: random.Random) -> bytes:
    """Of JSON: a field of another type, or gone."""
    found = json.loads(payload)
    path = rng.choice(places(found))
    text = json.dumps(changed(found, path, bool(path) and rng.random() < 0.1))
    return text.replace(json.dumps(MARK), rng.choice(VALUES), 1).encode()


def json_line(payload: bytes, rng: random.Random) -> bytes:
    """Of JSON lines: one with another value."""
    rows = payload.splitlines(keepends=True)
    at = rng.randrange(len(rows))
    rows[at] = json_value(rows[at], rng) + b"\n"
    return b"".join(rows)


def toml_value(payload: bytes, rng: random.Random) -> bytes:
    """Of TOML: a line's value another, a section a value, or lines twice."""
    rows = payload.decode().splitlines()
    at = rng.randrange(len(rows))
    name, equals, _ = rows[at].partition(" = ")
    if equals and rng.random() < 0.8:
        rows[at] = f"{name} = {rng.choice(OF_TOML)}"
    elif rows[at].startswith("["):
        rows[at] = f"{rows[at].strip('[]')} = 3"
    else:
        rows += rows[at:]
    return "\n".join([*rows, ""]).encode()


def array(payload: bytes, rng: random.Random) -> bytes:
    """Of an npz: another type, shape or name; objects."""
    with np.load(io.BytesIO(payload)) as file:
        arrays = dict(file)
    name = rng.choice(sorted(arrays))
    value = arrays.pop(name)
    if rng.random() < 0.95:
        arrays[rng.choice((name, name, name, name, "other"))] = other(value, rng)
    np.savez(made := io.BytesIO(), **arrays)
    return made.getvalue()


def one_array(payload: bytes, rng: random.Random) -> bytes:
    """Of a .npy: another type, shape or other values; objects; in another order."""
    value = np.load(io.BytesIO(payload))
    np.save(made := io.BytesIO(), other(value, rng))
    return made.getvalue()


def told_again(manifest: Path, path: Path) -> None:
    """graph.json says of a damaged .npy what is true of it now, as somebody would who means it."""
    payload = path.read_bytes()
    meta = json.loads(manifest.read_text())
    entry = meta["files"][path.stem]
    entry["sha256"] = hashlib.sha256(payload).hexdigest()
    entry |= {"bytes": len(payload), "mtime_ns": path.stat().st_mtime_ns}
    try:
        value = np.load(io.BytesIO(payload))
    except Exception:  # whatever numpy says of a damaged header
        value = None
    if isinstance(value, np.ndarray):
        entry |= {"dtype": value.dtype.str, "shape": list(value.shape)}
    manifest.write_text(json.dumps(meta))


def other(value: Any, rng: random.Random) -> Any:
    """An array of another type, shape or with other values."""
    ways: list[Callable[[], Any]] = [
        lambda: value[:0] if value.ndim else value,
        lambda: value[:-1] if value.ndim else value,
        lambda: value.astype(str),
        lambda: value.astype(np.complex64),
        lambda: value.astype(np.float32) * np.nan,
        lambda: value.astype(np.float64) * 1e300,
        lambda: value.astype(rng.choice((np.int8, np.uint8, np.uint64, np.float16, bool))),
        lambda: value.astype(">f8"),
        lambda: np.asfortranarray(value),
        lambda: value.reshape(-1),
        lambda: value.T,
        lambda: value[None],
        lambda: np.array(3),
        lambda: -value,
        lambda: value * 0,
        lambda: np.array([{"a": 1}] * max(1, value.size), dtype=object),
        lambda: np.zeros((len(value) if value.ndim else 1, 0)),
        lambda: np.roll(value, 1),
    ]
    try:
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return rng.choice(ways)()
    except (TypeError, ValueError):  # text has no minus
        return np.array(["x"] * max(1, value.size))


def tensor(payload: bytes, rng: random.Random) -> bytes:
    """Of safetensors: another shape or type, or a name gone."""
    import safetensors.torch

    tensors = safetensors.torch.load(payload)
    name = rng.choice(sorted(tensors))
    value = tensors.pop(name)
    ways = (value[:0] if value.ndim else value[None], value.double(), value[None], -value.float())
    if rng.random() < 0.9:
        tensors[name] = rng.choice(ways).contiguous()
    return safetensors.torch.save(tensors)


def column(payload: bytes, rng: random.Random) -> bytes:
    """Of parquet: a column of another type, with nulls, nested, or called otherwise."""
    import pyarrow as pa
    from pyarrow import parquet

    table = parquet.read_table(io.BytesIO(payload))
    at = rng.randrange(table.num_columns)
    name, values = table.column_names[at], table.column(at).to_pylist()
    holes = [None if rng.random() < 0.3 else v for v in values]
    ways: tuple[list[Any], ...] = (
        holes,
        [str(v) for v in values],
        [[v] for v in values],
        [{"a": v} for v in values],
        [rng.choice((1.5, float("nan"), float("inf"), 1e300)) for _ in values],
        [rng.choice((True, False)) for _ in values],
        [b"\xff\x00" for _ in values],
        [-(1 << 62)] * len(values),
        [None] * len(values),
    )
    made = pa.array(rng.choice(ways))
    if rng.random() < 0.2:
        made = made.dictionary_encode() if pa.types.is_string(made.type) else made
    called = rng.choice((name, name, name, "", "source", "id", "label"))
    table = table.set_column(at, called, made)
    parquet.write_table(table, out := io.BytesIO())
    return out.getvalue()


def saved_data(payload: bytes, rng: random.Random) -> bytes:
    """Of a .pt of PyG's: a field of another type, shape or layout, or another object."""
    import torch
    from torch_geometric.data import Data

    edges = torch.tensor([[rng.randrange(20) for _ in range(60)] for _ in range(2)])
    fields: dict[str, Any] = {"edge_index": edges, "x": torch.rand(20, 3)}
    fields |= {"y": torch.arange(20) % 3, "train_mask": torch.arange(20) < 9}
    name = rng.choice(sorted(fields))
    value = fields[name]
    ways: list[Callable[[], Any]] = [
        lambda: value.float(),
        lambda: value.to(torch.complex64),
        lambda: value.to(torch.bfloat16),
        lambda: value.float().to_sparse(),
        lambda: value[:0],
        lambda: value.T if value.ndim == 2 else value,
        lambda: value[..., :1].expand(*value.shape[:-1], 10**9),
        lambda: value.to(torch.complex64).conj(),
        lambda: torch.quantize_per_tensor(value.float(), 0.1, 0, torch.quint8),
        lambda: value.float() * float("nan"),
        lambda: value.numpy().tolist(),
        lambda: "text",
        lambda: None,
        lambda: {"a": value},
        lambda: torch.nn.Parameter(value.float()),
        lambda: -value.float(),
        lambda: value.to(torch.uint8),
        lambda: value.to("meta"),
    ]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fields[name] = rng.choice(ways)()
        if rng.random() < 0.1:
            fields["num_nodes"] = rng.choice((0, -1, 10**9, 10**18, "x", 2.5))
        torch.save(rng.choice((Data(**fields), Data(**fields), fields)), made := io.BytesIO())
    return made.getvalue()


MADE: dict[str, Damage] = {  # by the end of a name
    ".csv": cells,
    ".tsv": cells,
    ".edgelist": cells,
    ".mtx": cells,
    ".graphml": cells,
    ".gml": cells,
    ".md": cells,
    ".json": json_value,
    ".jsonl": json_line,
    ".toml": toml_value,
    ".npz": array,
    ".npy": one_array,
    ".safetensors": tensor,
    ".parquet": column,
    ".pt": saved_data,
}
