"""The certificate authorities that clients trust."""

import ssl
from pathlib import Path

import pytest

from exporter.trust import trusted
from tests.web.test_web_config import certificate


def names(context: ssl.SSLContext) -> list[str]:
    """The common names of the authorities of a context."""
    subjects = [dict(attribute[0] for attribute in each["subject"]) for each in context.get_ca_certs()]  # type: ignore[misc]  # typed loosely
    return sorted(str(subject["commonName"]) for subject in subjects)


def test_clients_share_a_context_until_the_authorities_of_the_machine_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("old", "longer than old"):
        certificate(tmp_path, name)
    file = tmp_path / "authorities.pem"
    monkeypatch.setenv("SSL_CERT_FILE", str(file))
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path / "none"))
    file.write_bytes((tmp_path / "old.pem").read_bytes())
    context = trusted()
    assert names(context) == ["old"]
    assert trusted() is context
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname
    file.write_bytes((tmp_path / "longer than old.pem").read_bytes())
    assert names(trusted()) == ["longer than old"]


def test_a_client_with_a_file_trusts_its_authorities_too_and_others_do_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("machine", "own"):
        certificate(tmp_path, name)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "machine.pem"))
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path / "none"))
    assert names(trusted(str(tmp_path / "own.pem"))) == ["machine", "own"]
    assert names(trusted()) == ["machine"]


def test_without_authorities_of_the_machine_a_client_trusts_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path / "none"))
    assert names(trusted()) == []


def test_a_file_that_cannot_be_used_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "text.pem").write_text("text")
    for name in ("text.pem", "none.pem"):
        with pytest.raises(OSError, match=r"."):
            trusted(str(tmp_path / name))
