"""The sections of a policy, looked up by kind and id: all of them, or those an evidence proves to belong.

The signer loads the complete policy, so the server cannot choose among sections; evidence carries those used, each with
its inclusion proof under ``Policy.sections_root``.  Rules that no policy may break are checked here, once a policy.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar

from sealwright.core import canonical, edwards, records
from sealwright.core.digests import document_digest
from sealwright.core.errors import Code, FormatError, RefusedError
from sealwright.core.keys import Algorithm, PublicKey
from sealwright.policy import key_sets
from sealwright.policy.documents import (
    MAX_POLICY_SECONDS,
    SECTION_KINDS,
    Environment,
    GateKey,
    KeyGrade,
    KeyProfile,
    Person,
    Pipeline,
    Policy,
    Root,
    Scope,
    Section,
)
from sealwright.policy.signatures import public_key_of
from sealwright.translog import merkle
from sealwright.translog.notes import parse_vkey

S = TypeVar("S", bound=Section)
_NAMES: dict[type[object], str] = {kind: name for name, kind in SECTION_KINDS.items()}
_refused = partial(RefusedError, code=Code.POLICY_INVALID)


@dataclass(frozen=True, slots=True)
class Sections:
    """Sections by kind and id, each with its digest."""

    _by_key: dict[tuple[str, str], tuple[Section, str]] = field(repr=False)

    def get(self, kind: type[S], section_id: str) -> S | None:
        """Return a section, or None when the policy has none of that kind and id."""
        found = self._by_key.get((_NAMES[kind], section_id))
        return found[0] if found and isinstance(found[0], kind) else None

    def digest_of(self, section: Section) -> str:
        """Return the digest of a section found here."""
        return self._by_key[section.type, section.id][1]

    @property
    def digests(self) -> tuple[str, ...]:
        """Digests of all sections."""
        return tuple(digest for _, digest in self._by_key.values())

    def all(self, kind: type[S]) -> tuple[S, ...]:
        """Return every section of a kind, in the order of their ids."""
        found = (section for _, (section, _) in sorted(self._by_key.items()))
        return tuple(section for section in found if isinstance(section, kind))


def parse_section(data: bytes) -> Section:
    """Read one section; ``FormatError`` for anything else."""
    value = canonical.decode(data)
    kind = SECTION_KINDS.get(str(value.get("type"))) if isinstance(value, dict) else None
    if kind is None:
        raise FormatError("not a policy section", code=Code.INVALID_DOCUMENT)
    section: Section = records.load(kind, value)
    return section


def sections_root(digests: Iterable[str]) -> str:
    """Return the RFC 6962 root over the sorted section digests (hex)."""
    return merkle.root_of([merkle.leaf_hash(bytes.fromhex(d)) for d in sorted(digests)]).hex()


def load_complete(policy: Policy, sections: Sequence[bytes], root: Root, instance: str) -> Sections:
    """Load the complete policy and check its rules; ``RefusedError`` when one is missing, doubled or breaks a rule."""
    loaded = _load(sections, instance)
    if len(sections) != policy.section_count or sections_root(loaded.digests) != policy.sections_root:
        raise RefusedError(
            f"the sections given are not those of policy version {policy.version}",
            code=Code.POLICY_INCOMPLETE,
            hint=f"all {policy.section_count} sections are needed, {len(sections)} were given",
        )
    check_rules(policy, loaded, root)
    for scope in loaded.all(Scope):
        key_sets.check_scope(scope, loaded.all(KeyProfile), is_complete=True)
    for pipeline in loaded.all(Pipeline):
        for controller in pipeline.controllers:
            if loaded.get(Person, controller) is None:
                raise _refused(f"pipeline {pipeline.id} is controlled by {controller}, who is not in the policy")
    return loaded


def load_proven(
    policy: Policy, sections: Sequence[tuple[bytes, int, Sequence[bytes]]], root: Root, instance: str
) -> Sections:
    """Load some sections, each with index and inclusion proof, and check the rules that they show.

    ``VerificationError`` when one does not belong, ``RefusedError`` when one breaks a rule.
    """
    loaded = _load([data for data, _, _ in sections], instance)
    for data, index, proof in sections:
        digest = document_digest(parse_section(data).type, instance, data)
        leaf = merkle.leaf_hash(bytes.fromhex(digest))
        merkle.verify_inclusion(
            leaf, index=index, size=policy.section_count, proof=proof, root=bytes.fromhex(policy.sections_root)
        )
    check_rules(policy, loaded, root)
    for scope in loaded.all(Scope):
        key_sets.check_scope(scope, loaded.all(KeyProfile), is_complete=False)
    return loaded


def _load(sections: Sequence[bytes], instance: str) -> Sections:
    by_key: dict[tuple[str, str], tuple[Section, str]] = {}
    for data in sections:
        section = parse_section(data)
        if (section.type, section.id) in by_key:
            raise _refused(f"{section.type} {section.id} is there twice")
        by_key[section.type, section.id] = section, document_digest(section.type, instance, data)
    return Sections(by_key)


def check_rules(policy: Policy, sections: Sections, root: Root) -> None:
    """Raise ``RefusedError`` (``policy-invalid``) for a policy that no threshold of administrators can make right."""
    if not policy.created < policy.expires <= policy.created + MAX_POLICY_SECONDS:
        raise _refused("lifetime is not within 400 days of its creation")
    owners = _owners(sections, root)
    for scope in sections.all(Scope):
        if scope.id != f"{scope.product}/{scope.environment}":
            raise _refused(f"scope {scope.id} is not named after its product and environment")
        if scope.environment is Environment.PRODUCTION and not scope.quorum:
            raise _refused(f"scope {scope.id} asks for no approval", hint="production needs two people in all")
        if any(group.recomputed > group.approvals for group in scope.quorum):
            raise _refused(f"scope {scope.id} asks for more recomputed approvals than approvals")
    _check_key_profiles(sections, owners)


def _owners(sections: Sections, root: Root) -> dict[bytes, str]:
    """Return whose each public key is; ``RefusedError`` where one belongs to two.

    Whoever has a message signed with a key that does two things speaks for the owner of the other one.
    """
    machines = {edwards.spki_of(signer.key): f"signer {signer.id}" for signer in root.signers}
    logs_and_witnesses = [key for log in root.logs for key in log.keys.known]
    logs_and_witnesses += [parse_vkey(witness.key) for witness in root.witnesses]
    machines |= {key.subject_public_key_info: "a log or witness" for key in logs_and_witnesses}
    owners = machines | {public_key_of(a): admin.person for admin in root.administrators for a in admin.authenticators}
    people = {admin.person for admin in root.administrators} | {person.id for person in sections.all(Person)}
    holders: list[Person | Pipeline] = [*sections.all(Person), *sections.all(Pipeline)]
    for pipeline in sections.all(Pipeline):
        if pipeline.id in people:
            raise _refused(f"a pipeline has the id of the person {pipeline.id}")
    for holder in holders:
        keys = [public_key_of(authenticator) for authenticator in holder.authenticators]
        if len(set(keys)) < len(keys):
            # Revoked under one of its names, it would go on under the other.
            raise _refused(f"a public key of {holder.id} is there twice")
        if any(owners.setdefault(key, holder.id) != holder.id for key in keys):
            raise _refused(f"a public key of {holder.id} belongs to somebody else too")
    for gate in sections.all(GateKey):
        edwards.check_point(gate.key)
        if owners.setdefault(edwards.spki_of(gate.key), name := f"gate {gate.id}") != name:
            raise _refused(f"the key of {name} belongs to somebody else too")
    if not machines.items() <= owners.items():
        raise _refused("an administrator has the key of a signer, log or witness")
    return owners


def _check_key_profiles(sections: Sections, owners: Mapping[bytes, str]) -> None:
    partitions: dict[str, str] = {}
    keys: dict[str, str] = {}
    for profile in sections.all(KeyProfile):
        scope_id = f"{profile.product}/{profile.environment}"
        scope = sections.get(Scope, scope_id)
        if scope is None:
            raise _refused(f"key profile {profile.id} belongs to no scope", hint=f"add the scope {scope_id}")
        public_key = PublicKey(profile.public_key)
        try:
            public_key.check_algorithm(profile.algorithm)
        except FormatError as e:
            raise _refused(f"key profile {profile.id}: {e.message}") from None
        if profile.public_key in owners:
            raise _refused(
                f"key profile {profile.id} has the key of {owners[profile.public_key]}: what it signs would speak for "
                "its owner",
                hint="make or import a key that does nothing else",
            )
        if profile.algorithm is Algorithm.ED25519:
            edwards.check_point(profile.public_key[-edwards.KEY_BYTES :])
        if profile.signs != ("digest" if profile.algorithm.is_prehashed else "message"):
            raise _refused(f"key profile {profile.id}: {profile.algorithm} does not sign a {profile.signs}")
        if profile.environment is Environment.PRODUCTION and profile.image_format is None:
            raise _refused(f"key profile {profile.id} names no format", hint="in production a key signs one format")
        if profile.grade is KeyGrade.HARDWARE_ATTESTED and profile.minutes is None:
            raise _refused(
                f"key profile {profile.id} is attested, and names no minutes", hint="`sealwright key ceremony`"
            )
        if partitions.setdefault(profile.partition, scope_id) != scope_id:
            raise _refused(f"partition {profile.partition} holds keys of more than one product or environment")
        if keys.setdefault(public_key.fingerprint, profile.id) != profile.id:
            raise _refused(f"key profiles {profile.id} and {keys[public_key.fingerprint]} have the same key")
    homes = Counter(partitions.values())
    alone = {scope.id for scope in sections.all(Scope) if not scope.key_sets}
    if any(homes[scope_id] > 1 for scope_id in alone):  # a key set may span two providers
        raise _refused(
            "keys of one product and environment lie in more than one partition",
            hint="only where a key set signs: `sealwright product key-set`",
        )
