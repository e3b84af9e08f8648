"""Claims about what a sweep leaves alone in its folder, each with a test below.

1. A folder that holds another's files is refused before anything is written: their report, their
   best.toml, their curves, whatever else; so are links in the place of its own. Nothing changes.
2. A folder is a sweep's by its journal or its report, and with what a killed start left.
3. A file called journal.jsonl that is none is not cut, and not made anew.
4. Of the folder of supervisors only the empty files of dead ones are removed.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from sweep.test_study import ASKED, invoke
from sweep.test_survival import FEW, Labour, labour

from nodejepa_ext.sweep.life import Register
from nodejepa_ext.sweep.ours import claim
from nodejepa_ext.sweep.storage import open_store
from run_full import RunError

__all__ = ["labour"]  # the fixture
FOREIGN = {
    "final_results.json": '{"rows": [{"graph": "cora"}]}',
    "best.toml": "lr = 0.01\n",
    "curves.jsonl": '{"step": 1, "loss": 2.0}\n',
    "rows.jsonl": "{}\n",
    "thesis.tex": "",
}


def tree(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.mark.parametrize("name", FOREIGN)
@pytest.mark.parametrize("where", [[], ["--storage", "postgresql://nobody@nowhere/x", "--study=s"]])
def test_files_of_others(name: str, where: list[str], tmp_path: Path) -> None:
    (tmp_path / name).write_text(FOREIGN[name])
    done = invoke(tmp_path, *ASKED, *where)
    assert done.exit_code == 2 and f"{name}: not of a sweep" in done.stderr, done.output
    assert tree(tmp_path) == {name: FOREIGN[name].encode()}


@pytest.mark.parametrize("name", ["journal.jsonl", "final_results.json", "supervisors"])
def test_links(name: str, tmp_path: Path) -> None:
    (elsewhere := tmp_path / "elsewhere").mkdir()
    (out := tmp_path / "out").mkdir()
    target = elsewhere if name == "supervisors" else elsewhere / "x"
    (out / name).symlink_to(target)
    done = invoke(out, *ASKED)
    assert done.exit_code == 2 and f"{name}: is a link" in done.stderr, done.output
    assert not tree(elsewhere)
    if name == "journal.jsonl":
        with pytest.raises(RunError, match="cannot be opened"):
            open_store(out, None, join=False)
        assert not tree(elsewhere)


def test_a_file_in_its_place(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("x")
    done = invoke(tmp_path / "out", *ASKED)
    assert done.exit_code == 2 and "a file, expected a folder" in done.stderr
    assert (tmp_path / "out").read_text() == "x"


def test_its_own(labour: Labour) -> None:
    out = labour.out
    assert invoke(out, *FEW, "--trials", "2", "--workers", "1").exit_code == 0
    (out / "picture.png").write_bytes(b"")  # with a report beside, its own
    claim(out)
    (out / "journal.jsonl").rename(out / "journal-damaged-20260101T000000Z-00000000")
    claim(out)
    (out / "final_results.json").unlink()
    with pytest.raises(ValueError, match=r"picture\.png: not of a sweep"):
        claim(out)
    (out / "picture.png").unlink()
    claim(out)


@pytest.mark.parametrize("text", ["hello", "hello\n", '{"step": 1}\n{"step": 2}\n', "[1"])
def test_another_journal(text: str, tmp_path: Path) -> None:
    (tmp_path / "journal.jsonl").write_text(text)
    for more, code in (([], 3), (["--drop-damaged"], 3 if text in ("hello", "[1") else 2)):
        done = invoke(tmp_path, *ASKED, *more)
        assert done.exit_code == code and "journal.jsonl: " in done.stderr, done.output
        files = {k: v for k, v in tree(tmp_path).items() if "supervisors" not in k}
        assert files == {"journal.jsonl": text.encode()}


def test_supervisors_of_others(tmp_path: Path) -> None:
    (tmp_path / "letters").mkdir()
    (tmp_path / "notes.txt").touch()
    (tmp_path / "here:12:0123abcd").write_text("not empty")
    (tmp_path / "here:13:0123abcd").touch()
    (tmp_path / "target").touch()
    (tmp_path / "here:14:0123abcd").symlink_to(tmp_path / "target")
    register = Register(tmp_path)
    register.enter("here:15:0123abcd")
    assert register.living() == {"here:15:0123abcd"}
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"letters", "notes.txt", "target"} | {
        f"here:{n}:0123abcd" for n in (12, 14, 15)
    }
    register.leave()
    assert not (tmp_path / "here:15:0123abcd").exists()
