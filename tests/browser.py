"""Headless Chromium, controlled with the DevTools protocol over a pipe: pages, JavaScript, and screenshots."""

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
    """One tab. `console` collects the messages of the console, including errors."""

    def __init__(self, requests: BinaryIO, responses: BufferedReader) -> None:
        self._requests, self._responses = requests, responses
        self._number, self._session, self._rest = 0, "", b""
        self.console: list[str] = []
        self._loaded = False
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log"):
            self.call(f"{domain}.enable")

    def _next(self) -> Any:
        while b"\0" not in self._rest:
            more = self._responses.read1(1 << 16)
            assert more, "the browser has ended"
            self._rest += more
        message, _, self._rest = self._rest.partition(b"\0")
        content = json.loads(message)
        if content.get("method") == "Page.loadEventFired":
            self._loaded = True
        elif content.get("method") == "Log.entryAdded":
            self.console.append(content["params"]["entry"]["text"])
        elif content.get("method") == "Runtime.exceptionThrown":
            self.console.append(json.dumps(content["params"]["exceptionDetails"]))
        return content

    def call(self, method: str, **parameters: Any) -> Any:
        """Send one command; return its result."""
        self._number += 1
        command = {"id": self._number, "method": method, "params": parameters}
        self._requests.write(
            json.dumps(command | ({"sessionId": self._session} if self._session else {})).encode() + b"\0"
        )
        while (response := self._next()).get("id") != self._number:
            pass
        assert "error" not in response, response
        return response["result"]

    def open(self, url: str) -> None:
        """Go to a page and wait until it is loaded."""
        self._loaded = False
        failed = self.call("Page.navigate", url=url).get("errorText")
        assert not failed, failed
        while not self._loaded:
            self._next()
        while self.evaluate("document.readyState") != "complete":  # the event was of the page before
            pass

    def evaluate(self, expression: str) -> Any:
        """The value of a JavaScript expression, awaited."""
        result = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in result, result
        return result["result"].get("value")

    def shown(self, width: int, height: int, scheme: str = "light", scale: float = 1.0) -> None:
        """Emulate a screen of this size with the ``light`` or ``dark`` colour scheme."""
        mobile = width < 600
        self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=scale, mobile=mobile
        )
        self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])

    def close(self) -> None:
        """Close the browser."""
        self._session = ""
        self.call("Browser.close")

    def picture(self, whole: bool = False) -> bytes:
        """The page as a PNG. `whole`: including the part outside the screen."""
        screenshot = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        return base64.b64decode(screenshot["data"])


def _pipe() -> tuple[int, int]:
    """A pipe with file descriptors above 3 and 4, which the browser uses."""
    ends = os.pipe()
    moved = [fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 10) for end in ends]
    for end in ends:
        os.close(end)
    return moved[0], moved[1]


@contextmanager
def browser(folder: Path) -> Iterator[Browser]:
    """A browser with an empty profile in `folder`, closed at the end of the block."""
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
        with os.fdopen(ours_out, "wb", 0) as requests, os.fdopen(ours_in, "rb") as responses:
            tab = Browser(requests, responses)
            yield tab
            tab.close()
            process.wait(timeout=20)
    finally:
        process.kill()
        process.wait()
