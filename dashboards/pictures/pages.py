"""`python -m dashboards.pictures.pages` draws the status page and the page of a workload of the demo fleet.

Needs chromium. Its stories run 30 times as fast.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from tests.browser import browser
from tests.e2e.servers import demo, eventually, free_port

PICTURES = Path(__file__).parent.parent.parent / "docs" / "pictures"
WIDTH, HEIGHT = 1280, 900
STORY = "crash-loop"
SECONDS = 100
READY = "/waiting: CrashLoopBackOff/.test(document.body.textContent) && document.querySelectorAll('time').length > 5"
"""Its container waits, and its timeline has some entries."""


def main() -> None:
    """Draw both pages."""
    port = free_port()
    url = f"http://127.0.0.1:{port}/"
    with tempfile.TemporaryDirectory() as name, browser(Path(name)) as tab, demo(Path(name), port, "--demo.speed=30"):
        tab.shown(WIDTH, HEIGHT)
        rows = "[...document.querySelectorAll('#fleet .workload > a')]"

        def opened(address: str, ready: str) -> bool:
            try:
                tab.open(address)
            except AssertionError:
                return False
            return bool(tab.evaluate(ready))

        assert eventually(lambda: opened(f"{url}?q={STORY}", f"{rows}.length > 0"), SECONDS)
        workload = tab.evaluate(f"{rows}[0].href")
        assert eventually(lambda: opened(workload, READY), SECONDS)
        (PICTURES / "workload-page.png").write_bytes(tab.picture(whole=True))
        tab.open(url)
        (PICTURES / "status-page.png").write_bytes(tab.picture())


if __name__ == "__main__":
    main()
