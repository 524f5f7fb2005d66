"""HEX and DFU files signed by keys that OpenSSL 3.0 does not know: OpenSSL 3.5 judges what their pages make of them."""

import subprocess
import sys
from pathlib import Path

import pytest
from tests.formats import dfu_files
from tests.formats.flips import flipped
from tests.formats.memory_files import by_page, hex_text, s_record, uf2_file
from tests.formats.throwaway import Signer, signer
from tests.verifiers import openssl35

from sealwright.core.errors import Code, FormatError
from sealwright.core.images import MemorySource
from sealwright.core.keys import Algorithm
from sealwright.formats import FORMATS
from sealwright.formats.targets import OPENSSL_3_0, OPENSSL_3_5

MEMORY = [(0x0800_0000, b"firmware" * 20)]
IMAGES: dict[str, bytes] = {
    "intel-hex": hex_text(MEMORY),
    "s-record": f"{s_record(3, *MEMORY[0])}\n{s_record(7, 0)}\n".encode(),
    "uf2": uf2_file(MEMORY),
    "dfu": dfu_files.with_suffix(b"firmware" * 20),
    "dfuse": dfu_files.dfuse_file([(0, MEMORY)]),
}
MORE = {"dfuse": {"signature_address": 0x0900_0000}}
NEW = [Algorithm.ED25519, Algorithm.ML_DSA_44, Algorithm.ML_DSA_87, Algorithm.SLH_DSA_SHA2_128F]


def signed(name: str, who: Signer) -> tuple[bytes, bytes | None]:
    """Return the signed file, and the signature beside it where the format has it there."""
    image, options = IMAGES[name], {"signing_time": 1_790_000_000, **MORE.get(name, {})}
    prepared = FORMATS[name].prepare(MemorySource(image), [who.signing_key()], options, OPENSSL_3_5)
    patch = prepared.assemble(who.sign_all(prepared))
    return b"".join(patch.apply(MemorySource(image))), patch.sidecars[0].content if patch.sidecars else None


def judged(folder: Path, name: str, who: Signer, *, flip: bool = False) -> str:
    """What OpenSSL 3.5 says of signature and content, as the page of the format tells to make them."""
    image, beside = signed(name, who)
    path = folder / "image"
    path.write_bytes(image)
    if beside is None:
        program = [sys.executable, "-c", dfu_files.program(name), "image"]
        subprocess.run(program, cwd=folder, check=True, timeout=60)
        content = (folder / "content").read_bytes()
    else:
        (folder / "signature.p7s").write_bytes(beside)
        content = by_page(path, int(name == "uf2"))
    (folder / "content").write_bytes(flipped(content, len(content) - 20) if flip else content)
    return openssl35.cms_verify(folder / "signature.p7s", folder / "content", who.anchor(folder)).stderr


@pytest.mark.parametrize("algorithm", NEW)
@pytest.mark.parametrize("name", IMAGES)
def test_openssl_3_5_accepts_what_we_sign_and_refuses_a_flip(tmp_path: Path, name: str, algorithm: Algorithm) -> None:
    who = signer(algorithm)
    assert judged(tmp_path, name, who).strip() == "CMS Verification successful"
    assert "content verify error" in judged(tmp_path, name, who, flip=True)


@pytest.mark.parametrize("name", IMAGES)
def test_the_older_openssl_is_no_target_for_these_keys(name: str) -> None:
    key, options = signer(Algorithm.ML_DSA_44).signing_key(), {"signing_time": 1, **MORE.get(name, {})}
    with pytest.raises(FormatError, match=r"target openssl-3\.0 cannot verify ml-dsa-44") as caught:
        FORMATS[name].prepare(MemorySource(IMAGES[name]), [key], options, OPENSSL_3_0)
    assert caught.value.code is Code.TARGET_CANNOT_VERIFY
