"""A headless Chromium for the tests of pages, driven over its debugging pipe: no port, no network.

Requests to anything but the file under test are refused and counted, and whatever the console says
is kept.
"""

from __future__ import annotations

import base64
import json
import os
import select
import shutil
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

PROGRAM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), "")
FLAGS = (
    "--headless=new --no-sandbox --no-first-run --disable-gpu --disable-dev-shm-usage "
    "--use-gl=angle --use-angle=swiftshader --enable-unsafe-swiftshader --disable-extensions "
    "--disable-background-networking --disable-component-update --disable-sync --mute-audio "
    "--proxy-server=127.0.0.1:9 --remote-debugging-pipe"
).split()
PLACED = """
import fcntl, os, sys
high = [fcntl.fcntl(int(number), fcntl.F_DUPFD, 10) for number in sys.argv[1:3]]
for number, place in zip(high, (3, 4)):
    os.dup2(number, place)  # where Chromium looks for its pipe
os.execv(sys.argv[3], sys.argv[3:])
"""
SECONDS = 120.0


class Browser:
    """One tab. `errors`: what the console was told as an error, exceptions included; `requests`:
    every URL that was asked for."""

    def __init__(self, profile: Path, width: int = 1200, height: int = 900) -> None:
        self.profile, self.size = profile, (width, height)
        self.errors: list[str] = []
        self.requests: list[str] = []
        self.number, self.session, self.rest = 0, "", b""

    def __enter__(self) -> Self:
        theirs, self.out = os.pipe()
        self.source, written = os.pipe()
        size = ",".join(map(str, self.size))
        command = [PROGRAM, *FLAGS, f"--user-data-dir={self.profile}", f"--window-size={size}"]

        self.process = subprocess.Popen(
            [sys.executable, "-c", PLACED, str(theirs), str(written), *command, "about:blank"],
            pass_fds=(theirs, written),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(theirs)
        os.close(written)
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        found = self.call("Target.attachToTarget", targetId=target, flatten=True)
        self.session = found["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.call(f"{domain}.enable")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.process.terminate()
        self.process.wait(30)
        os.close(self.out)
        os.close(self.source)

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """The answer's result. RuntimeError: Chromium's complaint. TimeoutError."""
        self.number += 1
        message: dict[str, Any] = {"id": self.number, "method": method, "params": params}
        if self.session:
            message["sessionId"] = self.session
        os.write(self.out, json.dumps(message).encode() + b"\0")
        while (answer := self.receive()).get("id") != self.number:
            self.hear(answer)
        if "error" in answer:
            raise RuntimeError(f"{method}: {answer['error']}")
        result: dict[str, Any] = answer["result"]
        return result

    def receive(self) -> dict[str, Any]:
        until = time.monotonic() + SECONDS
        while b"\0" not in self.rest:
            if not select.select([self.source], [], [], max(0.0, until - time.monotonic()))[0]:
                raise TimeoutError(f"no answer of Chromium in {SECONDS} s")
            part = os.read(self.source, 1 << 16)
            if not part:
                raise RuntimeError("Chromium ended")
            self.rest += part
        raw, self.rest = self.rest.split(b"\0", 1)
        found: dict[str, Any] = json.loads(raw)
        return found

    def hear(self, event: dict[str, Any]) -> None:
        method, params = event.get("method"), event.get("params", {})
        if method == "Network.requestWillBeSent":
            self.requests.append(params["request"]["url"])
        if method == "Runtime.exceptionThrown":
            self.errors.append(str(params["exceptionDetails"]))
        if method == "Runtime.consoleAPICalled" and params["type"] in ("error", "assert"):
            self.errors.append(
                str([found.get("value", found.get("description")) for found in params["args"]])
            )
        if method == "Log.entryAdded" and params["entry"]["level"] == "error":
            self.errors.append(str(params["entry"]["text"]))

    def open(self, path: Path) -> None:
        """Returns when the page says that it is drawn. TimeoutError."""
        self.call("Page.navigate", url=path.resolve().as_uri())
        self.wait("document.body?.dataset.ready === 'yes' || !trouble.hidden")

    def wait(self, expression: str) -> None:
        until = time.monotonic() + SECONDS
        while not self.ask(f"try_(() => {expression})".replace("try_", TRY)):
            if time.monotonic() > until:
                raise TimeoutError(expression)
            time.sleep(0.1)

    def ask(self, expression: str) -> Any:
        """The value of a JavaScript expression, of which JSON can hold. RuntimeError: it threw."""
        found = self.call(
            "Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True
        )
        if "exceptionDetails" in found:
            raise RuntimeError(f"{expression}: {found['exceptionDetails']}")
        return found["result"].get("value")

    def click(self, x: float, y: float) -> None:
        """At a place of the window, as with a mouse."""
        where: Any = dict(x=x, y=y, button="left", clickCount=1)
        self.call("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)
        time.sleep(0.2)  # plotly.js looks for the point below the mouse at its own pace
        self.call("Input.dispatchMouseEvent", type="mousePressed", **where)
        self.call("Input.dispatchMouseEvent", type="mouseReleased", **where)

    def screenshot(self, path: Path) -> None:
        """Of the whole page, as a PNG."""
        size = self.call("Page.getLayoutMetrics")["cssContentSize"]
        clip = dict(x=0, y=0, width=size["width"], height=min(size["height"], 12000), scale=1)
        given: Any = dict(format="png", captureBeyondViewport=True, clip=clip)
        found = self.call("Page.captureScreenshot", **given)
        path.write_bytes(base64.b64decode(found["data"]))

    def emulate(self, width: int, height: int, dark: bool = False) -> None:
        """A screen of that size, as of a phone where it is narrow."""
        metrics: Any = dict(width=width, height=height, deviceScaleFactor=1, mobile=width < 600)
        self.call("Emulation.setDeviceMetricsOverride", **metrics)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])


TRY = "((look) => { try { return look(); } catch { return false; } })"
