"""Which keys sign one image together: asked without an image, `prepare` of the format says the same with one."""

import pytest
from tests.formats import efi_images, esp32_images
from tests.formats.throwaway import signer

from sealwright.core.errors import FormatError
from sealwright.core.images import MemorySource
from sealwright.core.keys import Algorithm
from sealwright.formats import FORMATS
from sealwright.formats.keys_together import SEVERAL, check_together
from sealwright.formats.targets import ANY

RAW = {"signing_time": 1700000000}
IMAGES = {
    "raw": (b"firmware", RAW),
    "mcuboot": (bytes(512), {"version": "1.0.0", "header_size": 32}),
    "uefi-pe": (None, RAW),
    "esp32-secure-boot-v2": (esp32_images.application(), {}),
}
CASES = [
    ("raw", ("ecdsa-p256-sha256", "ml-dsa-44"), True),
    ("raw", ("ecdsa-p256-sha256", "ed25519"), False),
    ("raw", ("ml-dsa-44", "ml-dsa-65"), False),
    ("mcuboot", ("ecdsa-p256-sha256", "ecdsa-p256-sha256"), False),
    ("uefi-pe", ("rsa-pkcs1-sha256", "rsa-pkcs1-sha256"), True),
    ("esp32-secure-boot-v2", ("rsa-pss-sha256", "rsa-pss-sha256"), True),
    ("esp32-secure-boot-v2", ("rsa-pss-sha256", "ecdsa-p256-sha256"), False),
]


@pytest.mark.parametrize(("format_name", "algorithms", "is_possible"), CASES)
def test_what_is_said_without_an_image_prepare_says_with_one(format_name, algorithms, is_possible):
    keys = [signer(Algorithm(algorithm), str(n), 3072).signing_key() for n, algorithm in enumerate(algorithms)]
    data, options = IMAGES[format_name]
    image = MemorySource(efi_images.image() if data is None else data)
    if is_possible:
        check_together(format_name, keys)
        assert len(FORMATS[format_name].prepare(image, keys, options, ANY).slots) == len(keys)
        return
    with pytest.raises(FormatError) as dry:
        check_together(format_name, keys)
    with pytest.raises(FormatError) as wet:
        FORMATS[format_name].prepare(image, keys, options, ANY)
    assert dry.value.message == wet.value.message


@pytest.mark.parametrize("format_name", FORMATS)
def test_every_format_says_whether_two_keys_can_sign_together(format_name):
    two = [signer(Algorithm.RSA_PSS_SHA256, str(n), 3072).signing_key() for n in range(2)]
    check_together(format_name, [signer(Algorithm.RSA_PSS_SHA256, "0", 3072).signing_key()])
    if format_name in SEVERAL and format_name != "raw":
        check_together(format_name, two)
    else:
        with pytest.raises(FormatError, match=r"one key|2 were given"):
            check_together(format_name, two)
