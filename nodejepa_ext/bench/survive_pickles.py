"""Files that hold a program for Python's unpickler: none of it ever runs.

The streams are written here opcode by opcode: the package has no unpickler, and needs none for it.
"""

from __future__ import annotations

import contextlib
import io
import random
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from nodejepa_ext.bench import survive_files as files
from nodejepa_ext.bench.survive_fuzz import Told, take, told, within
from nodejepa_ext.bench.survive_process import Tally, many

CASES = 60
CANARY = "canary"


def called(module: str, name: str, argument: str, protocol: int = 0) -> bytes:
    """A stream that calls module.name(argument), which must be printable ASCII without quotes."""
    if protocol == 0:
        return f"c{module}\n{name}\n(V{argument}\ntR.".encode()
    text = argument.encode()
    head = b"\x80\x04" + b"".join(b"\x8c" + bytes([len(s)]) + s.encode() for s in (module, name))
    return head + b"\x93X" + len(text).to_bytes(4, "little") + text + b"\x85R."


def programs(canary: Path) -> list[bytes]:
    """Streams each of which makes the file `canary` when it is unpickled."""
    code, shell = f'open("{canary}", "w").close()', f"touch {canary}"
    found = []
    for protocol in (0, 4):
        found += [
            called("posix", "system", shell, protocol),
            called("builtins", "exec", code, protocol),
            called("builtins", "eval", code, protocol),
            called("profile", "run", code, protocol),
            called("cProfile", "run", code, protocol),
        ]
    build = f'cbuiltins\nexec\n(Vopen("{canary}", "w").close()\nt'.encode()
    found += [build + b"Rcbuiltins\nobject\n)\x81.", b"(lp0\n0" + found[0], b"\x80\x02" + found[1]]
    return found


def archive(stream: bytes) -> bytes:
    """As torch.save writes: a zip with the stream in it."""
    with zipfile.ZipFile(out := io.BytesIO(), "w") as made:
        made.writestr("archive/data.pkl", stream)
        made.writestr("archive/byteorder", "little")
        made.writestr("archive/version", "3\n")
    return out.getvalue()


def objects(stream: bytes, name: str) -> bytes:
    """As numpy writes an array of objects, in an npz."""
    header = b"{'descr': '|O', 'fortran_order': False, 'shape': (1,), }"
    header += b" " * (-(len(header) + 11) % 64) + b"\n"
    npy = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + stream
    with zipfile.ZipFile(out := io.BytesIO(), "w") as made:
        made.writestr(f"{name}.npy", npy)
        ends = io.BytesIO()
        np.save(ends, np.array([[0, 1], [1, 2]]))
        if name != "edge_index":
            made.writestr("edge_index.npy", ends.getvalue())
    return out.getvalue()


SHAPES: dict[str, tuple[Callable[[bytes], bytes], ...]] = {
    ".pt": (archive, bytes, archive),
    ".npz": (lambda s: objects(s, "x"), lambda s: objects(s, "edge_index"), bytes, archive),
}


def pickles(home: Path, scratch: Path, count: int, seed: int) -> Tally:
    """A program in the place of every file that is read, and of every kind that could hold it."""
    tally, place = Tally("malicious pickles", count), scratch / "program"
    canary = scratch / CANARY
    hostile = [k for k in files.GRAPHS if k.path.endswith((".pt", ".npz"))]
    kinds = (*hostile, *files.BACK, *hostile, *files.GRAPHS)
    made = programs(canary)

    def trial(number: int) -> Told:
        rng = random.Random(f"{seed}/program/{number}")
        kind = kinds[number % len(kinds)]
        files.fresh(home, place, (kind.path, *kind.words, "graph.npz"))
        shape = rng.choice(SHAPES.get(Path(kind.path).suffix, (bytes,)))
        (place / kind.path).write_bytes(shape(made[number % len(made)]))
        with contextlib.chdir(place):
            end = within([*kind.words])
        found = told(end, f"program {number} as {kind.path}")
        if canary.exists():
            canary.unlink()
            found.append(("run", f"program {number} as {kind.path}: {' '.join(kind.words)}"))
        return found

    for outcome in many(trial, count, scratch / "programs"):
        take(tally, outcome)
    return tally
