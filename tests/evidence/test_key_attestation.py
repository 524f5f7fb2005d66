"""Attestations of YubiHSM 2, made by a vendor of our own: the right chain is accepted, every other one refused."""

import ssl
import time

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID
from tests.simulators.ceremonies import EXPORTABLE_UNDER_WRAP, FIRMWARE, SERIAL, SIGN_ECDSA, Vendor

from sealwright.core.errors import FormatError, SealwrightError, VerificationError
from sealwright.evidence.key_attestation import load_roots, verify_yubihsm

NOW = int(time.time())
AUTHORITY = x509.BasicConstraints(ca=True, path_length=0)


@pytest.fixture(scope="module")
def vendor():
    return Vendor()


@pytest.fixture(scope="module")
def private():
    return ec.generate_private_key(ec.SECP256R1())


@pytest.fixture(scope="module")
def spki(private):
    return spki_of(private)


def spki_of(key):
    return key.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


def check(vendor, chain, spki, at_seconds=NOW):
    return verify_yubihsm(chain, load_roots(vendor.root_pem.encode()), spki, at_seconds=at_seconds)


def test_a_chain_from_key_to_root_is_accepted_and_says_which_device(vendor, spki):
    found = check(vendor, vendor.chain(vendor.attest(spki)), spki)
    assert (found.serial, found.firmware, found.object_id, found.label) == (SERIAL, FIRMWARE, 7, "TEST ONLY")
    assert found.root == vendor.certificates["root"]
    assert not found.says_fips


def test_extensions_as_a_device_of_firmware_2_4_1_encodes_them_are_read():
    """Values that others read from a device and published."""
    members = Vendor.members(firmware="2.4.1", serial=0x0BD9FD, origin=1, object_id=3, label="", capabilities=0x100)
    assert members == {
        "1": bytes([4, 3, 2, 4, 1]), "2": bytes([2, 3, 11, 217, 253]), "3": bytes([3, 2, 0, 1]),
        "4": bytes([3, 3, 0, 0, 1]), "5": bytes([3, 9, 0, 0, 0, 0, 0, 0, 0, 1, 0]), "6": bytes([2, 1, 3]),
        "9": bytes([12, 0]),
    }  # fmt: skip


def test_the_root_may_be_in_the_chain_too(vendor, spki):
    root = vendor.certificates["root"].public_bytes(serialization.Encoding.DER)
    assert check(vendor, (*vendor.chain(vendor.attest(spki)), root), spki).serial == SERIAL


def test_a_foreign_chain_is_refused(vendor, spki):
    foreign = Vendor()
    with pytest.raises(VerificationError, match="leads to none of the roots"):
        check(vendor, foreign.chain(foreign.attest(spki)), spki)


def test_a_foreign_device_under_the_right_authority_by_name_only_is_refused(vendor, spki):
    foreign = Vendor()
    mixed = (foreign.chain(foreign.attest(spki))[0], *vendor.chain(vendor.attest(spki))[1:])
    with pytest.raises(VerificationError, match="is not signed by"):
        check(vendor, mixed, spki)


def test_an_attestation_for_another_key_is_refused(vendor, spki):
    other = spki_of(ec.generate_private_key(ec.SECP256R1()))
    with pytest.raises(VerificationError, match="that of another key"):
        check(vendor, vendor.chain(vendor.attest(other)), spki)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"origin": 0x02}, "not made in the device: origin 0x2"),
        ({"origin": 0x11}, "not made in the device: origin 0x11"),
        ({"origin": None}, "lacks the extension 1.3.6.1.4.1.41482.4.3"),
        ({"capabilities": SIGN_ECDSA | EXPORTABLE_UNDER_WRAP}, "may export the key under a wrapping key"),
        ({"capabilities": None}, "lacks the extension 1.3.6.1.4.1.41482.4.5"),
    ],
)
def test_a_key_that_was_imported_or_may_leave_is_refused(vendor, spki, changes, why):
    with pytest.raises(VerificationError, match=why):
        check(vendor, vendor.chain(vendor.attest(spki, **changes)), spki)


def test_a_key_in_the_device_cannot_attest_another_one(vendor, private, spki):
    """Who may use a key in the device signs with it what looks like an attestation; the chain below it is genuine."""
    outside = ec.generate_private_key(ec.SECP256R1())
    genuine = vendor.attest(spki)
    forged = vendor.attest(spki_of(outside), signer=private, issuer="YubiHSM Attestation id:0x0007")
    chain = (forged.public_bytes(serialization.Encoding.DER), *vendor.chain(genuine))
    with pytest.raises(VerificationError, match="itself attested"):
        check(vendor, chain, spki_of(outside))


def test_an_attested_key_right_under_an_authority_attests_nothing_either(vendor, private, spki):
    leaf = vendor.attest(spki, signer=vendor.keys["authority"], issuer=f"{vendor.name} authority")
    forged = vendor.attest(spki, signer=private, issuer="YubiHSM Attestation id:0x0007")
    chain = tuple(c.public_bytes(serialization.Encoding.DER) for c in (forged, leaf, vendor.certificates["authority"]))
    with pytest.raises(VerificationError, match="itself attested"):
        check(vendor, chain, spki)


def issued(vendor, name, *extensions, by="device", serial=SERIAL):
    """Return key and certificate of what looks like a device, issued by somebody of the vendor."""
    own = ec.generate_private_key(ec.SECP256R1())
    builder = vendor._builder(name, f"{vendor.name} {by}", own.public_key())
    for value in extensions:
        builder = builder.add_extension(value, critical=isinstance(value, x509.BasicConstraints))
    if serial:
        said = {number: value for number, value in vendor.members(serial=int(serial)).items() if number in ("1", "2")}
        builder = vendor._extended(builder, said)
    return own, builder.sign(vendor.keys[by], hashes.SHA256())


def der_of(*certificates):
    return tuple(c.public_bytes(serialization.Encoding.DER) for c in certificates)


def test_an_authority_below_the_device_is_none(vendor, spki):
    below, second = issued(vendor, "TEST ONLY second", AUTHORITY)
    leaf = vendor.attest(spki, signer=below, issuer="TEST ONLY second")
    chain = der_of(leaf, second, vendor.certificates["device"], vendor.certificates["authority"])
    with pytest.raises(VerificationError, match="device allows 0 authorities below it"):
        check(vendor, chain, spki)


USAGE = dict.fromkeys(
    ("content_commitment", "key_encipherment", "data_encipherment", "key_agreement", "crl_sign", "encipher_only",
     "decipher_only"), False,
)  # fmt: skip


@pytest.mark.parametrize(
    ("extensions", "serial", "why"),
    [
        ((AUTHORITY,), SERIAL, ""),
        ((AUTHORITY, x509.KeyUsage(digital_signature=False, key_cert_sign=True, **USAGE)), SERIAL, ""),
        ((), SERIAL, "web server is no authority"),
        ((x509.BasicConstraints(ca=False, path_length=None),), SERIAL, "web server is no authority"),
        ((AUTHORITY, x509.KeyUsage(digital_signature=True, key_cert_sign=False, **USAGE)), SERIAL, "by its key usage"),
        ((AUTHORITY, x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH])), SERIAL, "by its extended key usage"),
        ((AUTHORITY,), "", "web server lacks the extension 1.3.6.1.4.1.41482.4.2"),
        ((AUTHORITY,), "5", "name different devices"),
    ],
)
def test_what_attests_is_an_authority_and_a_device_of_that_serial_number(vendor, spki, extensions, serial, why):
    own, between = issued(vendor, "web server", *extensions, by="authority", serial=serial)
    chain = der_of(vendor.attest(spki, signer=own, issuer="web server"), between, vendor.certificates["authority"])
    if not why:
        assert check(vendor, chain, spki).serial == SERIAL
        return
    with pytest.raises(VerificationError, match=why):
        check(vendor, chain, spki)


def test_a_yubikey_under_the_same_root_attests_no_key_of_a_yubihsm(vendor, spki):
    """Its PIV applet certifies any key that its user put into a slot, and that key signs anything."""
    slot = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.3.6.1.4.1.41482.3.8"), b"\x01\x01")
    own, between = issued(vendor, "YubiKey PIV Attestation 9a", AUTHORITY, slot, by="authority")
    leaf = vendor.attest(spki, signer=own, issuer="YubiKey PIV Attestation 9a")
    with pytest.raises(VerificationError, match=r"41482\.3\.8: it is of another product than a YubiHSM"):
        check(vendor, der_of(leaf, between, vendor.certificates["authority"]), spki)


@pytest.mark.parametrize(
    ("number", "data", "why"),
    [
        ("3", "03020080", "origin 0x80"),
        ("3", "03020780", "41482.4.3 is no string of 8 bits"),
        ("3", "0303000001", "41482.4.3 is no string of 8 bits"),
        ("3", "030100", "41482.4.3 is no string of 8 bits"),
        ("4", "03020001", "41482.4.4 is no string of 16 bits"),
        ("5", "030100", "41482.4.5 is no string of 64 bits"),
        ("5", "03020080", "41482.4.5 is no string of 64 bits"),
        ("5", "0309000000000000000000", "the key has no capability"),
        ("1", "0400", "firmware of 0 bytes"),
    ],
)
def test_extensions_have_the_sizes_that_devices_give_them(vendor, spki, number, data, why):
    said = {**vendor.members(), number: bytes.fromhex(data)}
    public = serialization.load_der_public_key(spki)
    builder = vendor._builder("YubiHSM Attestation id:0x0007", f"{vendor.name} device", public)
    leaf = vendor._extended(builder, said).sign(vendor.keys["device"], hashes.SHA256())
    with pytest.raises(VerificationError, match=why):
        check(vendor, vendor.chain(leaf), spki)


def test_dates_are_judged_at_the_time_of_the_ceremony(vendor, spki):
    with pytest.raises(VerificationError, match="was not valid on 2000"):
        check(vendor, vendor.chain(vendor.attest(spki)), spki, at_seconds=950_000_000)


def test_a_cut_or_turned_certificate_is_refused_and_never_crashes(vendor, spki):
    leaf, *above = vendor.chain(vendor.attest(spki))
    for at in range(0, len(leaf), 7):
        with pytest.raises((FormatError, VerificationError)):
            check(vendor, (leaf[:at], *above), spki)
        turned = leaf[:at] + bytes([leaf[at] ^ 0x40]) + leaf[at + 1 :]
        with pytest.raises(SealwrightError):
            check(vendor, (turned, *above), spki)


# Found by fuzzing


@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_certificate_whose_name_is_no_text_is_refused(vendor, spki, place):
    chain = list(vendor.chain(vendor.attest(spki)))
    at = chain[place].rfind(b"YubiHSM" if place == 0 else b"TEST")
    chain[place] = chain[place][:at] + b"\xff" + chain[place][at + 1 :]
    with pytest.raises(FormatError, match="not a certificate"):
        check(vendor, chain, spki)


@pytest.mark.parametrize(("right", "wrong"), [(b"\x02\x01\x02", b"\x02\x01\x27"), (b"\x0c", b"\x03")])
def test_a_version_that_is_none_and_a_name_of_bits_are_refused(vendor, spki, right, wrong):
    leaf, *others = vendor.chain(vendor.attest(spki))
    at = leaf.find(right, 0 if right[0] == 2 else leaf.rfind(b"YubiHSM") - 2)
    with pytest.raises(FormatError, match="not a certificate"):
        check(vendor, (leaf[:at] + wrong + leaf[at + len(right) :], *others), spki)


def test_a_root_that_is_none_is_refused(vendor):
    root = vendor.certificates["root"].public_bytes(serialization.Encoding.DER)
    at = root.rfind(b"TEST")
    pem = ssl.DER_cert_to_PEM_cert(root[:at] + b"\xff" + root[at + 1 :])
    with pytest.raises(FormatError, match="not a certificate"):
        load_roots(pem.encode())


def test_a_time_that_no_calendar_has_is_refused(vendor, spki):
    chain = vendor.chain(vendor.attest(spki))
    with pytest.raises(VerificationError, match="is beyond the year 9999"):
        check(vendor, chain, spki, at_seconds=1 << 40)


def test_a_serial_number_that_nobody_could_print_is_refused(vendor, spki):
    chain = vendor.chain(vendor.attest(spki, serial=1 << 20_000))
    with pytest.raises(VerificationError, match="is a number of 20001 bits"):
        check(vendor, chain, spki)
