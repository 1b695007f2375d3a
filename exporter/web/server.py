"""The HTTP server: uvicorn with our protocol, limits for connections, and sockets that are bound at the start.

A client that is slow to send, slow to read, or sends too much is disconnected, and costs no copy of the page. Metrics
and health are served regardless of the number of other connections and requests.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import functools
import socket
import ssl
from collections.abc import Callable, Iterator, Sequence

import uvicorn

from exporter.log import log
from exporter.settings.values import listen_address
from exporter.web.application import Application
from exporter.web.connections import Connections, network_of
from exporter.web.http_protocol import HttpProtocol

DESCRIPTOR_SECONDS = 0.01
"""Seconds in which the file descriptor of a closed connection is free."""


class Server(uvicorn.Server):
    """uvicorn on sockets that are already bound, without its signal handling, which would raise SIGTERM again.

    It accepts connections itself. Connections that asyncio accepts are unknown until the end of the TLS handshake, so
    that their number could not be limited.
    """

    def __init__(
        self,
        application: Application,
        listen: Sequence[str],
        tls: Callable[[], ssl.SSLContext | None] = lambda: None,
    ) -> None:
        """Bind all addresses. Raises OSError with the address that could not be bound.

        `tls` returns the context for a new connection; None: it is served without TLS.
        """
        self._sockets = bind(listen)
        self._application, self._tls = application, tls
        self.connections = Connections(application.limits.connections, application.closed)
        self._opening: set[asyncio.Task[None]] = set()
        config = uvicorn.Config(
            application,
            http="httptools",
            ws="none",
            log_config=None,
            log_level="warning",
            access_log=False,
            lifespan="off",
            interface="asgi3",
            proxy_headers=False,
            server_header=False,
            timeout_keep_alive=75,
            timeout_graceful_shutdown=2,
        )
        config.load()
        super().__init__(config)

    @property
    def addresses(self) -> list[tuple[str, int]]:
        """Host and port of each socket."""
        return [each.getsockname()[:2] for each in self._sockets]

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """The daemon handles signals."""
        yield

    def stop(self) -> None:
        """End `run_until_stopped` after the responses in progress, within two seconds."""
        self.should_exit = True

    async def run_until_stopped(self) -> None:
        """Serve until `stop`."""
        await self.serve(sockets=self._sockets)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to accept connections."""
        await super().startup([])
        for each in sockets or []:
            self._listen(each)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Accept no new connections, and wait for the responses in progress."""
        for each in sockets or []:
            asyncio.get_running_loop().remove_reader(each)
        for opening in self._opening:
            opening.cancel()
        await super().shutdown(sockets)

    def _listen(self, listener: socket.socket) -> None:
        if not self.should_exit:
            asyncio.get_running_loop().add_reader(listener, self._accept, listener)

    def _accept(self, listener: socket.socket) -> None:
        """Accept one connection per turn of the loop, so that it is read before many others can displace it."""
        loop = asyncio.get_running_loop()
        try:
            accepted, peer = listener.accept()
        except (BlockingIOError, InterruptedError, ConnectionAbortedError):
            return
        except OSError as error:
            loop.remove_reader(listener)
            if error.errno in (errno.EMFILE, errno.ENFILE) and self.connections.close_idle():
                loop.call_later(DESCRIPTOR_SECONDS, self._listen, listener)
                return
            log.error("accepting a connection failed; retrying in one second", error=str(error))
            loop.call_later(1.0, self._listen, listener)
            return
        accepted.setblocking(False)
        protocol = HttpProtocol(
            self._application,
            self.connections,
            network_of(peer[0]),
            config=self.config,
            server_state=self.server_state,
            app_state=self.lifespan.state,
        )
        self.connections.admit(protocol)
        protocol.opening = opening = loop.create_task(self._open(protocol, accepted))
        self._opening.add(opening)
        opening.add_done_callback(functools.partial(self._opened, protocol, accepted))

    async def _open(self, protocol: HttpProtocol, accepted: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        tls = self._tls()
        if tls is None:
            await loop.connect_accepted_socket(lambda: protocol, accepted)
            return
        seconds = self._application.limits.head_seconds
        try:
            await loop.connect_accepted_socket(lambda: protocol, accepted, ssl=tls, ssl_handshake_timeout=seconds)
        except ConnectionAbortedError:
            self._application.closed("slow_head")
        except OSError:  # no TLS, an unsupported version of it, or the client has disconnected
            pass

    def _opened(self, protocol: HttpProtocol, accepted: socket.socket, opening: asyncio.Task[None]) -> None:
        self._opening.discard(opening)
        if protocol.transport is None:  # the handshake failed
            self.connections.remove(protocol)
            accepted.close()


def bind(listen: Sequence[str]) -> list[socket.socket]:
    """One listening socket per address; an empty host means all addresses, including IPv6 if available."""
    sockets: list[socket.socket] = []
    try:
        for address in listen:
            host, port = listen_address(address)
            dual = not host and socket.has_dualstack_ipv6()
            family = socket.AF_INET6 if dual or ":" in host else socket.AF_INET
            try:
                made = socket.create_server((host, port), family=family, backlog=128, dualstack_ipv6=dual)
            except OSError as error:
                remedy = {
                    errno.EADDRINUSE: "is in use; stop the other program or set another port with --web.listen-address",
                    errno.EACCES: "is not permitted; ports below 1024 need privileges that this user lacks",
                }.get(error.errno or 0, f"cannot be bound: {error.strerror or error}")
                raise OSError(f"{address} {remedy}") from error
            made.setblocking(False)
            sockets.append(made)
    except OSError:
        for each in sockets:
            each.close()
        raise
    return sockets
