"""Settings of receivers of notifications."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Literal, Self, get_args

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, model_validator

from exporter.alerting.alerts import Severity
from exporter.alerting.routing import DAY, Wants
from exporter.settings.section import ALERT_NAMES, Duration, DurationOrZero, Headers, Importance, Section, Tag
from exporter.settings.values import http_url, is_url, seconds, tag_values


def _alertmanager_url(given: str) -> str:
    return http_url(given, "http://alertmanager:9093", "secrets go into headers").rstrip("/")


def _enqueue_url(given: str) -> str:
    url = http_url(given, "https://events.eu.pagerduty.com/v2/enqueue", "the secret goes into routing_key_file")
    if not url.endswith("/enqueue"):
        raise ValueError("no URL of Events API v2; give one such as https://events.eu.pagerduty.com/v2/enqueue")
    return url


def _routing_key(given: SecretStr) -> SecretStr:
    if not re.fullmatch(r"[0-9a-zA-Z]{32}", given.get_secret_value()):
        raise ValueError("no integration key of Events API v2, which has 32 letters and digits")
    return given


_HOURS = re.compile(r"([01]\d|2[0-3]):([0-5]\d)-(?:([01]\d|2[0-3]):([0-5]\d)|24:00)")


def hours(given: str) -> tuple[int, int]:
    """Begin and end, in seconds since midnight, of ``22:00-07:00``. Raises ValueError."""
    found = _HOURS.fullmatch(given.strip())
    if found is None:
        raise ValueError("no times of the day; give two such as 22:00-07:00, UTC")
    begin, end = (
        int(hour or 24) * 3600 + int(minute or 0) * 60 for hour, minute in (found.group(1, 2), found.group(3, 4))
    )
    if begin == end % DAY:
        raise ValueError("begins when it ends; give two times such as 22:00-07:00, UTC")
    return begin, end % DAY


def _hours(given: str) -> str:
    hours(given)
    return given.strip()


def _secret_url(given: SecretStr) -> SecretStr:
    if not is_url(given.get_secret_value().strip()):
        raise ValueError("no URL with http:// or https:// and a host")
    return given


_SecretUrl = Annotated[SecretStr, AfterValidator(_secret_url)]
SEVERITIES: tuple[Severity, ...] = ("critical", "warning", "info", "none")


class ReceiverSettings(Section):
    """Whom the exporter itself tells of alerts, and of which. An alert goes to each receiver that wants it."""

    name: str = Field(pattern=r"^[a-zA-Z0-9_.-]{1,63}$", description="Its name, in metrics and logs.")
    severities: frozenset[Severity] = Field(
        frozenset(),
        description="Severities that it wants. Empty: `critical` and `warning`; all for an Alertmanager, and where "
        "`alerts` are named.",
    )
    importance: frozenset[Importance] = Field(
        frozenset(),
        description="Alerts of workloads of these importances; empty: of all. Alerts about accounts and about the "
        "exporter have no importance and are told.",
    )
    accounts: frozenset[str] = Field(
        frozenset(),
        description="Alerts of these accounts; empty: of all. Alerts about the exporter as a whole are told.",
    )
    alerts: Annotated[frozenset[str], ALERT_NAMES] = Field(frozenset(), description="Names of alerts; empty: all.")
    tags: tuple[Tag, ...] = Field(
        (),
        description="Tags that the workload of an alert must all have: `name=value`, or `name` for any value. Alerts "
        "about accounts and about the exporter have none and are not told.",
    )
    quiet_hours: tuple[Annotated[str, AfterValidator(_hours)], ...] = Field(
        (),
        description="Times of the day, such as `22:00-07:00`, UTC, in which of what begins only what is critical is "
        "told. The rest is told afterwards, if it still fires.",
    )
    send_resolved: bool = Field(True, description="Also tell that an alert has ended.")
    timeout: Duration = Field(10.0, description="Time for one request, from start to last byte.")
    repeat_interval: DurationOrZero = Field(
        0.0,
        description="How often it is told again what fires, such as to a dead man's switch; 0: never. An Alertmanager "
        "is told every minute if not more often.",
    )
    ca_file: Path | None = Field(None, description="PEM file of certificate authorities to trust besides the system's.")

    def wants(self, severity_label: str = "severity") -> Wants:
        """The same, as alerts are routed by it."""
        return Wants(
            severities=frozenset(self.severities or (SEVERITIES if self._wants_all else SEVERITIES[:2])),
            importance=frozenset(self.importance),
            accounts=self.accounts,
            alerts=self.alerts,
            tags=tag_values(self.tags),
            quiet=tuple(map(hours, self.quiet_hours)),
            resolved=self.send_resolved,
            severity_label=severity_label,
        )

    @property
    def _wants_all(self) -> bool:
        return bool(self.alerts)


class AlertmanagerSettings(ReceiverSettings):
    """Alertmanagers, each of which is told of everything."""

    kind: Literal["alertmanager"] = Field(description="Alertmanagers, each of which is told of everything.")
    urls: tuple[Annotated[str, AfterValidator(_alertmanager_url)], ...] = Field(
        min_length=1, description="URLs of all Alertmanagers of a cluster, such as `http://alertmanager:9093`."
    )
    headers: Headers = Field(
        default_factory=dict, description="Headers sent along, such as `Authorization`; their values are secrets."
    )
    repeat_interval: Annotated[float, BeforeValidator(seconds), Field(gt=0, le=60)] = 60.0

    @model_validator(mode="after")
    def _left_to_it(self) -> Self:
        if self.quiet_hours or not self.send_resolved:
            raise ValueError(
                "an Alertmanager is told of everything: set mute_time_intervals and send_resolved there, "
                "and leave quiet_hours and send_resolved out here"
            )
        return self

    @property
    def _wants_all(self) -> bool:
        return True


class PagerDutySettings(ReceiverSettings):
    """A service of PagerDuty, by its integration of Events API v2."""

    kind: Literal["pagerduty"] = Field(description="A service of PagerDuty, by its integration of Events API v2.")
    routing_key_file: Path | None = Field(None, description="File that holds the integration key of the service.")
    routing_key_env: str | None = Field(None, description="Environment variable that holds it.")
    routing_key: Annotated[SecretStr, AfterValidator(_routing_key)] | None = Field(None, description="The key itself.")
    url: Annotated[str, AfterValidator(_enqueue_url)] = Field(
        "https://events.pagerduty.com/v2/enqueue",
        description="Where events are sent; accounts in the EU have `https://events.eu.pagerduty.com/v2/enqueue`.",
    )
    changes: bool = Field(
        False, description="Also send replacements and promotions as change events, which notify nobody."
    )
    _required = ("routing_key",)


class SlackSettings(ReceiverSettings):
    """A channel of Slack, by an incoming webhook."""

    kind: Literal["slack"] = Field(description="A channel of Slack, by an incoming webhook.")
    webhook_url_file: Path | None = Field(None, description="File that holds the URL of the incoming webhook.")
    webhook_url_env: str | None = Field(None, description="Environment variable that holds it.")
    webhook_url: _SecretUrl | None = Field(None, description="The URL itself; it is a secret.")
    _required = ("webhook_url",)


class WebhookSettings(ReceiverSettings):
    """Anything that takes what an Alertmanager sends to webhooks; each alert comes alone."""

    kind: Literal["webhook"] = Field(
        description="Anything that takes what an Alertmanager sends to webhooks; each alert comes alone."
    )
    url_file: Path | None = Field(None, description="File that holds the URL.")
    url_env: str | None = Field(None, description="Environment variable that holds it.")
    url: _SecretUrl | None = Field(None, description="The URL itself; it is treated as a secret.")
    hmac_secret_file: Path | None = Field(
        None,
        description="File that holds a secret to sign bodies with: `X-Signature-256: sha256=` and HMAC-SHA256 in hex.",
    )
    hmac_secret_env: str | None = Field(None, description="Environment variable that holds it.")
    hmac_secret: SecretStr | None = Field(None, description="The secret itself.")
    headers: Headers = Field(
        default_factory=dict, description="Headers sent along, such as `Authorization`; their values are secrets."
    )
    _required, _optional = ("url",), ("hmac_secret",)


AnyReceiver = AlertmanagerSettings | PagerDutySettings | SlackSettings | WebhookSettings
RECEIVERS: tuple[type[ReceiverSettings], ...] = get_args(AnyReceiver)
