"""The keys of our own processes, read from where the settings say: the log's two and the signer's identity."""

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey

from sealwright.core.errors import Code, ConfigurationError
from sealwright.keystores.secrets import read_secret
from sealwright.policy.fold import LogState
from sealwright.translog.notes import NoteSigner
from sealwright.wiring.configuration import Configuration

SEED_BYTES = 32


def read_note_signer(configuration: Configuration) -> NoteSigner:
    """Return what signs the log's checkpoints: with Ed25519 and, where the settings name a key for it, ML-DSA-44."""
    ml_dsa = configuration.log_ml_dsa_key
    return NoteSigner(
        configuration.origin,
        read_ed25519(configuration.log_key, "server.log_key"),
        read_ml_dsa_44(ml_dsa, "server.log_ml_dsa_key") if ml_dsa else None,
    )


def check_named_keys(state: LogState, signer: NoteSigner) -> None:
    """Raise ``ConfigurationError`` unless the signer has the keys that the root in force names for this log.

    Without the second one every signer and mirror would refuse the next checkpoint.  More than the root names is no
    harm: who does not know a key ignores its signatures, and that is how a key is there before the root names it.
    """
    if state.root is None:
        return
    named = next(log.keys for log in state.root.root.logs if log.origin == state.origin)
    for setting, key, own in (
        ("server.log_key", named.ed25519, signer.verifier_key),
        ("server.log_ml_dsa_key", named.ml_dsa, signer.ml_dsa_verifier_key),
    ):
        if key is not None and key != own:
            raise ConfigurationError(
                f"the root in force names the key {key.name}+{key.key_id.hex()} for this log, {setting} "
                + ("is another one" if own else "is not set"),
                setting=setting,
                hint="put back the key that the root names: docs/operate/backup.md",
            )


def read_ed25519(source: str, setting: str) -> Ed25519PrivateKey:
    """Return the key whose 32 bytes stand in hex at ``source``."""
    return Ed25519PrivateKey.from_private_bytes(_read_seed(source, setting))


def read_ml_dsa_44(source: str, setting: str) -> MLDSA44PrivateKey:
    """Return the key whose seed (FIPS 204, 32 bytes) stands in hex at ``source``."""
    return MLDSA44PrivateKey.from_seed_bytes(_read_seed(source, setting))


def public_ed25519(text: str) -> bytes:
    """Return the public half of a key written so; ``ValueError`` when it is none."""
    return Ed25519PrivateKey.from_private_bytes(_seed(text.strip())).public_key().public_bytes_raw()


def public_ml_dsa_44(text: str) -> bytes:
    """The same of an ML-DSA-44 key."""
    return MLDSA44PrivateKey.from_seed_bytes(_seed(text.strip())).public_key().public_bytes_raw()


def _read_seed(source: str, setting: str) -> bytes:
    try:
        return _seed(read_secret(source).reveal().decode("ascii"))
    except ValueError:
        raise ConfigurationError(
            f"{setting} does not hold 32 bytes in hex", setting=setting, code=Code.CREDENTIAL
        ) from None


def _seed(text: str) -> bytes:
    seed = bytes.fromhex(text)
    if len(seed) != SEED_BYTES:
        raise ValueError("a private key of another length")
    return seed
