"""Verifying a signed FIT, stricter than one boot of U-Boot.

U-Boot looks at the configuration it was told to boot.  Whoever can change the default or the boot command chooses
among all of them, and ``bootm`` starts single images that no configuration refers to; so everything must be signed.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from sealwright.core.errors import Code, FormatError, VerificationError
from sealwright.core.images import ByteSource, Message
from sealwright.core.keys import PublicKey
from sealwright.formats.fdt import Node
from sealwright.formats.fit_algorithms import algorithm_of, shown, verifies
from sealwright.formats.fit_contents import FORMAT_NAME, Configuration, Fit, load, require_covered
from sealwright.formats.fit_hashes import wrong_hash
from sealwright.formats.fit_regions import Regions, Structure, hashed_strings
from sealwright.formats.interface import ExistingSignature, Trust, Verified

MAX_HASHED_BYTES = 1 << 30
"""Of metadata, by all signatures of an image: each may cover 4 MiB, and there may be thousands of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ValidSignature:
    """A signature that a key in question made over a configuration."""

    signature: ExistingSignature
    key: PublicKey
    algo: str


def verify(image: ByteSource, trust: Trust, sidecars: Mapping[str, bytes]) -> Verified:  # noqa: ARG001  (FIT has none)
    """Verify every configuration and the data of every image.

    ``Verified.keys`` are the trusted keys that signed *every* configuration; there must be one, because a device that
    requires it refuses to boot the others.
    """
    fit = load(image)
    return verify_configurations(image, fit, fit.configurations.values(), trust)


def verify_configurations(
    image: ByteSource, fit: Fit, configurations: Iterable[Configuration], trust: Trust
) -> Verified:
    """Verify these configurations, by one key at least that signed all of them, and the data of every image."""
    require_covered(fit)
    signatures, keys = [], set(trust.keys)
    for _, valid in valid_signatures(fit, trust.keys, configurations):
        signatures += [item.signature for item in valid]
        keys &= {item.key for item in valid}
    if not keys:
        raise VerificationError("no one trusted key signed every configuration", code=Code.NOT_TRUSTED)
    check_hashes(image, fit)
    return Verified(
        format=FORMAT_NAME, signatures=tuple(signatures), keys=tuple(key for key in trust.keys if key in keys)
    )


def valid_signatures(
    fit: Fit, keys: Sequence[PublicKey], configurations: Iterable[Configuration]
) -> Iterator[tuple[Configuration, list[ValidSignature]]]:
    """Yield each configuration with the signatures that verify; ``VerificationError`` where one has none."""
    verifier = _Verifier(fit, keys)
    for configuration in configurations:
        yield configuration, verifier.valid(configuration)


def check_hashes(image: ByteSource, fit: Fit) -> None:
    """Hash the data of every image; ``VerificationError`` where a hash node says otherwise."""
    wrong = wrong_hash(image, fit.images.values())
    if wrong is not None:
        hashed, node, digest = wrong
        raise VerificationError(
            f"{node.node.path} is not the hash of the data of image {hashed.name!a}",
            expected=node.value.hex(),
            got=digest.hex(),
            code=Code.IMAGE_MISMATCH,
        )


class _Verifier:
    """Checks the signatures of one FIT; counts what it hashes."""

    def __init__(self, fit: Fit, keys: Sequence[PublicKey]) -> None:
        self._fit, self._keys = fit, keys
        self._regions = Regions(fit)
        self._hashed_bytes = 0

    def valid(self, configuration: Configuration) -> list[ValidSignature]:
        nodes = [node for node in configuration.signature_nodes if "value" in node.properties]
        if not nodes:
            raise VerificationError(f"configuration {configuration.name!a} carries no signature", code=Code.NOT_TRUSTED)
        structure = self._regions.structure(configuration)
        checked = [self._check(configuration, structure, node) for node in nodes]
        valid = [item for item in checked if item is not None]
        if not valid:
            raise VerificationError(
                f"no trusted key made a signature over configuration {configuration.name!a}",
                hint="it was signed by another key, or what the signature covers was changed",
            )
        return valid

    def _check(self, configuration: Configuration, structure: Structure, node: Node) -> ValidSignature | None:
        """Find the key with which the signature in ``node`` verifies."""
        tree = self._fit.tree
        algo, padding = tree.text(node, "algo"), tree.text(node, "padding")
        algorithm = algorithm_of(algo, padding)
        if algo is None or algorithm is None:
            return None
        ranges = self._regions.covered(structure, hashed_strings(self._fit, node))
        if structure.names_stop > ranges[-1].stop:
            return None  # a covered property whose name is not covered could be given another meaning
        digest = self._digest(Message(ranges), algorithm.hash_name)
        value = tree.value(node.properties["value"])
        for key in self._keys:
            if verifies(key, algo, algorithm, digest, value):
                name = f"{configuration.name}/{node.name}"
                found = ExistingSignature(name=name, algorithm=shown(algo, padding), signer=key.fingerprint)
                return ValidSignature(signature=found, key=key, algo=algo)
        return None

    def _digest(self, message: Message, hash_name: str) -> bytes:
        self._hashed_bytes += message.size
        if self._hashed_bytes > MAX_HASHED_BYTES:
            raise FormatError(f"the signatures cover more than {MAX_HASHED_BYTES} bytes of metadata together", at=0)
        return message.digest(self._fit.tree.source, hash_name)
