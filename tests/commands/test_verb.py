"""Claims about options that verbs pass on, and what every verb says of a mistake or of nothing.

1. All names of the parsers are completed.
2. An option, a preset or a graph that is unknown brings the nearest.
3. A shell completes options, presets and graphs.
4. --quiet: stderr holds errors alone; --json: one object on stdout; --dry-run writes nothing.
5. A table of nodes alone, and a graph that was moved, are said in a sentence.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from nodejepa_ext.commands import app, verb
from nodejepa_ext.parts.choice import Parts
from nodejepa_ext.training.estimator import NodeJEPA
from nodejepa_ext.training.settings import NAMES, command_line
from run_full import GRAPHS

QUICK = ["--hidden", "8", "--out-width", "4", "--epochs", "2", "--device", "cpu"]


def call(*words: object, env: dict[str, str] | None = None) -> Result:
    done = CliRunner().invoke(app, [*map(str, words)], env=env, prog_name="nodejepa-ext")
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done


def test_names() -> None:
    def long(*more: type) -> set[str]:
        return {name for name in command_line("", *more)._option_string_actions if name[1] == "-"}

    assert long() <= {*verb.PASSED} and long(Parts) - long() == {*verb.OF_PARTS}
    assert verb.GRAPHS == tuple(GRAPHS) and (*verb.presets(),) == NAMES


@pytest.mark.parametrize(
    ("words", "said", "code"),
    [
        (["train", "cora", "--epohs", "3"], "--epohs; did you mean --epochs?", 2),
        (["train", "coar"], "did you mean cora?", 2),
        (["train", "cora", "--preset", "bets"], "did you mean best?", 2),
        (["ablate", "--bsf-mask"], "did you mean --bfs-mask?", 2),
        (["ablate", "--bfs-mask", "--preset=crad"], "did you mean card?", 2),
        (["table", "--graphs", "cora,citeser"], "did you mean citeseer?", 2),
        (["sweep", "--trails", "3"], "did you mean --trials?", 2),
        (["compare", "pubmde", "--dry-run"], "did you mean pubmed?", 2),
        (["train", "--nodes", "n.csv"], "--nodes n.csv: a table of nodes is no graph", 2),
    ],
)
def test_nearest(words: list[str], said: str, code: int) -> None:
    done = call(*words)
    assert done.exit_code == code and said in done.stderr and done.stdout == ""


def test_nearest_in_python() -> None:
    with pytest.raises(ValueError, match="preset = 'bets': .*did you mean 'best'") as found:
        NodeJEPA(preset="bets").fit("cora")
    assert "--" not in str(found.value)


@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        ("train cora --epo", "--epochs"),
        ("train cora --preset b", "best"),
        ("train cit", "citeseer"),
        ("ablate --graphs cora,p", "cora,pubmed"),
        ("sweep --preset ca", "card"),
        ("compare pub", "pubmed"),
    ],
)
def test_completion(line: str, wanted: str) -> None:
    words = f"nodejepa-ext {line}"
    env = {"_NODEJEPA_EXT_COMPLETE": "complete_bash", "COMP_WORDS": words}
    env["COMP_CWORD"] = str(len(words.split()) - 1)
    assert wanted in call(env=env).stdout.split()


def test_quiet_json_and_moved(tmp_path: Path) -> None:
    (edges := tmp_path / "e.csv").write_text(
        "source,target\n" + "".join(f"{i},{(i * i + 1) % 40}\n" for i in range(40))
    )
    words = "train", "--edges", edges, "--out", tmp_path / "run", *QUICK
    dry = call(*words, "--dry-run")
    assert dry.exit_code == 0 and "2 epochs into" in dry.stdout and "dry run" in dry.stderr
    assert not (tmp_path / "run").exists()
    done = call(*words, "--json", "--quiet")
    assert done.exit_code == 0 and done.stderr == ""
    found = json.loads(done.stdout)
    assert found["run"] == str(tmp_path / "run") and found["status"] == "finished"
    assert found["figures"]["epochs"] == 2 and found["graph"]["read"]
    done = call("embed", tmp_path / "run", "--out", tmp_path / "z.npy", "--json")
    assert done.stderr == ""  # the notices were said in training
    about = json.loads(done.stdout)
    assert (about["written"], about["dimensions"] % 4) == (str(tmp_path / "z.npy"), 0)
    edges.rename(tmp_path / "moved.csv")
    done = call("embed", tmp_path / "run", "--out", tmp_path / "y.npy", "--quiet")
    assert done.exit_code == 3 and f"read from {edges}, where nothing is any more" in done.stderr
    words = "embed", tmp_path / "run", "--out", tmp_path / "y.npy", "--quiet"
    done = call(*words, "--edges", tmp_path / "moved.csv")
    assert done.exit_code == 0 and done.stderr == ""
