"""``sealwright inspect`` names the key of a signature, and what the certificate says as what the certificate says."""

import json

from tests.cli.test_offline import run
from tests.formats.efi_capsules import MAKER, capsule

SAID = f"key {MAKER.public_key.fingerprint}, certificate in the file says CN=TEST ONLY maker"


def test_inspect_names_the_key_before_what_its_certificate_says(tmp_path, capsys):
    path = tmp_path / "firmware.cap"
    path.write_bytes(capsule())
    assert run("inspect", path) == 0
    assert f"rsa-pkcs1-sha256 by {SAID}" in " ".join(capsys.readouterr().out.split())
    assert run("inspect", path, "--json") == 0
    (signature,) = json.loads(capsys.readouterr().out)["signatures"]
    assert signature == {"name": "signature", "algorithm": "rsa-pkcs1-sha256", "signer": SAID}
