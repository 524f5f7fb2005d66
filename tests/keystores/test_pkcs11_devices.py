"""Vendors' modules as data: each fact is used, here on a module of the tests that behaves like the vendor's."""

from pathlib import Path

import pytest
from tests.conftest import PROJECT
from tests.keystores.conftest import PIN, make_partition, payload_of, size_of
from tests.simulators.shim import Shim
from tests.simulators.softhsm import SoftHsm

from sealwright.core.errors import Code, ConfigurationError
from sealwright.core.keys import Algorithm, Family
from sealwright.evidence.minutes import UNSHOWN
from sealwright.keystores import pkcs11_abi as abi
from sealwright.keystores import private_keys
from sealwright.keystores.opening import create_partition, open_ceremony, open_keystore
from sealwright.keystores.pkcs11 import Pkcs11Ceremony
from sealwright.keystores.pkcs11_devices import AWS_CLOUDHSM, DEVICES, GENERIC, LUNA, YUBIHSM_2, Device, find_device
from sealwright.keystores.pkcs11_uri import parse_uri
from sealwright.keystores.secrets import Secret

ECDSA, ED25519 = Algorithm.ECDSA_P256_SHA256, Algorithm.ED25519
PAGE = (PROJECT / "docs" / "operate" / "keystores.md").read_text()


@pytest.fixture
def shim(new_token: tuple[SoftHsm, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shim:
    return Shim(tmp_path, new_token[0], monkeypatch)


def test_a_module_is_known_by_its_file_name_and_an_unknown_one_is_generic() -> None:
    assert find_device("/usr/safenet/lunaclient/lib/libCryptoki2_64.so") is LUNA
    assert find_device("/opt/cloudhsm/lib/libcloudhsm_pkcs11.so") is AWS_CLOUDHSM
    assert find_device("/usr/lib/x86_64-linux-gnu/pkcs11-spy.so") is GENERIC
    assert find_device("/usr/lib/x86_64-linux-gnu/pkcs11-spy.so", "yubihsm-2") is YUBIHSM_2
    with pytest.raises(ConfigurationError, match="x-device=lunar is not known") as refused:
        parse_uri("pkcs11:token=a?module-path=/m.so&x-device=lunar")
    assert "luna" in refused.value.hint


def test_minutes_excuse_from_an_attribute_only_the_modules_that_do_not_show_it() -> None:
    assert {device.name: device.unshown for device in DEVICES if device.unshown} == UNSHOWN


@pytest.mark.parametrize("device", DEVICES, ids=lambda device: device.name)
def test_the_page_says_of_each_device_what_the_table_says(device: Device) -> None:
    (row,) = (line for line in PAGE.splitlines() if line.startswith(f"| `{device.name}` | ") and line.count("|") == 7)
    _, _, modules, _, tool, signs, tried, _ = (cell.strip() for cell in row.split("|"))
    assert modules.replace("`", "").replace("any other", "").split(", ")[0] in (*device.modules, "")
    assert tool == (device.tool or "us")
    assert (tried == "yes") == device.is_tried
    for family, word in ((Family.RSA, "RSA"), (Family.ED25519, "Ed25519"), (Family.ML_DSA, "ML-DSA")):
        assert (word in signs) == (family in device.families)


def test_a_yubihsm_keeps_the_number_it_gave_a_key(new_token: tuple[SoftHsm, str], shim: Shim) -> None:
    shim.behave_like("yubihsm")
    pin = Secret(b"0001password")
    hsm, _ = new_token
    hsm.token("yubi", pin.reveal().decode())
    uri = shim.uri(hsm.uri("yubi"))
    with pytest.raises(ConfigurationError, match="CKR_ATTRIBUTE_VALUE_INVALID"):
        make_partition(uri, algorithms=(ECDSA,), secret=pin)
    uri += "&x-device=yubihsm-2"
    keys = make_partition(uri, algorithms=(ECDSA, ED25519), secret=pin).keys
    ceremony = Pkcs11Ceremony(uri)
    ceremony.open(pin)
    imported = ceremony.import_key("old", private_keys.generate(ECDSA, 256), ())
    session = ceremony._login.session
    ids = [session.attribute(h, abi.CKA_ID) for h in session.find({abi.CKA_CLASS: abi.CKO_PRIVATE_KEY})]
    assert [len(key_id or b"") for key_id in ids] == [2, 2, 2]
    ceremony.close()
    keystore = open_keystore(uri, pin)
    for key in (keys[ECDSA].public_key, imported.public_key):
        key.verify(ECDSA, payload_of(ECDSA), keystore.sign(key.fingerprint, ECDSA, payload_of(ECDSA)))
    keystore.close()


@pytest.mark.parametrize("pin", [b"hunter42!", b"001hunter42", b"zzzzhunter42", b"0001short"])
def test_a_pin_that_cannot_be_one_of_the_device_is_not_shown_to_it(
    new_token: tuple[SoftHsm, str], shim: Shim, pin: bytes
) -> None:
    with pytest.raises(ConfigurationError, match=r"four hexadecimal digits.*it was not tried") as refused:
        open_keystore(shim.uri(new_token[1], "&x-device=yubihsm-2"), Secret(pin))
    assert refused.value.code is Code.CREDENTIAL
    assert pin.decode() not in str(refused.value)
    with pytest.raises(ConfigurationError, match="USER:PASSWORD of a crypto user"):
        open_keystore(shim.uri(new_token[1], "&x-device=aws-cloudhsm"), Secret(pin))
    assert shim.calls("C_Login") == shim.calls("C_Initialize") == 0


def test_ed25519_on_a_luna_has_the_vendors_numbers(new_token: tuple[SoftHsm, str], shim: Shim) -> None:
    shim.behave_like("luna")
    uri = shim.uri(new_token[1])
    with pytest.raises(ConfigurationError, match="CKR_MECHANISM_INVALID"):
        make_partition(uri + "&x-device=softhsm-2", algorithms=(ED25519,))
    keys = make_partition(uri + "&x-device=luna", algorithms=(ECDSA, ED25519)).keys
    keystore = open_keystore(uri + "&x-device=luna", PIN)
    for algorithm in (ECDSA, ED25519):
        key, payload = keys[algorithm].public_key, payload_of(algorithm)
        key.verify(algorithm, payload, keystore.sign(key.fingerprint, algorithm, payload))
    keystore.close()


def test_raw_mechanism_numbers_come_from_the_uri(new_token: tuple[SoftHsm, str], shim: Shim) -> None:
    shim.behave_like("luna")
    numbers = "&x-device=luna&x-mechanisms=ed25519:{}:0x80000C01"
    make_partition(shim.uri(new_token[1], numbers.format("0x80000c03")), algorithms=(ED25519,))
    with pytest.raises(ConfigurationError, match="CKR_MECHANISM_INVALID"):
        make_partition(shim.uri(new_token[1], numbers.format("0x1057")), algorithms=(ED25519,))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "empty or given twice"),
        ("=rsa", "does not read 'rsa'|one or two"),
        ("=rsa-1024:1", "does not read 'rsa-1024:1'"),
        ("=ed25519", "one or two mechanism numbers"),
        ("=ed25519:x", "does not read 'ed25519:x'"),
        ("=ed25519:1:2:3", "one or two mechanism numbers"),
        ("=ed25519:0x100000000", "32 bits"),
        ("=ed25519:-1", "32 bits"),
        ("=slh-dsa-sha2-128f:0x2e", "not used through PKCS#11 on generic"),
    ],
)
def test_numbers_that_are_none_are_refused(text: str, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        parse_uri(f"pkcs11:token=a?module-path=/m.so&x-mechanisms{text}")


def test_a_uri_with_numbers_reads_back_as_itself() -> None:
    uri = parse_uri("pkcs11:token=a?module-path=/m.so&x-device=luna&x-mechanisms=ml-dsa-65:0x80000105,ed25519:1:2")
    assert parse_uri(str(uri)) == uri
    assert uri.device.numbers(Algorithm.ML_DSA_65) == (0x80000105, abi.CKM_ML_DSA_KEY_PAIR_GEN)
    assert uri.device.numbers(ED25519) == (1, 2)
    assert uri.device.numbers(ECDSA) == (abi.CKM_ECDSA, abi.CKM_EC_KEY_PAIR_GEN)


def test_an_algorithm_that_the_device_lacks_is_refused_before_it_is_asked(
    new_token: tuple[SoftHsm, str], shim: Shim
) -> None:
    hsm, _ = new_token
    hsm.token("cluster", "user:password")
    ceremony = open_ceremony(shim.uri(hsm.uri("cluster"), "&x-device=aws-cloudhsm"), Secret(b"user:password"))
    with pytest.raises(ConfigurationError, match="ed25519 is not used through PKCS#11 on aws-cloudhsm"):
        ceremony.create_key("router", ED25519, size_of(ED25519), None)  # type: ignore[arg-type]
    ceremony.close()
    assert shim.calls("C_GenerateKeyPair") == 0


def test_a_utimaco_makes_no_ed25519_key_that_would_not_sign_unless_somebody_names_the_numbers() -> None:
    uri = "pkcs11:token=a?module-path=/opt/utimaco/libcs_pkcs11_R3.so"
    with pytest.raises(ConfigurationError, match="ed25519 is not used through PKCS#11 on utimaco"):
        parse_uri(uri).device.numbers(ED25519)
    assert parse_uri(f"{uri}&x-mechanisms=ed25519:0x1041:0x1040").device.numbers(ED25519) == (0x1041, 0x1040)
    assert parse_uri(uri).device.numbers(ECDSA) == (abi.CKM_ECDSA, abi.CKM_EC_KEY_PAIR_GEN)


@pytest.mark.parametrize("device", [device for device in DEVICES if not device.makes_tokens], ids=lambda d: d.name)
def test_a_token_that_only_its_vendor_makes_is_left_to_the_vendors_tool(
    new_token: tuple[SoftHsm, str], device: Device
) -> None:
    with pytest.raises(ConfigurationError, match=f"tokens of {device.name} are not made through PKCS#11") as refused:
        create_partition(new_token[0].uri("camera") + f"&x-device={device.name}", PIN, PIN)
    assert device.tool in refused.value.hint
