"""The online commands against real processes: each good way, and what each refuses, with its exit code."""

import errno
import hashlib
import os
import re
import shlex
import threading
import time
from pathlib import Path

import pytest
from tests.cli.online import Terminal
from tests.simulators.live import free_port, make_identity
from tests.verifiers import openssl

from sealwright.cli import typed
from sealwright.cli.output import UsageError
from sealwright.cli.times import duration, moment
from sealwright.client import delivery, settings, signing, ssh
from sealwright.core import canonical
from sealwright.translog.notes import SignatureType, VerifierKey

WAITING, REFUSED, DIFFERENT, CONFIGURATION, USAGE = 75, 77, 1, 78, 64


def approve(terminal: Terminal, request: str, image: Path) -> None:
    for person in ("ben", "cleo"):
        terminal.good(person, "request", "approve", request, image, "--yes")


# -- connect


def test_who_connects_is_told_who_they_are(terminal, live):
    said = terminal.connect("ada")
    assert said.out.startswith(f"connected to {live.configuration.url} as ada\n")
    assert "developer, approver" in said.out
    command = ("connect", live.configuration.url, "--trust", live.configuration.trust_file)
    found = terminal.good("root-a", *command, "--identity", live.identities["root-a"], "--json").json
    assert (found["person"], found["is_administrator"], found["roles"]) == ("root-a", True, [])
    assert found["instance"] == live.trust.instance


def test_a_strangers_key_is_told_to_be_one_and_nothing_is_kept(terminal, live, tmp_path):
    stranger = make_identity(tmp_path / "stranger")
    said = terminal.run(
        "stranger", "connect", live.configuration.url, "--trust", live.configuration.trust_file, "--identity", stranger
    )
    assert said.code == REFUSED
    assert f"knows nobody with key {ssh.public_key(stranger).fingerprint}" in said.err
    assert not (live.folder / "config-stranger").exists()


@pytest.mark.parametrize("member", ["instance", "log_key", "roots", "as_of"])
def test_a_trust_file_of_another_installation_connects_nobody(terminal, live, tmp_path, member):
    trust = canonical.decode(live.configuration.trust_file.read_bytes().rstrip(b"\n"))
    other = {
        "instance": "1" * 64,
        "log_key": str(VerifierKey(live.trust.log, SignatureType.ED25519, os.urandom(32))),
        "roots": ["2" * 64],
        "as_of": {**trust["as_of"], "root_hash": "3" * 64},
    }
    wrong = tmp_path / "trust.json"
    wrong.write_bytes(canonical.encode({**trust, member: other[member]}))
    said = terminal.run(
        "lost", "connect", live.configuration.url, "--trust", wrong, "--identity", live.identities["ada"]
    )
    assert said.code in (REFUSED, DIFFERENT)
    assert not (live.folder / "config-lost").exists()


def test_a_wrong_trust_file_is_said_with_both_installations(terminal, live, tmp_path):
    trust = canonical.decode(live.configuration.trust_file.read_bytes().rstrip(b"\n"))
    wrong = tmp_path / "trust.json"
    command = ("connect", live.configuration.url, "--trust", wrong, "--identity", live.identities["ada"])
    wrong.write_bytes(canonical.encode({**trust, "log": "log.other/fw"}))
    said = terminal.run("lost", *command)
    assert said.code == DIFFERENT
    assert "is of another installation than the trust file: expected log.other/fw, got log.example/acme" in said.err
    wrong.write_bytes(canonical.encode({**trust, "instance": "1" * 64}))
    said = terminal.run("lost", *command)
    assert said.code == REFUSED
    assert "does not accept a login to installation 1111111111111111" in said.err
    assert "is the trust file of another installation?" in said.err
    wrong.write_bytes(b"ssh-ed25519 AAAA")
    said = terminal.run("lost", *command)
    assert said.code == 65
    assert f"{wrong} is no trust file: not JSON" in said.err


@pytest.mark.parametrize("url", ["sign.example", "ftp://sign.example", "http://", "http://[", "http://a:b@c", ""])
def test_what_is_no_url_is_told_to_be_none(terminal, live, url):
    command = ("connect", url, "--trust", live.configuration.trust_file, "--identity", live.identities["ada"])
    said = terminal.run("lost", *command)
    assert said.code == CONFIGURATION
    assert "is no URL of a server" in said.err


def test_a_server_that_does_not_answer_is_unavailable(terminal, live):
    url = f"http://127.0.0.1:{free_port()}"
    command = ("connect", url, "--trust", live.configuration.trust_file, "--identity", live.identities["ada"])
    said = terminal.run("lost", *command)
    assert said.code == WAITING
    assert f"{url} does not answer" in said.err


@pytest.mark.parametrize(
    "command",
    [
        "sign fw.bin --product router --release 1", "request list", "request show r-0123456789abcdef",
        "request check fw.bin", "request approve r-0123456789abcdef", "request reject r-0123456789abcdef --reason x",
        "request cancel r-0123456789abcdef --reason x", "request fetch r-0123456789abcdef fw.bin",
        "impact --key a", "log head", "log show 0", "log verify", "log proof 0",
    ],
)  # fmt: skip
def test_who_is_not_connected_is_told_how_to(terminal, command):
    said = terminal.run("nobody", *shlex.split(command))
    assert said.code == CONFIGURATION
    assert "nothing is connected" in said.err
    assert "`sealwright connect URL --trust FILE --identity KEY`" in said.err
    assert terminal.run("nobody", *shlex.split(command), "--json").json["error"]["code"] == "configuration"


def test_a_server_that_starts_is_waited_for(terminal, live):
    live.kill("server")
    starter = threading.Timer(1.5, live.start, ["server"])
    starter.start()
    try:
        command = ("connect", live.configuration.url, "--trust", live.configuration.trust_file)
        said = terminal.run("ada", *command, "--identity", live.identities["ada"], "--wait", "30s")
    finally:
        starter.join()
    assert (said.code, said.err.count("error")) == (0, 0)


# -- a newer trust file


def test_a_trust_file_is_brought_up_to_date_and_verifies_what_is_signed_then(terminal, live, image, tmp_path):
    held, newer = live.configuration.trust_file.read_bytes(), tmp_path / "newer.json"
    fingerprint = terminal.good("ada", "key", "show", "router/production/1", "--json").json["fingerprint"]
    said = terminal.good("ada", "connect", "--refresh", "-o", newer, "--json").json
    assert live.configuration.trust_file.read_bytes() == held
    head = terminal.good("ada", "log", "head", "--json").json
    assert (said["size"], said["distrusted"]) == (head["size"], [])
    assert said["policy_version"] > 0
    request = terminal.sign(image)
    approve(terminal, request, image)
    terminal.good("ada", "request", "fetch", request, image, "--wait", "30")
    terminal.good("dan", "verify", image, "--trust", newer)
    terminal.good("ada", "connect", "--refresh", "-o", newer, "--distrust", fingerprint)
    said = terminal.run("dan", "verify", image, "--trust", newer)
    assert said.code == DIFFERENT
    assert f"key {fingerprint} is distrusted by the trust file" in said.err
    terminal.good("dan", "verify", image, "--trust", live.configuration.trust_file)


def test_what_was_distrusted_stays_so(terminal, live, tmp_path):
    terminal.trust = tmp_path / "mine.json"
    terminal.trust.write_bytes(live.configuration.trust_file.read_bytes())
    terminal.good("ada", "connect", "--refresh", "--distrust", "ab" * 32)
    assert "1 key" in terminal.good("ada", "connect", "--refresh").out
    assert terminal.good("ada", "connect", "--refresh", "--json").json["distrusted"] == ["ab" * 32]


def test_no_trust_file_is_made_newer_by_another_installations_server(terminal, live, tmp_path):
    trust = canonical.decode(live.configuration.trust_file.read_bytes().rstrip(b"\n"))
    for change in ({"roots": ["2" * 64]}, {"as_of": {**trust["as_of"], "root_hash": "3" * 64}}):
        terminal.trust = tmp_path / "held.json"
        terminal.trust.write_bytes(canonical.encode({**trust, **change}))
        before = terminal.trust.read_bytes()
        assert terminal.run("ada", "connect", "--refresh").code in (REFUSED, DIFFERENT)
        assert terminal.trust.read_bytes() == before


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("--refresh http://a", "--refresh uses the connection that is kept"),
        ("http://a", "is missing"), ("", "is missing"),
        ("--refresh --distrust x", "'x' is no fingerprint of a key"), ("--distrust x", "belong to --refresh"),
    ],
)  # fmt: skip
def test_what_does_not_go_together_when_connecting_is_said(terminal, arguments, words):
    said = terminal.run("ada", "connect", *shlex.split(arguments))
    assert said.code == USAGE
    assert words in said.err


# -- sign and fetch


def test_requested_approved_by_two_fetched_and_verified_by_openssl(terminal, live, image):
    said = terminal.good("ada", "sign", image, "--product", "router", "--release", "1.0")
    request = said.out.split()[0]
    assert f"`sealwright request approve {request} fw.bin`" in said.err
    approve(terminal, request, image)
    said = terminal.good("ada", "request", "fetch", request, image, "--wait", "20")
    assert f"`sealwright verify {image} --trust {live.configuration.trust_file}`" in said.err
    assert "verified" in terminal.good("dan", "verify", image, "--trust", live.configuration.trust_file).out
    certificate = image.with_name("certificate.pem")
    certificate.write_text(terminal.good("ada", "key", "show", "router/production/1", "--certificate").out)
    judged = openssl.cms_verify(image.with_name("fw.bin.p7s"), image, certificate)
    assert "CMS Verification successful" in judged.stderr
    image.write_bytes(image.read_bytes()[:-1] + b"!")
    judged = openssl.cms_verify(image.with_name("fw.bin.p7s"), image, certificate)
    assert "CMS Verification failure" in judged.stderr
    said = terminal.run("dan", "verify", image, "--trust", live.configuration.trust_file)
    assert said.code == DIFFERENT


def test_development_with_a_quorum_of_zero_is_signed_at_once(terminal, image, tmp_path):
    command = ("sign", image, "--product", "router", "--release", "1", "--environment", "development", "--wait", "30")
    said = terminal.good("ada", *command, "-o", tmp_path / "out.bin", "--json").json
    assert said["state"] == "signed"
    (output,) = said["outputs"]
    assert output["image"] == str(tmp_path / "out.bin")
    assert sorted(p.name for p in tmp_path.glob("out*")) == ["out.bin", "out.bin.p7s", "out.bin.sealwright"]
    terminal.good("ada", *shlex.split(output["verify"])[1:])


def test_sign_waits_and_says_how_to_resume_and_that_works(terminal, image):
    command = ("sign", image, "--product", "router", "--release", "1.1", "--wait", "0")
    said = terminal.run("ada", *command)
    assert said.code == WAITING
    resume = re.search(r"resume with `sealwright (.*)`", said.err)
    assert resume is not None
    words = shlex.split(resume[1])
    assert terminal.run("ada", *words[:-1], "--wait", "0").code == WAITING
    approve(terminal, words[2], image)
    terminal.good("ada", *words)
    assert image.with_name("fw.bin.sealwright").exists()


def test_still_waiting_is_an_error_with_its_code_for_programs(terminal, image):
    command = ("sign", image, "--product", "router", "--release", "1.1", "--wait", "0", "--json")
    error = terminal.run("ada", *command).json["error"]
    assert (error["code"], error["exit_code"]) == ("still-waiting", WAITING)
    assert "request fetch r-" in error["hint"]


def test_programs_learn_the_request_and_how_to_go_on_however_waiting_ends(terminal, image):
    command = ("sign", image, "--product", "router", "--release", "1.1", "--wait", "0", "--json")
    waiting = terminal.run("ada", *command).json
    assert (waiting["state"], waiting["error"]["code"]) == ("waiting", "still-waiting")
    assert waiting["resume"].startswith(f"sealwright request fetch {waiting['id']} {image}")
    terminal.good("ben", "request", "reject", waiting["id"], "--reason", "wrong build")
    said = terminal.run("ada", *shlex.split(waiting["resume"])[1:], "--json")
    assert said.code == REFUSED
    assert (said.json["id"], said.json["digest"]) == (waiting["id"], waiting["digest"])
    assert (said.json["state"], said.json["error"]["exit_code"]) == ("rejected", REFUSED)
    taken = image.with_name("taken")
    taken.touch()
    said = terminal.run("ada", "request", "fetch", waiting["id"], image, "-o", taken, "--json")
    assert (said.code, said.json["id"]) == (CONFIGURATION, waiting["id"])


def test_who_waits_is_told_of_every_vote_once(terminal, live, image, monkeypatch):
    monkeypatch.setattr(signing, "PROGRESS_SECONDS", 1)
    request = terminal.sign(image)
    told, ended, chosen = [], [], settings.load()
    with live.api("ada") as api:
        digest = terminal.good("ada", "request", "show", request, "--json").json["digest"]
        waiter = threading.Thread(target=lambda: ended.append(signing.watch(chosen, api, digest, 60, told.append)))
        waiter.start()
        for person in ("ben", "cleo"):
            time.sleep(2)
            terminal.good(person, "request", "approve", request, image, "--yes")
        waiter.join(60)
    assert [status.state for status in ended] == ["signed"]
    assert told[:2] == ["0 of 2 approvals", "1 of 2 approvals: ben"]
    assert len(told) == len(set(told)) <= 3


# -- the same again


def test_the_same_asked_for_again_is_the_same_request(terminal, image, tmp_path):
    command = ("sign", image, "--product", "router", "--release", "1.1", "--json")
    first = terminal.good("ada", *command).json
    time.sleep(1.1)  # the signing time that is filled in differs now
    said = terminal.good("ada", *command)
    assert (said.json["id"], said.json["resumed"], first["resumed"]) == (first["id"], True, False)
    assert f"going on with {first['id']}; --new asks anew" in said.err
    approve(terminal, first["id"], image)
    signed = terminal.good("ada", *command, "--wait", "30", "-o", tmp_path / "one.bin").json
    assert (signed["id"], signed["state"]) == (first["id"], "signed")
    again = terminal.good("ada", *command, "--wait", "30", "-o", tmp_path / "two.bin").json
    assert again["id"] == first["id"]
    assert (tmp_path / "one.bin.p7s").read_bytes() == (tmp_path / "two.bin.p7s").read_bytes()


@pytest.mark.parametrize(
    "other",
    [
        "--release 1.2", "--environment development", "--new", "--option signing_time",
        "another person", "another image", "cancelled",
    ],
)  # fmt: skip
def test_what_differs_in_anything_is_another_request(terminal, image, other):
    command = ("sign", image, "--product", "router", "--release", "1.1", "--json")
    first, person, extra = terminal.good("ada", *command).json["id"], "ada", []
    if other.startswith("--option"):
        extra = ["--option", f"signing_time={int(time.time()) + 60}"]
    elif other.startswith("--"):
        extra = other.split()
    elif other == "another person":
        person = "pipeline-a"
    elif other == "another image":
        image.write_bytes(b"another " + image.read_bytes())
    else:
        terminal.good("ada", "request", "cancel", first, "--reason", "wrong")
    second = terminal.good(person, *command, *extra).json
    assert (second["id"] != first, second["resumed"]) == (True, False)


def test_a_rejected_request_ends_waiting_with_77(terminal, image):
    request = terminal.sign(image)
    terminal.good("ben", "request", "reject", request, "--reason", "wrong build")
    said = terminal.run("ada", "request", "fetch", request, image, "--wait", "30")
    assert said.code == REFUSED
    assert re.search("is rejected: vetoed by ben at log index [0-9]+: wrong build", said.err)


def test_waiting_bridges_a_restart_of_the_server(terminal, live, image):
    request = terminal.sign(image)
    approve(terminal, request, image) if False else None
    ended = []
    with live.api("ada") as api:
        waiter = threading.Thread(target=lambda: ended.append(signing.wait(api, request, 30)))
        api.who()
        waiter.start()
        live.kill("server")
        time.sleep(0.3)
        live.start("server")
        terminal.good("ada", "request", "cancel", request, "--reason", "enough seen")
        waiter.join(30)
    assert [status.state for status in ended] == ["cancelled"]


def test_several_images_are_one_request_and_go_to_a_folder(terminal, live, tmp_path):
    images = []
    for name in ("a.bin", "b.bin"):
        images.append(tmp_path / name)
        images[-1].write_bytes(os.urandom(64))
    command = ("sign", *images, "--product", "router", "--release", "2", "--environment", "development", "--wait", "30")
    terminal.good("ada", *command, "-o", tmp_path / "out")
    assert len(list((tmp_path / "out").iterdir())) == 6
    command = ("verify", tmp_path / "out" / "b.bin", "--trust", live.configuration.trust_file)
    terminal.good("dan", *command, "--environment", "development")
    assert terminal.run("dan", *command).code == DIFFERENT  # nobody has to approve there: never taken for production
    command = ("sign", *images, "--product", "router", "--release", "2", "--environment", "development", "--wait", "30")
    said = terminal.run("ada", *command, "-o", tmp_path / "a.bin")
    assert said.code == CONFIGURATION
    assert "2 images need a folder" in said.err


def test_an_image_of_another_format_gets_the_key_that_signs_it(terminal, tmp_path):
    application = tmp_path / "app.bin"
    application.write_bytes(os.urandom(2048))
    said = terminal.good(
        "ada", "sign", application, "--product", "sensor", "--release", "1", "--environment", "development",
        "--format", "mcuboot", "--option", "version=1.2.3", "--wait", "30", "--json",
    ).json  # fmt: skip
    assert said["artifacts"][0]["options"]["version"] == "1.2.3+0"
    assert said["outputs"][0]["image"] == str(tmp_path / "app.signed.bin")
    assert application.stat().st_size == 2048
    shown = terminal.good("ada", "inspect", tmp_path / "app.signed.bin", "--json").json
    assert shown["format"] == "mcuboot"


def test_a_key_that_signs_whole_messages_gets_them(terminal, live, tmp_path):
    application = tmp_path / "app.bin"
    application.write_bytes(os.urandom(2048))
    terminal.good(
        "ada", "sign", application, "--product", "router", "--release", "1", "--environment", "test",
        "--format", "mcuboot", "--option", "version=1.2.3", "--key-profile", "boot", "--wait", "30",
    )  # fmt: skip
    command = ("verify", tmp_path / "app.signed.bin", "--trust", live.configuration.trust_file)
    shown = terminal.good("dan", *command, "--environment", "test").out
    assert "router/test/boot, ed25519" in shown


def test_a_large_image_travels_once(terminal, live, tmp_path):
    large = tmp_path / "large.bin"
    large.write_bytes(os.urandom(1 << 20) * 24)
    command = ("sign", large, "--product", "router", "--release", "1", "--environment", "development", "--wait", "60")
    said = terminal.good("ada", *command, "-o", tmp_path / "one.bin")
    assert "uploading large.bin, 24 MiB" in said.err
    (kept,) = (live.folder / "i").rglob(hashlib.sha256(large.read_bytes()).hexdigest())
    before = kept.stat()
    terminal.good("ada", *command, "-o", tmp_path / "two.bin")
    assert (kept.stat().st_ino, kept.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_pipelines_request_and_their_controllers_cannot_approve(terminal, image):
    request = terminal.sign(image, person="pipeline-a")
    shown = terminal.good("ben", "request", "show", request).out
    assert "pipeline-a (pipeline controlled by dan), signature verified" in shown
    said = terminal.run("dan", "request", "approve", request, image, "--yes")
    assert said.code == REFUSED
    assert "control the pipeline" in said.err
    said = terminal.run("pipeline-a", "request", "approve", request, "--yes")
    assert said.code == REFUSED


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        ("--environment test", REFUSED, "2 keys of router/test sign raw: router/test/1, router/test/2"),
        ("--environment test --key-profile 9", USAGE, "router/test has no key 9"),
        ("--environment test --key-profile 1 --key-profile boot", REFUSED, "none of the images is that"),
        ("--environment test --key-profile boot", REFUSED, "signs mcuboot images, this one is raw"),
        ("--environment test --key-profile boot", REFUSED, "without a header yet: --format mcuboot; or"),
        ("--format uefi-pe", REFUSED, "no active key of router/production signs uefi-pe"),
        ("--format elf", USAGE, "format 'elf' is unknown"),
        ("--target toaster", USAGE, "there is no target toaster"),
        ("--target mcuboot", 65, "does not take raw images"),
        ("--option version=1.2.3", USAGE, "raw has no option version"),
        ("--environment test --key-profile boot --format mcuboot --option align=3", USAGE, "one of 1, 2, 4, 8"),
        ("--option signing_time=5", REFUSED, "option signing_time is 5, outside the request's life"),
        ("--expires soon", USAGE, "'soon' is no duration"),
        ("--expires 31d", USAGE, "--expires 31d is longer than a request may wait"),
        ("--release '1 4'", USAGE, "'1 4' is no release: letters, digits and"),
        ("--environment prod", USAGE, "invalid value for '--environment': 'prod' is not one of"),
        ("-o /proc/signed/", CONFIGURATION, "nothing can be written into /proc: "),
        ("-o /sys/signed.bin --wait", CONFIGURATION, "nothing can be written into /sys: "),
        ("--wait abc", USAGE, "'abc' behind --wait is neither a duration nor a file"),
        ("--wait=abc", USAGE, "'abc' is no duration"),
        ("-o fw.hex.p7s", USAGE, "fw.hex.p7s is the name of a signature or evidence file, -o names the image"),
        ("-o no/such/folder/out.bin", CONFIGURATION, "there is no folder no/such/folder"),
        ("--environment production --product lamp", USAGE, "the policy has no lamp in production"),
    ],
)  # fmt: skip
def test_what_cannot_be_signed_is_refused_before_it_travels(terminal, live, image, arguments, code, words):
    said = terminal.run("ada", "sign", image, "--product", "router", "--release", "1", *shlex.split(arguments))
    assert (said.code, said.out) == (code, "")
    assert words in said.err
    sha256 = hashlib.sha256(image.read_bytes()).hexdigest()
    assert not list((live.folder / "i").rglob(sha256))


def test_a_named_key_signs_and_two_named_keys_are_too_many_for_raw(terminal, image):
    command = ("sign", image, "--product", "router", "--release", "1", "--environment", "test", "--key-profile")
    found = terminal.good("ada", *command, "2", "--json").json
    assert found["artifacts"][0]["slots"][0]["key_profile"] == "router/test/2"
    said = terminal.run("ada", *command, "router/test/1", "--key-profile", "2")
    assert said.code == 65


@pytest.mark.parametrize("name", ["missing.bin", ".hidden", "two words.bin", "", "folder"])
def test_what_is_no_image_is_refused(terminal, tmp_path, name):
    path = tmp_path / name
    if name == "folder":
        path.mkdir()
    elif name and name != "missing.bin":
        path.write_bytes(b"x")
    said = terminal.run("ada", "sign", path, "--product", "router", "--release", "1")
    assert said.code in (65, CONFIGURATION)


def test_an_empty_image_is_refused(terminal, tmp_path):
    (tmp_path / "empty.bin").touch()
    said = terminal.run("ada", "sign", tmp_path / "empty.bin", "--product", "router", "--release", "1")
    assert said.code == 65
    assert "image is empty" in said.err


def test_who_may_not_request_is_refused_before_the_image_travels(terminal, image):
    said = terminal.run("root-a", "sign", image, "--product", "router", "--release", "1")
    assert said.code == REFUSED
    assert "root-a may not request for router/production" in said.err


def test_an_output_that_exists_is_refused_before_anybody_waits(terminal, image, tmp_path):
    output = tmp_path / "out.bin"
    output.write_bytes(b"dear")
    command = ("sign", image, "--product", "router", "--release", "1", "--environment", "development", "--wait", "30")
    said = terminal.run("ada", *command, "-o", output)
    assert said.code == CONFIGURATION
    assert f"{output} exists already" in said.err
    assert output.read_bytes() == b"dear"
    terminal.good("ada", *command, "-o", output, "--force")
    assert output.read_bytes() == image.read_bytes()


def test_output_names_that_are_taken_are_refused_before_anybody_is_asked(terminal, image, tmp_path):
    command = ("sign", image, "--product", "router", "--release", "1", "--wait", "0")
    (tmp_path / "out").mkdir()
    for taken, extra in (
        ("fw.bin.p7s", ()), ("fw.bin.sealwright", ()), ("out/fw.bin", ("-o", tmp_path / "out")),
        ("out/fw.bin.sealwright", ("-o", f"{tmp_path}/out/")), ("one.bin.p7s", ("-o", tmp_path / "one.bin")),
        ("one.bin.sealwright", ("-o", tmp_path / "one.bin")),
    ):  # fmt: skip
        path = tmp_path / taken
        path.touch()
        said = terminal.run("ada", *command, *extra)
        assert said.code == CONFIGURATION
        assert f"{path} exists already" in said.err
        path.unlink()
    assert terminal.good("ada", "request", "list", "--product", "router", "--json").json is not None
    said = terminal.run("ben", "request", "check", image)
    assert "no request that is waiting" in said.err  # none of these runs asked for anything


def test_a_folder_that_cannot_be_written_to_is_refused_before_anybody_is_asked(terminal, image, tmp_path, monkeypatch):
    def refuse(**_):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(delivery, "TemporaryFile", refuse)  # root may write anywhere
    command = ("sign", image, "--product", "router", "--release", "1", "--wait", "0")
    for extra in ((), ("-o", tmp_path / "out.bin"), ("-o", f"{tmp_path}/new/folder/")):
        said = terminal.run("ada", *command, *extra)
        assert said.code == CONFIGURATION
        assert f"nothing can be written into {tmp_path}" in said.err


def test_a_name_with_a_slash_behind_it_is_a_folder_that_is_made(terminal, image, tmp_path):
    command = ("sign", image, "--product", "router", "--release", "1", "--environment", "development")
    resume = terminal.good("ada", *command, "-o", f"{tmp_path}/new/folder/", "--json").json["resume"]
    terminal.good("ada", *shlex.split(resume)[1:])
    made = sorted(path.name for path in (tmp_path / "new" / "folder").iterdir())
    assert made == ["fw.bin", "fw.bin.p7s", "fw.bin.sealwright"]
    said = terminal.run("ada", *command, "-o", f"{image}/")
    assert said.code == CONFIGURATION
    assert "a name with a slash behind it means a folder" in said.err


def test_fetching_needs_the_image_that_was_signed(terminal, image, tmp_path):
    request = terminal.sign(image)
    approve(terminal, request, image)
    terminal.good("ada", "request", "fetch", request, image, "--wait", "20", "-o", tmp_path / "good.bin")
    (tmp_path / "other").mkdir()
    other = tmp_path / "other" / "fw.bin"
    other.write_bytes(image.read_bytes()[:-1] + b"!")
    said = terminal.run("ada", "request", "fetch", request, other)
    assert said.code == DIFFERENT
    assert "this file is not artifact fw.bin of the request" in said.err
    assert list(other.parent.iterdir()) == [other]
    renamed = other.with_name("renamed.bin")
    renamed.write_bytes(image.read_bytes())
    assert terminal.good("dan", "request", "fetch", renamed).code == 0


def test_unknown_requests_are_not_found(terminal, image):
    for command in (
        ("show", "r-0123456789abcdef"), ("check", "r-0123456789abcdef", image), ("reject", "f" * 64, "--reason", "x"),
        ("approve", "r-0123456789abcdef"), ("fetch", "r-0123456789abcdef", image), ("check", image),
        ("cancel", "r-0123456789abcdef", "--reason", "x"),
    ):  # fmt: skip
        said = terminal.run("ben", "request", *command)
        assert said.code == REFUSED, said
        assert "there is no request" in said.err or "no request that is waiting" in said.err


@pytest.mark.parametrize("name", ["../names", "a/b", "r-%2e%2e", "é", "-", "?", "#"])
def test_odd_request_names_reach_nothing_else(terminal, name):
    assert terminal.run("ben", "request", "show", "--", name).code in (REFUSED, CONFIGURATION)


# -- look, check and vote


def test_list_and_show_say_what_is_wanted(terminal, image):
    request = terminal.sign(image, release="4.2")
    lines = terminal.good("ben", "request", "list", "--state", "waiting", "--product", "router").out.splitlines()
    assert any(line.split()[:4] == [request, "waiting", "router", "4.2"] for line in lines)
    assert request in [s["id"] for s in terminal.good("ben", "request", "list", "--json").json]
    assert request not in terminal.good("ben", "request", "list", "--state", "signed").out
    assert terminal.good("ben", "request", "list", "--product", "lamp", "--json").json == []
    assert terminal.run("ben", "request", "list", "--state", "odd").code == USAGE
    shown = terminal.good("ben", "request", "show", request).out
    assert "ada (person), signature verified" in shown
    assert hashlib.sha512(image.read_bytes()).hexdigest() in shown
    assert "needs         2 approvals by approver" in shown
    found = terminal.good("ben", "request", "show", request, "--json").json
    assert found["request"]["artifacts"][0]["sha256"] == hashlib.sha256(image.read_bytes()).hexdigest()
    assert found["requester_verified"] is True
    assert "0 of 2 approvals" in found["missing"]
    terminal.good("ben", "request", "approve", request, "--yes")
    found = terminal.good("ben", "request", "show", found["digest"], "--json").json
    assert [(v["person"], v["checked"], v["counts"]) for v in found["votes"]] == [("ben", "displayed", True)]
    assert "1 of 2 approvals" in found["missing"]


def test_the_list_has_a_heading_names_images_and_says_who_voted(terminal, image, tmp_path):
    other = tmp_path / "other.bin"
    other.write_bytes(os.urandom(32))
    command = ("sign", image, other, "--product", "router", "--release", "4.3", "--json")
    request = terminal.good("ada", *command).json["id"]
    terminal.good("ben", "request", "approve", request, image, other)
    for person, voted in (("ben", "you"), ("cleo", "ben")):
        heading, *lines = terminal.good(person, "request", "list", "--state", "waiting").out.splitlines()
        assert heading.split("  ")[0] == "ID"
        (line,) = [line for line in lines if line.startswith(request)]
        assert "fw.bin and 1 other" in line
        assert line[heading.index("VOTED") :].split()[0] == voted
        (found,) = [r for r in terminal.good(person, "request", "list", "--json").json if r["id"] == request]
        assert (found["images"], found["voters"]) == (["fw.bin", "other.bin"], ["ben"])
        assert found["you_voted"] is (person == "ben")
    said = terminal.good("ben", "request", "list", "--product", "nothing")
    assert (said.out, "there is no such request" in said.err) == ("", True)


def test_the_beginning_of_an_id_or_digest_is_enough_where_it_is_the_only_one(terminal, image):
    request = terminal.sign(image)
    digest = terminal.good("ben", "request", "show", request[:10], "--json").json["digest"]
    for name in (request[2:10], digest[:12], digest):
        assert terminal.good("ben", "request", "show", name, "--json").json["id"] == request
    assert "recomputed" in terminal.good("ben", "request", "approve", request[:10], image).out
    said = terminal.run("ben", "request", "show", "r-0000000000")
    assert said.code == REFUSED
    assert "there is no request r-0000000000" in said.err


def test_a_beginning_of_several_ids_is_refused_with_all_of_them(terminal, image, monkeypatch):
    ids = iter(("r-00ff000000000001", "r-00ff000000000002"))
    compose = signing.new_request
    monkeypatch.setattr(signing, "new_request", lambda *a, **k: compose(*a, **{**k, "entropy": entropy}))

    def entropy(size: int) -> bytes:
        return bytes.fromhex(next(ids)[2:]) if size == 8 else os.urandom(size)

    first, second = terminal.sign(image), terminal.sign(image)
    said = terminal.run("ben", "request", "show", "r-00ff0000")
    assert said.code == REFUSED
    assert "2 requests begin with r-00ff0000" in said.err
    assert first in said.err
    assert second in said.err


def test_check_finds_the_request_by_its_image_and_says_what_was_compared(terminal, image, tmp_path):
    request = terminal.sign(image)
    own = tmp_path / "from-the-build.bin"
    own.write_bytes(image.read_bytes())
    said = terminal.good("ben", "request", "check", own)
    assert f"{own} is artifact fw.bin of {request}" in said.out
    assert re.search(r"slot signature +rebuilt:", said.out)
    assert "option signing_time" in said.out
    found = terminal.good("ben", "request", "check", request, own, "--json").json
    assert found["artifacts"][0]["options"].keys() == {"signing_time"}
    assert (found["id"], found["matches"], found["artifacts"][0]["file"]) == (request, True, str(own))
    terminal.sign(image, release="1.1")
    said = terminal.run("ben", "request", "check", own)
    assert said.code == REFUSED
    assert "2 requests are for this image" in said.err
    assert terminal.run("ben", "request", "check", request).code == USAGE


def test_check_refuses_another_image(terminal, image, tmp_path):
    request = terminal.sign(image)
    other = tmp_path / "other.bin"
    other.write_bytes(image.read_bytes()[:-1] + b"!")
    for command in (("check", request, other), ("approve", request, other, "--yes")):
        said = terminal.run("ben", "request", *command)
        assert said.code == DIFFERENT
        assert "this file is not artifact fw.bin of the request" in said.err
    said = terminal.run("ben", "request", "check", request, image, other)
    assert said.code == DIFFERENT
    assert f"is no image of request {request}" in said.err
    assert terminal.good("ben", "request", "show", request, "--json").json["votes"] == []


def test_a_vote_shows_what_it_signs_and_says_recomputed_only_with_the_image(terminal, image):
    request = terminal.sign(image)
    said = terminal.good("ben", "request", "approve", request)
    for line in ("checked   displayed", "decision  approve", "person    ben", "salt      "):
        assert line in said.out
    assert said.out.count("2 approvals") == 2  # what is needed, and how many there are
    assert "1 of 2 approvals: ben" in said.err
    assert "signature verified" in said.out
    said = terminal.run("ben", "request", "approve", request)
    assert said.code == REFUSED
    assert "you approved" in said.err
    said = terminal.good("ben", "request", "approve", request, image)
    assert "checked   recomputed" in said.out
    assert terminal.run("ben", "request", "approve", image).code == REFUSED
    shown = terminal.good("ben", "request", "show", request, "--json").json
    assert "1 of 2" in shown["missing"]
    vote = terminal.good("cleo", "request", "approve", request, image, "--json").json["vote"]
    assert (vote["person"], vote["request"], vote["checked"]) == ("cleo", shown["digest"], "recomputed")


def test_nobody_approves_what_they_requested_nor_without_being_in_the_policy(terminal, image):
    request = terminal.sign(image)
    said = terminal.run("ada", "request", "approve", request, image, "--yes")
    assert said.code == REFUSED
    assert "requested this yourself" in said.err
    said = terminal.run("root-a", "request", "approve", request, "--yes")
    assert said.code == REFUSED
    assert "root-a is not an active person" in said.err


@pytest.mark.parametrize(("answer", "code"), [("n\n", 130), ("y\n", 0)])
def test_at_a_terminal_people_are_asked(terminal, image, answer, code, monkeypatch):
    class Keyboard:
        def isatty(self) -> bool:
            return True

        def readline(self, *_: object) -> str:
            return answer

        def fileno(self) -> int:
            raise OSError

    request = terminal.sign(image)
    monkeypatch.setattr("sys.stdin", Keyboard())
    said = terminal.run("ben", "request", "approve", request)
    assert said.code == code
    assert f"approve request {request}?" in said.err
    assert ("nothing was signed" in said.err) is (code != 0)
    assert "interrupted" not in said.err
    votes = terminal.good("ben", "request", "show", request, "--json").json["votes"]
    assert len(votes) == (code == 0)


def test_a_veto_is_done_once_it_is_proven_and_ends_the_request(terminal, image):
    request = terminal.sign(image)
    said = terminal.good("ben", "request", "reject", request, "--reason", "wrong build", "--json").json
    assert said["proven"] is True
    entry = terminal.good("dan", "log", "show", said["log_index"], "--json").json
    assert (entry["kind"], entry["entry"]["person"]) == ("veto", "ben")
    assert entry["restriction"]["reason"] == "wrong build"
    assert "wrong build" in terminal.good("dan", "log", "show", said["log_index"]).out
    for person, command in (
        ("cleo", ("approve", request, image)), ("cleo", ("reject", request, "--reason", "x")),
        ("ada", ("cancel", request, "--reason", "x")), ("root-a", ("cancel", request, "--reason", "x")),
    ):  # fmt: skip
        said = terminal.run(person, "request", *command)
        assert said.code == REFUSED
        assert f"request {request} is rejected already" in said.err
    own = terminal.sign(image)
    said = terminal.run("ada", "request", "reject", own, "--reason", "x")
    assert said.code == REFUSED
    assert "`sealwright request cancel`" in said.err


def test_requesters_cancel_their_own_and_administrators_any(terminal, image):
    mine, other = terminal.sign(image), terminal.sign(image)
    said = terminal.run("ben", "request", "cancel", mine, "--reason", "spite")
    assert said.code == REFUSED
    assert "ben may not cancel" in said.err
    assert "done: request" in terminal.good("ada", "request", "cancel", mine, "--reason", "wrong file").out
    assert "inclusion proven" in terminal.good("root-a", "request", "cancel", other, "--reason", "recall").out
    assert terminal.good("ben", "request", "show", mine, "--json").json["state"] == "cancelled"
    assert terminal.run("ada", "request", "cancel", mine).code == USAGE


# -- impact


def test_impact_names_products_releases_people_and_the_log(terminal, image):
    request = terminal.sign(image, release="7.0")
    approve(terminal, request, image)
    terminal.good("ada", "request", "fetch", request, image, "--wait", "20")
    terminal.good("root-a", "people", "name", "ben", "Ben Approver")
    found = terminal.good("dan", "impact", "--key", "router/production/1", "--json").json
    (signed,) = [i for i in found["images"] if i["request"] == request]
    assert (signed["requester"], sorted(signed["approvers"])) == ("ada", ["ben", "cleo"])
    assert signed["outcome_index"] > signed["intent_index"]
    assert found["names"]["ben"] == "Ben Approver"
    assert "router 7.0" in found["releases"]
    shown = terminal.good("dan", "impact", "--key", "router/production/1")
    assert "ben (Ben Approver)" in shown.out
    assert f"log size {found['log_size']}, root {found['log_root']}" in shown.out
    fingerprint = terminal.good("dan", "key", "show", "router/production/1", "--json").json["fingerprint"]
    assert len(terminal.good("dan", "impact", "--key", fingerprint, "--json").json["images"]) == len(found["images"])
    later = time.strftime("%Y-%m-%d", time.gmtime(time.time() + 2 * 86_400))
    nothing = ("impact", "--key", "router/production/1", "--since", later)
    assert terminal.good("dan", *nothing, "--json").json["images"] == []
    assert "0 signatures" in terminal.good("dan", *nothing).out


def test_a_mistyped_key_does_not_look_like_one_that_signed_nothing(terminal):
    said = terminal.run("dan", "impact", "--key", "router/production/l")
    assert said.code == REFUSED
    assert "there is no key router/production/l" in said.err
    assert terminal.run("dan", "impact", "--key", "a", "--since", "yesterday").code == USAGE
    assert "0 signatures" in terminal.good("dan", "impact", "--key", "sensor/production/1").out


# -- log


def test_the_log_is_shown_verified_and_proven(terminal, live):
    head = terminal.good("dan", "log", "head", "--json").json
    assert head["origin"] == live.configuration.origin
    assert "verified with the key in the trust file" in terminal.good("dan", "log", "head").out
    report = terminal.good("dan", "log", "verify", "--json").json
    assert report["verified"] is True
    assert sum(report["entries"].values()) + len(report["ignored"]) == report["size"]
    assert report["ignored"] == []
    assert "policy" in terminal.good("dan", "log", "verify").out
    shown = terminal.good("dan", "log", "show", "0", "--json").json
    assert shown["kind"] == "root"
    assert shown["document"]["administrators"][0]["person"] == "root-a"
    assert "signed by" in terminal.good("dan", "log", "show", "0").out
    said = terminal.run("dan", "log", "show", "99999")
    assert said.code == REFUSED
    assert "the log has" in said.err
    assert terminal.run("dan", "log", "show", "-1").code == USAGE


def test_a_proof_in_the_c2sp_form_is_checked_by_a_few_lines_of_rfc_6962(terminal, tmp_path):
    index = 2
    path = tmp_path / "two.tlog-proof"
    terminal.good("dan", "log", "proof", index, "-o", path)
    lines = path.read_text().split("\n")
    assert lines[:2] == ["c2sp.org/tlog-proof@v1", f"index {index}"]
    empty = lines.index("")
    hashes, (origin, size, root) = lines[2:empty], lines[empty + 1 : empty + 4]
    entry = terminal.good("dan", "log", "proof", index, "--json").json["entry"]
    node = hashlib.sha256(b"\x00" + canonical.from_base64(entry)).digest()
    at, last = index, int(size) - 1
    for sibling in map(canonical.from_base64, hashes):
        if at & 1 or at == last:
            node = hashlib.sha256(b"\x01" + sibling + node).digest()
            while at and not at & 1:
                at, last = at >> 1, last >> 1
        else:
            node = hashlib.sha256(b"\x01" + node + sibling).digest()
        at, last = at >> 1, last >> 1
    assert (origin, canonical.to_base64(node)) == ("log.example/acme", root)
    assert terminal.good("dan", "log", "proof", index).out.startswith("c2sp.org/tlog-proof@v1\nindex 2\n")
    said = terminal.run("dan", "log", "proof", index, "-o", path)
    assert said.code == CONFIGURATION
    assert "exists already" in said.err


# -- what people type


def test_a_bare_wait_has_a_default_and_a_number_is_its_value():
    seen = []
    app = typed.noun("")

    @app.command()
    def command(words: list[str], wait: int = 0) -> None:
        seen.append((words, wait))

    for arguments in (
        ["--wait", "a.b"], ["a", "--wait"], ["--wait", "5", "a"], ["--wait=7", "a"], ["a"], ["--wait", "10m", "a"],
        ["--wait=2h", "a"], ["--wait", "r-0123456789abcdef"],
    ):  # fmt: skip
        typed.run(app, "test", arguments)
    assert [wait for _, wait in seen] == [3600, 3600, 5, 7, 0, 600, 7200, 3600]
    assert {tuple(words) for words, _ in seen} == {("a.b",), ("a",), ("r-0123456789abcdef",)}


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("30m", 1800), ("12h", 43_200), ("7d", 604_800), ("2w", 1_209_600)]
)
def test_durations_are_read(text, seconds):
    assert duration(text) == seconds


@pytest.mark.parametrize("text", ["", "7", "d", "-1d", "1.5h", "1y", "1d2h", "٣d", "9" * 20 + "d"])
def test_what_is_no_duration_is_refused(text):
    with pytest.raises(UsageError, match="is no duration"):
        duration(text)


def test_times_are_utc_unless_they_say_otherwise():
    assert moment("2026-01-31") == 1_769_817_600
    assert moment("2026-01-31T00:00:00Z") == moment("2026-01-31T01:00:00+01:00") == 1_769_817_600
    assert moment("1900-01-01") == 0
    for text in ("", "noon", "2026-13-01", "0001-01-01T00:00:00+14:00x"):
        with pytest.raises(UsageError, match="is no time"):
            moment(text)
