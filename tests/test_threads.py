"""Work in threads of their own."""

import os
import subprocess
import sys
from pathlib import Path

ENDS = """
import asyncio, pathlib, sys
from exporter.threads import in_own_thread

async def main():
    assert await in_own_thread(lambda: 7) == 7
    try:
        await in_own_thread(lambda: 1 / 0)
    except ZeroDivisionError:
        pass
    try:
        await in_own_thread(pathlib.Path(sys.argv[1]).read_bytes, 0.1)
    except TimeoutError:
        print("too late")

asyncio.run(main())
"""


def test_a_file_that_never_opens_does_not_keep_the_process_from_ending(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    ended = subprocess.run([sys.executable, "-c", ENDS, tmp_path / "pipe"], capture_output=True, text=True, timeout=20)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "too late\n", "")
