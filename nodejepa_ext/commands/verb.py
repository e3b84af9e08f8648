"""Options that a verb passes on to the reference's parser: known here by name, so that a shell can
complete them and a mistyped one is answered at once, both without torch.
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from importlib import import_module
from pathlib import Path
from typing import Any

from typer import Exit
from typer.core import TyperCommand

from nodejepa_ext.commands.console import stop
from nodejepa_ext.commands.ranks import second, silence

GRAPHS = ("cora", "citeseer", "pubmed")
PRESETS = ("best", "card", "bgrl")
PASSED = """--config --data --device --directions --edge1 --edge2 --embed-hops --encoder --epochs
--eval-every --feat1 --feat2 --first-seed --graphs --heads --help --hidden --hops --layers --loss
--loss-nodes --lr --mask --momentum --neighbour-weight --neighbours --no-own-features --no-reg-node
--norm --out --out-width --own-features --precision --predictor --predictor-norm --preset --quick
--reg-node --regulariser --regulariser-weight --seeds --skip --target --target-hops --threads
--transform --validation-only --warmup --weight-decay""".split()
OF_PARTS = """--bfs-block --bfs-blocks --bfs-hops --bfs-mask --degree-first --degree-mask
--laplacian-k --laplacian-pe --no-bfs-mask --no-degree-mask --no-laplacian-pe --no-views --objective
--views""".split()
OF_ROWS = ["--controls"]
NOT_OF_TRAIN = {"--graphs", "--seeds", "--first-seed", "--data", "--quick", "--validation-only"}


def nearest(name: str, known: Iterable[str]) -> str:
    """ "; did you mean ...?", or nothing where no known name is near."""
    found = get_close_matches(name, [*known], 1)
    return f"; did you mean {found[0]}?" if found else ""


def presets() -> list[str]:
    """For completion."""
    return ["auto", *PRESETS]


def graphs(incomplete: str) -> list[str]:
    """For completion: embedded graphs, files and folders."""
    path = Path(incomplete)
    folder = path if incomplete.endswith("/") else path.parent
    there = sorted(folder.iterdir()) if folder.is_dir() else []
    names = [f"{entry}/" if entry.is_dir() else str(entry) for entry in there]
    return [name for name in (*GRAPHS, *names) if name.startswith(incomplete)]


def listed(incomplete: str) -> list[str]:
    """For completion of cora,citeseer."""
    done, comma, last = incomplete.rpartition(",")
    return [f"{done}{comma}{name}" for name in GRAPHS if name.startswith(last)]


def check_preset(name: str, known: Iterable[str] = PRESETS) -> None:
    """ValueError: there is none of that name."""
    if name not in known:
        expected = f"expected one of {', '.join(known)}"
        raise ValueError(f"--preset {name}: {expected}{nearest(name, known)}")


def check_graph(source: str | None) -> None:
    """Nothing is there, and another name is near: GraphError of a file, else ValueError."""
    if source is None or source in GRAPHS or Path(source).exists():
        return
    folder = Path(source).parent
    there = [str(entry) for entry in folder.iterdir()] if folder.is_dir() else []
    if near := nearest(source, [*GRAPHS, *there]):
        expected = f"expected {', '.join(GRAPHS)}, a file or a folder"
        text = f"{source}: no such file, {expected}{near}"
        if not Path(source).suffix:
            raise ValueError(text)
        from nodejepa_ext.graphs.archives import GraphError

        raise GraphError(text)


def check_tables(source: object, edges: object, nodes: object) -> None:
    """ValueError: a table of nodes alone."""
    if nodes and not (source or edges):
        text = "a table of nodes is no graph, expected --edges FILE, or a GRAPH, beside it"
        raise ValueError(f"--nodes {nodes}: {text}")


def item_of(ctx: Any) -> Any:
    """The class of what is completed, of the same Click as the context: Typer may have its own."""
    module = type(ctx).__mro__[-2].__module__.rpartition(".")[0]
    return import_module(f"{module}.shell_completion").CompletionItem


class Verb(TyperCommand):
    """A command with options of the reference's parser beside its own."""

    def passed(self) -> list[str]:
        """Names of options that are not its own."""
        if self.name == "sweep":
            return PASSED
        if self.name == "train":
            return [name for name in (*PASSED, *OF_PARTS) if name not in NOT_OF_TRAIN]
        return [*PASSED, *OF_PARTS, *OF_ROWS]

    def own(self) -> list[str]:
        return [name for parameter in self.params for name in parameter.opts if name[:2] == "--"]

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        others = self.name == "train" and second()  # of which the first says what is wrong
        try:
            with silence(others):
                rest = super().parse_args(ctx, args)
                if not ctx.resilient_parsing:
                    self.check(ctx)
        except Exception as error:
            if others:
                raise Exit(getattr(error, "exit_code", 2)) from None
            raise
        return rest

    def check(self, ctx: Any) -> None:
        """Exit 2: an option, a preset or a graph that is near another name, or none."""
        prog, known = ctx.command_path, [*self.own(), *self.passed(), *NOT_OF_TRAIN]
        for at, word in enumerate(ctx.args):
            option, equals, value = word.partition("=")
            if not option.startswith("--") or option == "--":
                continue
            if not any(name.startswith(option) for name in known):
                raise stop(prog, f"no such option: {option}{nearest(option, known)}", 2)
            value = value if equals else "".join(ctx.args[at + 1 : at + 2])
            try:
                self.check_value(option, value)
            except ValueError as error:
                raise stop(prog, str(error), 2) from None

    def check_value(self, option: str, value: str) -> None:
        """ValueError: a preset or a graph of another name."""
        if option == "--preset" and value:
            check_preset(value)
        for name in value.split(",") if option == "--graphs" and value else []:
            if name not in GRAPHS:
                text = f"expected one of {', '.join(GRAPHS)}{nearest(name, GRAPHS)}"
                raise ValueError(f"--graphs {name!r}: {text}")

    def shell_complete(self, ctx: Any, incomplete: str) -> list[Any]:
        """Options by their names; values of --preset and --graphs; GRAPH of train."""
        found = super().shell_complete(ctx, incomplete)
        before = ctx.args[-1] if ctx.args else ""
        names: list[str] = []
        if incomplete.startswith("-"):
            names = [name for name in self.passed() if name.startswith(incomplete)]
        elif before == "--preset":
            names = [name for name in PRESETS if name.startswith(incomplete)]
        elif before == "--graphs":
            names = listed(incomplete)
        elif self.name == "train":
            names = graphs(incomplete)
        had = {one.value for one in found}
        item = item_of(ctx)
        return [*found, *(item(name) for name in names if name not in had)]
