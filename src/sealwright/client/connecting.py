"""Tries a connection out and keeps it if it works."""

import time
from dataclasses import dataclass
from pathlib import Path

from sealwright.client import settings
from sealwright.client.api import Api
from sealwright.client.log_view import head
from sealwright.client.settings import Settings
from sealwright.client.standing import fetch
from sealwright.core.errors import UnavailableError
from sealwright.policy.documents import Person, Pipeline

RETRY_SECONDS = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Connected:
    """A connection that works, and who one is there."""

    person: str
    roles: tuple[str, ...]
    is_administrator: bool
    instance: str
    log: str
    policy_version: int
    kept_in: Path
    is_private: bool
    """Whether nobody in between can listen: https, or this machine."""


def connect(
    url: str, trust: Path, identity: Path, *, authorities: Path | None = None, wait_seconds: float = 0
) -> Connected:
    """Log in, check what is in force and the log against the trust file, and keep the connection.

    A server that does not answer yet is waited for.
    """
    is_private = settings.check_url(url, "url")
    tried = Settings(
        url=url, trust_path=trust, trust=settings.load_trust(trust), identity=identity, authorities=authorities
    )
    with tried.api() as api:
        person = _who(api, time.monotonic() + wait_seconds)
        in_force = fetch(api, tried.trust)
        head(api, tried.trust)
    sections = in_force.standing.sections if in_force.standing else None
    found = (sections.get(Person, person) or sections.get(Pipeline, person)) if sections else None
    return Connected(
        person=person,
        roles=found.roles if found else (),
        is_administrator=any(admin.person == person for admin in in_force.root.administrators),
        instance=tried.trust.instance,
        log=tried.trust.log,
        policy_version=in_force.policy_version,
        kept_in=settings.save(url, trust, identity, authorities),
        is_private=is_private,
    )


def _who(api: Api, deadline: float) -> str:
    while True:
        try:
            return api.who()
        except UnavailableError:
            if time.monotonic() >= deadline:
                raise
            time.sleep(RETRY_SECONDS)
