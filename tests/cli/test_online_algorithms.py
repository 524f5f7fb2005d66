"""Each family of algorithms through the whole path over HTTP: policy, signer, key files, delivery, evidence, judge."""

import os
from pathlib import Path

import pytest
from tests.cli.online import Terminal
from tests.simulators.live import PEOPLE, Live
from tests.verifiers import minisign, openssl, openssl35

from sealwright.core.keys import Algorithm
from sealwright.formats.raw_outputs import Output, suffix_of

DIFFERENT, REFUSED = 1, 77
JUDGED_BY = {
    Algorithm.RSA_PSS_SHA384: openssl,
    Algorithm.ECDSA_P521_SHA512: openssl,
    Algorithm.ML_DSA_44: openssl35,
    Algorithm.ML_DSA_87: openssl35,
    Algorithm.SLH_DSA_SHA2_128S: openssl35,
    Algorithm.SLH_DSA_SHAKE_256F: openssl35,
}


@pytest.fixture(scope="module")
def live(tmp_path_factory):
    live = Live(tmp_path_factory.mktemp("algorithms")).make()
    try:
        live.start()
        for algorithm in (*JUDGED_BY, Algorithm.ED25519):
            live.found_policy(product=algorithm, algorithm=algorithm, size_bits=algorithm.key_size_bits or 3072)
        yield live
    finally:
        live.stop()


@pytest.fixture
def terminal(live, capsys, monkeypatch):
    return Terminal(live, capsys, monkeypatch).connected("root-a", *PEOPLE)


@pytest.fixture
def image(tmp_path):
    path = tmp_path / "fw.bin"
    path.write_bytes(b"firmware " + os.urandom(16).hex().encode())
    return path


def signed(terminal: Terminal, image: Path, product: str, *options: str) -> None:
    """Request, approve by two and fetch."""
    command = ("sign", image, "--product", product, "--release", "1.0", "--new", *options, "--json")
    request = terminal.good("ada", *command).json["id"]
    for person in ("ben", "cleo"):
        terminal.good(person, "request", "approve", request, image, "--yes")
    terminal.good("ada", "request", "fetch", request, image, "--wait", "60")


@pytest.mark.parametrize("algorithm", JUDGED_BY)
def test_an_image_is_requested_approved_fetched_and_verified_by_openssl(terminal, live, image, algorithm):
    signed(terminal, image, algorithm)
    said = terminal.good("dan", "verify", image, "--trust", live.configuration.trust_file)
    assert f"{algorithm}/production/1, {algorithm}, software key" in said.out
    certificate = image.with_name("certificate.pem")
    certificate.write_text(terminal.good("ada", "key", "show", f"{algorithm}/production/1", "--certificate").out)
    signature = image.with_name(f"fw.bin{suffix_of(Output.CMS, algorithm)}")
    judge = JUDGED_BY[algorithm]
    assert "CMS Verification successful" in judge.cms_verify(signature, image, certificate).stderr
    image.write_bytes(image.read_bytes()[:-1] + b"!")
    assert "CMS Verification failure" in judge.cms_verify(signature, image, certificate).stderr
    said = terminal.run("dan", "verify", image, "--trust", live.configuration.trust_file)
    assert said.code == DIFFERENT


@pytest.mark.parametrize(
    ("algorithm", "output", "suffix"),
    [
        (Algorithm.ML_DSA_44, "cose", ".mldsa.cose"),
        (Algorithm.ECDSA_P521_SHA512, "cose", ".cose"),
        (Algorithm.ECDSA_P521_SHA512, "sshsig", ".sig"),
    ],
)
def test_another_output_goes_the_same_way(terminal, live, image, algorithm, output, suffix):
    signed(terminal, image, algorithm, "--option", f"output={output}")
    terminal.good("dan", "verify", image, "--trust", live.configuration.trust_file)
    beside = image.with_name(f"fw.bin{suffix}")
    beside.write_bytes(beside.read_bytes()[:-1])
    said = terminal.run("dan", "verify", image, "--trust", live.configuration.trust_file)
    assert said.code == DIFFERENT


def test_a_minisign_file_is_requested_approved_fetched_and_verified_by_minisign(terminal, live, image):
    """Its second signature is over the first: people approve that it is, and the comment behind it."""
    product, comment = Algorithm.ED25519, "file:fw.bin version 1.0"
    options = ("--option", "output=minisign", "--option", f"trusted_comment={comment}")
    command = ("sign", image, "--product", product, "--release", "1.0", "--new", *options, "--json")
    made = terminal.good("ada", *command).json
    slots = made["artifacts"][0]["slots"]
    assert [(slot["slot"], slot.get("after")) for slot in slots] == [
        ("signature", None),
        ("global-signature", "signature"),
    ]
    signs = f"the signature of slot signature, then {slots[1]['digest']}"
    assert f"rebuilt: {signs}" in terminal.good("ben", "request", "check", made["id"], image).out
    shown = terminal.good("ben", "request", "show", made["id"]).out
    assert signs in shown
    assert comment in shown
    for person in ("ben", "cleo"):
        terminal.good(person, "request", "approve", made["id"], image, "--yes")
    terminal.good("ada", "request", "fetch", made["id"], image, "--wait", "60")
    verify = ("verify", image, "--trust", live.configuration.trust_file)
    terminal.good("dan", *verify)
    key = image.with_name("maker.pub")
    key.write_text(terminal.good("ada", "key", "show", f"{product}/production/1", "--minisign").out)
    good = minisign.verify(image, key)
    assert minisign.VERIFIED in good.stdout
    assert f"\t{comment}\n" in good.stdout
    beside = image.with_name("fw.bin.minisig")
    content = beside.read_text()
    beside.write_text(content.replace("version 1.0", "version 2.0"))
    assert "Comment signature verification failed" in minisign.verify(image, key).stderr
    assert terminal.run("dan", *verify).code == DIFFERENT
    beside.write_text(content)
    image.write_bytes(image.read_bytes()[:-1] + b"!")
    assert "Signature verification failed" in minisign.verify(image, key).stderr
    assert terminal.run("dan", *verify).code == DIFFERENT
    other = terminal.run("ada", "key", "show", "ml-dsa-44/production/1", "--minisign")
    assert "minisign has no keys of MLDSA44" in other.err


def test_a_post_quantum_public_key_is_shown_as_others_read_it(terminal, tmp_path):
    for algorithm in (Algorithm.ML_DSA_87, Algorithm.SLH_DSA_SHA2_128S):
        path = tmp_path / "key.pem"
        path.write_text(terminal.good("ada", "key", "show", f"{algorithm}/production/1", "--public-key").out)
        shown = openssl35.run("pkey", "-pubin", "-in", path, "-text", "-noout")
        assert shown.stdout.upper().startswith(f"{algorithm.upper()} PUBLIC-KEY:")
        assert f"{algorithm}, " in terminal.good("ada", "key", "show", f"{algorithm}/production/1").out


def test_a_request_of_more_slow_signatures_than_a_round_has_time_for_is_refused(terminal, tmp_path):
    images = [tmp_path / f"{number}.bin" for number in range(21)]
    for image in images:
        image.write_bytes(os.urandom(32))
    said = terminal.run("ada", "sign", *images, "--product", "slh-dsa-sha2-128s", "--release", "1.0", "--new")
    assert said.code == REFUSED
    assert "21 signatures by slow algorithms, at most 20 in one request" in said.err
    assert "request fewer images at a time" in said.err


def test_an_administrator_makes_one_key_and_takes_another_in(terminal, live, image, tmp_path):
    instance = ("--instance", live.configuration.folder, "--format", "raw")
    made, taken, product = Algorithm.ML_DSA_65, Algorithm.SLH_DSA_SHA2_128F, "sensor"
    terminal.good("root-a", "product", "add", product, "--environment", "production", "--key-grade", "software")
    terminal.good("root-a", "key", "create", f"{product}/production/1", "--algorithm", made, *instance)
    openssl35.generate(taken, tmp_path / "key.pem")
    command = ("key", "import", f"{product}/production/2", tmp_path / "key.pem", "--algorithm", taken, *instance)
    said = terminal.run("root-a", *command[:4], "--algorithm", made, *instance)
    assert said.code != 0  # a key of another kind than the algorithm
    openssl35.run(
        "req", "-x509", "-new", "-key", tmp_path / "key.pem", "-subj", "/CN=TEST ONLY", "-out", tmp_path / "c.pem"
    )
    terminal.good("root-a", *command, "--certificate", tmp_path / "c.pem")
    proposal = terminal.good("root-a", "policy", "propose").out.split()[0]
    terminal.good("root-a", "policy", "apply", proposal)
    for number, judged, suffix in (("1", made, ".mldsa.p7s"), ("2", taken, ".slhdsa.p7s")):
        profile = f"{product}/production/{number}"
        signed(terminal, image, product, "--key-profile", profile)
        said = terminal.good("dan", "verify", image, "--trust", live.configuration.trust_file).out
        assert f"{profile}, {judged}, software key" in said
        certificate = tmp_path / "certificate.pem"
        certificate.write_text(terminal.good("ada", "key", "show", profile, "--certificate").out)
        judgement = openssl35.cms_verify(image.with_name(f"fw.bin{suffix}"), image, certificate)
        assert "CMS Verification successful" in judgement.stderr
        image.with_name("fw.bin.sealwright").unlink()
