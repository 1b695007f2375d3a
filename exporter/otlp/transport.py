"""Requests to a collector over HTTP or gRPC."""

from __future__ import annotations

import asyncio
import contextlib
import os
import ssl
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol
from urllib.parse import urlsplit

import httpx

from exporter import __version__, redaction
from exporter.failures import MARGIN_BYTES, MAX_BODY_BYTES, failure_of, one_line
from exporter.http_client import HttpClient, start_of_body
from exporter.otlp.verdict import TRACES, Cleaner, Signal, Verdict, grpc_verdict, http_verdict, interrupted, success
from exporter.settings.collector import CollectorSettings
from exporter.settings.problems import BadSettings, Problem
from exporter.trust import trusted
from exporter.web.metrics_page import deflater

if TYPE_CHECKING:
    import grpc

_USER_AGENT = f"workload-exporter/{__version__}"
_NO_GRPC = "grpc needs grpcio, which is not installed; pip install 'datarobot-workload-exporter[grpc]'"
_FILES = ("certificate", "client_certificate", "client_key")


class Transport(Protocol):
    """Sends requests to one collector."""

    def send(self, body: bytes) -> Verdict:
        """Send one serialised request and wait for the result, within the timeout."""

    def close(self) -> None:
        """Interrupt a `send` in another thread; its result is ``retry``. No connection is kept between requests."""


def transport(
    collector: CollectorSettings, secrets: redaction.Secrets | None = None, signal: Signal = TRACES
) -> Transport:
    """The transport for these settings. Raises `BadSettings` for unusable certificates, and for gRPC without grpcio.

    `secrets`, and the values of `headers`, are removed from what the collector sends.
    """
    clean = Cleaner(secrets, _headers(collector))
    try:
        alone = collector.certificate is not None or collector.client_certificate is not None
        context = ssl.create_default_context(cafile=collector.certificate) if alone else trusted()
        if collector.client_certificate is not None:
            context.load_cert_chain(collector.client_certificate, collector.client_key)
        if collector.protocol == "grpc":
            return GrpcTransport(collector, clean, signal)
        return HttpTransport(collector, context, clean, signal)
    except OSError as error:
        names = ", ".join(f"{signal.place}.{name}" for name in _FILES if getattr(collector, name) is not None)
        raise BadSettings([Problem(names, f"cannot be used: {one_line(str(error))}; give PEM files")]) from error


def _headers(collector: CollectorSettings) -> dict[str, str]:
    return {name: value.get_secret_value() for name, value in collector.headers.items()}


def gzipped(body: bytes) -> bytes:
    """The body as one member of gzip."""
    packer = deflater.compressobj(1, deflater.DEFLATED, 31)
    compressed: bytes = packer.compress(body) + packer.flush()
    return compressed


class HttpTransport:
    """OTLP/HTTP, protobuf. Redirects are not followed: headers go to the configured host and nowhere else."""

    def __init__(
        self, collector: CollectorSettings, context: ssl.SSLContext, clean: Cleaner, signal: Signal = TRACES
    ) -> None:
        self._clean, self._signal = clean, signal
        self._url, self._timeout, self._context = collector.endpoint + collector.path, collector.timeout, context
        self._compress = collector.compression == "gzip"
        ours = {"content-type": "application/x-protobuf", "user-agent": _USER_AGENT, "accept-encoding": "identity"}
        self._headers = _headers(collector) | ours | ({"content-encoding": "gzip"} if self._compress else {})
        self._interrupt: Callable[[], object] = lambda: None

    def send(self, body: bytes) -> Verdict:
        """See `Transport`."""
        # httpx's blocking client only limits the time of each read, so that a server which sends a byte now and then
        # blocks it forever, and its requests cannot be interrupted. An event loop per request solves both.
        loop = asyncio.new_event_loop()
        sending = loop.create_task(self._post(gzipped(body) if self._compress else body))
        self._interrupt = lambda: loop.call_soon_threadsafe(sending.cancel)
        try:
            return loop.run_until_complete(sending)._replace(signal=self._signal)
        except asyncio.CancelledError:
            return interrupted(f"POST {self._url}")
        finally:
            self._interrupt = lambda: None
            loop.run_until_complete(loop.shutdown_asyncgens())
            loop.close()

    async def _post(self, content: bytes) -> Verdict:
        request = f"POST {self._url}"
        try:
            async with (
                asyncio.timeout(self._timeout),
                HttpClient(self._headers, timeout=self._timeout, trusted=self._context) as http,
                http.stream("POST", self._url, content=content) as response,
            ):
                body = await start_of_body(response, MAX_BODY_BYTES + MARGIN_BYTES)
        except (TimeoutError, httpx.TimeoutException):
            return Verdict("retry", f"{request} timed out after {self._timeout:g} s", "timeout")
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            reason, message = failure_of(error, self._clean.text)
            hint = "if the port is for OTLP/gRPC, set {place}.protocol: grpc" if "illegal" in message else ""
            return Verdict("retry", f"{request} failed: {message}", reason, hint=hint)
        return http_verdict(request, response.status_code, response.headers, body, self._clean, self._signal)

    def close(self) -> None:
        """See `Transport`."""
        with contextlib.suppress(RuntimeError):  # the request has ended
            self._interrupt()


class GrpcTransport:
    """OTLP/gRPC. Requests and responses are bytes: they are already serialised."""

    def __init__(self, collector: CollectorSettings, clean: Cleaner, signal: Signal = TRACES) -> None:
        # The library would write messages of the collector, with secrets, to standard error; errors contain them, too.
        os.environ.setdefault("GRPC_VERBOSITY", "NONE")
        try:
            import grpc  # here: it takes 15 MB of memory, and need not be installed for OTLP/HTTP
        except ImportError:
            raise BadSettings([Problem(f"{signal.place}.protocol", _NO_GRPC)]) from None

        self._clean, self._signal = clean, signal
        parts = urlsplit(collector.endpoint)
        self._endpoint, self._target = collector.endpoint, parts.netloc if parts.port else f"{parts.netloc}:4317"
        self._timeout = collector.timeout
        self._metadata = tuple(_headers(collector).items())
        self._compression = grpc.Compression.Gzip if collector.compression == "gzip" else grpc.Compression.NoCompression
        self._credentials: grpc.ChannelCredentials | None = None
        if parts.scheme == "https":
            authorities, key, chain = (
                file.read_bytes() if file is not None else None
                for file in (
                    collector.certificate,
                    collector.client_key or collector.client_certificate,
                    collector.client_certificate,
                )
            )
            self._credentials = grpc.ssl_channel_credentials(authorities, key, chain)
        self._interrupt: Callable[[], object] = lambda: None

    def _channel(self) -> grpc.Channel:
        """A channel for one request: one that has failed would delay later requests by its own backoff."""
        import grpc

        options = (("grpc.use_local_subchannel_pool", 1), ("grpc.primary_user_agent", _USER_AGENT))
        if self._credentials is None:
            return grpc.insecure_channel(self._target, options)
        return grpc.secure_channel(self._target, self._credentials, options)

    def send(self, body: bytes) -> Verdict:
        """See `Transport`."""
        import grpc

        request = f"Export to {self._endpoint}"
        channel = self._channel()
        self._interrupt = channel.close
        try:
            response = channel.unary_unary(self._signal.service)(
                body, self._timeout, self._metadata, compression=self._compression
            )
        except grpc.RpcError as error:
            details = self._clean.text(error.details() or "")
            verdict = grpc_verdict(request, error.code().name, details, error.trailing_metadata() or ())
            return verdict._replace(signal=self._signal)
        except ValueError:  # the channel was closed
            return interrupted(request)
        else:
            return success(request, response, self._clean, signal=self._signal)._replace(signal=self._signal)
        finally:
            channel.close()

    def close(self) -> None:
        """See `Transport`."""
        self._interrupt()
