"""Decodes responses without blocking the event loop, however large and broken they are."""

from __future__ import annotations

from functools import partial

from exporter.api import decoding
from exporter.api.decoding import Item, One, Page
from exporter.threads import calculated


async def page(body: bytes, kind: type[Item]) -> Page[Item]:
    """One page of a list; see `decoding.page`."""
    return await calculated(partial(decoding.page, kind=kind), body)


async def one(body: bytes, kind: type[Item]) -> One[Item]:
    """One object; see `decoding.one`."""
    return await calculated(partial(decoding.one, kind=kind), body)
