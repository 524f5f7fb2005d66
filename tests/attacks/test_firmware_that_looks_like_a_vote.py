"""Attack: a file of 32 bytes is signed as SSHSIG in the namespace of votes, so that the signature is a vote.

The policy refuses a person with the key of a product; the format refuses the namespace too, for the day when the key
is retired and somebody takes it for their own.
"""

import pytest
from tests.client.signed import Maker

from sealwright.core import ssharmour
from sealwright.core.envelopes import Envelope, SignatureKind
from sealwright.core.errors import FormatError, VerificationError
from sealwright.core.images import MemorySource
from sealwright.core.keys import Algorithm, PublicKey
from sealwright.core.sshsig import parse_public_key
from sealwright.evidence.signed_image import signing_keys
from sealwright.formats import FORMATS, raw_ssh
from sealwright.formats.targets import ANY
from sealwright.policy.documents import Authenticator
from sealwright.policy.signatures import Namespace, verify_envelope

DIGEST = "5a" * 32


@pytest.fixture
def maker():
    return Maker("raw", Algorithm.ED25519)


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "app.bin"
    path.write_bytes(bytes.fromhex(DIGEST))
    return path


@pytest.mark.parametrize("namespace", [*map(str, Namespace), "sealwright-vote-v2"])
def test_a_file_is_signed_in_no_namespace_of_ours(maker, path, namespace):
    with pytest.raises(FormatError, match="is that of votes and policies, not of files"):
        maker.prepare(path, options={"output": "sshsig", "namespace": namespace})


@pytest.mark.parametrize("namespace", [None, "file", "firmware@acme", "my-sealwright-vote-v1"])
def test_in_other_namespaces_it_is_signed_and_is_no_vote(maker, path, namespace):
    chosen = {"output": "sshsig"} if namespace is None else {"output": "sshsig", "namespace": namespace}
    (signature,) = maker.sign(maker.prepare(path, options=chosen)).signatures
    (sidecar,) = sidecars(maker, path, chosen, signature)
    key = parse_public_key(raw_ssh.blob_of(PublicKey(maker.profile.public_key)))
    envelope = Envelope(
        signer="ben",
        authenticator=key.fingerprint,
        kind=SignatureKind.SSHSIG,
        signature=ssharmour.dearmour(sidecar.content.decode()),
    )
    with pytest.raises((VerificationError, FormatError), match="namespace"):
        verify_envelope(envelope, DIGEST, [Authenticator(key=key.line())], Namespace.VOTE)


def sidecars(maker, path, chosen, signature):
    prepared = FORMATS["raw"].prepare(MemorySource(path.read_bytes()), signing_keys([maker.profile]), chosen, ANY)
    return prepared.assemble({"signature": signature}).sidecars
