"""Claims about docs/ and examples/, each with a test below. Nothing is trained.

1. Every page is in the navigation, once, and the navigation names no other.
2. Every link between pages, and every anchor in one, leads somewhere.
3. Every command line that is shown has a verb and options that exist.
4. Every path into the project that is shown as code exists.
5. The API pages name every module of the toolkit but the commands, and no other.
6. The sentences of `Config` that how-it-works.md tabulates are of fields that exist.
7. The mask of CONTRIBUTING.md and its test run, and it keeps what masks promise.
8. The lines of a record's table that ablate.md shows are the record's.
9. The seams that extend.md tabulates are the keyword arguments of `train`, and its Protocols exist.
10. The Python of the guides runs as it stands, given a graph.
11. The site builds in strict mode, where mkdocs is installed (slow).
"""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
from dataclasses import fields
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch
from torch_geometric.data import Data
from typer.main import get_command
from typer.testing import CliRunner

import run_full
from nodejepa_ext import read_graph, write_graph
from nodejepa_ext.commands import app
from nodejepa_ext.parts import masking

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
PAGES = {str(path.relative_to(DOCS)): path.read_text() for path in sorted(DOCS.rglob("*.md"))}
TEXTS = PAGES | {"CONTRIBUTING.md": (ROOT / "CONTRIBUTING.md").read_text()}
NAVIGATION = (ROOT / "mkdocs.yml").read_text().split("\nnav:\n")[1].split("\nmarkdown_ext")[0]
SHOWN = re.compile(
    r"^(?:srun )?((?:python run_full\.py|nodejepa-ext).*?)(?:\s+[#>].*)?$", re.MULTILINE
)


def commands() -> list[tuple[str, str]]:
    """(page, line): of every code block in sh, and of code in the text that has options."""
    found = []
    for page, text in TEXTS.items():
        for block in re.findall(r"```sh\n(.*?)```", text, re.DOTALL):
            found += [(page, line) for line in SHOWN.findall(block)]
        prose = re.sub(r"```.*?```", "", text, flags=re.DOTALL).replace("\n", " ")
        inline = re.findall(r"`((?:python run_full\.py|nodejepa-ext) [^`]+)`", prose)
        found += [(page, line) for line in inline]
    return found


def slug(heading: str) -> str:
    """As Python-Markdown's toc makes the id of a heading."""
    plain = re.sub(r"[^\w\s-]", "", heading).strip().lower()
    return re.sub(r"[-\s]+", "-", plain)


@cache
def help_of(*verb: str) -> str:
    """What --help says of a verb; of "": of nodejepa-ext; without one: of run_full.py."""
    if verb:
        words = [*filter(None, verb), "--help"]
        return CliRunner().invoke(app, words, env={"COLUMNS": "200"}).output
    command = [sys.executable, str(ROOT / "run_full.py"), "--help"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def options(text: str) -> set[str]:
    return set(re.findall(r"(?<![\w-])--[a-z][a-z0-9-]*", text))


def test_navigation_has_every_page_once() -> None:
    named = re.findall(r"- (?:[^:\n]+: )?([\w/-]+\.md)$", NAVIGATION, re.MULTILINE)
    assert sorted(named) == sorted(PAGES)


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page: str) -> None:
    text = re.sub(r"```.*?```", "", PAGES[page], flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)]+)\)", text):
        if target.startswith("http"):
            continue
        path, _, anchor = target.partition("#")
        file = (DOCS / page).parent / path if path else DOCS / page
        assert file.is_file() and file.resolve().is_relative_to(DOCS), target
        if anchor:
            headings = re.findall(r"^#+ (.*)$", file.read_text(), re.MULTILINE)
            assert anchor in map(slug, headings), target


@pytest.mark.parametrize(("page", "line"), commands())
def test_commands_parse(page: str, line: str) -> None:
    words = line.split()
    if words[0] == "python":
        assert options(line) <= options(help_of()), line
        return
    command: Any = get_command(app)
    words, verb = words[1:], list[str]()
    while verbs := getattr(command, "commands", {}):  # a group, as `nodejepa-ext data` is
        if words and words[0].startswith("-"):
            assert options(line) <= options(help_of("")), line
            return
        assert words and words[0] in verbs, line
        verb.append(words.pop(0))
        command = verbs[verb[-1]]
    if not words or words == ["--help"]:  # a verb, named in the text
        return
    context = command.make_context(verb[-1], words)  # an error: no such option, or value
    passed = options(" ".join(context.args))  # on to run_full's options and the parts'
    known = options(help_of(*verb)) | options(help_of()) | options(help_of("ablate"))
    assert passed <= known, line


@pytest.mark.parametrize("page", TEXTS)
def test_paths_exist(page: str) -> None:
    for path in re.findall(
        r"`((?:ablations|examples|docs|tests|nodejepa_ext)/[^\s`]*)`", TEXTS[page]
    ):
        if not re.search(r"[<*{]|/$|/mine", path):
            assert (ROOT / path).exists(), path


@pytest.mark.parametrize("page", [p for p in PAGES if p.startswith("api/") and "index" not in p])
def test_api_pages_name_every_module(page: str) -> None:
    named = re.findall(r"^::: (\S+)$", PAGES[page], re.MULTILINE)
    package = Path(page).stem
    if package == "run_full":
        assert named == ["run_full"]
        return
    folder = ROOT / "nodejepa_ext" / package
    modules = {path.stem for path in folder.glob("*.py")} - {"__init__"}
    assert {name.rsplit(".", 1)[1] for name in named} == modules
    assert {name.rsplit(".", 1)[0] for name in named} == {f"nodejepa_ext.{package}"}


def test_api_has_a_page_a_package() -> None:
    packages = {path.parent.name for path in (ROOT / "nodejepa_ext").glob("*/__init__.py")}
    pages = {Path(page).stem for page in PAGES if page.startswith("api/")}
    assert pages == packages - {"commands"} | {"index", "run_full"}


def test_fields_of_config_exist() -> None:
    table = PAGES["how-it-works.md"].split("## One family")[1].split("###")[0]
    cells = re.findall(r"^\| (`[^|]+) \|", table, re.MULTILINE)
    named = {name for cell in cells for name in re.findall(r"`(\w+)`", cell)}
    assert named and named <= {field.name for field in fields(run_full.Config)}


def test_the_mask_of_contributing() -> None:
    blocks = re.findall(r"```python\n(.*?)```", TEXTS["CONTRIBUTING.md"], re.DOTALL)
    names = dict(vars(masking))
    for block in blocks:
        exec(block, names)
    (test,) = (value for name, value in names.items() if name.startswith("test_"))
    test()
    alike = Data(x=torch.ones(50, 2))
    hidden = [
        mask(alike, 0.4, torch.Generator().manual_seed(3))
        for mask in (names["wordy_mask"], run_full.random_mask)
    ]
    assert torch.equal(*hidden)


def test_the_table_of_ablate_is_its_records() -> None:
    record = (ROOT / "ablations/positional/README.md").read_text()
    lines = re.findall(r"^\| .* \|$", PAGES["ablate.md"].split("## What is shown")[1], re.MULTILINE)
    assert len(lines) == 10
    assert all(line in record for line in lines)


def test_seams_are_the_arguments_of_train() -> None:
    rows = re.findall(r"^\| `(\w+)` \| `(\w+)", PAGES["extend.md"], re.MULTILINE)
    seams = {name: kind for name, kind in rows if hasattr(run_full, kind)}
    arguments = inspect.signature(run_full.train).parameters.values()
    assert seams.keys() == {one.name for one in arguments if one.kind is one.KEYWORD_ONLY}


@pytest.mark.parametrize("page", ["extend.md", "own-graph.md"])
def test_python_runs(
    page: str, data: Data, cfg: run_full.Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NODEJEPA_CACHE", str(tmp_path / "cache"))
    (tmp_path / "mygraph").mkdir()
    edges = "".join(f"v{a},v{b}\n" for a, b in data.edge_index.t().tolist())
    (tmp_path / "mygraph/edges.csv").write_text(f"source,target\n{edges}")
    header = ",".join(f"f{i}" for i in range(data.x.shape[1]))
    nodes = (",".join(map(str, [f"v{i}", *row])) for i, row in enumerate(data.x.tolist()))
    (tmp_path / "mygraph/nodes.csv").write_text("\n".join([f"id,{header}", *nodes]))
    write_graph(read_graph("mygraph/"), "grown.npz")
    names = {"torch": torch, "run_full": run_full, "cfg": cfg, "data": data, "y": data.y}
    blocks = re.findall(r"```python\n(.*?)```", PAGES[page], re.DOTALL)
    assert len(blocks) >= 2
    for block in blocks:
        exec(block.replace("epochs=100", "epochs=2"), names)


@pytest.mark.slow
@pytest.mark.skipif(find_spec("mkdocs") is None, reason="extra docs is not installed")
def test_site_builds_strictly(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "api/run_full.html").is_file()
