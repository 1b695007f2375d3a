"""Example responses of the Workload API, one file per payload, named P01 to P32."""

import json
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent / "payloads"


def payload(name: str) -> Any:
    return json.loads((FOLDER / f"{name}.json").read_text())


def page(*items: Any, **envelope: Any) -> bytes:
    """A list response in the format of the API."""
    return json.dumps(
        {"totalCount": len(items), "count": len(items), "next": None, "previous": None, "data": items} | envelope
    ).encode()
