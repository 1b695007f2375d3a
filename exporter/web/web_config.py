"""TLS and basic auth from a web-config file, in the format of the Prometheus exporter-toolkit.

The file and the certificates are read again when they change, without a restart. If they are invalid then, or protect
nothing any more, the old ones stay in force.
"""

from __future__ import annotations

import re
import ssl
from pathlib import Path
from typing import Annotated, Literal, NamedTuple

import bcrypt
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from exporter.log import log
from exporter.settings.file_contents import Contents, contents
from exporter.settings.model_errors import problems_of
from exporter.settings.problems import BadSettings, Problem
from exporter.settings.yaml_file import read
from exporter.threads import in_own_thread
from exporter.web.passwords import Passwords

Version = Literal["TLS10", "TLS11", "TLS12", "TLS13"]
_VERSIONS = {
    "TLS10": ssl.TLSVersion.TLSv1,
    "TLS11": ssl.TLSVersion.TLSv1_1,
    "TLS12": ssl.TLSVersion.TLSv1_2,
    "TLS13": ssl.TLSVersion.TLSv1_3,
}
_CLIENTS = {
    "NoClientCert": ssl.CERT_NONE,
    "VerifyClientCertIfGiven": ssl.CERT_OPTIONAL,
    "RequireAndVerifyClientCert": ssl.CERT_REQUIRED,
}


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, hide_input_in_errors=True)


def _hash(given: str) -> str:
    good = re.fullmatch(r"\$2[abxy]\$(0[4-9]|[12]\d|3[01])\$[./A-Za-z0-9]{53}", given) is not None
    try:
        bcrypt.checkpw(b"", b"$2b$04$" + given[7:].encode())  # at the lowest cost; a salt may be malformed too
    except ValueError:
        good = False
    if not good:
        raise ValueError("not a bcrypt hash; create one with: htpasswd -nBC 10 '' | tr -d ':\\n'")
    return given


def _http1_only(given: bool) -> bool:
    if given:
        raise ValueError("HTTP/2 is not supported; omit it or set it to false")
    return given


class TlsServer(_Part):
    """``tls_server_config``. Python does not support client certificates that are requested but not verified."""

    cert_file: Annotated[Path, Field(strict=False)]
    key_file: Annotated[Path, Field(strict=False)]
    client_auth_type: Literal["NoClientCert", "VerifyClientCertIfGiven", "RequireAndVerifyClientCert"] = "NoClientCert"
    client_ca_file: Annotated[Path, Field(strict=False)] | None = None
    min_version: Version = "TLS12"
    max_version: Version = "TLS13"
    cipher_suites: list[str] = []


class HttpServer(_Part):
    """``http_server_config``: HTTP/1.1 only."""

    http2: Annotated[bool, Field(strict=False), AfterValidator(_http1_only)] = False  # Go reads `no` and `off` here


class WebConfig(_Part):
    """The whole file."""

    tls_server_config: TlsServer | None = None
    http_server_config: HttpServer | None = None
    basic_auth_users: dict[str, Annotated[str, AfterValidator(_hash)]] = {}


class _Loaded(NamedTuple):
    """A valid file, its TLS context, and the contents that all files involved had before they were read."""

    config: WebConfig
    tls: ssl.SSLContext | None
    contents: Contents


def read_web_config(file: Path) -> WebConfig:
    """Read and validate the file. Raises `BadSettings` with all problems."""
    return _load(file).config


def _load(file: Path) -> _Loaded:
    """Read the file and the certificates that it names. Raises `BadSettings` with all problems."""
    problems: list[Problem] = []
    before = contents([file])
    content, lines = read(file, problems)
    config, tls = WebConfig(), None
    try:
        config = WebConfig.model_validate(content)
    except ValidationError as error:
        problems += problems_of(error, WebConfig, lines)
    if config.tls_server_config is not None:
        before = {**before, **contents(_files(file, config.tls_server_config))}
        try:
            tls = tls_context(file, config.tls_server_config)
        except (OSError, ssl.SSLError, ValueError) as error:
            what = f"cannot be used: {error}; check that they are readable PEM files and that the key matches"
            problems.append(Problem("tls_server_config", what, lines.get(("tls_server_config",))))
    if problems:
        here = str(file)
        placed = [p if p.place == here else p._replace(place=f"{here}: {p.place}") for p in problems]
        raise BadSettings(placed, before)
    return _Loaded(config, tls, before)


def _files(file: Path, config: TlsServer) -> list[Path]:
    names = (config.cert_file, config.key_file, config.client_ca_file)
    return [file.parent / name for name in names if name is not None]


def tls_context(file: Path, config: TlsServer) -> ssl.SSLContext:
    """The TLS context of the server. Raises OSError, ssl.SSLError or ValueError. Paths are relative to `file`."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = _VERSIONS[config.min_version]
    context.maximum_version = _VERSIONS[config.max_version]
    # For a key with a passphrase, OpenSSL would prompt on the terminal; with an empty passphrase it fails.
    context.load_cert_chain(file.parent / config.cert_file, file.parent / config.key_file, password="")
    if config.cipher_suites:
        names = {cipher["name"] for cipher in ssl.create_default_context().get_ciphers()}
        wanted = [_openssl_name(name) for name in config.cipher_suites]
        unknown = [given for given, name in zip(config.cipher_suites, wanted, strict=True) if name not in names]
        if unknown:
            raise ValueError(f"unknown cipher suites {', '.join(unknown)}")
        old = [name for name in wanted if not name.startswith("TLS_")]
        if old:  # suites of TLS 1.3 cannot be selected
            context.set_ciphers(":".join(old))
    if config.client_ca_file is not None:
        context.load_verify_locations(file.parent / config.client_ca_file)
    elif config.client_auth_type != "NoClientCert":
        raise ValueError(f"client_auth_type {config.client_auth_type} needs client_ca_file")
    context.verify_mode = _CLIENTS[config.client_auth_type]
    return context


def _openssl_name(name: str) -> str:
    """OpenSSL's name of a suite from its Go name, such as ``TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256``."""
    if "_WITH_" not in name:
        return name
    exchange, _, cipher = name.removeprefix("TLS_").removesuffix("_SHA256").partition("_WITH_")
    cipher = cipher.replace("AES_128", "AES128").replace("AES_256", "AES256")
    suffix = "" if "POLY1305" in cipher or name.endswith("_SHA384") else "_SHA256"
    return f"{exchange}_{cipher}{suffix}".replace("_", "-")


class WebSecurity:
    """The file in force: `tls` for new connections, `passwords` for each request; `refresh` applies changes."""

    def __init__(self, file: Path) -> None:
        """Read the file. Raises `BadSettings`."""
        self._file = file
        self._config, self.tls, self._read = _load(file)
        self._observed = self._read
        self._problems: list[str] = []
        self._refreshing = False
        self.passwords = Passwords(self._config.basic_auth_users)

    async def refresh(self) -> None:
        """Apply changed files that were the same at the previous call, so that none is still being written.

        If they are invalid, log that, keep the old ones, and try again. The files are read in a thread, because a disk
        may hang; a call during another one does nothing.
        """
        if self._refreshing:
            return
        self._refreshing = True
        try:
            new = await in_own_thread(self._changed)
        finally:
            self._refreshing = False
        if new is not None:
            self._config, self.tls, _ = new
            self.passwords.replace(new.config.basic_auth_users)
            log.info("web config reloaded", file=str(self._file))

    def _changed(self) -> _Loaded | None:
        """The files if they have changed and may be applied."""
        before, self._observed = self._observed, contents(self._observed)
        if self._observed == self._read or self._observed != before:
            return None
        try:
            new = _load(self._file)
            problems = [
                f"{self._file}: {name}: removed, which takes effect at the next start"
                for name in ("tls_server_config", "basic_auth_users")
                if getattr(self._config, name) and not getattr(new.config, name)
            ]
        except BadSettings as error:
            problems = [str(problem) for problem in error.problems]
        if problems != self._problems:
            for problem in problems:
                log.error("invalid web config; the old one stays in force", problem=problem)
        self._problems = problems
        if problems:
            return None
        settled = self._observed == new.contents == contents(new.contents)
        self._observed = new.contents  # also of files that were not named before: these may still be written
        if not settled:
            return None
        self._read = new.contents
        return new
