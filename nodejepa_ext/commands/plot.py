"""`nodejepa-ext plot`: pictures of a results folder."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from nodejepa_ext.commands.console import Quiet, say, sentences, stop
from nodejepa_ext.commands.printing import print_json

PROG = "nodejepa-ext plot"

EXAMPLES = """\b
Examples:
nodejepa-ext plot results/20260101T120000Z-4711
nodejepa-ext plot results/20260101T120000Z-4711 --out figures
nodejepa-ext plot runs/mine --out figures
nodejepa-ext plot ablations/collapse --out figures
nodejepa-ext plot ablations/collapse --json
nodejepa-ext plot sweeps/first

Written: curves.png of a run, and map_<graph>.png where it has embeddings.npz, of a run of `train`
map.png; ablation-<graph>.png of an ablation or a table, sweep-<graph>.png of a sweep. All in one
file, to be hovered and searched: nodejepa-ext page.
Exit codes: 0; 2 usage, or a file that cannot be written; 3 a folder that cannot be drawn;
4 a model that does not verify.
"""


def plot(
    folder: Annotated[
        Path,
        typer.Argument(
            help="results/<time>-<pid> of run_full.py, or what train, ablate, table or sweep wrote."
        ),
    ],
    out: Annotated[
        Path | None, typer.Option(help="Folder of the pictures.", show_default="FOLDER itself")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object, not lines.")] = False,
    quiet: Quiet = False,
) -> None:
    """A run's learning curves with meters of collapse, an ablation or a table arm by arm, or a
    sweep trial by trial; accuracies are of validation nodes."""
    if find_spec("matplotlib") is None:
        raise stop(PROG, "needs matplotlib: pip install 'nodejepa[plot]'", 2)
    with sentences(PROG):
        from nodejepa_ext.plots import ablation, run, sweep

        draw = run.draw
        if (folder / ablation.ROWS).exists():
            draw = ablation.draw
        elif (folder / "run.json").exists():
            from nodejepa_ext.plots import train

            draw = train.draw
        elif any((folder / name).exists() for name in sweep.FILES):
            draw = sweep.draw
        written = draw(folder, out or folder, say)
    if as_json:
        print_json({"written": [str(path) for path in written]})
    else:
        typer.echo("\n".join(map(str, written)))
