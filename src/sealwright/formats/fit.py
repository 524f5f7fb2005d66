"""U-Boot FIT: signatures over configurations, RSA with PKCS#1 v1.5 or PSS, read by U-Boot's verified boot.

A signature covers metadata (``fit_regions``); the data of images are covered through their hash nodes.  Every image a
configuration refers to is signed, whatever a template's ``sign-images`` says.  ECDSA, encryption and signatures of
single images are not done here.
Reference: U-Boot doc/usage/fit/signature, tools/image-host.c.
"""

from sealwright.core.images import ByteSource
from sealwright.formats import fdt
from sealwright.formats.fit_contents import FORMAT_NAME
from sealwright.formats.fit_inspection import inspect
from sealwright.formats.fit_places import Options
from sealwright.formats.fit_portions import left_over, verify_portion
from sealwright.formats.fit_signing import prepare
from sealwright.formats.fit_verification import verify

__all__ = ["Options", "inspect", "left_over", "matches", "name", "prepare", "verify", "verify_portion"]

name = FORMAT_NAME


def matches(image: ByteSource) -> bool:
    """Whether the image begins with the magic number of a devicetree."""
    return fdt.is_tree(image)
