"""A real PostgreSQL server for tests, on a Unix socket in a folder of its own.

The server refuses to run as root, so root starts it as `postgres` or `nobody`. It ends with the
process that started it, even one that is killed.
"""

from __future__ import annotations

import os
import pwd
import select
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from threading import Thread
from typing import Self
from uuid import uuid4

import psycopg
import pytest

SOCKET = ".s.PGSQL.5432"
PASSWORD = "s3cr%t/word"
QUOTED = "s3cr%25t%2Fword"  # as a URL spells it
QUICK = ("fsync=off", "listen_addresses=")
QUICK += ("shared_buffers=16MB", "max_connections=40", "timezone=Asia/Kolkata")  # nobody's here


def binaries() -> Path:
    found = shutil.which("initdb")
    folders = [Path(found).parent] if found else []
    folders += [p.parent for p in Path("/usr/lib/postgresql").glob("*/bin/initdb")]
    if not folders:
        pytest.fail("PostgreSQL's initdb is not installed: apt-get install postgresql")
    return max(folders)


class Server:
    """Started by `with`; `url` names a fresh database at each call."""

    def __init__(self) -> None:
        self.bin = binaries()
        self.process: subprocess.Popen[bytes] | None = None
        self.folder = Path(tempfile.mkdtemp(prefix="nodejepa-pg-", dir="/tmp"))
        self.become = ["setpriv", "--pdeathsig", "INT"]
        if os.geteuid() == 0:
            names = {user.pw_name for user in pwd.getpwall()}
            user = pwd.getpwnam("postgres" if "postgres" in names else "nobody")
            self.become += [f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"]
            os.chown(self.folder, user.pw_uid, user.pw_gid)

    def __enter__(self) -> Self:
        secret = self.folder / "password"
        secret.write_text(PASSWORD)
        secret.chmod(0o644)
        options = ["-U", "tester", "-A", "scram-sha-256", f"--pwfile={secret}", "-E", "UTF8"]
        options += ["--no-sync", "--no-locale", "-D", str(self.folder / "data")]
        command = [*self.become, str(self.bin / "initdb"), *options]
        subprocess.run(command, cwd="/", stdout=subprocess.DEVNULL, check=True)
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop(signal.SIGQUIT)
        shutil.rmtree(self.folder)

    def start(self, wait: bool = True) -> None:
        settings = [*QUICK, f"unix_socket_directories={self.folder}"]
        flags = [flag for setting in settings for flag in ("-c", setting)]
        command = [*self.become, str(self.bin / "postgres"), "-D", str(self.folder / "data")]
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen([*command, *flags], cwd="/", stdout=log, stderr=log)
        deadline = time.monotonic() + 60
        while wait:
            assert self.process.poll() is None, (self.folder / "log").read_text()
            with suppress(psycopg.OperationalError):
                self.execute("SELECT 1")
                return
            assert time.monotonic() < deadline
            time.sleep(0.05)

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """SIGINT: PostgreSQL's fast shutdown. SIGQUIT: as a crash, with recovery at the start."""
        if self.process:
            self.process.send_signal(how)
            self.process.wait(60)
            self.process = None

    def restart(self, how: signal.Signals = signal.SIGINT) -> None:
        self.stop(how)
        self.start()

    def execute(self, statement: str, database: str = "postgres") -> list[tuple[object, ...]]:
        where = dict(host=str(self.folder), user="tester", password=PASSWORD, dbname=database)
        with psycopg.connect(**where, autocommit=True) as connection:
            rows = connection.execute(statement)
            return rows.fetchall() if rows.description else []

    def url(self) -> str:
        name = f"sweep_{uuid4().hex[:8]}"
        self.execute(f"CREATE DATABASE {name}")
        return f"postgresql://tester:{QUOTED}@/{name}?host={self.folder}"


class Proxy:
    """Stands between clients and a server. The next transactions with the statement `cut`, as many
    as `left`, commit at the server, and the connection ends before the confirmation comes back."""

    def __init__(self, server: Server) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="nodejepa-proxy-", dir="/tmp"))
        self.server, self.cut, self.left = str(server.folder), b"", 0
        self.door = socket.socket(socket.AF_UNIX)
        self.door.bind(f"{self.folder}/{SOCKET}")
        self.door.listen()
        Thread(target=self.accept, daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.door.shutdown(socket.SHUT_RDWR)
        self.door.close()
        shutil.rmtree(self.folder)

    def accept(self) -> None:
        with suppress(OSError):
            while True:
                client = self.door.accept()[0]
                Thread(target=self.relay, args=(client,), daemon=True).start()

    def relay(self, client: socket.socket) -> None:
        with client, socket.socket(socket.AF_UNIX) as server, suppress(OSError):
            server.connect(f"{self.server}/{SOCKET}")
            ends, marked = {client: server, server: client}, False
            while True:
                for source in select.select(list(ends), [], [])[0]:
                    data = source.recv(2**16)
                    if not data:
                        return
                    ends[source].sendall(data)
                    if source is client and self.left and self.cut in data:
                        marked = True
                    if source is client and marked and b"COMMIT" in data:
                        server.recv(2**16)  # the confirmation
                        self.left -= 1
                        return
