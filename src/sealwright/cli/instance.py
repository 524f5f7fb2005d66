"""Running an installation: ``init``, ``up``, ``server``, ``signer``.

Commands of whoever operates the machine; none of them can sign or approve.
"""
# ruff: noqa: PLC0415 - each command imports its own process; the base install has none of them

import re
import shlex
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sealwright.cli.key_arguments import LASTING_SOURCE
from sealwright.cli.output import UsageError, note, show, show_json, show_table
from sealwright.core.envelopes import Envelope
from sealwright.core.errors import ConfigurationError
from sealwright.policy.documents import Grade

if TYPE_CHECKING:
    from sealwright.wiring.configuration import Configuration
    from sealwright.wiring.initialise import Founding

Folder = Annotated[Path, typer.Argument(metavar="DIR", help="the instance's folder")]
DEFAULT_PORT = 8710
AS_OF_HINT = "SIZE:HASH, the root hash in hex, as `sealwright log head` prints them"


def init(
    folder: Folder,
    origin: Annotated[str, typer.Option(help="name of the log, for ever: as log.example.com/firmware")],
    administrator: Annotated[
        list[str], typer.Option(metavar="NAME=IDENTITY", help="administrator and SSH key file; once for each")
    ],
    threshold: Annotated[
        int, typer.Option(show_default="1; with --grade production 2", help="administrators that must sign")
    ] = 0,
    grade: Annotated[Grade, typer.Option(help="how serious this installation is")] = Grade.EVALUATION,
    host: Annotated[str, typer.Option(help="address the server listens on")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="port the server listens on")] = DEFAULT_PORT,
    keystore: Annotated[str, typer.Option(help="files, or pkcs11:module-path=/path/of/module.so")] = "files",
    pin: Annotated[
        str, typer.Option(help=f"PKCS#11: where tokens' PINs come from, with {{partition}}: {LASTING_SOURCE}")
    ] = "",
    so_pin: Annotated[
        str,
        typer.Option(
            help=f"PKCS#11: where the officer's PIN comes from: {LASTING_SOURCE}; with --pin alone no tokens are made"
        ),
    ] = "",
    json: Annotated[bool, typer.Option("--json", help="print the result as JSON")] = False,
) -> None:
    """Make a new installation: root, log, signer; the administrators sign its root now, with their SSH keys."""
    if grade is Grade.PRODUCTION and threshold == 1:
        raise UsageError("a production installation needs two administrators to agree", hint="--threshold 2 or more")
    identities = _administrators(administrator)
    with server_parts():
        from sealwright.client import compose, ssh
        from sealwright.core.digests import NO_INSTANCE
        from sealwright.wiring import initialise, partitions

    def sign(person: str, document: bytes) -> Envelope:
        note(f"{person} signs the root with {identities[person]}")
        return compose.sign_bytes(document, "root", instance=NO_INSTANCE, identity=identities[person], signer=person)

    founding = initialise.Founding(
        folder=folder,
        origin=origin,
        administrators=[(name, ssh.public_key(identity).line()) for name, identity in identities.items()],
        threshold=threshold or (2 if grade is Grade.PRODUCTION else 1),
        grade=grade,
        host=host,
        port=port,
        now=int(time.time()),
        keystore=partitions.keystore_setting(keystore, pin=pin, so_pin=so_pin),
    )
    made = initialise.create(founding, sign)
    if json:
        show_json(_as_json(made))
    else:
        _show_made(made, founding, identities)


def up(folder: Folder) -> None:
    """Run signer and server of an instance until Ctrl-C or SIGTERM; one that dies is started again."""
    with server_parts():
        from sealwright.wiring import access, configuration, server, signer, supervisor  # noqa: F401 - for the children
    loaded = configuration.load(folder)
    configuration.check_served(loaded)
    for trouble in access.unwritable(loaded, for_owner=False):
        raise ConfigurationError(
            f"{trouble.found}: nothing could be signed",
            setting="DIR",
            hint=f"{trouble.remedy}; `sealwright doctor` says more",
        )
    for name in loaded.partitions:
        if found := access.partition_trouble(loaded, name, for_owner=False):
            note(f"warning: nothing will be signed with the keys of {name}: {found.found}; mend it: {found.remedy}")

    def ready() -> None:
        show(f"instance {loaded.instance[:16]} serves at {loaded.url}")
        show(f"connect:  {_connect(loaded, 'SSH-KEY')}")
        show("stop:     Ctrl-C")
        sys.stdout.flush()

    supervisor.Supervisor(loaded, say=note, on_ready=ready).run()
    note("stopped")


def server(folder: Folder) -> None:
    """Run the server alone, as systemd does."""
    with server_parts():
        import sealwright.wiring.server  # noqa: F401 - here, so that what is missing is said as such
        from sealwright.wiring.__main__ import serve
    serve("server", folder)


def signer(
    folder: Folder,
    as_of: Annotated[
        str, typer.Option(metavar="SIZE:HASH", help="only for a new signer: a state of the log to begin with")
    ] = "",
) -> None:
    """Run the signer alone, as systemd does; a new one is told once which state of the log to trust."""
    with server_parts():
        from sealwright.wiring import configuration
        from sealwright.wiring.__main__ import serve
        from sealwright.wiring.signer import create_head
    if as_of:
        create_head(configuration.load(folder), *parse_as_of(as_of))
        note("this signer remembers the log from here on; start it without --as-of next time")
    serve("signer", folder)


def parse_as_of(text: str) -> tuple[int, str]:
    """Return size and root hash of a log."""
    found = re.fullmatch(r"([1-9][0-9]{0,15}):([0-9a-f]{64})", text)
    if found is None:
        raise UsageError(f"{text[:100]!r} is no state of a log", hint=AS_OF_HINT)
    return int(found[1]), found[2]


@contextmanager
def server_parts() -> Iterator[None]:
    """Import what only ``sealwright[server]`` installs, or say so."""
    try:
        yield
    except ModuleNotFoundError as e:
        if (e.name or "").startswith("sealwright"):
            raise
        raise ConfigurationError(
            f"{e.name} is not installed", setting="installation", hint="install sealwright[server] on this machine"
        ) from None


def _administrators(given: list[str]) -> dict[str, Path]:
    """Read ``NAME=IDENTITY`` arguments."""
    identities: dict[str, Path] = {}
    for text in given:
        name, equals, identity = text.partition("=")
        if not equals or not name or not identity:
            raise UsageError(f"{text[:100]!r} is not NAME=IDENTITY", hint="as --administrator ada=~/.ssh/id_ed25519")
        if name in identities:
            raise UsageError(f"administrator {name} is there twice", hint="one entry for each person")
        identities[name] = Path(identity).expanduser()
    return identities


def _connect(configuration: "Configuration", identity: str) -> str:
    trust = shlex.quote(str(configuration.trust_file))
    return f"sealwright connect {configuration.url} --trust {trust} --identity {identity}"


def _as_json(made: "Configuration") -> dict[str, str]:
    return {
        "folder": str(made.folder),
        "instance": made.instance,
        "origin": made.origin,
        "url": made.url,
        "trust": str(made.trust_file),
    }


def _show_made(made: "Configuration", founding: "Founding", identities: dict[str, Path]) -> None:
    people = [name for name, _ in founding.administrators]
    show(f"made a new {founding.grade} installation in {made.folder}")
    show_table(
        [
            ("instance", made.instance),
            ("log", made.origin),
            ("administrators", f"{', '.join(people)}; {founding.threshold} of {len(people)} must sign"),
            ("keys go to", made.keystore.uri),
            ("trust file", f"{made.trust_file} (public: whoever verifies needs it)"),
        ]
    )
    identity = shlex.quote(str(next(iter(identities.values()))))
    show()
    show("next:")
    for command in (
        f"sealwright up {shlex.quote(str(made.folder))}",
        _connect(made, identity),
        "sealwright people add ...; sealwright product add ...; sealwright key create ...",
        "sealwright policy propose; sealwright policy apply",
    ):
        show(f"  {command}")
    if made.is_everywhere:
        note(f"from other machines it is https://NAME-OF-THIS-MACHINE:{made.port}; give them the trust file, too")
    if made.is_exposed:
        note(
            f"the server will not listen on {made.host} without TLS: set server.tls_certificate and server.tls_key "
            "before `sealwright up`"
        )
