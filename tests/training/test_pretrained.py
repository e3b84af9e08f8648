"""Claims about models handed on, each with a test below.

1. A fitted estimator, saved and loaded, embeds to the same bits, with its scaling and its names.
2. `embed` takes such a folder; a folder of another format, or a damaged one, is one sentence.
3. A name of the Hub is fetched and pushed by huggingface_hub; a folder never is.
4. Nothing is replaced unasked; what a kill left without a config.json is, if the weights say that
   they are of this project, and others' weights never. The card holds no path.
"""

from __future__ import annotations

import ast
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import huggingface_hub
import numpy as np
import pandas as pd
import pytest
import safetensors.torch
import torch
from torch_geometric.data import Data
from typer.testing import CliRunner

from nodejepa_ext import NodeJEPA
from nodejepa_ext.commands import app
from nodejepa_ext.training import pretrained
from run_full import RunError

SMALL: dict[str, Any] = dict(epochs=3, hidden=8, out=4, device="cpu")


def test_saved_and_loaded(data: Data, tmp_path: Path) -> None:
    frame = pd.DataFrame(9 * data.x.numpy() - 3).add_prefix("f")
    graph = frame, data.edge_index.numpy()
    for settings in {}, {"own_features": True}, {"preset": "card", "batch_nodes": 40}:
        folder = tmp_path / f"model{len(list(tmp_path.iterdir()))}"
        model = NodeJEPA(**SMALL, **settings).fit(graph)
        model.save_pretrained(folder)
        again = NodeJEPA.from_pretrained(folder)
        assert np.array_equal(again.transform(graph), model.transform(graph))
        assert again.feature_names_in_.tolist() == list(frame.columns)
        assert again.get_feature_names_out().tolist() == model.get_feature_names_out().tolist()
        with pytest.raises(ValueError, match="feature 'f11', expected 'f0'"):
            again.transform((frame[frame.columns[::-1]], graph[1]))
        refitted = again.fit(graph)
        assert replace(refitted.config_, device="cpu") == model.config_
        assert str(tmp_path) not in (folder / "README.md").read_text()


def test_nothing_is_replaced_unasked(data: Data, tmp_path: Path) -> None:
    model = NodeJEPA(**SMALL).fit(data)
    model.save_pretrained(tmp_path)
    with pytest.raises(FileExistsError, match=r"holds README.md, config.json, model.safetensors"):
        model.save_pretrained(tmp_path)
    model.save_pretrained(tmp_path, overwrite=True)


def test_what_a_kill_left(data: Data, tmp_path: Path) -> None:
    model, out = NodeJEPA(**SMALL).fit(data), tmp_path / "out"
    model.save_pretrained(out)
    whole = {path.name: path.read_bytes() for path in out.iterdir()}
    for gone in (["config.json"], ["config.json", "README.md"]):
        for name in gone:
            (out / name).unlink()
        with pytest.raises(FileExistsError, match="--overwrite replaces"):
            model.save_pretrained(out)
        model.save_pretrained(out, overwrite=True)
        assert {path.name: path.read_bytes() for path in out.iterdir()} == whole
    (out / "config.json").unlink()
    foreign = safetensors.torch.save({"weight": torch.zeros(3)})
    for payload in (foreign, b"words"):
        (out / "model.safetensors").write_bytes(payload)
        with pytest.raises(FileExistsError, match="nothing is replaced"):
            model.save_pretrained(out, overwrite=True)
        assert (out / "model.safetensors").read_bytes() == payload


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"model_type": "bert"}, "expected model_type"),
        ({"features": "12"}, "features = '12': expected int"),
        ({"features": -1}, "features = -1: expected"),
        ({"features": 11}, "model.safetensors: .*expected those of .*config.json"),
        ({"scaling": "cells"}, "scaling = 'cells'"),
        ({"columns": ["a"]}, "columns: expected 12 names"),
        ({"positions": 12}, "positions = 12: expected fewer than features"),
        ({"positions": -1}, "positions = -1: expected fewer than features"),
        ({"positions": 4}, "model.safetensors: scaling.mean: .*12.*expected .*8"),
        ({"config": {"hidden": 8, "depth": 3}}, "config.json: .*depth"),
        ({"config": {"hidden": "wide"}}, "config.json: hidden = 'wide'"),
        ({"batch_nodes": -4}, "batch_nodes = -4"),
    ],
)
def test_a_damaged_folder_is_a_sentence(
    data: Data, tmp_path: Path, change: dict[str, Any], text: str
) -> None:
    NodeJEPA(**SMALL, positions=False).fit(data).save_pretrained(tmp_path)
    path = tmp_path / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(RunError, match=text) as raised:
        NodeJEPA.from_pretrained(tmp_path)
    assert raised.value.args[1] == 4


@pytest.mark.parametrize("name", ['a"b', "a\n```\nimport os\n", "a\\", "{folder}"])
def test_a_folders_name_is_no_code_on_the_card(data: Data, tmp_path: Path, name: str) -> None:
    NodeJEPA(**SMALL).fit(data).save_pretrained(tmp_path / name)
    card = (tmp_path / name / "README.md").read_text()
    (block,) = re.findall(r"```python\n(.*?)\n```", card, re.DOTALL)
    made = [node for node in ast.parse(block).body if isinstance(node, ast.Assign)]
    (where,) = (n for n in ast.walk(made[0]) if isinstance(n, ast.Constant))
    assert where.value == name and len(made) == 2


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
@pytest.mark.parametrize("payload", [b"", b"[" * 100_000, b"\xff\xfe", b"{}", b"null"])
def test_other_bytes_are_a_sentence(data: Data, tmp_path: Path, name: str, payload: bytes) -> None:
    NodeJEPA(**SMALL).fit(data).save_pretrained(tmp_path)
    (tmp_path / name).write_bytes(payload)
    with pytest.raises(RunError, match=name):
        NodeJEPA.from_pretrained(tmp_path)


def test_the_hub(data: Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = NodeJEPA(**SMALL).fit(data)
    sent: dict[str, Any] = {}

    def create_repo(self: Any, repo_id: str, **kwargs: Any) -> Any:
        return huggingface_hub.RepoUrl(f"https://hub.test/{repo_id}", endpoint="https://hub.test")

    def upload_folder(self: Any, *, repo_id: str, folder_path: Path, **kwargs: Any) -> str:
        sent[repo_id] = {path.name: path.read_bytes() for path in Path(folder_path).iterdir()}
        return f"https://hub.test/{repo_id}/commit"

    monkeypatch.setattr(huggingface_hub.HfApi, "create_repo", create_repo)
    monkeypatch.setattr(huggingface_hub.HfApi, "upload_folder", upload_folder)
    assert model.push_to_hub("me/graph") == "https://hub.test/me/graph/commit"
    assert sorted(sent["me/graph"]) == ["README.md", "config.json", "model.safetensors"]

    def snapshot_download(repo_id: str, *, allow_patterns: list[str], **kwargs: Any) -> str:
        assert kwargs == {"revision": "v1"}
        for name in allow_patterns:
            (tmp_path / name).write_bytes(sent[repo_id][name])
        return str(tmp_path)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot_download)
    again = NodeJEPA.from_pretrained("me/graph", revision="v1")
    assert np.array_equal(again.transform(data), model.embedding_)
    for wrong in "nowhere", "./nowhere/x", "/a/b", "a/b/c":
        with pytest.raises(FileNotFoundError, match="expected a folder, or OWNER/NAME"):
            pretrained.fetch(wrong)


def test_embed_takes_such_a_folder(data: Data, tmp_path: Path) -> None:
    graph, out = tmp_path / "graph.npz", tmp_path / "z.npy"
    np.savez(graph, x=data.x.numpy(), edge_index=data.edge_index.numpy())
    model = NodeJEPA(**SMALL).fit(data)
    model.save_pretrained(tmp_path / "model")
    words = ["embed", str(tmp_path / "model"), "--out", str(out)]
    done = CliRunner().invoke(app, [*words, "--graph", str(graph)])
    assert done.exit_code == 0, done.stderr
    assert np.array_equal(np.load(out), model.embedding_)
    done = CliRunner().invoke(app, [*words, "--overwrite"])
    assert done.exit_code == 2 and "without its training graph, expected --graph" in done.stderr
