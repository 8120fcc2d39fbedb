"""Pairs of keys to sign with, as the commands of docs/deploy.md make them."""

from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)


def write_pair(
    folder: Path, name: str, *, curve: Any = None, password: bytes | None = None
) -> Path:
    """Write NAME.pem and NAME.pub, on P-256 if not told otherwise; return the first's path."""
    return _written(folder, name, ec.generate_private_key(curve or ec.SECP256R1()), password)


def write_rsa_pair(folder: Path, name: str) -> Path:
    """Write a pair of keys that are on no curve; return the path of the private one."""
    return _written(folder, name, rsa.generate_private_key(65537, 2048), None)


def _written(folder: Path, name: str, key: Any, password: bytes | None) -> Path:
    hidden = NoEncryption() if password is None else BestAvailableEncryption(password)
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, hidden)
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.pem").write_bytes(private)
    (folder / f"{name}.pub").write_bytes(public)
    return folder / f"{name}.pem"
