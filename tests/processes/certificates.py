"""Certificates that live for an hour, made where a test needs them."""

from __future__ import annotations

import datetime as dt
import ipaddress
import ssl
from typing import TYPE_CHECKING, Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

HOUR: Final = dt.timedelta(hours=1)
PEM: Final = serialization.Encoding.PEM


class Authority:
    """Signs certificates for this machine; its own lies in *path*."""

    def __init__(self, directory: Path, name: str = "ca") -> None:
        self._directory = directory
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _name(name)
        own = _builder(self._name, self._name, self._key).add_extension(x509.BasicConstraints(True, None), True)
        own = own.add_extension(x509.SubjectKeyIdentifier.from_public_key(self._key.public_key()), False)
        usage = x509.KeyUsage(True, False, False, False, False, True, True, False, False)
        self.path = directory / f"{name}.crt"
        self.path.write_bytes(own.add_extension(usage, True).sign(self._key, hashes.SHA256()).public_bytes(PEM))

    def issue(self, name: str, password: bytes | None = None) -> tuple[Path, Path]:
        """Return the files of a new certificate for localhost and 127.0.0.1, and of its key."""
        key = ec.generate_private_key(ec.SECP256R1())
        here: Sequence[x509.GeneralName] = [
            x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
        ]  # fmt: skip
        signed = (
            _builder(_name(name), self._name, key)
            .add_extension(x509.SubjectAlternativeName(here), False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), False)
            .sign(self._key, hashes.SHA256())
        )
        hidden = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
        cert, path = self._directory / f"{name}.crt", self._directory / f"{name}.key"
        cert.write_bytes(signed.public_bytes(PEM))
        path.write_bytes(key.private_bytes(PEM, serialization.PrivateFormat.PKCS8, hidden))
        return cert, path

    def client(self, shown: tuple[Path, Path] | None = None) -> ssl.SSLContext:
        """Return what a client trusts: this authority; *shown* are its own certificate and key."""
        context = ssl.create_default_context(cafile=self.path)
        if shown is not None:
            context.load_cert_chain(*shown)
        return context


def serial_of(pem: bytes | str) -> int:
    """Return the number of a certificate, which no other has."""
    return x509.load_pem_x509_certificate(pem if isinstance(pem, bytes) else pem.encode()).serial_number


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _builder(subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
    now = dt.datetime.now(dt.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - HOUR)
        .not_valid_after(now + HOUR)
    )
