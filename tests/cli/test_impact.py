"""What did a key sign, since when, and which key was it? Names, times and files that could mean something else."""

import os
import time
from dataclasses import replace

import pytest
from tests.cli.online import Terminal, more_policy
from tests.simulators.live import PEOPLE, Live

from sealwright.client.compose import sign_document
from sealwright.client.drafts import Draft
from sealwright.core import records
from sealwright.core.digests import NO_INSTANCE, document_digest
from sealwright.core.keys import Algorithm
from sealwright.keystores.opening import open_ceremony
from sealwright.keystores.secrets import read_secret
from sealwright.policy import documents as d
from sealwright.service.messages import Applied, ApplyBody, PolicyAnswer, ProposalAnswer, ProposeBody
from sealwright.wiring import ceremony, partitions

KEY, REFUSED, USAGE = "router/development/1", 77, 64


@pytest.fixture(scope="module")
def live(tmp_path_factory):
    live = Live(tmp_path_factory.mktemp("impact")).make()
    try:
        live.start().found_policy()
        more_policy(live)
        yield live
    finally:
        live.stop()


@pytest.fixture
def terminal(live, capsys, monkeypatch):
    return Terminal(live, capsys, monkeypatch).connected("root-a", *PEOPLE)


@pytest.fixture
def image(tmp_path):
    path = tmp_path / "app.bin"
    path.write_bytes(os.urandom(64))
    return path


def _signed(terminal, image, release, environment="development"):
    request = terminal.sign(image, "--environment", environment, release=release)
    terminal.good("ada", "request", "fetch", request, image, "--wait", "20", "--force")
    return request


def test_since_counts_from_the_time_of_signing_and_not_of_the_request(terminal, image):
    request = terminal.sign(image, release="1.0")
    time.sleep(1.1)  # times are whole seconds
    between = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    for person in ("ben", "cleo"):
        terminal.good(person, "request", "approve", request, image)
    terminal.good("ada", "request", "fetch", request, image, "--wait", "20", "--force")
    asked = ("impact", "--key", "router/production/1", "--since")
    found = terminal.good("dan", *asked, between, "--json").json
    assert [i["request"] for i in found["images"]] == [request]
    assert found["images"][0]["requested"] < between <= found["images"][0]["time"]
    assert found["since_counts"] == "signing"
    shown = terminal.good("dan", *asked, between).out
    assert "signed since" in shown
    # Our own way to write a time, and so long ago, are taken; what was signed before is left out.
    as_printed = shown.partition("signed since ")[2].splitlines()[0]
    assert request in terminal.good("dan", *asked, as_printed).out
    assert request in terminal.good("dan", *asked, "3h").out
    time.sleep(1.1)
    after = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    assert "0 signatures signed since" in terminal.good("dan", *asked, after).out
    assert "signed from then on" in " ".join(terminal.good("dan", "impact", "--help").out.split())
    assert terminal.run("dan", *asked, "lately").code == USAGE


def test_the_first_digits_of_a_fingerprint_name_a_key(terminal, image):
    _signed(terminal, image, "2.0")
    fingerprint = terminal.good("dan", "key", "show", KEY, "--json").json["fingerprint"]
    found = terminal.good("dan", "impact", "--key", fingerprint[:12], "--json").json
    assert found["key"] == fingerprint
    assert {i["key"] for i in found["images"]} == {fingerprint}
    assert terminal.run("dan", "impact", "--key", "ffff0000ffff").code == REFUSED


def test_a_signed_file_is_found_by_its_evidence_and_another_file_is_not(terminal, tmp_path, image):
    other = tmp_path / "other.bin"
    other.write_bytes(os.urandom(64))
    request, _ = _signed(terminal, image, "2.1"), _signed(terminal, other, "2.2")
    asked = ("impact", "--key", KEY, "--json", "--image")
    assert [i["request"] for i in terminal.good("dan", *asked, image).json["images"]] == [request]
    stranger = tmp_path / "stranger.bin"
    stranger.write_bytes(b"nobody asked for this")
    assert terminal.good("dan", *asked, stranger).json["images"] == []
    assert "SHA-256 BEFORE SIGNING" in terminal.good("dan", "impact", "--key", KEY).out


def test_a_file_with_its_signature_inside_leads_back_by_its_evidence_alone(terminal, image):
    signed = terminal.good(
        "ada", "sign", image, "--product", "router", "--environment", "test", "--release", "2.3", "--format", "mcuboot",
        "--option", "version=1.2.3", "--key-profile", "boot", "--wait", "30", "--new", "--json",
    ).json  # fmt: skip
    (request,) = [i["request"] for i in _boot(terminal)]
    output = image.with_name("app.signed.bin")
    assert signed["state"] == "signed"
    assert output.read_bytes() != image.read_bytes()
    assert [i["request"] for i in _boot(terminal, "--image", output)] == [request]
    alone = output.with_name("alone.bin")
    alone.write_bytes(output.read_bytes())
    assert _boot(terminal, "--image", alone) == []
    wrong = output.with_name("wrong.bin")
    wrong.write_bytes(b"another file" * 9)
    wrong.with_name("wrong.bin.sealwright").write_bytes(output.with_name(output.name + ".sealwright").read_bytes())
    assert _boot(terminal, "--image", wrong) == []


def _boot(terminal, *arguments):
    return terminal.good("dan", "impact", "--key", "router/test/boot", "--json", *arguments).json["images"]


def _exchange_the_key(live) -> None:
    """Log a policy with another key under the same name, as no command of ours would."""
    settings = live.configuration
    order = ceremony.KeyOrder(
        profile=KEY, algorithm=Algorithm.ECDSA_P256_SHA256, size_bits=256, image_format="raw"
    )  # fmt: skip
    setting = settings.partitions[partitions.partition_name(KEY)]
    store = open_ceremony(setting.uri, read_secret(setting.secret))
    made = store.create_key(KEY, order.algorithm, 256, ceremony.template(order))
    store.close()
    with live.api("root-a") as api:
        answer = api.get(PolicyAnswer, "/v1/policy")
        version = records.parse(d.Policy, answer.policy.document).version
        draft = Draft(
            instance=settings.instance, base_version=version, sections=answer.sections, entropy=os.urandom
        )  # fmt: skip
        old = draft.get(d.KeyProfile, KEY)
        draft.put(replace(old, public_key=made.public_key.spki_der, certificates=made.certificates))
        head = draft.head(document_digest("root", NO_INSTANCE, answer.roots[-1].document), now=int(time.time()))
        signed = sign_document(head, instance=settings.instance, identity=live.identities["root-a"], signer="root-a")
        body = ProposeBody(kind="policy", signed=signed, sections=draft.sections)
        digest = api.post(ProposalAnswer, "/v1/proposals", body).digest
        api.post(Applied, "/v1/apply", ApplyBody(proposals=(digest,)))


def test_two_keys_of_one_name_are_told_apart(terminal, live, image):
    first = terminal.good("dan", "key", "show", KEY, "--json").json["fingerprint"]
    _signed(terminal, image, "3.0")
    _exchange_the_key(live)
    second = terminal.good("dan", "key", "show", KEY, "--json").json["fingerprint"]
    image.write_bytes(os.urandom(64))
    _signed(terminal, image, "3.1")
    said = terminal.good("dan", "impact", "--key", KEY)
    assert f"2 different keys have had the name {KEY}" in said.err
    assert first[:16] in said.out
    assert second[:16] in said.out
    found = terminal.good("dan", "impact", "--key", KEY, "--json").json
    assert set(found["keys"]) == {first, second}
    by_release = {i["release"]: i["key"] for i in found["images"]}
    assert (by_release["3.0"], by_release["3.1"]) == (first, second)
    alone = terminal.good("dan", "impact", "--key", second, "--json").json
    assert {i["release"] for i in alone["images"]} == {"3.1"}
    for command in ("--certificate", "--public-key"):
        said = terminal.good("dan", "key", "show", KEY, command)
        assert f"earlier policies had another key of the name {KEY}: {first}; this is {second}" in said.err
    assert "warning" not in terminal.good("dan", "key", "show", "router/production/1").err
