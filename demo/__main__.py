"""`make demo`: a manufacturer, two products, four people; four real images signed, verified, and refused when changed.

Everything is made in build/demo and stays there to be looked at and gone on with: run again, the demo moves it aside to
build/demo-1 and so on.  Keys are made for this run; nothing is real but the programs, the signatures and the images.
"""

import os
import shutil
import socket
import subprocess
import sys
import time
from itertools import count
from pathlib import Path

import httpx

from demo import images
from demo.console import PROJECT, SEALWRIGHT, Desk, UnexpectedError, run, say
from demo.images import Job
from demo.judges import JUDGES

FOLDER = PROJECT / os.environ.get("DEMO_FOLDER", "build/demo")
PEOPLE = {"ada": "developer", "ben": "approver", "cleo": "approver", "dan": "approver"}
KEYS = {
    "atlas-router": {"uefi": ("rsa-pkcs1-sha256", "uefi-pe"), "boot": ("rsa-pkcs1-sha256", "u-boot-fit")},
    "pico-sensor": {"mcuboot": ("ecdsa-p256-sha256", "mcuboot"), "raw": ("ecdsa-p256-sha256", "raw")},
}
START_SECONDS = 30


def main() -> int:
    """Tell the story; 1 when it does not go as told."""
    began = time.monotonic()
    if FOLDER.exists():
        say(f"The demo of an earlier run stays: {put_aside(FOLDER).relative_to(PROJECT)}\n")
    FOLDER.mkdir(parents=True)
    instance = FOLDER / "instance"
    server: subprocess.Popen[bytes] | None = None
    try:
        desks, url = found(instance)
        server = start(instance, url)
        rule(desks, instance, url)
        for number, job in enumerate(images.make(FOLDER / "images"), 1):
            sign(number, job, desks)
        ask(desks)
    except UnexpectedError as e:
        say(f"\nThe demo stops here: {e}")
        return 1
    finally:
        if server is not None:
            server.terminate()
            server.wait(timeout=30)
    farewell(time.monotonic() - began)
    return 0


def put_aside(folder: Path) -> Path:
    """Give a folder the next free number behind its name; nothing in it knows where it lies."""
    numbers = (folder.with_name(f"{folder.name}-{number}") for number in count(1))
    free = next(path for path in numbers if not path.exists())
    for settings in folder.glob("config-*/connection.json"):  # but the connections of its people
        settings.write_text(settings.read_text().replace(f"{folder}/", f"{free}/"))
    return folder.rename(free)


def found(instance: Path) -> tuple[dict[str, Desk], str]:
    say("1. Acme founds an installation: two administrators, and a policy needs both of them.")
    people = FOLDER / "people"
    people.mkdir()
    desks = {}
    for name in ("alice", "amir", *PEOPLE):
        identity = people / name
        run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", f"{name} TEST ONLY", "-f", str(identity)])
        desks[name] = Desk(name, FOLDER, identity)
    port = free_port()
    desks["alice"].sealwright(
        "init", instance, "--origin", "log.acme.example/firmware", "--port", str(port), "--threshold", "2",
        "--administrator", f"alice={people / 'alice'}", "--administrator", f"amir={people / 'amir'}", show=True,
    )  # fmt: skip
    return desks, f"http://127.0.0.1:{port}"


def start(instance: Path, url: str) -> subprocess.Popen[bytes]:
    with (FOLDER / "up.log").open("wb") as output:
        server = subprocess.Popen([*SEALWRIGHT, "up", str(instance)], stdout=output, stderr=subprocess.STDOUT)
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and server.poll() is None:
        try:
            if httpx.get(f"{url}/health").status_code == 200:
                return server
        except httpx.HTTPError:
            time.sleep(0.1)
    server.terminate()
    raise UnexpectedError(f"the server did not start: {(FOLDER / 'up.log').read_text()}")


def rule(desks: dict[str, Desk], instance: Path, url: str) -> None:
    say("2. Four people with SSH keys, two products; production takes two approvals by people who recomputed.")
    alice, amir = desks["alice"], desks["amir"]
    for desk in (alice, amir):
        connect(desk, url, instance)
    for name, role in PEOPLE.items():
        alice.sealwright("people", "add", name, "--key", f"{desks[name].identity}.pub", "--role", role)
    for product, keys in KEYS.items():
        alice.sealwright(
            "product", "add", product, "--environment", "production", "--approvals", "2", "--recomputed", "2",
            "--member-state", "DE", "--key-grade", "software", show=True,
        )  # fmt: skip
        for name, (algorithm, image_format) in keys.items():
            size = ["--size", "2048"] if algorithm.startswith("rsa") else []
            alice.sealwright(
                "key", "create", f"{product}/production/{name}", "--instance", instance,
                "--algorithm", algorithm, "--format", image_format, *size, show=True,
            )  # fmt: skip
    proposal = alice.sealwright("policy", "propose", show=True).split()[0]
    amir.sealwright("policy", "sign", proposal, show=True)
    alice.sealwright("policy", "apply", proposal, show=True)
    for name in PEOPLE:
        connect(desks[name], url, instance)
    # What verifiers need: the trust file as of now, handed over by a way that is trusted.
    (FOLDER / "trust.json").write_bytes((instance / "trust.json").read_bytes())


def connect(desk: Desk, url: str, instance: Path) -> None:
    desk.sealwright("connect", url, "--trust", instance / "trust.json", "--identity", desk.identity)


def sign(number: int, job: Job, desks: dict[str, Desk]) -> None:
    say(f"\n{number + 2}. {job.title[0].upper()}{job.title[1:]}: {job.image.name} for {job.product}")
    ada, out = desks["ada"], FOLDER / "signed" / job.image.name
    out.parent.mkdir(exist_ok=True)
    extra = ["--format", job.image_format] if job.image_format else []
    extra += [word for option in job.options for word in ("--option", option)]
    request = ada.json(
        "sign", job.image, "--product", job.product, "--release", "1.2.3",
        "--key-profile", f"{job.product}/production/{job.key}", *extra, show=True,
    )  # fmt: skip
    name = request["id"]
    say(f"     too early:{ada.refused('request', 'fetch', name, job.image).partition('error:')[2]}")
    for approver in ("ben", "cleo"):
        # Each has the image from the build, not from the server, and rebuilds every slot from it.
        desks[approver].sealwright("request", "approve", name, job.image, "--yes", show=True)
    wait(ada, name)
    ada.sealwright("request", "fetch", name, job.image, "-o", out, show=True)
    keys = FOLDER / "keys" / job.key
    keys.mkdir(parents=True, exist_ok=True)
    profile = f"{job.product}/production/{job.key}"
    (keys / "public.pem").write_text(ada.sealwright("key", "show", profile, "--public-key"))
    (keys / "certificate.pem").write_text(ada.sealwright("key", "show", profile, "--certificate"))
    verify(job, out, keys, desks["dan"])


def wait(desk: Desk, name: str) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        state = desk.json("request", "show", name)["state"]
        if state == "signed":
            return
        time.sleep(0.2)
    raise UnexpectedError(f"request {name} is {state}, not signed")


def verify(job: Job, signed: Path, keys: Path, desk: Desk) -> None:
    judge = JUDGES[job.key]
    for program, accepted, words in judge(signed, keys):
        if not accepted:
            raise UnexpectedError(f"{program} refuses {signed.name}: {words}")
        say(f"     {program} accepts: {words}")
    desk.sealwright("verify", signed, "--trust", FOLDER / "trust.json", show=True)
    flipped = FOLDER / "flipped" / signed.name
    flipped.parent.mkdir(exist_ok=True)
    for file in signed.parent.glob(f"{signed.name}*"):
        shutil.copyfile(file, flipped.parent / file.name)
    data = bytearray(signed.read_bytes())
    data[len(data) // 2] ^= 1
    flipped.write_bytes(data)
    for program, accepted, words in judge(flipped, keys):
        if accepted:
            raise UnexpectedError(f"{program} accepts {signed.name} with a byte flipped")
        say(f"     one byte flipped: {program} refuses: {words}")
    complaint = desk.refused("verify", flipped, "--trust", FOLDER / "trust.json").partition("error: ")[2]
    say(f"     one byte flipped: sealwright verify refuses: {complaint.partition(':')[0]}")


def ask(desks: dict[str, Desk]) -> None:
    say("\n7. The security officer asks at three in the morning: what did this key sign, who approved it?")
    say(desks["dan"].sealwright("impact", "--key", "atlas-router/production/boot", show=True).rstrip())


def farewell(seconds: float) -> None:
    relative = FOLDER.relative_to(PROJECT)
    say(f"\nDone in {seconds:.0f} s.  Look at it:")
    say(f"  signed images, evidence (.sealwright)   {relative}/signed")
    say(f"  what a verifier needs                   {relative}/trust.json")
    say("Try next:")
    say(f"  .venv/bin/sealwright verify {relative}/signed/router.itb --trust {relative}/trust.json")
    say(f"  .venv/bin/sealwright inspect {relative}/signed/memtest.efi")
    say(f"  make up INSTANCE={relative}/instance      and in another terminal, as ben:")
    say(f"  SEALWRIGHT_CONFIG={relative}/config-ben .venv/bin/sealwright request list")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


if __name__ == "__main__":
    sys.exit(main())
