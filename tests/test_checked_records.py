"""Claims about files that are read back, each with a test below.

1. What fits its shape is given as it is; each way not to fit names the place, the value and what
   was expected.
2. Whatever the bytes, there is a value or one Damaged sentence that begins with the file.
3. Only regular files are read, and no more of them than allowed.
4. Of lines, the one that is wrong is named; a last line without an end is cut off.
"""

from __future__ import annotations

import json
import math
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodejepa_ext.records import Damaged, Each, parsed, read_json, read_lines, read_toml

SHAPE: dict[str, Any] = {
    "format": int,
    "rows": [{"val": float, "name?": (str, None)}],
    "settings": Each((int, float, str, bool)),
}
GOOD: dict[str, Any] = {"format": 2, "rows": [{"val": 1}], "settings": {"a": True}, "more": None}


def test_what_fits(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(json.dumps(GOOD))
    assert read_json(tmp_path / "a.json", SHAPE) == GOOD
    (tmp_path / "a.toml").write_text("a = 1\n[b]\nc = 'x'\n")
    assert read_toml(tmp_path / "a.toml", {"b": {"c": str}}) == {"a": 1, "b": {"c": "x"}}


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"format": "2"}, "a.json, format = '2': expected int"),
        ({"format": True}, "a.json, format = True: expected int"),
        ({"format": None}, "a.json, format = None: expected int"),
        ({"rows": {}}, "a.json, rows = {}: expected list"),
        ({"rows": [{"val": 1}, {"val": "x"}]}, "a.json, rows, item 1, val = 'x': expected float"),
        ({"rows": [{"val": math.inf}]}, "expected JSON"),
        ({"rows": [{}]}, "a.json, rows, item 0: no val, expected one"),
        ({"rows": [{"val": 1, "name": 3}]}, "rows, item 0, name = 3: expected str or null"),
        ({"settings": {"a": []}}, "settings, a = []: expected int or float or str or bool"),
    ],
)
def test_what_does_not(tmp_path: Path, change: dict[str, Any], text: str) -> None:
    (tmp_path / "a.json").write_text(json.dumps(GOOD | change))
    with pytest.raises(Damaged) as raised:
        read_json(tmp_path / "a.json", SHAPE)
    assert text in str(raised.value)


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"{",
        b"[]",
        b"nul",
        b"[" * 10**6,
        b'{"format": NaN}',
        b'{"format": 2, "rows": [{"val": 1e999}], "settings": {}}',
        b'{"format": 1e999, "rows": [], "settings": {}}',
        b'{"format": ' + b"9" * 10**5 + b"}",
        b"\xff\xfe",
        b'{"format": "\\ud800"}',
        b'{"format": 2}\x00',
    ],
    ids=lambda payload: payload[:12],
)
def test_other_bytes(tmp_path: Path, payload: bytes) -> None:
    (tmp_path / "a.json").write_bytes(payload)
    with pytest.raises(Damaged) as raised:
        read_json(tmp_path / "a.json", SHAPE)
    assert str(raised.value).startswith(str(tmp_path / "a.json"))
    assert len(str(raised.value)) < 500 + len(str(tmp_path)) and "\n" not in str(raised.value)


@given(st.binary(max_size=60))
def test_any_bytes(payload: bytes) -> None:
    try:
        parsed("a.json", payload, SHAPE)
    except Damaged as error:
        assert str(error).startswith("a.json")


def test_only_regular_files_of_a_size(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(Damaged, match="fifo: no regular file"):
        read_json(tmp_path / "fifo")
    with pytest.raises(Damaged, match="/dev/zero: no regular file"):
        read_json(Path("/dev/zero"))
    (tmp_path / "a.json").write_text(json.dumps(GOOD))
    with pytest.raises(Damaged, match="more than 10 bytes"):
        read_json(tmp_path / "a.json", SHAPE, 10)
    with pytest.raises(OSError):
        read_json(tmp_path / "none.json")


def test_lines(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"val": 1}\n{"val": 2}\n')
    assert read_lines(path, {"val": int}) == [{"val": 1}, {"val": 2}]
    path.write_text('{"val": 1}\n{"val": "2"}\n')
    with pytest.raises(Damaged, match=r"a.jsonl, line 2, val = '2': expected int"):
        read_lines(path, {"val": int})
    path.write_text('{"val": 1}\n{"val": 2')
    with pytest.raises(Damaged, match="line 2: cut off"):
        read_lines(path, {"val": int})
