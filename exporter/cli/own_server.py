"""Requests to the HTTP server of the running daemon."""

from __future__ import annotations

import base64
import ssl
import urllib.error
import urllib.request

from exporter import redaction
from exporter.failures import DETAIL_LENGTH, MARGIN_BYTES, MAX_BODY_BYTES, beginning
from exporter.settings.values import listen_address


def request(
    address: str, tls: bool, path: str, *, method: str = "GET", login: str = "", timeout: float = 5.0
) -> tuple[int, str]:
    """Status and body of the response of the server at a listen address; status 0 and the reason if there is none.

    The text of an error response has its URL and status in front. `login` is ``USER:PASSWORD`` for basic auth; it is
    removed from the text, because another program may listen at the address. `timeout` is in seconds.
    """
    secrets = redaction.Secrets()
    secrets.learn(login, redaction.login)
    host, port = listen_address(address)
    host = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 — compared, not bound
    shown = f"[{host}]" if ":" in host else host
    url = f"http{'s' if tls else ''}://{shown}:{port}{path}"
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE  # the certificate need not be for this address
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context))
    headers = {"x-requested-by": "workload-exporter"}
    prepared = urllib.request.Request(url, method=method, headers=headers)  # noqa: S310 — always http or https
    if login:
        prepared.add_header("authorization", f"Basic {base64.b64encode(login.encode()).decode()}")
    place = url.partition("?")[0]
    try:
        with opener.open(prepared, timeout=timeout) as response:
            return response.status, secrets.clean(response.read()).decode("utf-8", "replace")
    except urllib.error.HTTPError as error:
        with error:
            body = (
                beginning(error.read(MAX_BODY_BYTES + MARGIN_BYTES), secrets.clean).decode("utf-8", "replace").strip()
            )
            return error.code, f"{place} returned {error.code}: {body[:DETAIL_LENGTH]}"
    except Exception as error:  # noqa: BLE001 — what listens there need not speak HTTP
        reason = secrets.text(str(getattr(error, "reason", error)))
        return 0, f"{place} cannot be reached: {reason}"
