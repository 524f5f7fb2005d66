"""What an attacker may make readers of a FIT do, in counts: signatures, regions, bytes hashed."""

import hashlib
from dataclasses import dataclass, field

import pytest
from tests.formats.fits import DEV

from sealwright.core.errors import FormatError, VerificationError
from sealwright.core.images import MemorySource
from sealwright.formats import fdt, fit, fit_regions, fit_verification
from sealwright.formats.fdt_splice import StringTable, encode_node, encode_property
from sealwright.formats.fit_contents import MAX_SIGNATURES, MAX_SIGNATURES_OF_A_CONFIGURATION, load

EMPTY = hashlib.sha256(b"").digest()


@dataclass
class Built:
    """A devicetree written token by token: mkimage would take minutes for thousands of configurations."""

    strings: StringTable = field(default_factory=lambda: StringTable(b""))

    def node(self, name: str, *content: bytes, **properties: bytes) -> bytes:
        values = (encode_property(self.strings, key.replace("_", "-"), value) for key, value in properties.items())
        return encode_node(name, b"".join([*values, *content]))

    def tree(self, *content: bytes) -> bytes:
        structure = self.node("", *content) + fdt.TAG.pack(fdt.Tag.END)
        strings = self.strings.appended
        header = fdt.Header(
            totalsize=56 + len(structure) + len(strings),
            off_dt_struct=56,
            off_dt_strings=56 + len(structure),
            off_mem_rsvmap=40,
            version=17,
            last_comp_version=16,
            boot_cpuid_phys=0,
            size_dt_strings=len(strings),
            size_dt_struct=len(structure),
        )
        return header.pack() + bytes(16) + structure + strings


def many(images: int, configurations: int, signatures: int, strings_size: int = 0) -> MemorySource:
    """Build a FIT in which every configuration refers to every image and has empty signatures."""
    built = Built()
    hashed = built.node("hash-1", algo=b"sha256\0", value=EMPTY)
    parts = [built.node(f"i{n}", hashed, data=b"") for n in range(images)]
    names = b"".join(f"i{n}\0".encode() for n in range(images))
    signed = {"algo": b"sha256,rsa2048\0", "value": b"", "hashed_strings": strings_size.to_bytes(8)}
    nodes = [built.node(f"signature-{n}", **signed) for n in range(signatures)]
    choices = [built.node(f"c{n}", *nodes, loadables=names) for n in range(configurations)]
    return MemorySource(built.tree(built.node("images", *parts), built.node("configurations", *choices)))


def test_a_configuration_of_more_signatures_than_anybody_makes_is_refused_when_it_is_read() -> None:
    """658 kB with 12,000 signatures over 96 nodes each took inspect 18 s and 325 MiB."""
    most = MAX_SIGNATURES_OF_A_CONFIGURATION
    assert len(fit.inspect(many(2, 1, most)).signatures) == most
    for call in (fit.inspect, lambda image: fit.verify(image, DEV.trust, {})):
        with pytest.raises(FormatError, match=f"/configurations/c0 has {most + 1} signature nodes, .* at most {most}"):
            call(many(2, 1, most + 1))


def test_more_signatures_together_than_anybody_makes_are_refused() -> None:
    each = MAX_SIGNATURES_OF_A_CONFIGURATION
    most = MAX_SIGNATURES // each
    load(many(1, most, each))
    with pytest.raises(FormatError, match=f"/configurations/c{most} .* with those before it {(most + 1) * each}"):
        load(many(1, most + 1, each))


@pytest.fixture
def merges(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Count the ranges that are merged."""
    counted: list[int] = []
    real = fit_regions.merged

    def counting(ranges):  # type: ignore[no-untyped-def]
        parts = [*ranges]
        counted.append(len(parts))
        return real(parts)

    monkeypatch.setattr(fit_regions, "merged", counting)
    return counted


def test_what_a_configuration_covers_is_worked_out_once_for_all_its_signatures(merges: list[int]) -> None:
    fit.inspect(many(40, 20, 1))
    one = sum(merges)
    merges.clear()
    fit.inspect(many(40, 20, MAX_SIGNATURES_OF_A_CONFIGURATION))
    assert sum(merges) < 2 * one, "only the nodes of the further signatures are more"
    merges.clear()
    with pytest.raises(VerificationError, match="no trusted key made a signature over configuration 'c0'"):
        fit.verify(many(40, 20, MAX_SIGNATURES_OF_A_CONFIGURATION), DEV.trust, {})
    assert sum(merges) < one


def test_what_inspect_keeps_does_not_grow_with_the_configurations_that_share_it() -> None:
    ten, hundred = (fit.inspect(many(40, count, 1)) for count in (10, 100))
    shared = len(ten.covered) - 10
    assert len(hundred.covered) <= 2 * 100 + shared


def test_signatures_that_together_cover_too_much_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    strings_size = load(many(10, 3, 2)).tree.header.size_dt_strings
    image = many(10, 3, 2, strings_size)
    fit_read = load(image)
    regions = fit_regions.Regions(fit_read)
    ranges = regions.covered(regions.structure(fit_read.configurations["c0"]), strings_size)
    two = 2 * sum(part.stop - part.start for part in ranges)
    monkeypatch.setattr(fit_verification, "MAX_HASHED_BYTES", two)
    with pytest.raises(VerificationError, match="no trusted key made a signature over configuration 'c0'"):
        fit.verify(image, DEV.trust, {})
    monkeypatch.setattr(fit_verification, "MAX_HASHED_BYTES", two - 1)
    with pytest.raises(FormatError, match=f"cover more than {two - 1} bytes of metadata together"):
        fit.verify(image, DEV.trust, {})
