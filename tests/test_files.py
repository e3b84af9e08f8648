"""Claims about files written whole or not at all, each with a test below.

1. A file is new or as it was, never half; its mode stays, a new one follows the umask.
2. A link is never followed: neither a planted temporary file nor a linked target; what is no file
   is refused. The error names the file that was to be written.
3. Temporary files of killed writers go after an hour; others' names, links, folders and young
   files stay.
4. A name becomes a path only if it is one component, printable and short.
5. SIGKILL in the middle of a write leaves the file that was there.
6. Room is asked for without being kept; more than there is is refused at once.
"""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodejepa_ext.files import STALE, TEMPORARY, atomic, file_name, reserve, sweep


def put(path: Path, payload: bytes) -> None:
    with atomic(path) as file:
        file.write(payload)


def test_whole_or_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    put(path, b"one")
    with pytest.raises(RuntimeError), atomic(path) as file:
        file.write(b"tw")
        raise RuntimeError
    assert path.read_bytes() == b"one" and os.listdir(tmp_path) == ["a.json"]


def test_modes(tmp_path: Path) -> None:
    path = tmp_path / "a"
    before = os.umask(0o027)
    try:
        put(path, b"one")
    finally:
        os.umask(before)
    assert path.stat().st_mode & 0o777 == 0o640
    path.chmod(0o604)
    put(path, b"two")
    assert path.stat().st_mode & 0o777 == 0o604 and path.read_bytes() == b"two"


def test_links_and_others_are_refused(tmp_path: Path) -> None:
    victim, link, fifo = tmp_path / "victim", tmp_path / "link", tmp_path / "fifo"
    victim.write_text("mine")
    link.symlink_to(victim)
    os.mkfifo(fifo)
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    for name in "link", "fifo", "dangling", ".":
        with pytest.raises(OSError) as raised:
            put(tmp_path / name, b"")
        assert str(raised.value.filename) == str(tmp_path / name)
    assert victim.read_text() == "mine" and not (tmp_path / "nowhere").exists()


def test_a_planted_temporary_file_is_not_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("secrets.token_hex", lambda n: "0" * 32)  # the attacker's best guess
    victim = tmp_path / "victim"
    victim.write_text("mine")
    (tmp_path / f".nodejepa-{'0' * 32}.tmp").symlink_to(victim)
    with pytest.raises(OSError) as raised:
        put(tmp_path / "a", b"theirs")
    assert raised.value.errno == errno.EEXIST and victim.read_text() == "mine"


def test_room_is_asked_for_and_given_back(tmp_path: Path) -> None:
    free = os.statvfs(tmp_path)
    reserve(tmp_path, 1000)
    with pytest.raises(OSError, match=r".") as refused:
        reserve(tmp_path, 2 * free.f_bavail * free.f_frsize + (1 << 30))
    assert refused.value.filename == str(tmp_path) and not list(tmp_path.iterdir())


def test_errors_name_the_target(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError) as raised:
        put(tmp_path / "a", b"x")
    assert raised.value.filename == str(tmp_path / "a") and not os.listdir(tmp_path)


def test_sweep(tmp_path: Path) -> None:
    old, young = (tmp_path / f".nodejepa-{c * 32}.tmp" for c in "ab")
    other, foreign = tmp_path / ".a.json.123.tmp", tmp_path / ".nodejepa-short.tmp"
    folder, link = (tmp_path / f".nodejepa-{c * 32}.tmp" for c in "cd")
    for path in old, young, other, foreign:
        path.write_text("")
    folder.mkdir()
    link.symlink_to(other)
    past = time.time() - STALE - 60
    for path in old, other, foreign, folder:
        os.utime(path, (past, past))
    sweep(tmp_path)
    left = {old, young, other, foreign, folder, link} - {*tmp_path.iterdir()}
    assert left == {old} and TEMPORARY.fullmatch(old.name)
    put(tmp_path / "sub-writes-sweep-once", b"")
    os.utime(young, (time.time() + 9000, time.time() + 9000))  # a clock that ran backwards
    sweep(tmp_path, 60.0)
    assert young.exists()


@pytest.mark.parametrize(
    "name", ["", ".", "..", "a/b", "a/../../x", "a\\b", "a\0b", "a\nb", ".hidden", "x" * 201]
)
def test_no_path(name: str) -> None:
    with pytest.raises(ValueError, match=r"^graph is .*, expected a file's name"):
        file_name(name, "graph")


@given(st.text(max_size=300))
def test_a_name_stays_in_its_folder(name: str) -> None:
    try:
        path = Path("/folder") / file_name(name, "graph")
    except ValueError:
        return
    assert path.parent == Path("/folder") and path.name == name


def test_killed_in_the_middle(tmp_path: Path) -> None:
    path = tmp_path / "a"
    put(path, b"one")
    code = (
        "import sys, os, signal\nfrom pathlib import Path\nfrom nodejepa_ext.files import atomic\n"
        "with atomic(Path(sys.argv[1])) as file:\n"
        "    file.write(b'two')\n    file.flush()\n    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path)], check=False)
    assert done.returncode == -signal.SIGKILL and path.read_bytes() == b"one"
    (left,) = (name for name in os.listdir(tmp_path) if name != "a")
    assert TEMPORARY.fullmatch(left)
