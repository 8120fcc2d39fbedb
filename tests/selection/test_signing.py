import hashlib
import json
import os
import shutil
import subprocess
import sys

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given, settings
from hypothesis import strategies as st

from selection import DeployedModels, DeploymentError, deployed
from selection import signing as ours
from selection.manifest import write_manifest
from selection.signing import SigningError, SigningKey, check_public_key, check_signature
from tests.selection.keys import write_pair, write_rsa_pair
from tests.selection.test_manifest import NONE_LEFT, NOON

pytest.importorskip("model_signing")
CRITERIA = {"max_train_val_gap": 0.2, "min_test_accuracy": 0.55, "max_val_test_diff": 0.05}


@pytest.fixture(scope="module")
def key(tmp_path_factory):
    return write_pair(tmp_path_factory.mktemp("keys"), "signing")


@pytest.fixture(scope="module")
def public(key):
    return key.with_suffix(".pub")


@pytest.fixture
def signed(copied, key):
    """A copy of the deployment whose manifest is signed: its path."""
    content = copied.read_bytes()
    place = copied.parent / ours.signature_name(content)
    place.parent.mkdir()
    place.write_bytes(SigningKey(key).signature(content))
    return copied


def signature_of(path):
    return path.parent / ours.signature_name(path.read_bytes())


def refusal(path, public):
    with pytest.raises(DeploymentError) as refused:
        DeployedModels.from_manifest(path, public_key=public)
    assert "\n" not in str(refused.value)
    return str(refused.value)


def test_a_signed_manifest_is_loaded_with_the_key_and_without(signed, public):
    assert DeployedModels.from_manifest(signed, public_key=public).symbols == ["EURUSD", "GBPUSD"]
    assert DeployedModels.from_manifest(signed, public_key=str(public)).symbols
    assert DeployedModels.from_manifest(signed).symbols


@pytest.mark.parametrize("curve", [ec.SECP256R1, ec.SECP384R1, ec.SECP521R1])
def test_every_curve_of_the_standard_signs(curve, tmp_path):
    private = write_pair(tmp_path, "key", curve=curve())
    path = tmp_path / "deploy" / "manifest.json"
    write_manifest(
        path,
        {"EURUSD": NONE_LEFT},
        CRITERIA,
        provenance=None,
        now_utc=NOON,
        key=SigningKey(private),
    )
    (signature,) = (path.parent / "signatures").iterdir()
    assert signature.stem == hashlib.sha256(path.read_bytes()).hexdigest()
    check_signature(path.parent, path.read_bytes(), private.with_suffix(".pub"))


def test_the_librarys_own_command_verifies_what_was_signed(signed, public, tmp_path):
    command = [sys.executable, "-m", "model_signing", "verify", "key", str(signed)]
    command += ["--signature", str(signature_of(signed)), "--public_key", str(public)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout.strip()) == (0, "Verification succeeded"), ended.stderr


def test_what_the_librarys_own_command_signed_is_taken(copied, key, public):
    place = signature_of(copied)
    place.parent.mkdir()
    command = [sys.executable, "-m", "model_signing", "sign", "key", str(copied)]
    command += ["--signature", str(place), "--private_key", str(key)]
    subprocess.run(command, capture_output=True, check=True)
    assert DeployedModels.from_manifest(copied, public_key=public).symbols


def never(*_):
    raise AssertionError("was parsed")


def test_nothing_is_parsed_of_what_is_not_signed_by_the_key(signed, public, tmp_path, monkeypatch):
    monkeypatch.setattr(deployed, "parsed_manifest", never)
    other = write_pair(tmp_path, "other").with_suffix(".pub")
    assert "its signature is not by the owner of" in refusal(signed, other)
    content = signed.read_bytes()
    signed.write_bytes(content.replace(b"0.5", b"0.6", 1))
    assert "is not signed, or was changed since: no signatures/" in refusal(signed, public)
    signature_of(signed).write_bytes((signed.parent / ours.signature_name(content)).read_bytes())
    assert "its signature is not for SHA-256" in refusal(signed, public)
    shutil.rmtree(signed.parent / "signatures")
    assert "is not signed, or was changed since" in refusal(signed, public)


@pytest.mark.parametrize(
    ("content", "finding"),
    [
        (b"", "cannot be read as one of model-signing"),
        (b"[" * 10_000, "cannot be read as one of model-signing"),
        (b"{}", "cannot be read as one of model-signing"),
        (b'{"verificationMaterial": 3}', "cannot be read as one of model-signing"),
        (b" " * 100_000, "has 100000 bytes, more than the 65536 that are read"),
    ],
)
def test_a_signature_that_is_none_is_refused_in_one_line(signed, public, content, finding):
    signature_of(signed).write_bytes(content)
    assert finding in refusal(signed, public)


def test_a_signature_may_be_no_link_and_no_pipe(signed, public):
    place = signature_of(signed)
    place.rename(place.with_name("moved"))
    place.symlink_to("moved")
    assert "is a link, expected the file itself" in refusal(signed, public)
    place.unlink()
    os.mkfifo(place)
    assert "is not a plain file" in refusal(signed, public)


@settings(max_examples=60)
@given(share=st.floats(0, 1, exclude_max=True), flipped=st.integers(1, 255))
def test_no_change_of_a_signature_makes_another_one_hold(
    key, public, tmp_path_factory, share, flipped
):
    folder, content = tmp_path_factory.mktemp("forged"), b'{"manifest": 1}'
    made = bytearray(SigningKey(key).signature(content))
    made[int(share * len(made))] ^= flipped
    place = folder / ours.signature_name(b"another manifest")
    place.parent.mkdir()
    place.write_bytes(bytes(made))
    with pytest.raises(SigningError):
        check_signature(folder, b"another manifest", public)


def test_a_signature_of_a_folder_or_of_nothing_is_not_one_of_a_manifest(
    copied, key, public, tmp_path
):
    from model_signing import signing

    (tmp_path / "empty").mkdir()
    config = signing.Config().use_elliptic_key_signer(private_key=key)
    place = signature_of(copied)
    place.parent.mkdir()
    config.sign(tmp_path / "empty", place)
    assert "its signature is not for SHA-256" in refusal(copied, public)


def test_a_password_comes_from_the_environment(tmp_path, monkeypatch):
    locked = write_pair(tmp_path, "locked", password=b"open sesame")
    opened = write_pair(tmp_path, "opened")
    with pytest.raises(SigningError, match=r"is encrypted; put its password into the environment"):
        SigningKey(locked)
    monkeypatch.setenv(ours.PASSWORD_VARIABLE, "wrong")
    with pytest.raises(SigningError, match=r"cannot be opened with the password in ASSAY_SIGNING"):
        SigningKey(locked)
    with pytest.raises(SigningError, match=r"opened\.pem is not encrypted, but ASSAY_SIGNING_PASS"):
        SigningKey(opened)
    monkeypatch.setenv(ours.PASSWORD_VARIABLE, "open sesame")
    assert b"open sesame" not in json.dumps(vars(SigningKey(locked)), default=str).encode()
    assert SigningKey(locked).signature(b"{}")


def unusable_keys(folder):
    """Yield private and public keys that cannot be used, and what is said of them."""
    (folder / "text.pem").write_text("no key")
    unsupported = write_pair(folder, "bitcoin", curve=ec.SECP256K1())
    rsa = write_rsa_pair(folder, "rsa")
    yield from (
        (folder / "none", folder / "none", "none: no such file"),
        (folder, folder, "no such file"),
        (folder / "text.pem", folder / "text.pem", r"text\.pem is no (private|public) key in PEM"),
        (unsupported, unsupported.with_suffix(".pub"), "secp256k1, expected P-256, P-384 or P-521"),
        (rsa, rsa.with_suffix(".pub"), "is no key on an elliptic curve; make one on P-256, P-384"),
        (rsa.with_suffix(".pub"), rsa, "is no (private|public) key in PEM form"),
    )


def test_a_key_that_cannot_be_used_is_refused_with_what_is_expected(tmp_path):
    for private, public, finding in unusable_keys(tmp_path):
        with pytest.raises(SigningError, match=finding):
            SigningKey(private)
        with pytest.raises(SigningError, match=finding):
            check_public_key(public)


def test_without_the_library_one_line_says_how_to_get_it(key, public, monkeypatch):
    monkeypatch.setitem(sys.modules, "model_signing", None)
    monkeypatch.setitem(sys.modules, "model_signing.signing", None)
    monkeypatch.setitem(sys.modules, "model_signing.verifying", None)
    line = r'^needs model-signing, which is not installed: pip install -c constraints.txt "\.\[sign'
    with pytest.raises(SigningError, match=line):
        SigningKey(key)
    with pytest.raises(SigningError, match=line):
        check_public_key(public)
