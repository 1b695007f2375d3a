"""Scripted trace collectors over HTTP and gRPC."""

import gzip
import ssl
import threading
from collections import deque
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, NamedTuple, Self

import grpc
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTracePartialSuccess,
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from exporter.otlp.verdict import METRICS, TRACES


class Answer(NamedTuple):
    """One response. ``hang``: none; ``drip``: endless bytes; ``half``: the connection closes in the middle."""

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = {}
    how: Literal["whole", "hang", "drip", "half"] = "whole"


HANG, DRIP, HALF = Answer(how="hang"), Answer(how="drip"), Answer(how="half")


def partly(rejected: int, words: str) -> bytes:
    """The body of a partial success."""
    said = ExportTracePartialSuccess(rejected_spans=rejected, error_message=words)
    body: bytes = ExportTraceServiceResponse(partial_success=said).SerializeToString()
    return body


class Received(NamedTuple):
    """One request: its headers, and its body after decompression."""

    headers: Mapping[str, str]
    body: bytes

    @property
    def spans(self) -> list[Any]:
        """The spans of the request."""
        request = ExportTraceServiceRequest.FromString(self.body)
        return [s for resource in request.resource_spans for scope in resource.scope_spans for s in scope.spans]

    @property
    def traces(self) -> list[bytes]:
        """The ids of its traces, one for each root span."""
        return [span.trace_id for span in self.spans if not span.parent_span_id]


class HttpReceiver:
    """OTLP/HTTP at `url`. Responses come from `script`, then `answer`; a body with `poison` is rejected with 400.

    `tls` is a folder with ``server.pem``, ``server.key`` and ``client.pem``, the required client certificate.
    """

    def __init__(self, *script: Answer, tls: Path | None = None) -> None:
        self.script, self.answer = deque(script), Answer()
        self.poison = b""
        self.received: list[Received] = []
        self.accepted: list[Received] = []
        self._ended = threading.Event()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                receiver._answer(self)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 — the name in the library
                pass

        class Quiet(ThreadingHTTPServer):
            daemon_threads = False

            def handle_error(self, *_: object) -> None:
                pass

        self._server = Quiet(("127.0.0.1", 0), Handler)
        self.url = f"http{'s' if tls else ''}://127.0.0.1:{self._server.server_address[1]}"
        if tls is not None:
            context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=tls / "client.pem")
            context.load_cert_chain(tls / "server.pem", tls / "server.key")
            context.verify_mode = ssl.CERT_REQUIRED
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    def _answer(self, handler: BaseHTTPRequestHandler) -> None:
        body = handler.rfile.read(int(handler.headers["content-length"]))
        if handler.headers.get("content-encoding") == "gzip":
            body = gzip.decompress(body)
        headers = {name.lower(): value for name, value in handler.headers.items()} | {"": handler.path}
        received = Received(headers, body)
        self.received.append(received)
        answer = self.script.popleft() if self.script else self.answer
        if self.poison and self.poison in body:
            answer = Answer(400, b"no such span")
        if answer.how == "hang":
            self._ended.wait()
        elif answer.how == "drip":
            handler.wfile.write(b"HTTP/1.1 200 OK\r\n")
            while not self._ended.wait(0.02):
                handler.wfile.write(b"x: y\r\n")
        else:
            half = answer.how == "half"
            if 200 <= answer.status < 300 and not half:
                self.accepted.append(received)  # before the response: the test may go on as soon as it is read
            handler.send_response(answer.status)
            for name, value in answer.headers.items():
                handler.send_header(name, value)
            handler.send_header("content-length", str(len(answer.body) + 10 * half))
            handler.end_headers()
            handler.wfile.write(answer.body)

    @property
    def traces(self) -> list[bytes]:
        """The accepted traces, in the order of arrival."""
        return [trace for each in self.accepted for trace in each.traces]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class GrpcReceiver(grpc.GenericRpcHandler):  # type: ignore[misc]  # grpc has no types
    """OTLP/gRPC at `url`. The script contains status codes with message and trailing metadata, or bodies."""

    def __init__(
        self,
        *script: tuple[grpc.StatusCode, str, Iterable[tuple[str, Any]]] | bytes | None,
        tls: Path | None = None,
    ) -> None:
        self.script = deque(script)
        self.received: list[Received] = []
        self._ended = threading.Event()
        self._server = grpc.server(ThreadPoolExecutor(2), handlers=[self])
        if tls is None:
            self.url = f"http://127.0.0.1:{self._server.add_insecure_port('127.0.0.1:0')}"
        else:
            key, chain, clients = (tls.joinpath(n).read_bytes() for n in ("server.key", "server.pem", "client.pem"))
            credentials = grpc.ssl_server_credentials([(key, chain)], clients, require_client_auth=True)
            self.url = f"https://127.0.0.1:{self._server.add_secure_port('127.0.0.1:0', credentials)}"
        self._server.start()

    def service(self, call: Any) -> Any:
        return (
            grpc.unary_unary_rpc_method_handler(self._answer)
            if call.method in (TRACES.service, METRICS.service)
            else None
        )

    def _answer(self, body: bytes, context: Any) -> bytes:
        self.received.append(Received(dict(context.invocation_metadata()), body))
        answer = self.script.popleft() if self.script else b""
        if answer is None:
            self._ended.wait()
            return b""
        if isinstance(answer, bytes):
            return answer
        code, words, metadata = answer
        context.set_trailing_metadata(tuple(metadata))
        context.abort(code, words)
        raise AssertionError("abort raises")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._ended.set()
        self._server.stop(None).wait()
