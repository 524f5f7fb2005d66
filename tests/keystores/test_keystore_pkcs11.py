"""PKCS#11 on SoftHSM: what a token shows, what a wrong PIN does, and what happens when the token goes away."""

import subprocess
from pathlib import Path

import pytest
from tests.conftest import missing, require_tool
from tests.keystores.conftest import PIN, TEMPLATE, make_partition, payload_of
from tests.simulators.softhsm import SoftHsm, module_path

from sealwright.core.errors import Code, ConfigurationError, UnavailableError
from sealwright.core.keys import Algorithm
from sealwright.keystores import pkcs11_abi as abi
from sealwright.keystores import pkcs11_keys
from sealwright.keystores.interface import Grade
from sealwright.keystores.opening import create_partition, open_ceremony
from sealwright.keystores.pkcs11 import Pkcs11Ceremony, Pkcs11Keystore
from sealwright.keystores.pkcs11_devices import BY_IDENTIFIER, SOFTHSM_2
from sealwright.keystores.pkcs11_session import Mechanism
from sealwright.keystores.secrets import Secret
from sealwright.keystores.worker_client import Worker

SPY_PATHS = ("/usr/lib/x86_64-linux-gnu/pkcs11-spy.so", "/usr/lib/aarch64-linux-gnu/pkcs11-spy.so")
ECDSA = Algorithm.ECDSA_P256_SHA256
WRONG = Secret(b"wrong-pin-000")


def pkcs11_tool(uri: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Ask OpenSC about the first token."""
    command = [require_tool("pkcs11-tool"), "--module", uri.partition("module-path=")[2], *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_a_created_key_is_sensitive_and_never_extractable(new_token: tuple[SoftHsm, str]) -> None:
    created = make_partition(new_token[1], algorithms=(ECDSA,)).keys[ECDSA]
    assert created.grade is Grade.HARDWARE_CLAIMED
    assert created.attributes == {
        "SENSITIVE": True,
        "EXTRACTABLE": False,
        "ALWAYS_SENSITIVE": True,
        "NEVER_EXTRACTABLE": True,
        "LOCAL": True,
    }


def test_an_imported_key_says_that_it_was_outside(new_token: tuple[SoftHsm, str]) -> None:
    ceremony = Pkcs11Ceremony(new_token[1])
    ceremony.open(PIN)
    from sealwright.keystores import private_keys

    imported = ceremony.import_key("router/2019", private_keys.generate(ECDSA, 256), ())
    ceremony.close()
    assert imported.grade is Grade.SOFTWARE
    assert {n for n, v in imported.attributes.items() if v} == {"SENSITIVE"}


@pytest.mark.parametrize("algorithm", [ECDSA, Algorithm.ED25519])
def test_the_token_does_not_give_the_private_value_away(new_token: tuple[SoftHsm, str], algorithm: Algorithm) -> None:
    created = make_partition(new_token[1], algorithms=(algorithm,)).keys[algorithm]
    keystore = Pkcs11Keystore(new_token[1])
    keystore.open(PIN)
    session, key = keystore._login.session, keystore._keys[created.public_key.fingerprint]
    assert session.attribute(key.private_handle, abi.CKA_KEY_TYPE) is not None
    assert session.attribute(key.private_handle, abi.CKA_VALUE) is None
    keystore.close()


def test_opensc_sees_the_key_under_the_hash_of_its_public_half(new_token: tuple[SoftHsm, str]) -> None:
    created = make_partition(new_token[1], algorithms=(ECDSA,)).keys[ECDSA]
    listed = pkcs11_tool(new_token[1], "--login", "--pin", PIN.reveal().decode(), "--list-objects").stdout
    assert listed.count(f"ID:         {created.public_key.fingerprint}") == 2
    assert "sensitive, always sensitive, never extractable, local" in listed
    anonymous = pkcs11_tool(new_token[1], "--list-objects").stdout
    assert "Public Key Object" in anonymous
    assert "Private Key Object" not in anonymous


def test_a_wrong_pin_is_remembered_and_the_right_one_not_tried(new_token: tuple[SoftHsm, str]) -> None:
    keystore = Pkcs11Keystore(new_token[1])
    with pytest.raises(
        ConfigurationError, match="does not take the PIN: C_Login answered CKR_PIN_INCORRECT"
    ) as refused:
        keystore.open(WRONG)
    assert refused.value.code is Code.CREDENTIAL
    with pytest.raises(ConfigurationError, match="does not take the PIN") as again:
        keystore.open(PIN)
    assert "wrong-pin-000" not in f"{refused.value!r} {refused.value} {refused.value.hint} {again.value}"
    fresh = Pkcs11Keystore(new_token[1])
    fresh.open(PIN)
    fresh.close()


def test_a_wrong_pin_reaches_the_token_once_however_often_a_worker_is_asked(
    new_token: tuple[SoftHsm, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spy = next((p for p in SPY_PATHS if Path(p).exists()), None)
    if spy is None:
        missing("pkcs11-spy.so (package opensc-pkcs11)")
    monkeypatch.setenv("PKCS11SPY", module_path())
    monkeypatch.setenv("PKCS11SPY_OUTPUT", str(tmp_path / "calls"))
    worker = Worker(new_token[1].replace(module_path(), str(spy)), WRONG)
    for _ in range(3):
        with pytest.raises(ConfigurationError, match="CKR_PIN_INCORRECT") as refused:
            worker.public_keys()
        assert refused.value.code is Code.CREDENTIAL
        worker._not_before = 0.0
    worker.close()
    calls = (tmp_path / "calls").read_text()
    assert calls.count("C_Login") == 1
    assert calls.count("C_Initialize") == 1


def test_a_pin_one_try_from_its_lock_is_left_to_a_person(
    new_token: tuple[SoftHsm, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # No soft token counts PINs down, so the flag is set on the way from the real one.
    from sealwright.keystores.pkcs11_module import Module

    real = Module.tokens
    flags = abi.CKF_USER_PIN_FINAL_TRY
    monkeypatch.setattr(Module, "tokens", lambda self: [t._replace(flags=t.flags | flags) for t in real(self)])
    keystore = Pkcs11Keystore(new_token[1])
    with pytest.raises(ConfigurationError, match="one wrong try away"):
        keystore.open(PIN)


def test_a_token_open_in_this_process_is_not_entered_without_its_pin(new_token: tuple[SoftHsm, str]) -> None:
    first, second = Pkcs11Keystore(new_token[1]), Pkcs11Keystore(new_token[1])
    first.open(PIN)
    with pytest.raises(ConfigurationError, match="already open in this process"):
        second.open(WRONG)
    assert first.public_keys() == {}
    first.close()


@pytest.mark.parametrize(
    ("vanishes", "message"), [("tokens", "CKR_GENERAL_ERROR"), ("token", "no token 'router/production' in any slot")]
)
def test_a_token_that_vanishes_is_unavailable_and_comes_back_when_opened_anew(
    new_token: tuple[SoftHsm, str], tmp_path: Path, vanishes: str, message: str
) -> None:
    hsm, uri = new_token
    (token_folder,) = hsm.tokens_folder.iterdir()
    folder = hsm.tokens_folder if vanishes == "tokens" else token_folder
    key = make_partition(uri, algorithms=(ECDSA,)).keys[ECDSA].public_key
    keystore = Pkcs11Keystore(uri)
    keystore.open(PIN)
    folder.rename(tmp_path / "away")
    with pytest.raises(UnavailableError) as gone:
        keystore.sign(key.fingerprint, ECDSA, payload_of(ECDSA))
    assert gone.value.code is Code.KEYSTORE_UNAVAILABLE
    with pytest.raises(UnavailableError):
        keystore.public_keys()
    keystore.close()
    with pytest.raises(UnavailableError, match=message):
        keystore.open(PIN)
    (tmp_path / "away").rename(folder)
    keystore.open(PIN)
    key.verify(ECDSA, payload_of(ECDSA), keystore.sign(key.fingerprint, ECDSA, payload_of(ECDSA)))
    keystore.close()


def test_a_key_deleted_from_the_token_shows_in_the_health(new_token: tuple[SoftHsm, str]) -> None:
    key = make_partition(new_token[1], algorithms=(ECDSA,)).keys[ECDSA].public_key
    keystore = Pkcs11Keystore(new_token[1])
    keystore.open(PIN)
    login = ("--login", "--pin", PIN.reveal().decode())
    deleted = pkcs11_tool(new_token[1], *login, "--delete-object", "--type", "privkey", "--id", key.fingerprint)
    assert deleted.returncode == 0, deleted.stderr
    with pytest.raises(UnavailableError):
        keystore.public_keys()
    keystore.close()


def test_keys_that_share_an_id_are_not_offered(new_token: tuple[SoftHsm, str]) -> None:
    ceremony = Pkcs11Ceremony(new_token[1])
    ceremony.open(PIN)
    session = ceremony._login.session
    for _ in range(2):
        session.generate_key_pair(*pkcs11_keys.generation(SOFTHSM_2, ECDSA, 256, "same", b"same-id"))
    session.generate_key_pair(*pkcs11_keys.generation(SOFTHSM_2, ECDSA, 256, "other", b"other-id"))
    assert [k.label for k in ceremony.list_keys()] == ["other"]
    ceremony.close()


def test_a_private_key_beside_the_public_half_of_another_is_not_offered(new_token: tuple[SoftHsm, str]) -> None:
    ceremony = Pkcs11Ceremony(new_token[1])
    ceremony.open(PIN)
    session = ceremony._login.session
    rsa = Algorithm.RSA_PKCS1_SHA256
    first_public, _ = session.generate_key_pair(*pkcs11_keys.generation(SOFTHSM_2, rsa, 2048, "a", b"a"))
    _, second_private = session.generate_key_pair(*pkcs11_keys.generation(SOFTHSM_2, rsa, 2048, "b", b"b"))
    assert len(ceremony.list_keys()) == 2
    session.destroy(first_public)
    session.set_attributes(second_private, {abi.CKA_ID: b"x"})
    third_public, _ = session.generate_key_pair(*pkcs11_keys.generation(SOFTHSM_2, rsa, 2048, "c", b"c"))
    session.set_attributes(third_public, {abi.CKA_ID: b"x"})
    assert ceremony.list_keys() == ()
    ceremony.close()


def test_ed25519_is_read_by_object_identifier_too(new_token: tuple[SoftHsm, str]) -> None:
    ceremony = Pkcs11Ceremony(new_token[1])
    ceremony.open(PIN)
    mechanism, public, private = pkcs11_keys.generation(SOFTHSM_2, Algorithm.ED25519, 256, "oid", b"oid")
    named = {**public, abi.CKA_EC_PARAMS: BY_IDENTIFIER.parameters}
    ceremony._login.session.generate_key_pair(mechanism, named, private)
    assert [k.label for k in ceremony.list_keys()] == ["oid"]
    ceremony.close()


def test_a_mechanism_that_the_token_lacks_is_a_configuration_error(new_token: tuple[SoftHsm, str]) -> None:
    ml_dsa_keygen = Mechanism(0x1C, b"\1\2\3\4\5\6\7\0")
    ceremony = Pkcs11Ceremony(new_token[1])
    ceremony.open(PIN)
    from sealwright.keystores.pkcs11_module import CryptokiError

    with pytest.raises(CryptokiError, match="CKR_MECHANISM_INVALID") as refused:
        ceremony._login.session.generate_key_pair(ml_dsa_keygen, {0x61D: 2}, {})
    assert isinstance(refused.value.family(), ConfigurationError)
    ceremony.close()


def test_we_initialise_a_token_that_opensc_can_use(new_token: tuple[SoftHsm, str]) -> None:
    hsm, _ = new_token
    uri = hsm.uri("camera; 50 %/test")
    create_partition(uri, Secret(b"user-4321"), Secret(b"officer-8765"))
    ceremony = open_ceremony(uri, Secret(b"user-4321"))
    ceremony.create_key("camera", ECDSA, 256, TEMPLATE)
    ceremony.close()
    label = ("--token-label", "camera; 50 %/test", "--login")
    assert "camera" in pkcs11_tool(uri, *label, "--pin", "user-4321", "--list-objects").stdout
    assert "CKR_PIN_INCORRECT" in pkcs11_tool(uri, *label, "--pin", "officer-8765", "--list-objects").stderr


def test_an_existing_token_is_never_initialised_again(new_token: tuple[SoftHsm, str]) -> None:
    make_partition(new_token[1], algorithms=(ECDSA,))
    with pytest.raises(ConfigurationError, match="there is already a token"):
        create_partition(new_token[1], PIN, Secret(b"so-" + PIN.reveal()))
    assert len(open_and_list(new_token[1])) == 1


def test_a_new_token_needs_a_pin_for_its_officer(new_token: tuple[SoftHsm, str]) -> None:
    with pytest.raises(ConfigurationError, match="PIN for its security officer"):
        create_partition(new_token[0].uri("camera"), PIN)


def test_two_tokens_of_one_name_need_a_serial_number(new_token: tuple[SoftHsm, str]) -> None:
    hsm, uri = new_token
    key = make_partition(uri, algorithms=(ECDSA,)).keys[ECDSA].public_key
    hsm.token("router/production", PIN.reveal().decode())
    with pytest.raises(ConfigurationError, match="2 tokens are called 'router/production'") as ambiguous:
        open_and_list(uri)
    serials = ambiguous.value.hint.partition("URI: ")[2].split(", ")
    found = [open_and_list(uri.replace("?", f";serial={serial}?")) for serial in serials]
    assert sorted(found, key=len) == [set(), {key.fingerprint}]


@pytest.mark.parametrize("path", ["/nowhere/module.so", "/proc/self/exe", "/usr/lib/x86_64-linux-gnu/libc.so.6"])
def test_what_is_no_module_is_a_configuration_error(path: str) -> None:
    keystore = Pkcs11Keystore(f"pkcs11:token=router?module-path={path}")
    with pytest.raises(ConfigurationError, match="is not a PKCS#11 module"):
        keystore.open(PIN)


def open_and_list(uri: str) -> set[str]:
    keystore = Pkcs11Keystore(uri)
    keystore.open(PIN)
    try:
        return set(keystore.public_keys())
    finally:
        keystore.close()
