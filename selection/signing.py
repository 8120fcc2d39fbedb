"""Signs manifests and checks who signed them, with OpenSSF ``model-signing``.

A signature lies beside the manifest, named by the SHA-256 of the bytes that it is for:
``signatures/<digest>.sig``. So it can be written before the manifest takes its name, every earlier
manifest keeps its own, and going back to one needs no key.
"""

import base64
import hashlib
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from selection.plain_files import NotPlainError, NotThereError, read_plain
from selection.strict_json import strict_json

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurve

PASSWORD_VARIABLE = "ASSAY_SIGNING_PASSWORD"  # noqa: S105
SIGNATURES = "signatures"
INSTALL = 'pip install -c constraints.txt ".[signing]"'
CURVES = {"secp256r1": "P-256", "secp384r1": "P-384", "secp521r1": "P-521"}
MOST_SIGNATURE_BYTES = 64 * 2**10
MOST_KEY_BYTES = 64 * 2**10
# Names that mean nothing: what is signed is content.
_SIGNED_NAME, _SIGNATURE_NAME = "deployment_manifest.json", "manifest.sig"


class SigningError(ValueError):
    """A key that cannot be used or a signature that does not hold, in one line."""


class SigningKey:
    """A private key that manifests are signed with; read once, when it is made.

    Parameters
    ----------
    path : Path
        PEM: a private key on one of the curves P-256, P-384 and P-521. The password of an encrypted
        one is taken from the environment variable ``ASSAY_SIGNING_PASSWORD``.

    Raises
    ------
    SigningError
        If the key cannot be used, or model-signing is not installed.
    """

    def __init__(self, path: Path) -> None:
        signing = _model_signing("signing")
        from cryptography.exceptions import UnsupportedAlgorithm
        from cryptography.hazmat.primitives.serialization import load_pem_private_key

        content = _key_bytes(path)
        password = os.environ.get(PASSWORD_VARIABLE, "").encode() or None
        try:
            key: Any = load_pem_private_key(content, password)
        except TypeError as error:
            raise SigningError(_password_line(path, given=password is not None)) from error
        except (ValueError, UnsupportedAlgorithm) as error:
            encrypted = b"ENCRYPTED" in content and password is not None
            finding = (
                f"cannot be opened with the password in {PASSWORD_VARIABLE}"
                if encrypted
                else "is no private key in PEM form"
            )
            raise SigningError(f"{path} {finding}") from error
        _check_curve(path, getattr(key, "curve", None))
        self.path = path
        self._config = signing.Config().use_elliptic_key_signer(private_key=path, password=password)

    def signature(self, content: bytes) -> bytes:
        """Return the signature of a manifest's bytes, as the file that holds it."""
        with tempfile.TemporaryDirectory(prefix="assay-") as scratch:
            signed, signature = Path(scratch, _SIGNED_NAME), Path(scratch, _SIGNATURE_NAME)
            signed.write_bytes(content)
            self._config.sign(signed, signature)
            return signature.read_bytes()


def signature_name(content: bytes) -> str:
    """Return where the signature of a manifest's bytes lies, seen from the manifest's folder."""
    return f"{SIGNATURES}/{hashlib.sha256(content).hexdigest()}.sig"


def read_signature(folder: Path, content: bytes) -> bytes | None:
    """Return the signature that lies beside a manifest, None where there is none.

    Raises
    ------
    SigningError
        If there is one that cannot be read.
    """
    name = signature_name(content)
    try:
        return read_plain(folder, name, most_bytes=MOST_SIGNATURE_BYTES)
    except NotThereError:
        return None
    except NotPlainError as error:
        raise SigningError(f"its signature, {name}, {error}") from error


def check_public_key(path: Path) -> None:
    """Check that a key can tell signatures; raises SigningError where it cannot."""
    _model_signing("verifying")
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    content = _key_bytes(path)
    try:
        key: Any = load_pem_public_key(content)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise SigningError(f"{path} is no public key in PEM form") from error
    _check_curve(path, getattr(key, "curve", None))


def check_signature(folder: Path, content: bytes, public_key: Path) -> None:
    """Check that a manifest's bytes were signed by the owner of a key.

    Parameters
    ----------
    folder : Path
        The manifest's.
    content : bytes
        The manifest's bytes, as they will be used.
    public_key : Path
        PEM.

    Raises
    ------
    SigningError
        If there is no signature, it is for other bytes or by another key, or the key cannot be
        used.
    """
    try:
        check_public_key(public_key)
    except SigningError as error:
        raise SigningError(f"cannot be checked: public key {error}") from error
    signature = read_signature(folder, content)
    digest = hashlib.sha256(content).hexdigest()
    if signature is None:
        raise SigningError(
            f"is not signed, or was changed since: no {SIGNATURES}/{digest[:12]}....sig; train "
            "with manifest.sign=true, or fetch it again with its signature"
        )
    verifying = _model_signing("verifying")
    with tempfile.TemporaryDirectory(prefix="assay-") as scratch:
        # The very bytes that are parsed afterwards: nothing is read again.
        signed, written = Path(scratch, _SIGNED_NAME), Path(scratch, _SIGNATURE_NAME)
        signed.write_bytes(content)
        written.write_bytes(signature)
        _check_words(signature, digest)
        try:
            config = verifying.Config().use_elliptic_key_verifier(public_key=public_key)
            config.verify(signed, written)
        except Exception as error:  # whatever a forged signature makes of a library
            raise SigningError(
                f"its signature is not by the owner of {public_key}: another key made it, or it "
                "was changed"
            ) from error


def _check_words(signature: bytes, digest: str) -> None:
    """Check what a signature says, before it is known whose words these are.

    A signature that holds for nothing, or for a folder, holds for no manifest.
    """
    try:
        bundle = strict_json(signature, most_bytes=MOST_SIGNATURE_BYTES)
        hint = bundle["verificationMaterial"]["publicKey"]["hint"]
        payload = strict_json(base64.b64decode(bundle["dsseEnvelope"]["payload"], validate=True))
        resources = payload["predicate"]["resources"]
        said = [(one["algorithm"], one["digest"]) for one in resources]
    except (ValueError, LookupError, TypeError) as error:
        raise SigningError("its signature cannot be read as one of model-signing") from error
    if said != [("sha256", digest)] or not hint:
        raise SigningError(
            f"its signature is not for SHA-256 {digest[:12]}..., which the manifest has"
        )


def _model_signing(module: str) -> Any:
    from importlib import import_module

    try:
        return import_module(f"model_signing.{module}")
    except ImportError as error:
        raise SigningError(f"needs model-signing, which is not installed: {INSTALL}") from error


def _key_bytes(path: Path) -> bytes:
    try:
        if not path.is_file():
            raise SigningError(f"{path}: no such file")
        with path.open("rb") as file:
            return file.read(MOST_KEY_BYTES)
    except OSError as error:
        raise SigningError(f"{path} cannot be read: {error.strerror}") from error


def _password_line(path: Path, *, given: bool) -> str:
    if given:
        return f"{path} is not encrypted, but {PASSWORD_VARIABLE} holds a password; unset it"
    return (
        f"{path} is encrypted; put its password into the environment variable {PASSWORD_VARIABLE}"
    )


def _check_curve(path: Path, curve: "EllipticCurve | None") -> None:
    if curve is None:
        raise SigningError(f"{path} is no key on an elliptic curve; make one on {_known_curves()}")
    if curve.name not in CURVES:
        raise SigningError(f"{path} is on the curve {curve.name}, expected {_known_curves()}")


def _known_curves() -> str:
    *others, last = CURVES.values()
    return f"{', '.join(others)} or {last}"
