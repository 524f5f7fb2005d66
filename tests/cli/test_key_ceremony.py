"""Key ceremonies with real processes: key files and SoftHSM, people with keys of ssh-keygen, minutes that they sign."""

import io
import json
import os
import signal
import subprocess
import sys
import tomllib
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass, replace
from pathlib import Path

import jsonschema
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from tests.conftest import require_tool
from tests.simulators import ceremonies
from tests.simulators.ceremonies import Vendor, key, module, script
from tests.simulators.live import Live
from tests.simulators.softhsm import SoftHsm

from sealwright.cli.main import main
from sealwright.core import records
from sealwright.core.digests import document_digest
from sealwright.core.envelopes import SignedDocument
from sealwright.core.schemas import schema_of
from sealwright.keystores import private_keys
from sealwright.keystores.certificates import self_signed
from sealwright.keystores.interface import CertificateTemplate
from sealwright.keystores.opening import open_ceremony
from sealwright.keystores.secrets import Secret
from sealwright.policy.minutes import Minutes
from sealwright.wiring.ceremony_files import Journal

PEOPLE = ("ada", "ben", "cleo")
pytestmark = pytest.mark.slow
PROFILE = "router/production/2026"


@dataclass
class Room:
    """An installation, the people present, and a terminal beside the signer."""

    live: Live
    people: dict[str, Path]
    folder: Path

    @property
    def instance(self):
        return self.live.configuration.folder

    def run(self, *arguments, program=None, environment=None):
        """Run a command in this process, or by a program of its own, which is killed."""
        said = {
            "SEALWRIGHT_DEBUG": "1",  # a bug shows itself
            "SEALWRIGHT_CONFIG": str(self.folder),
            "SEALWRIGHT_URL": self.live.configuration.url,
            "SEALWRIGHT_TRUST": str(self.live.configuration.trust_file),
            "SEALWRIGHT_IDENTITY": str(self.live.identities["root-a"]),
        } | (environment or {})
        words = [str(word) for word in arguments]
        if program is None:
            return in_process(words, said)
        command = [sys.executable, *map(str, program), *words]
        done = subprocess.run(
            command, check=False, env={**os.environ, **said}, capture_output=True, text=True, timeout=120
        )
        assert "Traceback" not in done.stderr, done.stderr
        return done

    def good(self, *arguments, **more):
        done = self.run(*arguments, **more)
        assert done.returncode == 0, done.stdout + done.stderr
        return done

    def write(self, text, name="script.toml"):
        path = self.folder / name
        path.write_text(text)
        return path

    def hold(self, text, *more):
        """Run a ceremony to its end and return the file of minutes and its JSON."""
        done = self.good("key", "ceremony", self.write(text), "--instance", self.instance, "--json", *more)
        said = json.loads(done.stdout)
        return Path(said["file"]), said

    def sign(self, minutes, *people):
        for name in people:
            self.good("key", "minutes", "sign", minutes, "--identity", self.people[name], "--yes")

    def verify(self, minutes, *more):
        return self.run("key", "minutes", "verify", minutes, *more)


def in_process(words, environment):
    out, err = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        for name, value in environment.items():
            patch.setenv(name, value)
        code = main(words)
    return subprocess.CompletedProcess(words, code, out.getvalue(), err.getvalue())


@pytest.fixture(scope="module")
def live(tmp_path_factory):
    live = Live(tmp_path_factory.mktemp("ceremony")).make()
    try:
        yield live.start().found_policy()
    finally:
        live.stop()


@pytest.fixture(scope="module")
def people(tmp_path_factory):
    folder = tmp_path_factory.mktemp("people")
    kinds = dict(zip(PEOPLE, ("ed25519", "ecdsa", "rsa"), strict=True))
    return {name: ceremonies.participant(folder, name, kind) for name, kind in kinds.items()}


@pytest.fixture
def room(live, people, tmp_path):
    return Room(live, people, tmp_path)


@pytest.fixture
def hsm(tmp_path):
    hsm = SoftHsm(tmp_path)
    yield hsm
    hsm.close()


@pytest.fixture
def vault(room, hsm):
    """The room with a product whose keys live in a token of SoftHSM, made beforehand with its own tool."""
    return token(room, hsm, "1234")


@pytest.fixture
def device(room, hsm):
    """The same with a token that says it is a YubiHSM 2, which nobody here has, and its form of a PIN."""
    return token(room, hsm, "0001TEST-ONLY", "&x-device=yubihsm-2")


def token(room, hsm, code, more=""):
    product = f"vault{os.urandom(3).hex()}"
    uri = hsm.token(f"{product}-production", code) + more
    pin = room.folder / "pin"
    pin.write_text(f"{code}\n")
    pin.chmod(0o600)
    room.good("product", "add", product, "--environment", "production")
    return room, product, ("--keystore", uri, "--secret", f"file:{pin}"), hsm


def rewrite(minutes, folder, **changes):
    """Return a copy of minutes with other content and the same signatures."""
    signed = records.parse(SignedDocument, minutes.read_bytes(), max_bytes=4 << 20)
    document = records.serialise(replace(records.parse(Minutes, signed.document), **changes))
    path = folder / "changed.json"
    path.write_bytes(records.serialise(replace(signed, document=document)))
    return path


# Key files


def test_a_ceremony_on_key_files_is_signed_verified_adopted_and_logged(room):
    keys = key("2026", backup="sealed-copy") + key("2027", "ed25519")
    minutes, said = room.hold(script(room.people, keys, id="files"))
    assert [k["grade"] for k in said["keys"]] == ["software", "software"]
    assert said["keys"][0]["copies"][0] == "partition.json"
    copies = minutes.parent / "sealed-copies"
    kept = room.instance / "signer/keys/router-production"
    for name in said["keys"][0]["copies"]:
        assert (copies / name).read_bytes() == (kept / name).read_bytes()
    room.sign(minutes, "ada", "cleo")
    verified = room.verify(minutes, "--json")
    assert json.loads(verified.stdout)["signed_by"] == ["ada", "cleo"]
    adopted = room.good("key", "minutes", "adopt", minutes)
    assert f"+ minutes: {said['digest']}" in adopted.stdout
    assert said["digest"] in room.good("policy", "check").stdout
    room.good("policy", "propose")
    room.good("policy", "apply")
    shown = room.good("key", "show", PROFILE).stdout
    assert said["digest"] in shown
    assert "software, generated" in shown


def test_a_signature_that_ssh_keygen_made_elsewhere_comes_into_the_minutes(room):
    minutes, said = room.hold(script(room.people, key("elsewhere"), id="by-ssh-keygen"))
    digest = room.folder / "minutes.digest"
    digest.write_bytes(bytes.fromhex(said["digest"]))
    made = digest.with_name("minutes.digest.sig")

    def ssh_keygen(person, namespace="sealwright-minutes-v1"):
        made.unlink(missing_ok=True)
        sign = [require_tool("ssh-keygen"), "-Y", "sign", "-n", namespace, "-f", room.people[person], digest]
        subprocess.run(sign, check=True, capture_output=True)
        return room.run("key", "minutes", "sign", minutes, "--signature", made)

    refused = ssh_keygen("ada", namespace="file")
    assert refused.returncode == 1
    assert "is no participant's signature of these minutes" in refused.stderr
    for person in ("ada", "ben"):
        done = ssh_keygen(person)
        assert done.returncode == 0, done.stderr
        assert f"signed by {person}" in done.stderr
    again = ssh_keygen("ada")
    assert "ada signed these minutes already" in again.stderr
    assert json.loads(room.good("key", "minutes", "verify", minutes, "--json").stdout)["signed_by"] == ["ada", "ben"]
    assert room.run("key", "minutes", "sign", minutes).returncode == 64


def test_evidence_of_a_ceremonys_key_proves_its_minutes_offline(room):
    minutes, said = room.hold(script(room.people, key("sealed"), id="evidence"))
    room.sign(minutes, "ada", "ben")
    room.good("key", "minutes", "adopt", minutes)
    room.good("policy", "propose")
    room.good("policy", "apply")
    image = room.folder / "fw.bin"
    image.write_bytes(b"firmware")
    evidence = sign_image(room, image, "router/production/sealed")
    verified = room.good("verify", image, "--evidence", evidence, "--json").stdout
    assert json.loads(verified)["keys"][0]["minutes"] == said["digest"]
    assert "grade" in json.loads(verified)["keys"][0]
    proven = room.good("key", "minutes", "verify", minutes, "--evidence", evidence, "--json").stdout
    assert json.loads(proven)["proven"] == ["router/production/sealed"]
    other, _ = room.hold(script(room.people, key("other"), id="evidence-other"))
    room.sign(other, "ada", "ben")
    refused = room.verify(other, "--evidence", evidence)
    assert refused.returncode == 1
    assert "proves no key that names these minutes" in refused.stderr


def sign_image(room, image, profile):
    """Have an image signed by two approvers, with the key of a ceremony."""
    environments = {
        name: {"SEALWRIGHT_IDENTITY": str(room.live.identities[name]), "SEALWRIGHT_CONFIG": str(room.folder / name)}
        for name in ("ada", "ben", "cleo")
    }
    out = room.folder / "out"
    asked = room.good(
        "sign", image, "--product", "router", "--release", "1.0", "--key-profile", profile, "--json",
        environment=environments["ada"],
    )  # fmt: skip
    request = json.loads(asked.stdout)["id"]
    for name in ("ben", "cleo"):
        room.good("request", "approve", request, "--yes", environment=environments[name])
    room.good("request", "fetch", request, image, "--wait", "-o", out, environment=environments["ada"])
    return next(path for path in out.rglob("*.sealwright")) if out.is_dir() else Path(f"{out}.sealwright")


def test_too_few_signatures_are_refused_and_the_missing_are_named(room):
    minutes, _ = room.hold(script(room.people, key("few"), id="few"))
    room.sign(minutes, "ada")
    for command in (("verify", minutes), ("adopt", minutes)):
        refused = room.run("key", "minutes", *command)
        assert refused.returncode == 77
        assert "1 of 2 signatures are there" in refused.stderr
        assert "still to sign: ben, cleo" in refused.stderr


def test_nobody_signs_twice_and_a_stranger_not_at_all(room):
    minutes, _ = room.hold(script(room.people, key("twice"), id="twice"))
    room.sign(minutes, "ada")
    before = minutes.read_bytes()
    again = room.run("key", "minutes", "sign", minutes, "--identity", room.people["ada"], "--yes")
    assert (again.returncode, "signed these minutes already" in again.stderr) == (77, True)
    stranger = ceremonies.participant(room.folder, "stranger")
    refused = room.run("key", "minutes", "sign", minutes, "--identity", stranger, "--yes")
    assert (refused.returncode, "names no participant with this key" in refused.stderr) == (77, True)
    assert minutes.read_bytes() == before


def test_ssh_keygen_signs_and_verifies_minutes_without_us(room):
    """The digest of the minutes, in our namespace: what people can check with their own tool."""
    minutes, said = room.hold(script(room.people, key("keygen"), id="keygen"))
    room.sign(minutes, "ada")
    signed = records.parse(SignedDocument, minutes.read_bytes())
    armoured = room.folder / "minutes.sig"
    encoded = records.dump(signed)["signatures"][0]["signature"]
    armoured.write_text(f"-----BEGIN SSH SIGNATURE-----\n{encoded}\n-----END SSH SIGNATURE-----\n")
    allowed = room.folder / "allowed"
    allowed.write_text("ada " + " ".join(Path(f"{room.people['ada']}.pub").read_text().split()[:2]) + "\n")
    command = ["ssh-keygen", "-Y", "verify", "-f", allowed, "-I", "ada", "-n", "sealwright-minutes-v1", "-s", armoured]
    digest = bytes.fromhex(said["digest"])
    assert subprocess.run(command, input=digest, check=False, capture_output=True).returncode == 0
    turned = bytes([digest[0] ^ 1]) + digest[1:]
    assert subprocess.run(command, input=turned, check=False, capture_output=True).returncode == 255


def test_changed_minutes_are_refused(room):
    minutes, _ = room.hold(script(room.people, key("changed"), id="changed"))
    room.sign(minutes, "ada", "ben")
    assert room.verify(minutes).returncode == 0
    written = records.parse(Minutes, records.parse(SignedDocument, minutes.read_bytes()).document)
    lowered = written.script.replace(b"signatures = 2", b"signatures = 1")
    for changes in ({"script": lowered}, {"ended": written.ended + 1}, {"software": "another"}):
        refused = room.verify(rewrite(minutes, room.folder, **changes))
        assert refused.returncode == 1
        assert "is not one of a participant over these minutes" in refused.stderr


def test_minutes_of_another_installation_are_refused(room, tmp_path):
    minutes, _ = room.hold(script(room.people, key("instance"), id="instance"))
    room.sign(minutes, "ada", "ben")
    other = Live(tmp_path / "other").make()
    refused = room.verify(minutes, "--trust", other.configuration.trust_file)
    assert (refused.returncode, "another installation" in refused.stderr) == (1, True)


def test_an_exchanged_key_or_certificate_is_refused_before_any_signature_is_looked_at(room):
    minutes, _ = room.hold(script(room.people, key("one") + key("two"), id="exchanged"))
    one, two = records.parse(Minutes, records.parse(SignedDocument, minutes.read_bytes()).document).keys
    for first, why in (
        (replace(one, public_key=two.public_key), "certificate is that of another key"),
        (replace(one, public_key=two.public_key, certificate=two.certificate, profile=two.profile), "expected"),
        (replace(one, certificate=one.certificate[:-1] + bytes([one.certificate[-1] ^ 1])), "does not verify"),
        (replace(one, grade="hardware-claimed"), "grade of key"),
    ):
        refused = room.run("key", "minutes", "show", rewrite(minutes, room.folder, keys=(first, two)))
        assert refused.returncode == 1, refused.stderr
        assert why in refused.stderr


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"signatures": 4}, "4 are demanded of 3 participants"),
        ({"grade": "hardware-claimed"}, "grade software has none, every other grade has one"),
        ({"grade": "hardware-attested", "module": module()}, "grade hardware-attested needs it"),
        ({"grade": "hardware-claimed", "module": module().replace("level = 3", "")}, "has a level of 1 to 4"),
        ({"grade": "hardware-claimed", "module": module().replace("EAL4+", "3")}, "does not match EAL"),
        ({"grade": "hardware-claimed", "module": module().replace("FIPS 140-3", "FIPS 140-4")}, "expected one of"),
        ({"module": '\nsurprise = "x"\n'}, "unknown members"),
        ({"partition": "router-test"}, "lie in router-production or router-production-…, not in router-test"),
        ({"partition": "router-production-"}, "lie in router-production or router-production-…"),
        ({"id": "a\u202eb"}, "forbidden character U+202E"),
    ],
)
def test_a_script_that_contradicts_itself_is_refused_before_anything_is_made(room, change, why):
    path = room.write(script(room.people, key("never-made"), **{"id": "contradiction"} | change))
    refused = room.run("key", "ceremony", path, "--instance", room.instance)
    assert (refused.returncode, why in refused.stderr) == (65, True), refused.stderr
    assert not (room.instance / "ceremonies/contradiction").exists()


def test_what_the_policy_would_refuse_is_refused_before_anything_is_made(room):
    path = room.write(script(room.people, key("x"), id="no-product", product="toaster"))
    refused = room.run("key", "ceremony", path, "--instance", room.instance)
    assert (refused.returncode, "there is no product toaster" in refused.stderr) == (77, True)
    assert not (room.instance / "ceremonies/no-product").exists()


def test_an_id_belongs_to_one_script_and_the_same_command_again_makes_nothing(room):
    text = script(room.people, key("again"), id="again")
    _, said = room.hold(text)
    assert room.hold(text)[1]["digest"] == said["digest"]
    other = room.write(text.replace("First keys", "Second keys"))
    refused = room.run("key", "ceremony", other, "--instance", room.instance)
    assert (refused.returncode, "begun with another script" in refused.stderr) == (77, True)


# A token


def test_a_ceremony_in_a_token_records_what_the_token_says(vault):
    room, product, place, _ = vault
    minutes, said = room.hold(
        script(room.people, key("1") + key("2", "rsa-pkcs1-sha256", more="size_bits = 2048\n"), id=product,
               product=product, grade="hardware-claimed", module=module()), *place,
    )  # fmt: skip
    for made in said["keys"]:
        assert made["grade"] == "hardware-claimed"
        assert made["attributes"] == {
            "SENSITIVE": True, "EXTRACTABLE": False, "ALWAYS_SENSITIVE": True, "NEVER_EXTRACTABLE": True, "LOCAL": True,
        }  # fmt: skip
    room.sign(minutes, "ben", "cleo")
    shown = room.verify(minutes).stdout
    assert "FIPS 140-3 level 3, number 4700: active on 2026-11-02" in shown
    assert "Common Criteria EAL4+, number ANSSI-CC-2026/01, EN 419221-5: active on 2026-11-02" in shown
    assert "softhsm-2: SoftHSM project, SoftHSM v2" in shown
    written = records.parse(Minutes, records.parse(SignedDocument, minutes.read_bytes()).document)
    assert tomllib.loads(written.script.decode())["product"] == product
    adopted = room.good("key", "minutes", "adopt", minutes).stdout
    assert "+ grade: hardware-claimed" in adopted


def test_minutes_in_which_the_token_says_extractable_are_refused(vault):
    room, product, place, _ = vault
    text = script(room.people, key("1"), id=product, product=product, grade="hardware-claimed", module=module())
    minutes, _ = room.hold(text, *place)
    (made,) = records.parse(Minutes, records.parse(SignedDocument, minutes.read_bytes()).document).keys
    for name, why in (("EXTRACTABLE", "expected False, got True"), ("SENSITIVE", "expected True, got False")):
        turned = tuple(replace(a, value=not a.value) if a.name == name else a for a in made.attributes)
        changed = rewrite(minutes, room.folder, keys=(replace(made, attributes=turned),))
        refused = room.run("key", "minutes", "show", changed)
        assert (refused.returncode, f"{name}, as the token says it: {why}" in refused.stderr) == (1, True)
    for left_out in made.attributes:
        some = tuple(a for a in made.attributes if a is not left_out)
        changed = rewrite(minutes, room.folder, keys=(replace(made, attributes=some),))
        refused = room.run("key", "minutes", "show", changed)
        assert f"{left_out.name}, as the token says it: expected {left_out.value}, got nothing" in refused.stderr
    (local,) = (a for a in made.attributes if a.name == "LOCAL")
    some = tuple(a for a in made.attributes if a.name != "SENSITIVE")
    twice = rewrite(minutes, room.folder, keys=(replace(made, attributes=(replace(local, value=False), *some)),))
    assert "LOCAL is there twice" in room.run("key", "minutes", "show", twice).stderr


def test_another_token_than_that_of_the_script_is_refused_before_anything_is_made(vault):
    room, product, place, hsm = vault
    text = script(
        room.people, key("1"), id=product, product=product, grade="hardware-claimed", module=module("0123456789abcdef")
    )
    refused = room.run("key", "ceremony", room.write(text), "--instance", room.instance, *place)
    assert (refused.returncode, "serial number of the token: expected 0123456789abcdef" in refused.stderr) == (1, True)
    assert objects(hsm, product) == ""


def test_an_attested_key_waits_for_its_attestation_and_refuses_every_wrong_one(device):
    room, product, place, _ = device
    vendor, foreign = Vendor(), Vendor()
    text = script(
        room.people, key("1"), id=product, product=product, grade="hardware-attested", module=module(),
        attestation=vendor.rule(),
    )  # fmt: skip
    path = room.write(text)
    command = ("key", "ceremony", path, "--instance", room.instance, *place)
    waiting = room.run(*command)
    assert (waiting.returncode, "still missing is the attestation of" in waiting.stderr) == (75, True)
    spki = journalled(room, product)
    wrong = {
        "another.pem": (vendor.pem(vendor.attest(other_key())), "that of another key"),
        "foreign.pem": (foreign.pem(foreign.attest(spki)), "leads to none of the roots"),
        "imported.pem": (vendor.pem(vendor.attest(spki, origin=2)), "was not made in the device"),
    }
    for name, (pem, why) in wrong.items():
        file = room.write(pem, name)
        refused = room.run(*command, "--attestation", f"{product}/production/1={file}")
        assert (refused.returncode, why in refused.stderr) == (1, True), refused.stderr
    file = room.write(vendor.pem(vendor.attest(spki)), "right.pem")
    minutes, said = room.hold(text, *place, "--attestation", f"{product}/production/1={file}")
    assert (said["keys"][0]["grade"], said["keys"][0]["attested_by"]) == ("hardware-attested", ceremonies.SERIAL)
    room.sign(minutes, "ada", "ben")
    assert "attested by" in room.verify(minutes).stdout
    root, wrong_root = room.write(vendor.root_pem, "root.pem"), room.write(foreign.root_pem, "foreign-root.pem")
    assert room.verify(minutes, "--attestation-root", root).returncode == 0
    assert room.verify(minutes, "--attestation-root", wrong_root).returncode == 1
    assert "+ grade: hardware-attested" in room.good("key", "minutes", "adopt", minutes).stdout
    (made,) = records.parse(Minutes, records.parse(SignedDocument, minutes.read_bytes()).document).keys
    swapped = replace(made, attestation=vendor.chain(vendor.attest(other_key())))
    refused = room.verify(rewrite(minutes, room.folder, keys=(swapped,)))
    assert (refused.returncode, "that of another key" in refused.stderr) == (1, True)


def test_an_attestation_of_another_device_than_that_of_the_script_is_refused(device):
    room, product, place, _ = device
    vendor = Vendor()
    text = script(
        room.people, key("1"), id=product, product=product, grade="hardware-attested",
        module=module(serial="987654321"), attestation=vendor.rule(),
    )  # fmt: skip
    command = ("key", "ceremony", room.write(text), "--instance", room.instance, *place)
    room.run(*command)
    spki = journalled(room, product)
    file = room.write(vendor.pem(vendor.attest(spki)), "right.pem")
    refused = room.run(*command, "--attestation", f"{product}/production/1={file}")
    assert (refused.returncode, "expected 987654321, 2.4.1, got 123456789, 2.4.1" in refused.stderr) == (1, True)


def test_attestations_of_a_device_that_the_token_is_not_are_refused_before_anything_is_made(vault):
    room, product, place, hsm = vault
    text = script(
        room.people, key("1"), id=product, product=product, grade="hardware-attested", module=module(),
        attestation=Vendor().rule(),
    )  # fmt: skip
    refused = room.run("key", "ceremony", room.write(text), "--instance", room.instance, *place)
    assert refused.returncode == 77
    assert "wants attestations of a yubihsm-2" in refused.stderr
    assert "is in a token of softhsm-2: its keys would never have one" in refused.stderr
    assert objects(hsm, product) == ""


def test_minutes_with_the_attestation_of_another_device_than_their_token_are_refused(device):
    room, product, place, _ = device
    vendor = Vendor()
    text = script(
        room.people, key("1"), id=product, product=product, grade="hardware-attested", module=module(),
        attestation=vendor.rule(),
    )  # fmt: skip
    room.run("key", "ceremony", room.write(text), "--instance", room.instance, *place)
    file = room.write(vendor.pem(vendor.attest(journalled(room, product))), "right.pem")
    minutes, _ = room.hold(text, *place, "--attestation", f"{product}/production/1={file}")
    written = records.parse(Minutes, records.parse(SignedDocument, minutes.read_bytes()).document)
    assert written.module.device == "yubihsm-2"
    changed = rewrite(minutes, room.folder, module=replace(written.module, device="softhsm-2"))
    refused = room.run("key", "minutes", "show", changed)
    assert (refused.returncode, "expected yubihsm-2, got softhsm-2" in refused.stderr) == (1, True)


def journalled(room, product):
    journal = json.loads((room.instance / "ceremonies" / product / "journal.json").read_bytes())
    return records.canonical.from_base64(journal["keys"][0]["public_key"])


def other_key():
    return (
        ec.generate_private_key(ec.SECP256R1())
        .public_key()
        .public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    )


# Interruptions

KILLED = """
import os, signal, sys
from sealwright.keystores import files, pkcs11, pkcs11_ceremony, pkcs11_session
from sealwright.wiring import key_ceremony

def die(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)

def after(function):
    def called(*arguments, **named):
        function(*arguments, **named)
        die()
    return called

point = sys.argv.pop(1)
if point == "generated":  # both halves are in the token, without their name
    pkcs11_session.Session.generate_key_pair = after(pkcs11_session.Session.generate_key_pair)
elif point == "half-named":
    pkcs11_session.Session.set_attributes = after(pkcs11_session.Session.set_attributes)
elif point == "created":
    for ceremony in (pkcs11.Pkcs11Ceremony, files.FilesCeremony):
        ceremony.create_key = after(ceremony.create_key)
elif point == "announced":
    for ceremony in (pkcs11.Pkcs11Ceremony, files.FilesCeremony):
        ceremony.create_key = die
elif point == "recorded":
    key_ceremony._minutes = die
from sealwright.cli.main import main
raise SystemExit(main(sys.argv[1:]))
"""


def interrupted(room, point, text, *place):
    program = room.write(KILLED, "killed.py")
    path = room.write(text)
    done = room.run("key", "ceremony", path, "--instance", room.instance, *place, program=(program, point))
    assert done.returncode == -signal.SIGKILL, done.stderr
    return path


def objects(hsm, product):
    tool = ceremonies.require_tool("pkcs11-tool")
    command = [tool, "--module", hsm.module_path, "--token-label", f"{product}-production", "--pin", "1234", "-O"]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return "\n".join(line for line in done.stdout.splitlines() if "Object" in line)


@pytest.mark.parametrize("point", ["announced", "generated", "half-named", "created", "recorded"])
def test_a_ceremony_killed_in_a_token_resumes_without_a_second_key(vault, point):
    room, product, place, hsm = vault
    text = script(
        room.people, key("1") + key("2", "ed25519"), id=product, product=product, grade="hardware-claimed",
        module=module(),
    )  # fmt: skip
    interrupted(room, point, text, *place)
    assert not (room.instance / "ceremonies" / product / "minutes.json").exists()
    minutes, said = room.hold(text, *place)
    listed = objects(hsm, product)
    assert (listed.count("Public Key Object"), listed.count("Private Key Object")) == (2, 2)
    taken_up = [k["taken_up"] for k in said["keys"]]
    assert taken_up == [point in ("generated", "half-named", "created"), False]
    room.sign(minutes, "ada", "ben")
    assert room.verify(minutes).returncode == 0


@pytest.mark.parametrize("point", ["announced", "created", "recorded"])
def test_a_ceremony_killed_on_key_files_resumes_without_a_second_key(room, point):
    text = script(room.people, key(f"killed-{point}"), id=f"killed-{point}")
    kept = room.instance / "signer/keys/router-production"
    before = set(kept.iterdir())
    interrupted(room, point, text)
    minutes, said = room.hold(text)
    assert said["keys"][0]["taken_up"] is (point == "created")
    assert len(set(kept.iterdir()) - before) == 1
    room.sign(minutes, "ada", "ben")
    assert room.verify(minutes).returncode == 0


def test_a_journal_that_was_changed_makes_no_imported_key_one_of_the_token(vault):
    """Its words are not those of the token: somebody put a key there that is known outside, and says otherwise."""
    room, product, place, hsm = vault
    text = script(room.people, key("1"), id=product, product=product, grade="hardware-claimed", module=module())
    path = interrupted(room, "recorded", text, *place)
    file = room.instance / "ceremonies" / product / "journal.json"
    honest = records.parse(Journal, file.read_bytes())
    (made,) = honest.keys
    outside = private_keys.generate(made.algorithm, 256)
    ceremony = open_ceremony(hsm.uri(f"{product}-production"), Secret(b"1234"))
    imported = ceremony.import_key(made.profile, outside, ())
    ceremony.close()
    certificate = self_signed(
        imported.public_key, made.algorithm, lambda p: private_keys.sign(outside, made.algorithm, p),
        CertificateTemplate(common_name=made.profile, not_before=ceremonies.BEGIN, not_after=ceremonies.END),
    )  # fmt: skip
    lying = replace(made, public_key=imported.public_key.spki_der, certificate=certificate)
    file.write_bytes(records.serialise(replace(honest, keys=(lying,))))
    refused = room.run("key", "ceremony", path, "--instance", room.instance, *place)
    assert refused.returncode == 1
    assert "what its keystore says of it is not what journal.json has" in refused.stderr
    assert "LOCAL True" in refused.stderr.partition("got")[0]
    assert "LOCAL False" in refused.stderr.partition("got")[2]
    file.write_bytes(records.serialise(honest))
    assert room.hold(text, *place)[1]["keys"][0]["grade"] == "hardware-claimed"


def test_half_a_key_is_named_and_left_alone_until_somebody_says_so(vault):
    room, product, place, hsm = vault
    text = script(room.people, key("1"), id=product, product=product, grade="hardware-claimed", module=module())
    path = interrupted(room, "generated", text, *place)
    tool = ceremonies.require_tool("pkcs11-tool")
    command = [tool, "--module", hsm.module_path, "--token-label", f"{product}-production", "--pin", "1234", "--login"]
    label = f"{product}/production/1"
    subprocess.run([*command, "--delete-object", "--type", "pubkey", "--label", label], check=True, capture_output=True)
    refused = room.run("key", "ceremony", path, "--instance", room.instance)
    assert refused.returncode == 77
    assert "there is no whole key, but private key object with CKA_ID" in refused.stderr
    assert "Private Key" in objects_after_login(command)
    _, said = room.hold(text, "--discard-unfinished")
    assert said["keys"][0]["taken_up"] is False
    listed = objects_after_login(command)
    assert (listed.count("Public Key Object"), listed.count("Private Key Object")) == (1, 1)


def objects_after_login(command):
    return subprocess.run([*command, "-O"], check=True, capture_output=True, text=True).stdout


def test_a_key_that_somebody_else_made_under_the_name_is_not_taken_up(vault):
    room, product, place, hsm = vault
    text = script(room.people, key("1"), id=product, product=product, grade="hardware-claimed", module=module())
    command = [
        ceremonies.require_tool("pkcs11-tool"), "--module", hsm.module_path, "--token-label", f"{product}-production",
        "--pin", "1234", "--login", "--keypairgen", "--key-type", "EC:prime256v1", "--id", "01",
        "--label", f"{product}/production/1",
    ]  # fmt: skip
    subprocess.run(command, check=True, capture_output=True)
    refused = room.run("key", "ceremony", room.write(text), "--instance", room.instance, *place)
    assert (refused.returncode, "which this ceremony did not make" in refused.stderr) == (77, True)


def test_the_digest_of_minutes_is_that_of_every_document(room):
    minutes, said = room.hold(script(room.people, key("digest"), id="digest"))
    signed = records.parse(SignedDocument, minutes.read_bytes())
    jsonschema.validate(json.loads(signed.document), schema_of(Minutes), jsonschema.Draft202012Validator)
    assert document_digest("minutes", room.live.configuration.instance, signed.document) == said["digest"]
