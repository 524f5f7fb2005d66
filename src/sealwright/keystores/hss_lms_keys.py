"""HSS/LMS private keys in the memory of this process, made by name and kept as a seed.

Every level has the same parameters, so that the public key tells how many signatures there are in all.  PKCS#8 holds
levels, type codes, identifier and seed; no standard says how.  Software like this is not what NIST SP 800-208 demands
(section 8: keys in a validated module that does not export them), and whoever uses it is told so.
"""

import re
import secrets
from contextlib import nullcontext
from dataclasses import dataclass, field, replace

from sealwright.core import lms
from sealwright.core.errors import ConfigurationError
from sealwright.core.keys import HssLmsPublicKey
from sealwright.core.keys.hss_lms import ALGORITHM_IDENTIFIER
from sealwright.keystores.dumps import processes
from sealwright.keystores.lms_tree import Hypertree, Tree, TreeSeed, are_one_tree, make_nodes

DEFAULT_PARAMETERS = "sha256-n24-h10-w8"
MAX_HEIGHT, MAX_LEVELS = 15, 3
"""What software makes in half a minute on one core."""
MAX_LOWER_TREE_HASHES = 10_000_000
"""A lower tree is made anew while a signature waits for it: about ten seconds, a third of a worker's time-out."""
_PARAMETERS = re.compile(r"(?:([1-3])x)?(sha256|shake)-n(24|32)-h(5|10|15)-w([1248])", re.ASCII)
_VERSION = b"\x02\x01\x00"


@dataclass(frozen=True, slots=True, kw_only=True)
class HssLmsPrivateKey:
    """A key's seed, and the nodes of its top tree, which anybody may know; without them it is not complete."""

    levels: int
    seed: TreeSeed = field(repr=False)
    nodes: bytes = field(repr=False)

    @classmethod
    def generate(cls, parameters: str) -> "HssLmsPrivateKey":
        """Make a key; ``ConfigurationError`` for parameters that are not offered."""
        levels, tree, one_time = _types(parameters or DEFAULT_PARAMETERS)
        seed = TreeSeed(
            tree=tree,
            one_time=one_time,
            identifier=secrets.token_bytes(lms.IDENTIFIER_BYTES),
            seed=secrets.token_bytes(tree.size),
        )
        return cls(levels=levels, seed=seed, nodes=b"").complete()

    def complete(self) -> "HssLmsPrivateKey":
        """Return the key with its nodes made, by several processes if they are many."""
        is_large = self.seed.tree.height > 10
        with processes() if is_large else nullcontext() as executor:
            return replace(self, nodes=make_nodes(self.seed, executor))

    def complete_here(self) -> "HssLmsPrivateKey":
        """Do the same in this thread."""
        return replace(self, nodes=make_nodes(self.seed))

    def with_nodes(self, kept: bytes) -> "HssLmsPrivateKey":
        """Return the key with nodes that were kept; without any if they are no tree, as one wrong node spoils many."""
        return replace(self, nodes=kept if are_one_tree(self.seed, kept) else b"")

    def public_key(self) -> HssLmsPublicKey:
        """Return the public half, of a complete key."""
        top = Tree(self.seed, self.nodes).public_key
        return HssLmsPublicKey(lms.HssKey(levels=self.levels, top=top))

    def hypertree(self) -> Hypertree:
        """Return what signs; it remembers the lower trees that it made."""
        lower = [(self.seed.tree, self.seed.one_time)] * (self.levels - 1)
        return Hypertree(Tree(self.seed, self.nodes), self.seed, lower)

    def pkcs8_der(self) -> bytes:
        """Return a PrivateKeyInfo in DER (RFC 5958) without nodes; every length is below 128."""
        types = lms.u32(self.levels) + lms.u32(self.seed.tree.code) + lms.u32(self.seed.one_time.code)
        raw = types + self.seed.identifier + self.seed.seed
        content = _VERSION + ALGORITHM_IDENTIFIER + bytes([0x04, len(raw)]) + raw
        return bytes([0x30, len(content)]) + content


def load_pkcs8(der: bytes) -> HssLmsPrivateKey | None:
    """Return an incomplete key, or None for bytes that are not exactly what ``pkcs8_der`` writes."""
    raw = der[2 + len(_VERSION) + len(ALGORITHM_IDENTIFIER) + 2 :]
    levels, tree_code, one_time_code = (int.from_bytes(raw[at : at + 4], "big") for at in (0, 4, 8))
    tree, one_time = lms.TREE_TYPES.get(tree_code), lms.ONE_TIME_TYPES.get(one_time_code)
    if tree is None or one_time is None or tree.hash is not one_time.hash or levels not in range(1, MAX_LEVELS + 1):
        return None
    start = 12 + lms.IDENTIFIER_BYTES
    seed = TreeSeed(tree=tree, one_time=one_time, identifier=raw[12:start], seed=raw[start:])
    key = HssLmsPrivateKey(levels=levels, seed=seed, nodes=b"")
    return key if len(seed.seed) == tree.size and tree.height <= MAX_HEIGHT and key.pkcs8_der() == der else None


def check_parameters(parameters: str) -> None:
    """Raise ``ConfigurationError`` for parameters that are not offered."""
    _types(parameters or DEFAULT_PARAMETERS)


def _types(parameters: str) -> tuple[int, lms.TreeType, lms.OneTimeType]:
    found = _PARAMETERS.fullmatch(parameters)
    if found is None:
        raise ConfigurationError(
            f"{parameters[:40]!r} are no parameters of an hss-lms key",
            setting="parameters",
            hint=f"hash, its bytes, height and width, as in {DEFAULT_PARAMETERS} (1,024 signatures), or levels in "
            "front: 2xsha256-n24-h5-w8; hashes sha256 and shake, 24 or 32 bytes, heights 5, 10, 15, widths 1, 2, 4, 8",
        )
    levels, name, size, height, width = found.groups()
    tree = next(t for t in lms.TREE_TYPES.values() if t.name == f"lms-{name}-m{size}-h{height}")
    one_time = next(o for o in lms.ONE_TIME_TYPES.values() if o.name == f"lmots-{name}-n{size}-w{width}")
    hashes = (one_time.chains * ((1 << one_time.width) - 1)) << tree.height
    if levels is not None and int(levels) > 1 and hashes > MAX_LOWER_TREE_HASHES:
        raise ConfigurationError(
            f"{parameters}: a lower tree of {hashes:,} hashes takes longer to make than a signature may",
            setting="parameters",
            hint=f"at most {MAX_LOWER_TREE_HASHES:,}: a smaller width, height 10, or one level",
        )
    return int(levels or 1), tree, one_time
