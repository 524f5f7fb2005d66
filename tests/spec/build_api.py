"""``docs/api.md``, made from the table of routes and the annotations of its records.

Run ``python -m tests.spec.build_api``; ``tests/server/test_openapi.py`` makes it anew and expects no difference.
"""

import dataclasses
import re
import typing
from typing import Any

from tests.conftest import PROJECT
from tests.spec.forms import member_forms

from sealwright.server.application import MAX_STRANGERS_BODY_BYTES, CallScope, Route
from sealwright.server.routes import ROUTES
from sealwright.service.messages import MAX_BODY_BYTES, Challenge, Problem

PAGE = PROJECT / "docs" / "api.md"
SPECIFICATION = PROJECT / "docs" / "spec"
WHO = {CallScope.ANYBODY: "anybody", CallScope.MEMBER: "member", CallScope.ADMINISTRATOR: "administrator"}

OPENING = f"""# The HTTP API

```
curl http://127.0.0.1:8710/health
```

This page is made from the table in `src/sealwright/server/routes/`; `GET /openapi.json` says the same to programs.

## How to call

Bodies and answers are [canonical JSON](spec/canonical-form.md); a body has at most {MAX_BODY_BYTES:,} bytes, without a session {MAX_STRANGERS_BODY_BYTES:,}; an image is sent alone and may be larger.
Errors are RFC 9457 problem documents (`Problem`); their `code` has a heading in [errors.md](errors.md).
Every call but health and the two that log in needs a session: `Authorization: Bearer TOKEN`.

To log in, send the SHA-256 of your SSH public key blob to `/v1/challenge`.
The answer holds the exact bytes of a `Challenge`.
Sign its digest, of type `login`, with that key under the namespace `sealwright-login-v1`, as [signatures.md](spec/signatures.md) says.
Send challenge and envelope to `/v1/login`; the token lasts as long as the answer says.

| scope | who |
|---|---|
| anybody | no session needed |
| member | people and pipelines of the policy, administrators of the root, none of them revoked |
| administrator | administrators of the root in force |

A scope only opens the door.
What counts afterwards are signed documents: no session can vote, approve or sign for anybody.
"""  # noqa: E501 - one sentence per line


def build() -> str:
    """Return the text of the page."""
    calls = ["## Calls", "", "| call | scope | body | answer | what |", "|---|---|---|---|---|"]
    calls += [_row(route) for route in ROUTES]
    queries = ["## Query parameters", "", "| call | parameter | meaning |", "|---|---|---|"]
    queries += [
        f"| `{route.method} {route.path}` | `{query.name}` | {query.meaning} |"
        for route in ROUTES
        for query in route.query
    ]
    return "\n".join([OPENING, *calls, "", *queries, "", "## Records", "", *_records()])


def _row(route: Route) -> str:
    body = "bytes of the image" if route.is_stream else _link(route.body)
    answer = _link(route.answer) if route.answer else ("bytes" if route.content.endswith("octet-stream") else "")
    if route.path == "/openapi.json":
        answer = "OpenAPI 3.1"
    return f"| `{route.method} {route.path}` | {WHO[route.scope]} | {body} | {answer} | {route.summary} |"


def _link(record: type[Any] | None) -> str:
    if record is None:
        return ""
    page = _specified().get(record.__name__)
    where = f"spec/{page}" if page else ""
    return f"[`{record.__name__}`]({where}#{record.__name__.lower()})"


def _specified() -> dict[str, str]:
    """Records that the specification describes, each with its page."""
    pages = sorted(SPECIFICATION.glob("*.md"))
    return {name: page.name for page in pages for name in re.findall(r"^##+ `(\w+)`$", page.read_text(), re.MULTILINE)}


def _records() -> list[str]:
    lines: list[str] = []
    for record in _used():
        lines += [f"### `{record.__name__}`", "", " ".join((record.__doc__ or "").split()), ""]
        forms = member_forms(record)
        if forms:
            lines += ["| member | form |", "|---|---|", *(f"| `{name}` | {form} |" for name, form in forms.items()), ""]
    others = ", ".join(f"[`{name}`](spec/{page}#{name.lower()})" for name, page in sorted(_mentioned(lines).items()))
    return [*lines, f"Described in the specification: {others}."]


def _used() -> list[type[Any]]:
    """Records of the calls, and those they are made of, that have no page in the specification."""
    specified, found = _specified(), {}
    todo = [record for route in ROUTES for record in (route.body, route.answer) if record] + [Challenge, Problem]
    while todo:
        record = todo.pop()
        if record.__name__ in specified or record.__name__ in found:
            continue
        found[record.__name__] = record
        todo += _parts(record)
    return [found[name] for name in sorted(found)]


def _parts(record: type[Any]) -> list[type[Any]]:
    todo, parts = list(typing.get_type_hints(record).values()), []
    while todo:
        hint = todo.pop()
        todo += typing.get_args(hint)
        if isinstance(hint, type) and dataclasses.is_dataclass(hint):
            parts.append(hint)
    return parts


def _mentioned(lines: list[str]) -> dict[str, str]:
    names = set(re.findall(r"`([A-Z]\w+)`", "\n".join(lines)))
    return {name: page for name, page in _specified().items() if name in names}


if __name__ == "__main__":
    PAGE.write_text(build())
