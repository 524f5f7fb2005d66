"""Keys of one product with two providers: tokens of SoftHSM, or a token and files; they sign together or not at all."""

import time
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from tests.cli.online import Terminal
from tests.formats import esp32_images
from tests.simulators import ceremonies
from tests.simulators.live import PEOPLE, Live
from tests.simulators.softhsm import SoftHsm
from tests.verifiers import espsecure, openssl, openssl35

from sealwright.core.keys import Algorithm, PublicKey

pytestmark = pytest.mark.slow
DIFFERENT, WAITING, REFUSED = 1, 75, 77
ESP32, SECTOR_BYTES, BLOCK_BYTES = "esp32-secure-boot-v2", 4096, 1216
FIRST, SECOND = "sensor/production/first", "sensor/production/second"
GRADES = ("--key-grade", "software", "--key-grade", "hardware-claimed")


@pytest.fixture(scope="module")
def hsm(tmp_path_factory):
    hsm = SoftHsm(tmp_path_factory.mktemp("hsm"))
    yield hsm
    hsm.close()


@pytest.fixture(scope="module")
def live(tmp_path_factory, hsm):  # noqa: ARG001 - its processes inherit where the tokens are
    live = Live(tmp_path_factory.mktemp("providers")).make()
    try:
        yield live.start().found_policy()
    finally:
        live.stop()


@pytest.fixture
def terminal(live, capsys, monkeypatch):
    return Terminal(live, capsys, monkeypatch).connected("root-a", *PEOPLE)


@pytest.fixture
def pin(live):
    path = live.folder / "pin"
    path.write_text("1234\n")
    path.chmod(0o600)
    return f"file:{path}"


def administer(terminal: Terminal, *arguments: object):
    return terminal.good("root-a", *arguments)


def create(terminal: Terminal, profile: str, algorithm: Algorithm, image_format: str, *more: object):
    instance = terminal.live.configuration.folder
    options = ("--algorithm", algorithm, "--format", image_format, "--instance", instance)
    return terminal.run("root-a", "key", "create", profile, *options, *more)


def apply(terminal: Terminal) -> None:
    administer(terminal, "policy", "apply", administer(terminal, "policy", "propose").out.split()[0])


def request(terminal: Terminal, product: str, image, *more: object) -> str:
    """Ask for a signature, and have two people approve it."""
    command = ("sign", image, "--product", product, "--release", "1.0", "--new", "--json", *more)
    made = terminal.good("ada", *command).json["id"]
    for person in ("ben", "cleo"):
        terminal.good(person, "request", "approve", made, image, "--yes")
    return made


def certificate_of(terminal: Terminal, profile: str) -> bytes:
    return terminal.good("ada", "key", "show", profile, "--certificate").out.encode()


def key_of(terminal: Terminal, profile: str) -> PublicKey:
    certificate = x509.load_pem_x509_certificate(certificate_of(terminal, profile))
    return PublicKey(certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))


@pytest.fixture
def sensor(terminal, hsm, pin):
    """A product with a key in each of two tokens; return the second token's folder."""
    kept = hsm.tokens_folder.with_name("second")
    if kept.exists():
        return Path(kept.read_text())
    administer(terminal, "product", "add", "sensor", "--environment", "production")
    assert put_into_token(terminal, hsm, pin, FIRST, "sensor-production").code == 0
    before = set(hsm.tokens_folder.iterdir())
    said = put_into_token(terminal, hsm, pin, SECOND, "sensor-production-second")
    assert said.code == 0, said
    assert "now lie in sensor-production and sensor-production-second, which only a key set may span" in said.err
    refused = terminal.run("root-a", "policy", "propose")
    assert (refused.code, "lie in more than one partition" in refused.err) == (REFUSED, True)
    administer(
        terminal, "product", "key-set", "sensor", "both", "--environment", "production",
        "--member", "first", "--member", "second",
    )  # fmt: skip
    apply(terminal)
    (folder,) = set(hsm.tokens_folder.iterdir()) - before
    kept.write_text(str(folder))
    return folder


def put_into_token(terminal: Terminal, hsm: SoftHsm, pin: str, profile: str, partition: str):
    place = ("--partition", partition, "--keystore", hsm.token(partition), "--secret", pin)
    return create(terminal, profile, Algorithm.RSA_PSS_SHA256, ESP32, *place)


def application(folder: Path, size: int) -> Path:
    image = folder / "app.bin"
    image.write_bytes(esp32_images.application(size=size))
    return image


@pytest.mark.usefixtures("sensor")
def test_two_tokens_sign_one_image_and_espsecure_accepts_it_with_either_key(terminal, live, tmp_path):
    image = application(tmp_path, 70_000)
    made = request(terminal, "sensor", image, "--target", "esp32-c3")
    terminal.good("ada", "request", "fetch", made, image, "--wait", "60")
    signed, trust = tmp_path / "app.signed.bin", ("--trust", live.configuration.trust_file)
    first, second = key_of(terminal, FIRST), key_of(terminal, SECOND)
    whole = signed.read_bytes()
    for key in (first, second):
        assert espsecure.ACCEPTED in espsecure.verify(tmp_path, whole, key)
    said = terminal.good("dan", "verify", signed, *trust)
    assert f"both, all of 2 must sign: found {FIRST}, {SECOND}" in said.out
    block = len(whole) - SECTOR_BYTES + BLOCK_BYTES
    signed.write_bytes(half := whole[:block] + b"\xff" * BLOCK_BYTES + whole[block + BLOCK_BYTES :])
    assert espsecure.ACCEPTED in espsecure.verify(tmp_path, half, first)  # a device with one key would not notice
    assert espsecure.FOREIGN in espsecure.verify(tmp_path, half, second)
    assert terminal.run("dan", "verify", signed, *trust).code == DIFFERENT
    said = terminal.run("ada", "sign", image, "--product", "sensor", "--release", "2", "--key-profile", "first")
    assert (said.code, f"with both ({FIRST}, {SECOND})" in said.err) == (REFUSED, True)


def test_while_one_provider_is_gone_nothing_leaves_and_what_waits_is_signed_when_it_is_back(terminal, sensor, tmp_path):
    image, away = application(tmp_path, 80_000), tmp_path / "away"
    sensor.rename(away)
    made = request(terminal, "sensor", image, "--target", "esp32-c3")
    fetch = ("request", "fetch", made, image)
    deadline = time.monotonic() + 60
    while "keystore-unavailable" not in terminal.good("ada", "request", "show", made).out:
        assert time.monotonic() < deadline, "nobody says that a token is gone"
        assert terminal.run("ada", *fetch, "--wait", "1").code == WAITING
    assert not (tmp_path / "app.signed.bin").exists()
    away.rename(sensor)
    terminal.good("ada", *fetch, "--wait", "90")
    assert espsecure.ACCEPTED in espsecure.verify(
        tmp_path, (tmp_path / "app.signed.bin").read_bytes(), key_of(terminal, SECOND)
    )


def test_a_ceremony_makes_the_second_half_elsewhere_and_outside_judges_see_both(terminal, live, hsm, pin, tmp_path):
    """Classical in a token, as its home; after quantum computers in files, since that token cannot."""
    home, second, instance = "gateway-production", "gateway-production-files", live.configuration.folder
    administer(terminal, "product", "add", "gateway", "--environment", "production", *GRADES)
    place = ("--keystore", hsm.token(home), "--secret", pin)
    assert create(terminal, "gateway/production/1", Algorithm.ECDSA_P256_SHA256, "raw", *place).code == 0
    people = {name: ceremonies.participant(tmp_path, name) for name in ("eve", "finn")}
    said = {"id": "gateway", "product": "gateway", "partition": second}
    script = tmp_path / "script.toml"
    script.write_text(ceremonies.script(people, ceremonies.key("pq", "ml-dsa-44"), **said))
    held = administer(terminal, "key", "ceremony", script, "--instance", instance, "--json").json
    for identity in people.values():
        trust = ("--trust", live.configuration.trust_file)
        administer(terminal, "key", "minutes", "sign", held["file"], "--identity", identity, "--yes", *trust)
    assert "which only a key set may span" in administer(terminal, "key", "minutes", "adopt", held["file"]).err
    members = ("--member", "1", "--member", "pq")
    administer(terminal, "product", "key-set", "gateway", "hybrid", "--environment", "production", *members)
    apply(terminal)
    assert second in administer(terminal, "key", "show", "gateway/production/pq").out
    image = tmp_path / "image.bin"
    image.write_bytes(b"firmware")
    made = request(terminal, "gateway", image)
    terminal.good("ada", "request", "fetch", made, image, "--wait", "60")
    for judge, suffix, name in ((openssl, ".p7s", "1"), (openssl35, ".mldsa.p7s", "pq")):
        certificate = tmp_path / "certificate.pem"
        certificate.write_text(terminal.good("ada", "key", "show", f"gateway/production/{name}", "--certificate").out)
        signature = image.with_name(image.name + suffix)
        assert "CMS Verification successful" in judge.cms_verify(signature, image, certificate).stderr
    trust = ("--trust", live.configuration.trust_file)
    terminal.good("dan", "verify", image, *trust)
    image.with_name("image.bin.p7s").unlink()
    half = terminal.run("dan", "verify", image, *trust)
    assert (half.code, "asks for the signatures of all its members" in half.err) == (DIFFERENT, True)


@pytest.mark.parametrize(
    ("partition", "why", "code"),
    [
        ("elsewhere", "keys of router in production lie in router-production, or in partitions whose names", 78),
        ("router-production-", "keys of router", 78),
        ("router-production-a/b", "keys of router", 78),
        ("router-production-development", "partition router-production-development is that of", 77),
    ],
)  # fmt: skip
def test_a_partition_that_does_not_say_whose_keys_it_holds_is_refused_before_anything_is_made(
    terminal, live, partition, why, code
):
    if code == REFUSED:  # a product whose usual partition has this name
        terminal.run("root-a", "product", "add", "router-production", "--environment", "development")
    before = live.configuration.partitions
    more = ("--partition", partition)
    said = create(terminal, "router/production/elsewhere", Algorithm.ECDSA_P256_SHA256, "raw", *more)
    assert (said.code, why in said.err) == (code, True), said
    assert live.configuration.partitions == before


def test_a_key_of_a_second_partition_is_taken_up_again_there_alone(terminal):
    profile, more = "router/production/moved", ("--partition", "router-production-second")
    print_ = create(terminal, profile, Algorithm.ECDSA_P256_SHA256, "raw", *more).out.split()[1]
    administer(terminal, "policy", "discard")
    said = create(terminal, profile, Algorithm.ECDSA_P256_SHA256, "raw", "--existing", print_)
    assert (said.code, "partition router-production has no key" in said.err) == (REFUSED, True)
    assert create(terminal, profile, Algorithm.ECDSA_P256_SHA256, "raw", "--existing", print_, *more).code == 0
    administer(terminal, "policy", "discard")
