"""What a setting may contain, as docs/settings.md states it."""

import re

import pytest
from pydantic import BaseModel

from exporter.docs import settings_page
from exporter.settings.accounts import AccountSettings
from exporter.settings.allowed import allowed
from exporter.settings.costs import CostSettings
from exporter.settings.detail import DetailSettings
from exporter.settings.log import LogSettings
from exporter.settings.metrics import MetricsSettings
from exporter.settings.objectives import ObjectiveSettings
from exporter.settings.select import SelectSettings
from exporter.settings.sweep import SweepSettings
from exporter.settings.traces import TraceSettings


@pytest.mark.parametrize(
    ("section", "name", "words"),
    [
        (AccountSettings, "token_file", "path"),
        (AccountSettings, "token", "text, secret"),
        (AccountSettings, "name", "text that matches `^[a-zA-Z0-9_.-]{1,63}$`"),
        (AccountSettings, "concurrency", "whole number, at least 1 and at most 64"),
        (AccountSettings, "timeout", "duration, more than 0s and at most 366d"),
        (SweepSettings, "interval", "duration, at least 1s and at most 366d"),
        (ObjectiveSettings, "window", "duration, at least 7d and at most 90d"),
        (ObjectiveSettings, "availability", "number, more than 0 and less than 1"),
        (ObjectiveSettings, "latency", "settings"),
        (DetailSettings, "enabled", "`true` or `false`"),
        (SelectSettings, "importance", "list of `critical`, `high`, `moderate`, `low`"),
        (MetricsSettings, "tags", "list of text, characters: at least 1 and at most 64, items: at most 20"),
        (TraceSettings, "max_bytes", "whole number of bytes, more than 0 and at most 1000000000000"),
        (TraceSettings, "service_name", "text, characters: at least 1"),
        (LogSettings, "format", "`auto`, `logfmt`, `json`"),
        (
            CostSettings,
            "bundles",
            "mapping of text, characters: at least 1 and at most 256 to number, at least 0 and at most 1000000, "
            "items: at most 1000",
        ),
    ],
)
def test_the_field_of_a_setting_says_what_it_may_contain(section: type[BaseModel], name: str, words: str) -> None:
    assert allowed(name, section.model_fields[name]) == words


def test_every_setting_of_the_page_has_a_type_or_allowed_values_and_durations_have_a_unit() -> None:
    rows = [
        re.split(r"(?<!\\) \| ", line.strip("| ")) for line in settings_page().splitlines() if line.startswith("| `")
    ]
    assert len(rows) > 100
    types = r"(text|path|number|whole number|duration|settings|list of \S|mapping of \S|`)"
    assert [row for row in rows if len(row) != 4 or not re.match(types, row[1])] == []
    durations = [row[2] for row in rows if row[1].startswith("duration")]
    assert [default for default in durations if not re.fullmatch(r"none|`(\d+(ms|[smhdw]))+`", default)] == []
