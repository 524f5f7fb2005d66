"""A second key appended to an ESP32 image that was delivered already: how a fleet is moved from one key to the next."""

from tests.client.signed import Maker
from tests.client.test_assembly import make, put
from tests.formats import esp32_images
from tests.verifiers import espsecure

from sealwright.client.offline import verify_file
from sealwright.core.keys import PublicKey
from sealwright.formats import FORMATS


def test_a_block_is_appended_to_a_delivered_image_and_devices_of_both_keys_accept_it(tmp_path):
    old, new = Maker("esp32-secure-boot-v2"), Maker("esp32-secure-boot-v2")
    path = put(tmp_path, esp32_images.application(), "app.bin")
    delivered = make(old, old.sign(old.prepare(path)), path)
    verify_file(delivered.image, None, old.trust(), FORMATS)
    prepared = new.prepare(delivered.image, options={"existing": "append"})
    assert [slot.slot for slot in prepared.slots] == ["block-1"]
    both = make(new, new.sign(prepared), delivered.image, tmp_path / "both.bin")
    verify_file(both.image, None, new.trust(), FORMATS)
    for number, maker in enumerate((old, new)):
        said = espsecure.verify(tmp_path, both.image.read_bytes(), PublicKey(maker.profile.public_key))
        assert f"Signature block {number} {espsecure.ACCEPTED}" in said
    stranger = Maker("esp32-secure-boot-v2")
    said = espsecure.verify(tmp_path, both.image.read_bytes(), PublicKey(stranger.profile.public_key))
    assert espsecure.FOREIGN in said
