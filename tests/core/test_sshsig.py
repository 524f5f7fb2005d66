"""SSH signatures: OpenSSH's own vectors, OpenSSH as judge in both directions, and what must be refused."""

import base64
import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.conftest import require_tool, vectors
from tests.simulators.fido import PRESENT, VERIFIED, SecurityKey

from sealwright.core import edwards, ssharmour, sshbrowser, sshsig
from sealwright.core.errors import FormatError, SealwrightError, VerificationError
from sealwright.core.sshsig import mpint, string

NAMESPACE = "sealwright-vote-v1"
MESSAGE = bytes(range(32))
PLAIN_KEYS = [("ed25519", 256), ("ecdsa", 256), ("ecdsa", 384), ("ecdsa", 521), ("rsa", 2048)]


def make_key(folder: Path, kind: str, bits: int) -> Path:
    path = folder / f"{kind}{bits}"
    command = ["ssh-keygen", "-q", "-t", kind, "-b", str(bits), "-N", "", "-C", "TEST ONLY", "-f", str(path)]
    subprocess.run(command, check=True)
    return path


def keygen_sign(key: Path, message: bytes, namespace: str, *options: str) -> bytes:
    command = ["ssh-keygen", "-q", "-Y", "sign", "-n", namespace, "-f", str(key), *options]
    done = subprocess.run(command, input=message, capture_output=True, check=True)
    return ssharmour.dearmour(done.stdout.decode())


def keygen_verify(folder: Path, key_line: str, signature: bytes, message: bytes) -> subprocess.CompletedProcess[str]:
    (folder / "allowed").write_text(f"approver {key_line}\n")
    (folder / "sig").write_text(ssharmour.armour(signature))
    command = ["ssh-keygen", "-Y", "verify", "-n", NAMESPACE, "-f", "allowed", "-I", "approver", "-s", "sig"]
    done = subprocess.run(command, cwd=folder, input=message, capture_output=True, check=False)
    return subprocess.CompletedProcess(command, done.returncode, done.stdout.decode(), done.stderr.decode())


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    require_tool("ssh-keygen")
    folder = tmp_path_factory.mktemp("keys")
    return {f"{kind}{bits}": make_key(folder, kind, bits) for kind, bits in PLAIN_KEYS}


@pytest.fixture(scope="module")
def signed(keys: dict[str, Path]) -> tuple[sshsig.SshPublicKey, bytes]:
    key = keys["ed25519256"]
    return sshsig.parse_public_key(key.with_suffix(".pub").read_text()), keygen_sign(key, MESSAGE, NAMESPACE)


# Vectors


@pytest.mark.parametrize("name", ["ed25519", "ed25519_sk", "rsa"])
def test_signatures_of_the_openssh_unit_tests_verify(name: str) -> None:
    folder = vectors("ssh-webauthn") / "openssh-sshsig"
    key = sshsig.parse_public_key((folder / f"{name}.pub").read_text())
    signature = ssharmour.dearmour((folder / f"{name}.sig").read_text())
    namespace, message = (folder / "namespace").read_text(), (folder / "signed-data").read_bytes()
    verified = sshsig.verify(signature, key=key, namespace=namespace, message=message)
    assert verified.user_present is (True if name.endswith("_sk") else None)
    with pytest.raises(VerificationError, match="does not verify"):
        sshsig.verify(signature, key=key, namespace=namespace, message=message + b"!")


def test_the_browser_signature_of_the_openssh_unit_tests_verifies_for_its_origin_only() -> None:
    folder = vectors("ssh-webauthn") / "openssh-sshsig"
    key = sshsig.parse_public_key((folder / "ecdsa_sk_webauthn.pub").read_text())
    signature = ssharmour.dearmour((folder / "ecdsa_sk_webauthn.sig").read_text())
    message, origin = (folder / "signed-data").read_bytes(), "https://www.mindrot.org"

    def verify(**changes: object) -> sshsig.SshVerified:
        usual = {"key": key, "namespace": "unittest", "message": message, "origins": [origin]}
        return sshbrowser.verify(signature, **(usual | {"application": "mindrot.org"} | changes))  # type: ignore[arg-type]

    assert verify() == sshsig.SshVerified(user_present=True, user_verified=False, counter=799)
    for changes, reason in [
        ({"origins": ["https://mindrot.org"]}, "not from an accepted origin"),
        ({"message": message + b"!"}, "over other client data"),
        ({"application": "ssh:"}, "for another application"),
        ({"require_user_verification": True}, "without user verification"),
        ({"namespace": "other"}, "expected other, got unittest"),
    ]:
        with pytest.raises(VerificationError, match=reason):
            verify(**changes)
    # The last byte of the client data, which only the signature itself covers.
    at = signature.index(b'"crossOrigin":false}') + 14
    with pytest.raises(VerificationError, match="does not verify"):
        sshbrowser.verify(
            signature[:at] + b"F" + signature[at + 1 :],
            key=key, namespace="unittest", message=message, origins=[origin], application="mindrot.org",
        )  # fmt: skip
    embedded = signature.replace(b'"crossOrigin":false', b'"crossOrigin":true ')
    with pytest.raises(VerificationError, match="inside a page of another origin"):
        sshbrowser.verify(
            embedded, key=key, namespace="unittest", message=message, origins=[origin], application="mindrot.org"
        )


def test_votes_are_not_taken_in_the_browser_form() -> None:
    folder = vectors("ssh-webauthn") / "openssh-sshsig"
    key = sshsig.parse_public_key((folder / "ecdsa_sk_webauthn.pub").read_text())
    signature = ssharmour.dearmour((folder / "ecdsa_sk_webauthn.sig").read_text())
    message = (folder / "signed-data").read_bytes()
    with pytest.raises(VerificationError, match=r"algorithm differs: expected sk-ecdsa.*, got webauthn-sk-ecdsa"):
        sshsig.verify(signature, key=key, namespace="unittest", message=message, application="mindrot.org")


@pytest.mark.parametrize("hash_name", ["sha256", "sha512"])
@pytest.mark.parametrize("name", ["ed25519", "ecdsa256", "rsa3072"])
def test_signatures_made_by_ssh_keygen_9_2_verify_and_their_siblings_in_another_namespace_do_not(
    name: str, hash_name: str
) -> None:
    folder = vectors("ssh-webauthn") / "ssh-keygen"
    key = sshsig.parse_public_key((folder / f"{name}.pub").read_text())
    message = (folder / "message.json").read_bytes()
    good = ssharmour.dearmour((folder / f"{name}.{hash_name}.sshsig").read_text())
    sshsig.verify(good, key=key, namespace="approval@example", message=message)
    other = ssharmour.dearmour((folder / f"{name}.othernamespace.sshsig").read_text())
    with pytest.raises(VerificationError, match="namespace differs: expected approval@example, got ") as caught:
        sshsig.verify(other, key=key, namespace="approval@example", message=message)
    sshsig.verify(other, key=key, namespace=caught.value.got, message=message)


def test_ssh_certificates_are_refused() -> None:
    folder = vectors("ssh-webauthn") / "ssh-keygen"
    with pytest.raises(FormatError, match="SSH certificates are not accepted"):
        sshsig.parse_public_key((folder / "cert-signer-cert.pub").read_text())
    signature = ssharmour.dearmour((folder / "cert-signer.sshsig").read_text())
    authority = sshsig.parse_public_key((folder / "ca.pub").read_text())
    with pytest.raises(VerificationError, match="by another key"):
        sshsig.verify(
            signature, key=authority, namespace="approval@example", message=(folder / "message.json").read_bytes()
        )


# OpenSSH on the other side


@pytest.mark.parametrize("options", [(), ("-O", "hashalg=sha256")])
@pytest.mark.parametrize(("kind", "bits"), PLAIN_KEYS)
def test_what_ssh_keygen_signs_verifies(keys: dict[str, Path], kind: str, bits: int, options: tuple[str, ...]) -> None:
    path = keys[f"{kind}{bits}"]
    key = sshsig.parse_public_key(path.with_suffix(".pub").read_text())
    signature = keygen_sign(path, MESSAGE, NAMESPACE, *options)
    assert sshsig.verify(signature, key=key, namespace=NAMESPACE, message=MESSAGE) == sshsig.SshVerified()
    with pytest.raises(VerificationError, match="expected sealwright-login-v1, got sealwright-vote-v1"):
        sshsig.verify(signature, key=key, namespace="sealwright-login-v1", message=MESSAGE)


@pytest.mark.parametrize(("kind", "bits"), PLAIN_KEYS)
def test_key_lines_and_fingerprints_are_those_of_ssh_keygen(keys: dict[str, Path], kind: str, bits: int) -> None:
    path = keys[f"{kind}{bits}"].with_suffix(".pub")
    key = sshsig.parse_public_key(path.read_text())
    assert path.read_text() == f"{key.line()} TEST ONLY\n"
    assert sshsig.parse_public_key(key.blob) == sshsig.parse_public_key(key.line()) == key
    listed = subprocess.run(["ssh-keygen", "-l", "-f", path], capture_output=True, check=True, text=True).stdout
    shown = base64.b64encode(bytes.fromhex(key.fingerprint)).decode().rstrip("=")
    assert f"SHA256:{shown}" in listed


@pytest.mark.parametrize("kind", ["ed25519", "ecdsa"])
@pytest.mark.parametrize("flags", [0, PRESENT, VERIFIED, PRESENT | VERIFIED])
def test_openssh_and_we_agree_on_fido_signatures(tmp_path: Path, kind: str, flags: int) -> None:
    require_tool("ssh-keygen")
    fido = SecurityKey(kind)
    key, signature = sshsig.parse_public_key(fido.line), fido.sign(MESSAGE, NAMESPACE, flags=flags)
    # OpenSSH checks the signature and leaves the flags to its caller: without presence it still says "Good".
    good = keygen_verify(tmp_path, fido.line, signature, MESSAGE)
    assert 'Good "sealwright-vote-v1" signature for approver with' in good.stdout
    bad = keygen_verify(tmp_path, fido.line, signature, MESSAGE + b"!")
    assert bad.returncode != 0
    assert "Signature verification failed: incorrect signature" in bad.stderr

    def verify(**options: bool) -> sshsig.SshVerified:
        return sshsig.verify(signature, key=key, namespace=NAMESPACE, message=MESSAGE, **options)  # type: ignore[arg-type]

    if not flags & PRESENT:
        with pytest.raises(VerificationError, match="without user presence"):
            verify()
        return
    assert verify() == sshsig.SshVerified(user_present=True, user_verified=bool(flags & VERIFIED), counter=1)
    if flags & VERIFIED:
        assert verify(require_user_verification=True).user_verified
    else:
        with pytest.raises(VerificationError, match="without user verification"):
            verify(require_user_verification=True)


def test_a_fido_key_for_another_application_is_refused() -> None:
    fido = SecurityKey(application="ssh:elsewhere")
    key, signature = sshsig.parse_public_key(fido.line), fido.sign(MESSAGE, NAMESPACE)
    with pytest.raises(VerificationError, match="another application: expected ssh:, got ssh:elsewhere"):
        sshsig.verify(signature, key=key, namespace=NAMESPACE, message=MESSAGE)
    sshsig.verify(signature, key=key, namespace=NAMESPACE, message=MESSAGE, application="ssh:elsewhere")


@pytest.mark.parametrize("kind", ["ed25519", "ecdsa"])
def test_flags_and_counter_of_a_fido_signature_are_covered(kind: str) -> None:
    fido = SecurityKey(kind)
    key, signature = sshsig.parse_public_key(fido.line), fido.sign(MESSAGE, NAMESPACE, flags=PRESENT)
    for at in (-5, -4, -1):
        changed = bytearray(signature)
        changed[at] ^= VERIFIED
        with pytest.raises(VerificationError, match="does not verify"):
            sshsig.verify(bytes(changed), key=key, namespace=NAMESPACE, message=MESSAGE)


# Refused


def test_a_signature_by_another_key_is_refused(signed: tuple[sshsig.SshPublicKey, bytes]) -> None:
    stranger = sshsig.parse_public_key(SecurityKey().line)
    with pytest.raises(VerificationError, match="by another key"):
        sshsig.verify(signed[1], key=stranger, namespace=NAMESPACE, message=MESSAGE)


def test_every_single_flipped_bit_is_refused(signed: tuple[sshsig.SshPublicKey, bytes]) -> None:
    key, signature = signed
    for at in range(len(signature)):
        changed = bytearray(signature)
        changed[at] ^= 1 << at % 8
        with pytest.raises((VerificationError, FormatError)):
            sshsig.verify(bytes(changed), key=key, namespace=NAMESPACE, message=MESSAGE)


@pytest.mark.parametrize("fido", [False, True])
def test_a_signature_cut_anywhere_or_with_a_byte_more_is_refused(
    signed: tuple[sshsig.SshPublicKey, bytes], fido: bool
) -> None:
    key, signature = signed
    if fido:
        device = SecurityKey("ecdsa")
        key, signature = sshsig.parse_public_key(device.line), device.sign(MESSAGE, NAMESPACE)
    for data in [*(signature[:n] for n in range(len(signature))), signature + b"\x00"]:
        with pytest.raises(FormatError):
            sshsig.verify(data, key=key, namespace=NAMESPACE, message=MESSAGE)


def build(key: sshsig.SshPublicKey, inner: bytes, **parts: bytes) -> bytes:
    version, reserved = parts.get("version", b"\0\0\0\1"), parts.get("reserved", b"")
    namespace, hash_name = parts.get("namespace", NAMESPACE.encode()), parts.get("hash_name", b"sha512")
    return b"SSHSIG" + version + b"".join(map(string, [key.blob, namespace, reserved, hash_name, inner]))


@pytest.mark.parametrize(
    ("parts", "reason"),
    [
        ({"version": b"\0\0\0\2"}, "version 2, only 1 is known"),
        ({"reserved": b"x"}, "reserved field"),
        ({"namespace": b""}, "without a namespace"),
        ({"hash_name": b"sha1"}, "'sha1', not sha256 or sha512"),
    ],
)
def test_each_part_of_the_envelope_has_one_accepted_form(
    signed: tuple[sshsig.SshPublicKey, bytes], parts: dict[str, bytes], reason: str
) -> None:
    key, signature = signed
    inner = sshsig._parse(signature)[3]
    assert build(key, inner) == signature
    with pytest.raises(FormatError, match=reason):
        sshsig.verify(build(key, inner, **parts), key=key, namespace=NAMESPACE, message=MESSAGE)


@pytest.mark.parametrize("algorithm", ["ssh-rsa", "rsa-sha2-256-cert-v01@openssh.com", "ssh-ed25519"])
def test_rsa_signatures_must_name_sha_2(keys: dict[str, Path], algorithm: str) -> None:
    path = keys["rsa2048"]
    key = sshsig.parse_public_key(path.with_suffix(".pub").read_text())
    reader = sshsig.Reader(sshsig._parse(keygen_sign(path, MESSAGE, NAMESPACE))[3])
    assert reader.string() == b"rsa-sha2-512"
    changed = build(key, string(algorithm.encode()) + string(reader.string()))
    with pytest.raises(VerificationError, match="expected rsa-sha2-256 or rsa-sha2-512, got "):
        sshsig.verify(changed, key=key, namespace=NAMESPACE, message=MESSAGE)


def test_ecdsa_integers_must_be_in_their_shortest_form(keys: dict[str, Path]) -> None:
    path = keys["ecdsa256"]
    key = sshsig.parse_public_key(path.with_suffix(".pub").read_text())
    reader = sshsig.Reader(sshsig._parse(keygen_sign(path, MESSAGE, NAMESPACE))[3])
    algorithm, value = reader.string(), sshsig.Reader(reader.string())
    r, s = value.mpint(), value.mpint()
    good = build(key, string(algorithm) + string(mpint(r) + mpint(s)))
    sshsig.verify(good, key=key, namespace=NAMESPACE, message=MESSAGE)
    long_r = string(b"\x00" + mpint(r)[4:])
    for numbers in (long_r + mpint(s), mpint(r) + mpint(s) + b"\x00", string(b"") + mpint(s)):
        changed = build(key, string(algorithm) + string(numbers))
        with pytest.raises(FormatError):
            sshsig.verify(changed, key=key, namespace=NAMESPACE, message=MESSAGE)


def rsa_blob(bits: int, exponent: int = 65537) -> bytes:
    numbers = rsa.generate_private_key(65537, bits).public_key().public_numbers()
    return string(b"ssh-rsa") + mpint(exponent) + mpint(numbers.n)


def ecdsa_blob(point: bytes, curve: bytes = b"nistp256", kind: bytes = b"ecdsa-sha2-nistp256") -> bytes:
    return string(kind) + string(curve) + string(point)


def test_keys_with_a_second_spelling_or_no_strength_are_refused() -> None:
    public = ec.generate_private_key(ec.SECP256R1()).public_key()
    encoding, point_format = serialization.Encoding.X962, serialization.PublicFormat
    point = public.public_bytes(encoding, point_format.UncompressedPoint)
    sshsig.parse_public_key(ecdsa_blob(point))
    ed25519_name, prime = string(b"ssh-ed25519"), 2**255 - 19
    for blob, reason in [
        (ecdsa_blob(public.public_bytes(encoding, point_format.CompressedPoint)), "compressed"),
        (ecdsa_blob(point[:-1] + bytes([point[-1] ^ 1])), "impossible numbers"),
        (ecdsa_blob(point, curve=b"nistp384"), "with curve 'nistp384'"),
        (ecdsa_blob(point, kind=b"nistp256"), "with curve"),
        (ecdsa_blob(point) + b"\x00", "1 bytes too many"),
        (rsa_blob(1024), "RSA key of 1024 bits"),
        (rsa_blob(2048, exponent=4), "impossible numbers"),
        (rsa_blob(2048).replace(b"\x00\x00\x00\x03\x01\x00\x01", b"\x00\x00\x00\x04\x00\x01\x00\x01"), "shortest form"),
        (ed25519_name + string((prime + 3).to_bytes(32, "little")), "not canonical"),
        (ed25519_name + string(b"\x01" + bytes(31)), "small order"),
        (ed25519_name + string(bytes(31)), "impossible numbers|small order"),
        (string(b"ssh-dss") + bytes(64), "not supported: 'ssh-dss'"),
        (string(b"ssh-ed25519\xff") + bytes(64), "not short plain ASCII"),
        (b"", "4 bytes wanted, 0 left"),
    ]:
        with pytest.raises(FormatError, match=reason):
            sshsig.parse_public_key(blob)


def test_the_listed_points_are_those_of_small_order() -> None:
    """Three doublings lead to the neutral element (y = 1) exactly from the points whose order divides 8."""
    prime = 2**255 - 19
    d = -121665 * pow(121666, -1, prime) % prime

    def double(y: int) -> int:
        xx = (y * y - 1) * pow(d * y * y + 1, -1, prime) % prime
        return (y * y + xx) * pow(2 + xx - y * y, -1, prime) % prime

    assert all(double(double(double(y))) == 1 for y in edwards._WEAK_Y)
    assert [double(double(y)) == 1 for y in edwards._WEAK_Y] == [True, True, True, False, False]
    assert len(set(edwards._WEAK_Y)) == 5  # order 1, 2, 4 (two points, one y), 8 (four points, two y)


@pytest.mark.parametrize(
    "line",
    ["", "ssh-ed25519", "ssh-ed25519 !!!!", 'no-pty ssh-ed25519 AAAA"', "-----BEGIN SSH SIGNATURE-----"],
)
def test_lines_that_are_no_key_are_refused(line: str) -> None:
    with pytest.raises(FormatError):
        sshsig.parse_public_key(line)


def test_the_name_before_a_key_must_be_the_name_within() -> None:
    encoded = SecurityKey().line.split()[1]
    with pytest.raises(FormatError, match=r"the line says 'ssh-ed25519', the key is sk-ssh-ed25519@openssh.com"):
        sshsig.parse_public_key(f"ssh-ed25519 {encoded}")


@pytest.mark.parametrize("change", [str.lower, lambda t: "x" + t, lambda t: t + "x", lambda t: t.replace("\n", " ")])
def test_armour_takes_nothing_around_it(signed: tuple[sshsig.SshPublicKey, bytes], change: object) -> None:
    text = ssharmour.armour(signed[1])
    assert ssharmour.dearmour(text) == ssharmour.dearmour(text.replace("\n", "\r\n")) == signed[1]
    with pytest.raises(FormatError):
        ssharmour.dearmour(change(text))  # type: ignore[operator]


_DEVICE = SecurityKey("ecdsa")
_SIGNED = _DEVICE.sign(MESSAGE, NAMESPACE)


@given(st.data())
@settings(max_examples=300, deadline=None)
def test_mutated_signatures_are_refused_and_never_crash(data: st.DataObject) -> None:
    fido = _DEVICE
    signature = bytearray(_SIGNED)
    for _ in range(data.draw(st.integers(1, 4))):
        at, what = data.draw(st.integers(0, len(signature))), data.draw(st.binary(max_size=6))
        signature[at : at + data.draw(st.integers(0, 6))] = what
    key = sshsig.parse_public_key(fido.line)
    if bytes(signature) == _SIGNED:
        return
    with pytest.raises((VerificationError, FormatError)):
        sshsig.verify(bytes(signature), key=key, namespace=NAMESPACE, message=MESSAGE)


@given(st.binary(max_size=200), st.sampled_from([b"ssh-ed25519", b"ssh-rsa", b"ecdsa-sha2-nistp256", b""]))
@settings(max_examples=300, deadline=None)
def test_a_key_that_parses_is_in_its_only_spelling(rest: bytes, kind: bytes) -> None:
    try:
        key = sshsig.parse_public_key(string(kind) + rest)
    except SealwrightError:
        return
    assert sshsig.parse_public_key(key.line()) == key
