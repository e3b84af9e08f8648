"""Claims about what is used of Optuna that it does not promise to keep, each with a test below.

1. The release is the one that the private names were read in, and each of them is there.
2. The toolkit uses no other private name of Optuna's.
3. The numbers in a journal are Optuna's.
"""

from __future__ import annotations

import ast
import re
from importlib import import_module
from pathlib import Path

import optuna
import pytest
from optuna.storages.journal import _storage
from optuna.study import StudyDirection
from optuna.trial import TrialState

from nodejepa_ext.sweep import private

ROOT = Path(__file__).parents[2]
OTHERS = {"_asdict", "_replace"}  # of named tuples


def test_release() -> None:
    release = ".".join(optuna.__version__.split(".")[:2])
    assert release == private.TESTED, (
        f"Optuna {optuna.__version__}: its private names were read in {private.TESTED}; see "
        "nodejepa_ext/sweep/private.py"
    )


@pytest.mark.parametrize("name", private.NAMES)
def test_each_is_there(name: str) -> None:
    module, _, owner = private.NAMES[name].partition(":")
    found = import_module(module)
    if name == "_rdb":
        assert import_module("optuna.storages._rdb.models").TrialModel.find_or_raise_by_id
    elif owner == "FrozenTrial":
        assert hasattr(optuna.trial.create_trial(value=1.0), name)
    else:
        assert callable(getattr(getattr(found, owner), name)), f"not in Optuna {optuna.__version__}"


def private_names(path: Path) -> set[str]:
    """Attributes of other objects, modules and strings that begin with one underscore."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Attribute):
            own = isinstance(node.value, ast.Name) and node.value.id in ("self", "cls")
            found |= {node.attr} - ({node.attr} if own else set())
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= set(node.module.split("."))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            found |= {node.value} if re.fullmatch("_[a-z_]+", node.value) else set()
        elif isinstance(node, ast.FunctionDef) and path.parent.name == "sweep":
            found |= {node.name}
    return {name for name in found if re.fullmatch("_[a-z][a-z_]*", name)}


def test_no_other_is_used() -> None:
    used = set[str]()
    for path in sorted((ROOT / "nodejepa_ext").rglob("*.py")):
        if "optuna" in path.read_text() and path.name != "private.py":
            used |= private_names(path)
    assert used - OTHERS == private.NAMES.keys()


def test_numbers() -> None:
    operations = {name: _storage.JournalOperation[name].value for name in private.JOURNAL}
    assert operations == private.JOURNAL
    assert private.FAILED == TrialState.FAIL.value
    assert private.MAXIMIZE == StudyDirection.MAXIMIZE.value
