"""The command line: one module a group of verbs, which parses, calls and prints.

Nothing heavy is imported here or at the top of a verb's module, so that --help answers at once.
"""

from __future__ import annotations

from typing import Annotated

import typer

from nodejepa_ext import __version__
from nodejepa_ext.commands import (
    ablate,
    bench,
    compare,
    console,
    data,
    embed,
    evaluate,
    export,
    page,
    plot,
    rows,
    show,
    sweep,
    table,
    train,
    verb,
)

app = typer.Typer(
    name="nodejepa-ext",
    help="The toolkit around Node-JEPA's reference, run_full.py.",
    no_args_is_help=True,
    pretty_exceptions_show_locals=False,
    rich_markup_mode="rich",
)
app.command("ablate", cls=verb.Verb, epilog=ablate.EXAMPLES, context_settings=rows.CONTEXT)(
    ablate.ablate
)
app.command("bench", epilog=bench.EXAMPLES)(bench.bench)
app.command("compare", epilog=compare.EXAMPLES)(compare.compare)
app.add_typer(data.app, name="data")
app.command("embed", epilog=embed.EXAMPLES)(embed.embed)
app.command("evaluate", epilog=evaluate.EXAMPLES)(evaluate.evaluate)
app.command("export", epilog=export.EXAMPLES)(export.export)
app.command("page", epilog=page.EXAMPLES)(page.page)
app.command("plot", epilog=plot.EXAMPLES)(plot.plot)
app.command("show", epilog=show.EXAMPLES)(show.show)
app.command("sweep", cls=verb.Verb, epilog=sweep.EXAMPLES, context_settings=sweep.CONTEXT)(
    sweep.sweep
)
app.command("table", cls=verb.Verb, epilog=table.EXAMPLES, context_settings=rows.CONTEXT)(
    table.table
)
app.command(
    "train",
    cls=verb.Verb,
    epilog=train.EXAMPLES,
    context_settings=train.CONTEXT,
    options_metavar=train.USAGE,
)(train.train)


def show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=show_version, is_eager=True, help="Say it, exit.")
    ] = False,
) -> None:
    """The toolkit around Node-JEPA's reference, run_full.py."""
    console.hush(False)


def main() -> None:
    """The console script. Exits 0; 1 failed; 2 usage; 3 data; 130 interrupted."""
    app(prog_name="nodejepa-ext")
