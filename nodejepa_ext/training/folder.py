"""The folder of a run: what is written there, when, and how a run goes on after its process died.

config.toml, run.json (status, versions, graph, hashes), metrics.jsonl (a row an epoch),
checkpoints/, and at the end model.safetensors, embeddings.npz and report.md. run.json is the first
file of a run and says last that it is finished. Shapes: N nodes, F features, D latent dimensions.
"""

from __future__ import annotations

import io
import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import safetensors.torch
import torch
from torch import Tensor
from torch_geometric.data import Data

import run_full
from nodejepa_ext.files import append, appending, atomic
from nodejepa_ext.graphs.columns import Choices
from nodejepa_ext.graphs.graph import Graph, GraphError
from nodejepa_ext.graphs.scaling import Scaling
from nodejepa_ext.graphs.source import Source, Subject, read
from nodejepa_ext.parts.choice import Parts, differences, effective, seams
from nodejepa_ext.records import Damaged, one_line
from nodejepa_ext.training import batches, similar
from nodejepa_ext.training.checkpoints import (
    Checkpoints,
    circumstances,
    encoder_of,
    same_place,
    scaling_of,
    verify,
    write,
)
from nodejepa_ext.training.claim import FORMAT, MANIFEST, claimed, clear, manifest, vacant
from nodejepa_ext.training.memory import check_memory, memory_errors
from nodejepa_ext.training.ranks import ALONE, Alone
from nodejepa_ext.training.settings import toml_of, toml_text
from nodejepa_ext.training.stopping import label_free, patience
from run_full import Config, EpochHook, Result, RunError, TrainState

__all__ = ["Model", "Source", "atomic", "load_model", "resume", "source_graph", "start", "vacant"]
FLAT = 1.5  # effective rank, below which nodes differ in one direction at most
SECONDS = 30.0  # between checkpoints, unless epochs are said
Meta = dict[str, Any]
Say = Callable[[str], None]


class Model(NamedTuple):
    """A finished run, ready to embed."""

    encoder: run_full.Encoder
    cfg: Config
    features: int  # F
    meta: Meta  # run.json
    scaling: Scaling  # fitted to the training graph; rule "structural": it had no features

    @property
    def columns(self) -> list[str] | None:
        """[F] names of the features, where they are known."""
        return self.meta["graph"].get("columns")

    @property
    def choices(self) -> Choices:
        """What was said of the columns of the training graph."""
        source = self.meta["graph"]["source"]
        return Choices() if source is None else Source(**source).choices

    def embed(self, data: Data) -> Tensor:
        """z [N, D] on the cpu: in chunks, if it was trained on subgraphs."""
        return batches.embed(self.encoder, data, batch_nodes_of(self.meta))


def batch_nodes_of(meta: Meta) -> int:
    """Of a run: nodes of the subgraphs that it trains on; 0: on the whole graph."""
    return int(meta["settings"].get("batch_nodes", 0))


def read_run(folder: Path) -> tuple[Meta, Config, Parts]:
    """run.json and settings of a run. ValueError: none is there, or its settings were changed."""
    path, toml = folder / MANIFEST, folder / "config.toml"
    try:
        meta = manifest(folder)
    except FileNotFoundError:
        raise ValueError(f"{path}: no such file; expected what `train` wrote") from None
    except (OSError, Damaged) as error:
        raise ValueError(str(error)) from None
    settings, extra = meta["settings"], {f.name for f in fields(Parts)}
    core = settings.keys() - extra - {"batch_nodes"}
    try:
        parts = Parts(**{k: v for k, v in settings.items() if k in extra})
        cfg = Config(**{k: v for k, v in settings.items() if k in core})
        batches.check(settings.get("batch_nodes", 0), parts)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{path}, settings: {error}") from None
    found = toml_of(toml) if toml.exists() else settings  # killed between the first two files
    if changed := differences(settings, found):
        text = "since the run began; --resume changes no setting"
        raise ValueError(f"{toml}: {'; '.join(changed)} {text}")
    return meta, cfg, parts


def same_subject(folder: Path, meta: Meta) -> Subject:
    """The run's graph, read again. RunError 3: it cannot be, or is another now."""
    place = folder / MANIFEST
    if meta["graph"]["source"] is None:
        raise RunError(f"{place}: its graph came from Python, not from files", 3)
    source = Source(**meta["graph"]["source"])
    gone = [p for p in source[:3] if p and p not in run_full.GRAPHS and not Path(p).exists()]
    if gone:
        text = f"its graph was read from {one_line(gone[0])}, where nothing is any more; put it "
        text += "back, or, to"
        raise RunError(f"{place}: {text} embed or evaluate, say where it is now by --graph", 3)
    try:
        ready = read(source, meta["graph"].get("positions", 0))
    except (GraphError, ValueError, ImportError) as error:
        raise RunError(f"{place}: its graph cannot be read again: {error}", 3) from None
    if ready.sha256 != (wanted := meta["graph"]["sha256"]):
        where = source.source or source.edges
        text = f"SHA-256 {ready.sha256}, expected {wanted} of {place}"
        raise RunError(f"{where} has changed: {text}", 3)
    similar.recall(folder, meta, ready.graph.data)
    return ready


def source_graph(folder: Path) -> Graph:
    """The training graph, x [N, F] as trained on. RunError 3: it is another now, or gone.
    ValueError: no run is there."""
    return same_subject(folder, read_run(folder)[0]).graph


def load_model(folder: Path) -> Model:
    """Of a finished run, on its device or, where there is none such, as "auto". RunError 4:
    model.safetensors is not what was written. ValueError: no finished run is there."""
    meta, cfg, _ = read_run(folder)
    try:
        run_full.placement(cfg)
    except ValueError:  # trained on another machine
        cfg = replace(cfg, device="auto")
    if meta["status"] != "finished":
        text = f"expected a finished one: nodejepa-ext train --resume {folder}"
        raise ValueError(f"{folder}: the run is {meta['status']}, {text}")
    path = folder / "model.safetensors"
    payload = verify(path, meta.get("files", {}).get(path.name))
    rule, width = meta["graph"]["scaling"], meta["graph"]["features"]
    try:
        tensors = safetensors.torch.load(payload)
        scaling = scaling_of(rule, width, tensors, meta["graph"].get("positions", 0))
        encoder = encoder_of(cfg, width, tensors).to(run_full.placement(cfg)[0])
    except (safetensors.SafetensorError, ValueError) as error:
        raise RunError(f"{path}: {error}", 4) from None
    return Model(encoder.eval(), cfg, width, meta, scaling)


def start(
    ready: Subject,
    cfg: Config,
    folder: Path,
    *,
    parts: Parts | None = None,
    batch_nodes: int = 0,
    overwrite: bool = False,
    every: int = 0,
    about: Meta | None = None,
    watch: EpochHook | None = None,
    stop: Callable[[], int] = lambda: 0,
    ranks: Alone = ALONE,
) -> str:
    """Trains in a new folder, as `batches.train` -> the report. every: epochs between checkpoints;
    0: 30 s. about: goes into run.json, "preset" and "why" into the report. watch sees every epoch;
    when stop() is not 0 after one, the run is saved and RunError has it as its code.

    ValueError: the folder is not free; settings that do not suit the graph. OSError: it cannot be
    written. RunError: 1 it cannot be written any more, 6 memory, 7 the loss is not finite."""
    parts, data = parts or Parts(), ready.graph.data
    batches.check_suits(cfg, parts, data, batch_nodes)
    check_memory(data, cfg, ranks.room(cfg), batch_nodes)
    vacant(folder, overwrite)
    run = Run(folder, ready, cfg, parts, batch_nodes, dict(about or {}), watch, stop, ranks)
    folder.mkdir(parents=True, exist_ok=True)
    with claimed(folder):
        vacant(folder, overwrite)
        room = run.checkpoints.footprint(run.state, len(data.x), ready.graph.node_id)
        clear(folder, needed=room)
        run.begin(every)
        return run()


def resume(
    folder: Path,
    *,
    say: Say = print,
    watch: EpochHook | None = None,
    stop: Callable[[], int] = lambda: 0,
    ranks: Alone = ALONE,
) -> str:
    """Goes on from the newest checkpoint that verifies -> the report, "" if it was finished. Torch
    gets the run's threads.

    ValueError: no run is there, its settings were changed, or another process has it. RunError: 3
    the graph has changed, 4 no checkpoint verifies, others as in `start`."""
    if not folder.is_dir():
        raise ValueError(f"{folder}: no such folder, expected one of a run")
    with claimed(folder):
        meta, cfg, parts = read_run(folder)
        ranks.tell(folder, meta)
        if meta["status"] == "finished":
            say(f"{folder}: finished already, nothing to resume")
            return ""
        same_place(folder, meta, cfg, say)
        torch.set_num_threads(meta["threads"])
        ready = same_subject(folder, meta)
        batch_nodes = batch_nodes_of(meta)
        ranks.check(ready, cfg, parts, batch_nodes)
        check_memory(ready.graph.data, cfg, ranks.room(cfg), batch_nodes)
        clear(folder, checkpoints=False)
        run = Run(folder, ready, cfg, parts, batch_nodes, meta, watch, stop, ranks)
        run.checkpoints.restore(run.state, say)
        say(f"{folder}: resumes after epoch {run.state.step} of {cfg.epochs}")
        return run()


@dataclass
class Run:
    """One training in one folder, which this process has claimed."""

    folder: Path
    ready: Subject
    cfg: Config
    parts: Parts
    batch_nodes: int
    meta: Meta  # run.json
    watch: EpochHook | None
    stop: Callable[[], int]
    ranks: Alone

    def __post_init__(self) -> None:
        self.data = similar.found_for(self.ready.graph.data, self.cfg)
        self.seams = seams(self.parts)
        make = self.seams.get("make_predictor", run_full.MLPPredictor)
        self.state = TrainState.new(self.cfg, self.data, run_full.Encoder, make)
        self.checkpoints = Checkpoints(self.folder / "checkpoints")
        self.saved, self.wanted = time.monotonic(), False  # the last time; whether one is due
        self.probed = {"train_mask", "val_mask"} <= {*self.data.keys()}

    def begin(self, every: int) -> None:
        """run.json, the first file. OSError: it cannot be written."""
        graph, source = self.ready.graph, self.ready.source
        n, f = self.data.x.shape
        self.meta |= {"format": FORMAT, "checkpoint_every": every, **circumstances(self.cfg)}
        self.meta |= {"seed": self.cfg.seed, "threads": torch.get_num_threads()}
        self.meta["notices"] = graph.notices
        self.meta["settings"] = asdict(self.cfg) | asdict(self.parts)
        if self.batch_nodes:
            self.meta["settings"]["batch_nodes"] = self.batch_nodes
        self.meta["graph"] = {"source": source._asdict() if source else None}
        self.meta["graph"] |= {"sha256": self.ready.sha256, "scaling": self.ready.scaling.rule}
        self.meta["graph"] |= {"nodes": n, "edges": self.data.edge_index.shape[1] // 2}
        found = graph.columns
        columns = None if found is None or self.ready.graph.data.x is None else found.features
        beside = self.ready.scaling.positions
        if columns is not None and len(columns) != f - beside:  # lists in cells, or of edges
            columns = None
        self.meta["graph"] |= {"features": f, "columns": columns, "positions": beside}
        if found is not None:
            self.meta["graph"]["read"] = found.report()
        self.meta |= similar.about(self.data)
        self.note(status="running", began=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()))
        if payload := similar.packed(self.data):
            write(self.folder / similar.FILE, payload)

    def note(self, **changes: Any) -> None:
        self.meta |= changes
        write(self.folder / "run.json", json.dumps(self.meta, indent=1))

    def __call__(self) -> str:
        """Trains on to the end -> the report."""
        with self.last_words(), memory_errors():
            self.note(status="running", message="")
            toml = toml_text(self.meta["settings"], self.meta.get("preset", "none"))
            write(self.folder / "config.toml", toml)
            path, began = self.folder / "metrics.jsonl", time.monotonic()
            write(path, "".join(json.dumps(row) + "\n" for row in self.state.rows))
            with appending(path) as self.metrics:
                given: Any = {"on_epoch": self.after_epoch, "state": self.state, **self.seams}
                if not self.probed:
                    given["keep"] = label_free
                result = self.ranks.train(self.cfg, self.data, self.batch_nodes, **given)
            return self.finish(result, time.monotonic() - began)

    def after_epoch(self, state: TrainState, row: dict[str, float]) -> None:
        """An EpochHook: keeps the row, now and then the state. StopTraining: as `patience` without
        labels, which decides the same again after a resume. RunError: asked to stop; the state is
        saved first."""
        append(self.metrics, json.dumps(row).encode() + b"\n", durable=False)
        if self.watch:
            self.watch(state, row)
        self.wanted |= self.due(int(row["epoch"]))
        if row is not state.rows[-1]:
            return  # of some that are told together, whose state is that after the last
        if not self.probed:
            patience(state, row)
        code = self.stop()
        if code or self.wanted:
            self.ready.check_unchanged()
            self.checkpoints.save(state)
            self.saved, self.wanted = time.monotonic(), False
        if code:
            raise RunError(f"stopped after epoch {state.step}, which is kept", code)

    def due(self, step: int) -> bool:
        """Whether a checkpoint is."""
        if step == self.cfg.epochs:
            return True
        if every := self.meta["checkpoint_every"]:
            return step % every == 0
        return time.monotonic() - self.saved > SECONDS

    @contextmanager
    def last_words(self) -> Iterator[None]:
        """run.json says how the run ended; what is not the program's fault becomes a RunError."""
        status = "failed"
        try:
            yield
            return
        except RunError as error:
            message, code = error.args
        except KeyboardInterrupt as error:
            message, code = error.args or ("stopped at once", 130)
        except OSError as error:
            message, code = f"cannot write {error.filename or ''}: {error.strerror or error}", 1
        except Exception as error:
            self.note(status=status, message=f"{type(error).__name__}: {error}")
            raise
        if code in (130, 143):
            status = "interrupted"
        if code not in (6, 7):
            message += f"; nodejepa-ext train --resume {self.folder}{self.ranks.how} continues"
        with suppress(OSError):  # the disk may be full
            self.note(status=status, message=message)
        raise RunError(f"{self.folder}: {message}", code)

    def finish(self, result: Result, seconds: float) -> str:
        """The files of a finished run; run.json last."""
        graph, state, z = self.ready.graph, self.state, result.z
        tensors = {k: t.cpu().contiguous() for k, t in state.encoder.state_dict().items()}
        tensors |= self.ready.scaling.tensors()
        node_id = np.arange(len(z)) if graph.node_id is None else graph.node_id
        np.savez(embeddings := io.BytesIO(), z=z.numpy(), node_id=node_id)
        figures = batches.collapse(z, self.data, self.cfg.seed)
        figures |= {"val": result.val} if self.probed else {}
        figures |= {"epochs": state.step, "epoch": state.best.get("epoch", state.step)}
        figures |= {"loss": state.rows[int(figures["epoch"]) - 1]["loss"]} if state.rows else {}
        text = self.report(figures, seconds)
        held: dict[str, Any] = {"model.safetensors": safetensors.torch.save(tensors)}
        held |= {"embeddings.npz": embeddings.getbuffer(), "report.md": text}
        hashes = {name: write(self.folder / name, content) for name, content in held.items()}
        self.note(status="finished", figures=figures, files=hashes)
        return text

    def report(self, figures: dict[str, float], seconds: float) -> str:
        """Markdown, to be read as it is."""
        graph, d = self.meta["graph"], self.cfg.latent
        default, chosen = effective(Config(), Parts()), effective(self.cfg, self.parts)
        chosen = {k: v for k, v in chosen.items() if k == "encoder" or v != default.get(k)}
        why = "of the highest accuracy on validation nodes"
        why = why if self.probed else "chosen without labels, by loss and rank"
        lines = [
            f"# {self.folder}",
            "",
            "- Graph: {nodes} nodes, {edges} edges, {features} features".format(**graph),
            f"- Settings: {self.meta.get('why', 'as given')}",
            f"- Not the default: {', '.join(f'{k} = {v}' for k, v in chosen.items())}",
            f"- Trained: {figures['epochs']} epochs, {seconds:.0f} s since the last start, on "
            f"{self.meta['device']}, {self.meta['threads']} thread(s)",
            f"- Kept: epoch {figures['epoch']}, {why}",
            f"- Effective rank {figures['effective_rank']:.1f} of {d}, mean cosine "
            f"{figures['cosine']:.3f}",
        ]
        if 0 < self.batch_nodes < graph["nodes"]:
            text = f"- Batches: every step on another subgraph of {self.batch_nodes} nodes, grown "
            lines.insert(-2, f"{text}breadth-first; embeddings of the whole graph")
        if figures["effective_rank"] < FLAT:
            lines.append("- The embedding says next to nothing: its effective rank is near 1")
        if "loss" in figures:
            lines.append(f"- Loss {figures['loss']:.4g}")
        if self.probed:
            lines.append(f"- Validation accuracy of a linear probe: {100 * figures['val']:.1f} %")
        lines.append(f"- Written: embeddings.npz (z [{graph['nodes']}, {d}], node_id), ")
        lines[-1] += "model.safetensors, config.toml, run.json, metrics.jsonl, checkpoints"
        return "\n".join([*lines, ""])
