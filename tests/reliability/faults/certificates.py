"""The certificate and the key of the web server, replaced one after the other, half written, or unreadable."""

from __future__ import annotations

import asyncio
import shutil
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import yaml

from tests.reliability.fault import Fault, Inject
from tests.reliability.life import Life
from tests.web.test_web_config import certificate

CERTIFICATE, KEY = "server.pem", "server.key"


def trusting(folder: Path, *names: str) -> ssl.SSLContext:
    """What a scraper connects with that trusts these certificates and no other."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    for name in names:
        context.load_verify_locations(folder / f"{name}.pem")
    return context


def with_tls(life: Life) -> None:
    """The exporter serves with TLS; there is another pair of files, `new`."""
    for name in ("old", "new"):
        certificate(life.folder, name)
    for suffix in ("pem", "key"):
        shutil.copy(life.folder / f"old.{suffix}", life.folder / f"server.{suffix}")
    named = {"tls_server_config": {"cert_file": CERTIFICATE, "key_file": KEY}}
    (life.folder / "web.yaml").write_text(yaml.safe_dump(named))
    life.more = {"web": {"config_file": str(life.folder / "web.yaml")}}
    life.tls = trusting(life.folder, "old", "new")


def replaced(first: str, second: str) -> Inject:
    """One file a minute before the other. From the end of the fault on the scraper trusts only the new certificate."""

    @asynccontextmanager
    async def injected(life: Life) -> AsyncIterator[None]:
        for file in (first, second):
            shutil.copy(life.folder / file.replace("server", "new"), life.folder / file)
            await asyncio.sleep(60.0)  # virtual time
        yield
        life.tls = trusting(life.folder, "new")

    return injected


def damaged(file: str, damage: Callable[[Path], None]) -> Inject:
    """A file is damaged, and restored at the end. The scraper trusts only the old certificate."""

    @asynccontextmanager
    async def injected(life: Life) -> AsyncIterator[None]:
        place = life.folder / file
        life.tls = trusting(life.folder, "old")
        damage(place)
        yield
        place.unlink(missing_ok=True)
        shutil.copy(life.folder / file.replace("server", "old"), place)

    return injected


def halve(place: Path) -> None:
    text = place.read_text()
    place.write_text(text[: len(text) // 2])


def make_unreadable(place: Path) -> None:
    """Unreadable for root, too: a link to itself."""
    place.unlink()
    place.symlink_to(place)


FAULTS = tuple(
    Fault(name, inject, prepare=with_tls, serves=True)
    for name, inject in (
        ("The web server's certificate is replaced, and later its key", replaced(CERTIFICATE, KEY)),
        ("The web server's key is replaced, and later its certificate", replaced(KEY, CERTIFICATE)),
        ("The web server's certificate is half written", damaged(CERTIFICATE, halve)),
        ("The web server's key is half written", damaged(KEY, halve)),
        ("The web server's certificate is removed", damaged(CERTIFICATE, Path.unlink)),
        ("The web server's key cannot be read", damaged(KEY, make_unreadable)),
    )
)
