"""The command line's entry: the list of all commands, and the one place where errors become text and exit codes.

Only the module of the command that was called is imported.  A command is a function with Typer's annotations, or a
``typer.Typer`` of sub-commands for a noun; a *lean* one takes its arguments as a list and parses them with argparse,
because importing Typer takes longer than verifying (docs/adr/0010).  Commands print, and raise errors of the families.
"""

import errno
import gc
import importlib
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sealwright import __version__
from sealwright.cli.output import (
    EX_USAGE,
    INTERNAL,
    PROGRAM,
    DeclinedError,
    EndedError,
    StoppedError,
    UsageError,
    error_json,
    show_error,
    show_json,
)
from sealwright.core.errors import Code, SealwrightError, UnavailableError

INTERRUPTED, BROKEN_PIPE = 130, 141  # as a shell says it of a process ended by SIGINT or SIGPIPE
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)


@dataclass(frozen=True, slots=True)
class Command:
    """Where a command is and what it is for."""

    target: str
    """``module:attribute``."""
    help: str
    is_lean: bool = False


COMMANDS: dict[str, dict[str, Command]] = {
    "Signing": {
        "connect": Command("sealwright.cli.connection:connect", "where the server is, what to trust, who you are"),
        "sign": Command("sealwright.cli.signing:sign", "ask for signatures, and with --wait bring them home"),
        "request": Command("sealwright.cli.requests:request", "list, show, check, approve, reject, fetch requests"),
    },
    "Images": {
        "inspect": Command("sealwright.cli.offline:inspect", "what an image is, what is signed, by whom", is_lean=True),
        "verify": Command("sealwright.cli.offline:verify", "check an image with its evidence, offline", is_lean=True),
        "suit": Command("sealwright.cli.suit:suit", "build SUIT envelopes from a template"),
        "uki": Command("sealwright.cli.uki:uki", "build and measure unified kernel images"),
    },
    "Record": {
        "log": Command("sealwright.cli.log:log", "the log: its head, its entries, proofs"),
        "impact": Command("sealwright.cli.impact:impact", "what a key signed, for whom, who approved"),
    },
    "Administration": {
        "people": Command("sealwright.cli.people:people", "people, their keys and roles"),
        "product": Command("sealwright.cli.key_set:product", "products and the rules of their environments"),
        "key": Command("sealwright.cli.key:key", "make, import, list, show and revoke signing keys"),
        "policy": Command("sealwright.cli.policy:policy", "what is in force, the draft, proposals"),
    },
    "Operation": {
        "init": Command("sealwright.cli.instance:init", "make a new installation: root, log, signer"),
        "up": Command("sealwright.cli.instance:up", "run server and signer on this machine"),
        "server": Command("sealwright.cli.instance:server", "run the server alone"),
        "signer": Command("sealwright.cli.instance:signer", "run the signer alone"),
        "doctor": Command("sealwright.cli.care:doctor", "what is wrong with an instance, and how to mend it"),
        "backup": Command("sealwright.cli.care:backup", "copy an instance while it runs"),
        "restore": Command("sealwright.cli.care:restore", "go on from a backup, if that forks nothing"),
    },
    "Other": {
        "version": Command("sealwright.cli.offline:version", "say which version this is", is_lean=True),
    },
}
"""Every command under its heading in the help."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    wants_json = "--json" in given
    try:
        _dispatch(given)
        sys.stdout.flush()
    except UsageError as e:
        return _fail(wants_json, {"code": "usage", "message": e.message, "exit_code": EX_USAGE}, e.message, e.hint)
    except SealwrightError as e:
        return _fail(wants_json, error_json(e), e.message, e.hint)
    except EndedError as e:
        return _fail(wants_json, error_json(e.error), e.error.message, e.error.hint, e.value)
    except DeclinedError:
        return INTERRUPTED
    except StoppedError as e:
        resume = f"what was submitted stays: resume with `{e.value['resume']}`"
        value = {"code": "interrupted", "message": "interrupted", "exit_code": e.exit_code, "hint": resume}
        return _fail(wants_json, value, "interrupted", resume, e.value)
    except KeyboardInterrupt:
        show_error("interrupted", "what was submitted stays: `sealwright request list` shows it")
        return INTERRUPTED
    except BrokenPipeError:
        _give_up_output()  # whoever read is gone
        return BROKEN_PIPE
    except Exception as e:
        if isinstance(e, OSError) and e.filename and e.strerror:  # a file that is not there, or may not be touched
            value = {"code": str(Code.CONFIGURATION), "message": f"{e.filename}: {e.strerror}", "exit_code": 78}
            return _fail(wants_json, value, str(value["message"]), "ask for access, or name another place")
        if isinstance(e, OSError) and e.errno in FULL:  # of an open file, as standard output is one
            _give_up_output()
            show_error(f"the output cannot be written: {e.strerror}", "make room; what was done before stays done")
            return UnavailableError.exit_code
        if os.environ.get("SEALWRIGHT_DEBUG") == "1":
            raise
        value = {"code": str(Code.INTERNAL), "message": f"internal error: {type(e).__name__}", "exit_code": INTERNAL}
        hint = "this is a bug of Sealwright: run it again with SEALWRIGHT_DEBUG=1 and report what it prints"
        return _fail(wants_json, value, str(value["message"]), hint)
    return 0


def _give_up_output() -> None:
    """Python would complain when it flushes at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _fail(wants_json: bool, value: Any, message: str, hint: str, beside: Mapping[str, Any] | None = None) -> int:
    show_error(message, hint)
    if wants_json:
        try:
            show_json({**(beside or {}), "error": value})
            sys.stdout.flush()
        except OSError:
            _give_up_output()
    code: int = value["exit_code"]
    return code


def _dispatch(given: list[str]) -> None:
    if not given or given[0] in ("-h", "--help", "help"):
        print(overview())
        return
    name = "version" if given[0] == "--version" else given[0]
    command = next((group[name] for group in COMMANDS.values() if name in group), None)
    if command is None:
        raise _unknown(name)
    target = _load(command.target)
    if command.is_lean:
        target(given[1:])
    else:
        from sealwright.cli.typed import run  # noqa: PLC0415 - Typer is slow to import

        run(target, f"{PROGRAM} {name}", given[1:])


def _load(target: str) -> Any:
    module, _, attribute = target.partition(":")
    gc.disable()  # nothing that an import makes is garbage: looking for some takes a tenth of the start
    try:
        return getattr(importlib.import_module(module), attribute)
    finally:
        gc.enable()


def overview() -> str:
    """Return the help of the program as a whole."""
    width = max(len(name) for group in COMMANDS.values() for name in group)
    lines = [f"{PROGRAM} {__version__}: sign firmware with a quorum that an outsider can check", ""]
    lines.append(f"usage: {PROGRAM} COMMAND ...    `{PROGRAM} COMMAND --help` says more")
    for heading, group in COMMANDS.items():
        lines += ["", f"{heading}:"]
        lines += [f"  {name:<{width}}  {command.help}" for name, command in group.items()]
    return "\n".join(lines)


def _unknown(name: str) -> UsageError:
    from difflib import get_close_matches  # noqa: PLC0415 - needed here only

    close = get_close_matches(name, [known for group in COMMANDS.values() for known in group], 1)
    hint = f"did you mean `{PROGRAM} {close[0]}`?" if close else f"list the commands with `{PROGRAM} --help`"
    return UsageError(f"there is no command {name[:40]!r}", hint=hint)
