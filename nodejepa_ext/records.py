"""What the toolkit wrote and reads back: JSON, JSON lines and TOML, believed only if sound.

Below all packages, because runs, rows, studies and pictures all read such files, which a disk, a
hand or another program may have changed. Only regular files are read, up to a size; what is in
them is checked against a shape: a type, or several in a tuple; [shape], a list of such; {name:
shape}, an object with these names, those that end in "?" being optional, and any others; or
Each(shape), an object whose every value is such. A bool is no int; an int may stand for a float.
"""

from __future__ import annotations

import json
import math
import os
import stat
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

LARGEST = 1 << 30  # bytes of a file of records
DEEPEST = 64  # objects and lists in one another


class Damaged(ValueError):
    """What is wrong with a file that is read back: the file, the field, the value, and what was
    expected, in one sentence."""


@dataclass(frozen=True)
class Each:
    """The shape of an object whose every value has a shape."""

    shape: Any


def read_bytes(path: Path, most: int = LARGEST) -> bytes:
    """Damaged: not a regular file, or longer than `most` bytes. OSError: it cannot be read."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise Damaged(f"{path}: no regular file, expected one")
        payload = file.read(min(found.st_size, most) + 1)
    if len(payload) > most:
        raise Damaged(f"{path}: more than {most} bytes, expected fewer")
    return payload


def read_json(path: Path, shape: Any = dict, most: int = LARGEST) -> Any:
    """Damaged: it is no JSON of that shape. OSError: it cannot be read."""
    return parsed(str(path), read_bytes(path, most), shape)


def read_lines(path: Path, shape: Any = dict, most: int = LARGEST) -> list[Any]:
    """A value a line. Damaged names the line that is no JSON of that shape, or has no end."""
    payload = read_bytes(path, most)
    lines = payload.split(b"\n")
    if lines.pop():
        raise Damaged(f"{path}, line {len(lines) + 1}: cut off, expected a whole line")
    return [parsed(f"{path}, line {i}", line, shape) for i, line in enumerate(lines, 1)]


def read_toml(path: Path, shape: Any = dict, most: int = 1 << 24) -> dict[str, Any]:
    """Damaged: it is no TOML of that shape. OSError: it cannot be read."""
    try:
        found = tomllib.loads(read_bytes(path, most).decode())
    except (ValueError, RecursionError) as error:
        if isinstance(error, Damaged):
            raise
        raise Damaged(f"{path}: {error}, expected TOML") from None
    check(str(path), found, shape)
    return found


def parsed(place: str, payload: bytes, shape: Any = dict) -> Any:
    """JSON of a shape; place: for the message. Damaged: it is none."""
    try:
        found = json.loads(payload.decode(), parse_constant=refuse)
    except RecursionError:
        raise Damaged(f"{place}: nested too deeply, expected JSON") from None
    except ValueError as error:
        raise Damaged(f"{place}: {error}, expected JSON") from None
    if rb"\ud" in payload.lower():  # half a character, which no file, picture or screen takes
        written(place, found)
    check(place, found, shape)
    return found


def written(place: str, found: Any) -> None:
    """Damaged: a text in it is no Unicode."""
    try:
        json.dumps(found, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        text = f"{error.object[error.start]!r} in a text"
        raise Damaged(f"{place}: {text}, expected Unicode") from None


def one_line(text: str) -> str:
    """As it is or, with what ends a line or cannot be shown, as JSON spells it."""
    return text if text.isprintable() else json.dumps(text)


def refuse(constant: str) -> None:
    raise ValueError(f"{constant}: no finite number")


def check(place: str, value: Any, shape: Any, depth: int = 0) -> None:
    """Damaged names the place and the value that are not of the shape."""
    if depth > DEEPEST:
        raise Damaged(f"{place}: nested too deeply")
    if isinstance(shape, list):
        expect(place, value, list)
        for i, item in enumerate(value):
            check(f"{place}, item {i}", item, shape[0], depth + 1)
    elif isinstance(shape, Each):
        expect(place, value, dict)
        for name, item in value.items():
            check(f"{place}, {name[:100]}", item, shape.shape, depth + 1)
    elif isinstance(shape, dict):
        expect(place, value, dict)
        for key, inner in shape.items():
            name = key.removesuffix("?")
            if name in value:
                check(f"{place}, {name}", value[name], inner, depth + 1)
            elif name == key:
                raise Damaged(f"{place}: no {name}, expected one")
    else:
        expect(place, value, shape)


def expect(place: str, value: Any, kinds: Any) -> None:
    """Damaged: value is of none of the types."""
    kinds = kinds if isinstance(kinds, tuple) else (kinds,)
    good = type(value) in kinds or (float in kinds and type(value) is int)
    if isinstance(value, float) and not math.isfinite(value):
        raise Damaged(f"{place} = {value}: expected a finite number")
    if value is None:
        good = None in kinds or type(None) in kinds
    if object in kinds or good:
        return
    names = " or ".join("null" if kind in (None, type(None)) else kind.__name__ for kind in kinds)
    text = repr(value) if isinstance(value, (int, float, bool)) else repr(value)[:100]
    raise Damaged(f"{place} = {text[:100]}: expected {names}")
