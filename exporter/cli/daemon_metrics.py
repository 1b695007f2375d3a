"""What the running daemon serves under /metrics, for commands that print it."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterable, Iterator, Mapping

from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from exporter.cli.context import Context
from exporter.cli.own_server import request_with_login
from exporter.cli.web_settings import daemon_address
from exporter.errors import ExporterError

TAGS = "datarobot_workload_tags"


class DaemonUnavailable(ExporterError):
    """The daemon cannot be reached, or refuses the request."""


def metrics_page(context: Context) -> str:
    """The page of /metrics of the daemon that the settings and flags name. Raises `DaemonUnavailable`."""
    path = context.settings("replaced").web.telemetry_path
    address = daemon_address(context)
    status, text = request_with_login(address.listen, address.tls, path)
    if status != 200:
        raise DaemonUnavailable(text)
    return text


def samples(page: str, names: tuple[str, ...]) -> Iterator[Sample]:
    """The samples of a page whose names begin with one of these."""
    # Not `splitlines`: a label value may contain other line separators of Unicode.
    wanted = "".join(f"{line}\n" for line in page.split("\n") if line.startswith(names))
    return (sample for family in text_string_to_metric_families(wanted) for sample in family.samples)


def tags(labels: Mapping[str, str]) -> dict[str, str]:
    """The tags of a workload from the labels of its sample of `TAGS`."""
    return {label.removeprefix("tag_"): text for label, text in labels.items() if label.startswith("tag_")}


def print_lines(lines: Iterable[str]) -> None:
    """Print lines of text, whatever the encoding of the terminal."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # the encoding may lack characters of a name
    print("\n".join(lines))
