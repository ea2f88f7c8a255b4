"""A certificate for 127.0.0.1, made for one run."""

from __future__ import annotations

import ssl
from pathlib import Path


def make(directory: Path) -> str:
    """Write certificate, key and authority. Returns why it cannot be done, or nothing."""
    try:
        import trustme
    except ImportError:
        return "trustme, which makes the certificate, is not installed"
    authority = trustme.CA()
    certificate = authority.issue_cert("127.0.0.1")
    authority.cert_pem.write_to_path(directory / "authority.pem")
    certificate.private_key_and_cert_chain_pem.write_to_path(directory / "server.pem")
    return ""


def client_context(directory: str) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=Path(directory, "authority.pem"))


def server_context(directory: str) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(Path(directory, "server.pem"))
    return context
