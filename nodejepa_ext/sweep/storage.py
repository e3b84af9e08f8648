"""Opens the storage of a sweep's studies: a journal in its folder, or PostgreSQL."""

from __future__ import annotations

from pathlib import Path

from nodejepa_ext.sweep.journal import FileStore, OnEvent, Store, failure


def open_store(
    folder: Path,
    url: str | None,
    *,
    join: bool,
    read_only: bool = False,
    grace: float = 60.0,
    patience: float = 300.0,
    on_event: OnEvent | None = None,
    drop_damaged: bool = False,
) -> Store:
    """The store of a sweep: a journal in `folder`, or PostgreSQL at `url`.

    `join`: share a folder with a living supervisor. `read_only`: changes nothing, also while a
    sweep runs. `grace`, seconds: after which a silent owner in PostgreSQL counts as dead.
    `patience`, seconds: how long a server may be away. `drop_damaged`: makes a journal with damaged
    lines anew, from the trials that are sound. ValueError: another supervisor holds the
    folder, nothing to read, or a URL, password or host that does not do. RunError 3: a damaged
    journal; RunError 1: it cannot be written, or the server stays away.
    """
    if url is not None:
        from nodejepa_ext.sweep.postgres import PostgresStore, postgres_url  # an extra's packages

        return PostgresStore(postgres_url(url), on_event, read_only, grace, patience)
    if read_only and not (folder / "journal.jsonl").is_file():
        raise ValueError(f"{folder}: no sweep there, expected a file journal.jsonl")
    try:
        return FileStore(folder, on_event, join, read_only, drop_damaged)
    except OSError as error:
        raise failure(f"{folder}: cannot be opened: {error.strerror}", 1) from None
