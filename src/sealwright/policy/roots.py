"""Root documents: what makes one valid, and one the successor of another."""

from functools import partial

from sealwright.core import edwards, records
from sealwright.core.digests import NO_INSTANCE, document_digest
from sealwright.core.envelopes import SignedDocument
from sealwright.core.errors import Code, RefusedError
from sealwright.policy.documents import MAX_ROOT_SECONDS, Grade, Root
from sealwright.policy.signatures import Namespace, public_key_of, who_signed
from sealwright.translog.notes import SignatureType, parse_vkey

_refused = partial(RefusedError, code=Code.ROOT_INVALID)


def open_first_root(signed: SignedDocument) -> tuple[Root, str]:
    """Check root version 1, which its own administrators sign; return it and its digest, the instance."""
    root = records.parse(Root, signed.document)
    instance = document_digest("root", NO_INSTANCE, signed.document)
    if root.version != 1 or root.previous != NO_INSTANCE:
        raise _refused(f"root version {root.version} cannot be the first")
    check_root(root)
    _check_signatures(signed, instance, root)
    return root, instance


def open_next_root(signed: SignedDocument, current: Root, current_digest: str, instance: str) -> tuple[Root, str]:
    """Check the successor of ``current``: thresholds of both; return it and its digest."""
    root = records.parse(Root, signed.document)
    digest = document_digest("root", instance, signed.document)
    if root.version != current.version + 1 or root.previous != current_digest:
        raise _refused(f"root version {root.version} does not follow version {current.version} in force")
    check_root(root)
    _check_signatures(signed, digest, current, root)
    return root, digest


def check_root(root: Root) -> None:
    """Raise ``RefusedError`` (``root-invalid``) for a root that contradicts itself or a limit in code."""
    if not root.created < root.expires <= root.created + MAX_ROOT_SECONDS:
        raise _refused("lifetime is not within five years of its creation")
    if root.threshold > len(root.administrators):
        listed = len(root.administrators)
        plural = "" if listed == 1 else "s"
        raise _refused(f"threshold {root.threshold} cannot be met by {listed} administrator{plural}")
    if root.grade is Grade.PRODUCTION and root.threshold < 2:
        raise _refused("a production root needs a threshold of two", hint="or grade it evaluation")
    if root.witness_quorum > len(root.witnesses):
        raise _refused("more witnesses must cosign than there are")
    if (root.version == 1) != (root.previous == NO_INSTANCE):
        raise _refused("only the first root has no predecessor")
    _check_machine_keys(root)
    keys = [public_key_of(a) for admin in root.administrators for a in admin.authenticators]
    for what, values in (
        ("administrator", [a.person for a in root.administrators]),
        ("administrator key", keys),
        ("log", [log.origin for log in root.logs]),
        ("signer", [s.id for s in root.signers]),
        ("signer key", [s.key.hex() for s in root.signers]),
        ("witness", [w.name for w in root.witnesses]),
        ("witness key", [parse_vkey(w.key).public_key for w in root.witnesses]),
    ):
        if len(set(values)) != len(values):
            raise _refused(f"a {what} is there twice")


def _check_machine_keys(root: Root) -> None:
    """A root with a key that cannot be used would stop every signer for good, since the next root needs it too."""
    for what, name, key, kind in (
        *(("log", log.origin, log.key, SignatureType.ED25519) for log in root.logs),
        *(("log", log.origin, log.ml_dsa.key, SignatureType.ML_DSA_44) for log in root.logs if log.ml_dsa),
        *(("witness", witness.name, witness.key, SignatureType.COSIGNATURE) for witness in root.witnesses),
    ):
        read = parse_vkey(key)
        if read.kind is not kind:
            raise _refused(f"the {what} key {key[:60]} is of another type")
        if read.name != name:
            raise _refused(f"the key of {what} {name} is called {read.name}")
    for signer in root.signers:
        edwards.check_point(signer.key)


def _check_signatures(signed: SignedDocument, digest: str, *roots: Root) -> None:
    """Each of these roots' thresholds is met, and no signature is there that none of them knows."""
    unknown = set(signed.signatures)
    for root in roots:
        people, foreign = who_signed(signed.signatures, digest, root.administrators, Namespace.ROOT)
        unknown &= set(foreign)
        if len(people) < root.threshold:
            raise _refused(
                f"signed by {len(people)} of {root.threshold} administrators of root version {root.version}",
                hint="sign with `sealwright policy sign` by one more administrator",
            )
    if unknown:
        raise _refused(f"the signature of {unknown.pop().signer} does not verify")
