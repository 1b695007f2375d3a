"""Headless Chromium, spoken to in its own protocol over a pipe: opens a page, evaluates JavaScript, takes pictures."""

import base64
import fcntl
import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path
from typing import Any, BinaryIO

from tests.components import component

OPTIONS = (
    "--headless=new --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --disable-dev-shm-usage --hide-scrollbars --remote-debugging-pipe"
).split()


class Browser:
    """One tab. `told` collects what the page, or the browser about it, writes to the console."""

    def __init__(self, asks: BinaryIO, answers: BufferedReader) -> None:
        self._asks, self._answers = asks, answers
        self._number, self._session, self._rest = 0, "", b""
        self.told: list[str] = []
        self._loaded = False
        target = self.ask("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log"):
            self.ask(f"{domain}.enable")

    def _next(self) -> Any:
        while b"\0" not in self._rest:
            more = self._answers.read1(1 << 16)
            assert more, "the browser has ended"
            self._rest += more
        message, _, self._rest = self._rest.partition(b"\0")
        told = json.loads(message)
        if told.get("method") == "Page.loadEventFired":
            self._loaded = True
        elif told.get("method") == "Log.entryAdded":
            self.told.append(told["params"]["entry"]["text"])
        elif told.get("method") == "Runtime.exceptionThrown":
            self.told.append(json.dumps(told["params"]["exceptionDetails"]))
        return told

    def ask(self, method: str, **parameters: Any) -> Any:
        """Send one command; return its result."""
        self._number += 1
        asked = {"id": self._number, "method": method, "params": parameters}
        self._asks.write(json.dumps(asked | ({"sessionId": self._session} if self._session else {})).encode() + b"\0")
        while (told := self._next()).get("id") != self._number:
            pass
        assert "error" not in told, told
        return told["result"]

    def open(self, url: str) -> None:
        """Go to a page and wait until it is loaded."""
        self._loaded = False
        failed = self.ask("Page.navigate", url=url).get("errorText")
        assert not failed, failed
        while not self._loaded:
            self._next()

    def evaluate(self, expression: str) -> Any:
        """The value of a JavaScript expression, awaited."""
        result = self.ask("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in result, result
        return result["result"].get("value")

    def shown(self, width: int, height: int, scheme: str = "light", scale: float = 1.0) -> None:
        """Show pages as on a screen of this size, ``light`` or ``dark``."""
        mobile = width < 600
        self.ask(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=scale, mobile=mobile
        )
        self.ask("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])

    def close(self) -> None:
        """End the browser."""
        self._session = ""
        self.ask("Browser.close")

    def picture(self, whole: bool = False) -> bytes:
        """The page as a PNG; `whole`: beyond the screen too."""
        told = self.ask("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        return base64.b64decode(told["data"])


def _pipe() -> tuple[int, int]:
    """A pipe with numbers above those that the browser wants for it, 3 and 4."""
    ends = os.pipe()
    moved = [fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 10) for end in ends]
    for end in ends:
        os.close(end)
    return moved[0], moved[1]


@contextmanager
def browser(folder: Path) -> Iterator[Browser]:
    """A browser with an empty profile in `folder`, ended with the block."""
    program = component("chromium")
    ours_in, theirs_out = _pipe()
    theirs_in, ours_out = _pipe()
    command = ("bash", "-c", f'exec "$@" 3<&{theirs_in} 4>&{theirs_out}', "bash", program, *OPTIONS)
    with (folder / "chromium.log").open("wb") as log:
        process = subprocess.Popen(
            (*command, f"--user-data-dir={folder / 'profile'}"),
            stdout=log,
            stderr=log,
            pass_fds=(theirs_in, theirs_out),
        )
    os.close(theirs_in)
    os.close(theirs_out)
    try:
        with os.fdopen(ours_out, "wb", 0) as asks, os.fdopen(ours_in, "rb") as answers:
            tab = Browser(asks, answers)
            yield tab
            tab.close()
            process.wait(timeout=20)
    finally:
        process.kill()
        process.wait()
