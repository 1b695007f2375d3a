"""Settings of receivers of notifications."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Literal, Self, get_args

from pydantic import AfterValidator, Field, SecretStr, model_validator

from exporter import redaction
from exporter.alerting.alerts import Severity
from exporter.alerting.routing import DAY, Wants
from exporter.settings.section import ALERT_NAMES, SECONDS, Duration, DurationOrZero, Headers, Importance, Section, Tag
from exporter.settings.values import http_url, is_url, tag_values


def _alertmanager_url(given: str) -> str:
    return http_url(given, "http://alertmanager:9093", "set secrets with headers").rstrip("/")


def _enqueue_url(given: str) -> str:
    url = http_url(given, "https://events.eu.pagerduty.com/v2/enqueue", "set the secret with routing_key_file")
    if not url.endswith("/enqueue"):
        raise ValueError("not a URL of Events API v2; use one such as https://events.eu.pagerduty.com/v2/enqueue")
    return url


def _routing_key(given: SecretStr) -> SecretStr:
    if not re.fullmatch(r"[0-9a-zA-Z]{32}", given.get_secret_value()):
        raise ValueError("not an integration key of Events API v2, which has 32 letters and digits")
    return given


_HOURS = re.compile(r"([01]\d|2[0-3]):([0-5]\d)-(?:([01]\d|2[0-3]):([0-5]\d)|24:00)")


def hours(given: str) -> tuple[int, int]:
    """Start and end of a period such as ``22:00-07:00``, in seconds since midnight. Raises ValueError."""
    found = _HOURS.fullmatch(given.strip())
    if found is None:
        raise ValueError("not a period of the day; use one such as 22:00-07:00, in UTC")
    begin, end = (
        int(hour or 24) * 3600 + int(minute or 0) * 60 for hour, minute in (found.group(1, 2), found.group(3, 4))
    )
    if begin == end % DAY:
        raise ValueError("the period is empty; use one such as 22:00-07:00, in UTC")
    return begin, end % DAY


def _hours(given: str) -> str:
    hours(given)
    return given.strip()


def _secret_url(given: SecretStr) -> SecretStr:
    if not is_url(given.get_secret_value().strip()):
        raise ValueError("not a URL with http:// or https:// and a host")
    return given


_SecretUrl = Annotated[SecretStr, AfterValidator(_secret_url)]
SEVERITIES: tuple[Severity, ...] = ("critical", "warning", "info", "none")


class ReceiverSettings(Section):
    """A destination of notifications, and which alerts it receives. An alert is sent to each receiver it matches."""

    name: str = Field(pattern=r"^[a-zA-Z0-9_.-]{1,63}$", description="Name in metrics and logs.")
    severities: frozenset[Severity] = Field(
        frozenset(),
        description="Severities to send. Empty: `critical` and `warning`; all for an Alertmanager or with `alerts`.",
    )
    importance: frozenset[Importance] = Field(
        frozenset(),
        description="Only alerts of workloads with these importance values; empty: all. Alerts about accounts and the "
        "exporter have no importance and are always sent.",
    )
    accounts: frozenset[str] = Field(
        frozenset(),
        description="Only alerts of these accounts; empty: all. Alerts about the exporter as a whole are always sent.",
    )
    alerts: Annotated[frozenset[str], ALERT_NAMES] = Field(
        frozenset(), description="Only alerts with these names; empty: all."
    )
    tags: tuple[Tag, ...] = Field(
        (),
        description="Only alerts of workloads with all these tags: `name=value`, or `name` for any value. Alerts about "
        "accounts and about the exporter have no tags and are then not sent.",
    )
    quiet_hours: tuple[Annotated[str, AfterValidator(_hours)], ...] = Field(
        (),
        description="Periods of the day in UTC, such as `22:00-07:00`. Of alerts that start then, only critical ones "
        "are sent; the others are sent afterwards if they still fire.",
    )
    send_resolved: bool = Field(True, description="Whether to send a notification when an alert is resolved.")
    timeout: Duration = Field(10.0, description="Timeout of one request, from start to last byte.")
    repeat_interval: DurationOrZero = Field(
        0.0,
        description="How often firing alerts are sent again, such as to a dead man's switch; 0: never. For an "
        "Alertmanager: at least every minute.",
    )
    ca_file: Path | None = Field(
        None, description="PEM file of more trusted certificate authorities, applied on change."
    )

    def wants(self, severity_label: str = "severity") -> Wants:
        """These settings as a rule of routing."""
        return Wants(
            severities=frozenset(self.severities or (SEVERITIES if self._all_severities else SEVERITIES[:2])),
            importance=frozenset(self.importance),
            accounts=self.accounts,
            alerts=self.alerts,
            tags=tag_values(self.tags),
            quiet=tuple(map(hours, self.quiet_hours)),
            resolved=self.send_resolved,
            severity_label=severity_label,
        )

    @property
    def _all_severities(self) -> bool:
        return bool(self.alerts)


class AlertmanagerSettings(ReceiverSettings):
    """A cluster of Alertmanagers, each of which receives all alerts."""

    kind: Literal["alertmanager"] = Field(description="A cluster of Alertmanagers, each of which receives all alerts.")
    urls: tuple[Annotated[str, AfterValidator(_alertmanager_url)], ...] = Field(
        min_length=1, description="URLs of all Alertmanagers of the cluster, such as `http://alertmanager:9093`."
    )
    headers: Headers = Field(
        default_factory=dict,
        description="Additional request headers, such as `Authorization`; their values are secrets.",
    )
    bearer_token_file: Path | None = Field(
        None, description="File with a token for the header `Authorization`; read again when it changes."
    )
    bearer_token_env: str | None = Field(None, description="Environment variable with the token.")
    bearer_token: SecretStr | None = Field(None, description="The token itself.")
    repeat_interval: Annotated[float, SECONDS, Field(gt=0, le=60)] = 60.0

    _optional = ("bearer_token",)

    @model_validator(mode="after")
    def _routed_there(self) -> Self:
        if self.quiet_hours or not self.send_resolved:
            raise ValueError(
                "an Alertmanager receives all alerts; remove quiet_hours and send_resolved here, and set "
                "mute_time_intervals and send_resolved in its configuration"
            )
        if self.given("bearer_token") and "authorization" in self.headers:
            raise ValueError("bearer_token and the header Authorization; set one of them")
        return self

    @property
    def _all_severities(self) -> bool:
        return True


class PagerDutySettings(ReceiverSettings):
    """A PagerDuty service, through its Events API v2 integration."""

    kind: Literal["pagerduty"] = Field(description="A PagerDuty service, through its Events API v2 integration.")
    routing_key_file: Path | None = Field(None, description="File with the integration key of the service.")
    routing_key_env: str | None = Field(None, description="Environment variable with the integration key.")
    routing_key: Annotated[SecretStr, AfterValidator(_routing_key)] | None = Field(
        None, description="The integration key itself."
    )
    url: Annotated[str, AfterValidator(_enqueue_url)] = Field(
        "https://events.pagerduty.com/v2/enqueue",
        description="URL for events; EU accounts use `https://events.eu.pagerduty.com/v2/enqueue`.",
    )
    changes: bool = Field(
        False, description="Also send replacements and promotions as change events, which do not notify anyone."
    )
    _required = ("routing_key",)


class SlackSettings(ReceiverSettings):
    """A Slack channel, through an incoming webhook."""

    kind: Literal["slack"] = Field(description="A Slack channel, through an incoming webhook.")
    webhook_url_file: Path | None = Field(None, description="File with the URL of the incoming webhook.")
    webhook_url_env: str | None = Field(None, description="Environment variable with the URL.")
    webhook_url: _SecretUrl | None = Field(None, description="The URL itself; a secret.")
    _required = ("webhook_url",)


class WebhookSettings(ReceiverSettings):
    """A receiver of Alertmanager's webhook format, with one alert per request."""

    kind: Literal["webhook"] = Field(
        description="A receiver of Alertmanager's webhook format, with one alert per request."
    )
    url_file: Path | None = Field(None, description="File with the URL.")
    url_env: str | None = Field(None, description="Environment variable with the URL.")
    url: _SecretUrl | None = Field(None, description="The URL itself; treated as a secret.")
    hmac_secret_file: Path | None = Field(
        None,
        description="File with a secret that signs request bodies: `X-Signature-256: sha256=` and HMAC-SHA256 in hex.",
    )
    hmac_secret_env: str | None = Field(None, description="Environment variable with the secret.")
    hmac_secret: SecretStr | None = Field(None, description="The signing secret itself.")
    headers: Headers = Field(
        default_factory=dict,
        description="Additional request headers, such as `Authorization`; their values are secrets.",
    )
    _required, _optional = ("url",), ("hmac_secret",)


def _service(given: SecretStr) -> SecretStr:
    if not re.match(r"[a-zA-Z][\w+.-]*://.", given.get_secret_value().strip()):
        raise ValueError("not a URL of Apprise, such as mailto://… or ntfy://…")
    return given


class AppriseSettings(ReceiverSettings):
    """Any service that Apprise reaches, such as e-mail, Teams, Telegram or ntfy."""

    kind: Literal["apprise"] = Field(
        description="Any service that Apprise reaches, such as e-mail, Teams, Telegram or ntfy."
    )
    url_file: Path | None = Field(None, description="File with the URL of Apprise.")
    url_env: str | None = Field(None, description="Environment variable with the URL.")
    url: Annotated[SecretStr, AfterValidator(_service)] | None = Field(
        None, description="The URL itself, such as `mailto://USER:PASSWORD@HOST`; all of it is treated as a secret."
    )
    _required = ("url",)

    def sources(self, environment: Mapping[str, str] = os.environ) -> Iterator[redaction.Source]:
        """See `Section`: here, the host of the URL may be a secret as well."""
        yield redaction.Source(self.source("url", environment), redaction.service_url)


AnyReceiver = AlertmanagerSettings | AppriseSettings | PagerDutySettings | SlackSettings | WebhookSettings
RECEIVERS: tuple[type[ReceiverSettings], ...] = get_args(AnyReceiver)
