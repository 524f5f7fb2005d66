"""Make the corpus anew: small inputs, signed by throw-away keys of which only the public halves are kept.

    python -m tests.fuzz.seeds

Documents are not among them: they are taken from the values of the specification at each run (``values``).  Inputs
that a run found and somebody put there stay as they are.
"""

import base64
import dataclasses
import json
import struct
import subprocess
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import ModuleType

from tests.conftest import require_tool
from tests.formats import dfu_files, efi_capsules, efi_variables, esp32_images, fits, memory_files, suit_envelopes
from tests.formats.throwaway import Signer, signer
from tests.fuzz import documents, firmware
from tests.fuzz.harness import CORPUS, KNOWN, FormatTarget
from tests.simulators import ceremonies
from tests.simulators.fido import SecurityKey
from tests.verifiers import minisign

from sealwright.core import ssharmour, sshsig
from sealwright.core.images import MemorySource
from sealwright.core.keys import Algorithm, HssLmsPublicKey, PublicKey
from sealwright.formats import raw_ssh, targets
from sealwright.formats.fit_control import RequiredMode
from sealwright.formats.fit_key_node import with_key_node, with_required_mode
from sealwright.formats.interface import Format
from sealwright.keystores import private_keys
from sealwright.keystores.hss_lms_keys import HssLmsPrivateKey

P256, RSA, ED25519 = Algorithm.ECDSA_P256_SHA256, Algorithm.RSA_PKCS1_SHA256, Algorithm.ED25519
Seeds = Mapping[str, bytes]
MEMORY = [(0x0800_0000, bytes(range(64))), (0x0800_0100, b"tables")]


class Corpus:
    """Inputs by target, and what is known of each target."""

    def __init__(self) -> None:
        self.known: dict[str, dict[str, object]] = {}

    def put(self, name: str, seeds: Seeds) -> None:
        folder = CORPUS / name
        folder.mkdir(exist_ok=True)
        for seed, data in seeds.items():
            (folder / seed).write_bytes(data)

    def know(
        self,
        name: str,
        keys: Iterable[PublicKey] = (),
        sidecars: Mapping[str, bytes] | None = None,
        contents: Iterable[str] = (),
    ) -> None:
        self.known[name] = {
            "keys": [base64.b64encode(key.spki_der).decode() for key in keys],
            "sidecars": {suffix: base64.b64encode(data).decode() for suffix, data in (sidecars or {}).items()},
            "contents": sorted(set(contents)),
        }

    def put_format(
        self, name: str, seeds: Seeds, by: Iterable[Signer], sidecars: Mapping[str, bytes] | None = None
    ) -> None:
        """Put seeds of a format; those that verify say what is signed."""
        target = firmware.TARGETS[name].run
        assert isinstance(target, FormatTarget) or target is firmware.flattened_image
        target = target if isinstance(target, FormatTarget) else firmware.FIT
        keys = [one.public_key for one in by]
        contents = [
            digest for seed, data in seeds.items() if seed.startswith("signed") for digest in target.covered(data)
        ]
        self.put(name, seeds)
        self.know(name, keys, sidecars, contents)


def sign(module: Format, image: bytes, *by: Signer, **options: object) -> bytes:
    source = MemorySource(image)
    keys = [dataclasses.replace(who.signing_key(), profile=f"fuzz/{n}") for n, who in enumerate(by)]
    prepared = module.prepare(source, keys, options, targets.ANY)
    signatures = {slot.name: by[int(slot.key_profile[5:])].sign(slot) for slot in prepared.slots}
    return b"".join(prepared.assemble(signatures).apply(source))


def beside(module: Format, image: bytes, by: Signer, **options: object) -> dict[str, bytes]:
    source = MemorySource(image)
    prepared = module.prepare(source, [by.signing_key()], options, targets.ANY)
    signatures = by.sign_all(prepared)
    return {sidecar.suffix: sidecar.content for sidecar in prepared.assemble(signatures).sidecars}


def uefi_program(*sections: tuple[str, bytes], plus: bool = True) -> bytes:
    """Return the smallest UEFI program with these sections; there is room for more of them in its headers."""
    directories = 112 if plus else 96
    optional = bytearray(directories + 16 * 8)
    struct.pack_into("<H14xI", optional, 0, 0x20B if plus else 0x10B, 0x1000)
    struct.pack_into("<II", optional, 32, 0x1000, 0x200)
    struct.pack_into("<II", optional, 56, 0x1000 * (len(sections) + 1), 0x400)
    struct.pack_into("<H", optional, 68, 10)
    struct.pack_into("<I", optional, directories - 4, 16)
    head = struct.pack("<2s58xI", b"MZ", 0x40)
    head += struct.pack("<4sHH12xHH", b"PE\0\0", 0x8664, len(sections), len(optional), 0x22E) + optional
    body = b""
    for number, (name, data) in enumerate(sections, 1):
        padded = data.ljust(-(-len(data) // 0x200) * 0x200, b"\0")
        at = 0x400 + len(body)
        head += struct.pack("<8sIIII12xI", name.encode(), len(data), 0x1000 * number, len(padded), at, 0x40000040)
        body += padded
    return head.ljust(0x400, b"\0") + body


def uefi(corpus: Corpus) -> None:
    maker, second = signer(RSA), signer(RSA, "second")
    sbat = b"sbat,1,SBAT Version,sbat,1,https://github.com/rhboot/shim/blob/main/SBAT.md\nfuzz,1,Fuzz,fuzz,1,none\n"
    program = uefi_program((".text", b"\xc3" * 100), (".sbat", sbat))
    stub = uefi_program((".text", b"\xc3" * 100), (".sdmagic", b"#### LoaderInfo: systemd-stub 252.39 ####\0"))
    parts = {name: MemorySource(data) for name, data in firmware.UKI_PARTS.items()}
    unified = b"".join(firmware.uki.build(MemorySource(stub), parts))
    small = uefi_program((".text", b"\xc3" * 10), plus=False)
    signed = sign(firmware.pe, program, maker, second)
    seeds = {"plain": program, "plain32": small, "signed": sign(firmware.pe, program, maker), "signed-by-two": signed}
    corpus.put_format("uefi-pe", seeds | {"signed-uki": sign(firmware.pe, unified, maker)}, [maker, second])
    corpus.put("uki", {"stub": stub, "unified": unified, "plain": program})
    data = efi_variables.certificates(maker) + efi_variables.lists(efi_variables.SHA256, bytes(32), bytes(range(32)))
    updates = {
        "data": data,
        "signed": efi_variables.update(data),
        "signed-append": efi_variables.update(data, append=True),
    }
    corpus.put_format("uefi-variable", updates, [efi_variables.KEK])
    payload = bytes(range(200))
    seeds = {
        "signed": efi_capsules.capsule(payload),
        "signed-versioned": efi_capsules.capsule(payload, fw_version=7, lowest_supported_version=5, monotonic_count=3),
    }
    corpus.put_format("uefi-capsule", seeds | {"payload": payload}, [efi_capsules.MAKER])


def flattened_images(corpus: Corpus) -> None:
    parts = [fits.Part(name="kernel-1", kind="kernel", data=b"kernel" * 20)]
    parts.append(fits.Part(name="fdt-1", kind="fdt", data=b"devicetree", hashes=("sha256", "crc32")))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        plain = fits.Recipe(parts=parts).build(folder)
        recipe = fits.Recipe(
            parts=parts,
            configurations={"conf-1": {"kernel": ["kernel-1"]}, "conf-2": {"kernel": ["kernel-1"], "fdt": ["fdt-1"]}},
            template=fits.template(images=("kernel",)),
            mkimage=("-E",),
        )
        external = recipe.build(folder)
        (folder / "control.dts").write_text('/dts-v1/; / { compatible = "fuzz"; signature { }; };')
        command = [require_tool("dtc"), "-q", "-I", "dts", "-O", "dtb", "-p", "64", "-o", "control.dtb", "control.dts"]
        subprocess.run(command, cwd=folder, check=True, timeout=60)
        bare = (folder / "control.dtb").read_bytes()
    signed = fits.sign(plain)
    control = with_key_node(bare, fits.DEV.public_key, RSA, "dev")
    both = with_key_node(control, fits.STRANGER.public_key, RSA, "other")
    seeds = {"plain": plain, "external": external, "signed": signed}
    twice = sign(firmware.fit, plain, fits.DEV, fits.STRANGER, key_names=["dev", "other"])
    corpus.put_format(
        "u-boot-fit",
        seeds | {"signed-external": fits.sign(external), "signed-twice": twice},
        [fits.DEV],
        {".dtb": control},
    )
    corpus.put(
        "u-boot-fit-control",
        {"bare": bare, "one": control, "two": both, "any": with_required_mode(both, RequiredMode.ANY)},
    )
    corpus.know("u-boot-fit-control", [fits.DEV.public_key], {".itb": signed})


def microcontrollers(corpus: Corpus) -> None:
    p256, ed25519, rsa = signer(P256), signer(ED25519), signer(Algorithm.RSA_PSS_SHA256, bits=3072)
    application = bytes(range(100))
    seeds = {
        "application": bytes(32) + application,
        "signed-p256": sign(firmware.mcuboot, application, p256, version="1.2.3+4", header_size=32),
        "signed-ed25519": sign(
            firmware.mcuboot,
            application,
            ed25519,
            version="1.2.3",
            header_size=32,
            security_counter=5,
            dependencies=[{"image": 1, "version": "2.0.1"}],
        ),
    }
    corpus.put_format("mcuboot", seeds, [p256, ed25519])
    image = esp32_images.application(size=200)
    seeds = {
        "application": image,
        "bootloader": esp32_images.bootloader(),
        "signed": sign(firmware.esp32, image, p256),
        "signed-by-two": sign(firmware.esp32, image, p256, signer(P256, "second")),
        "signed-rsa": sign(firmware.esp32, image, rsa),
    }
    corpus.put_format("esp32-secure-boot-v2", seeds, [p256, signer(P256, "second"), rsa])
    plain = dfu_files.with_suffix(application)
    corpus.put_format("dfu", {"plain": plain, "signed": sign(firmware.dfu, plain, p256, **firmware.TIME)}, [p256])
    plain = dfu_files.dfuse_file([(1, [(0x1FFF_C000, b"option bytes")]), (0, [(0x0800_0000, application)])])
    signed = sign(firmware.dfuse, plain, p256, **firmware.ELEMENT)
    corpus.put_format("dfuse", {"plain": plain, "signed": signed}, [p256])


def manifests(corpus: Corpus) -> None:
    by, second = signer(P256), signer(ED25519)
    small = {
        "plain": suit_envelopes.envelope(payload=b"firmware", members=suit_envelopes.manifest(payload=b"firmware"))
    }
    small["severable"] = suit_envelopes.severable(payload=None, uri="https://fuzz.example/firmware")
    seeds = small | {f"signed-{name}": sign(firmware.suit, data, by) for name, data in small.items()}
    seeds["signed-by-two"] = sign(firmware.suit, small["plain"], by, second)
    seeds["signed-severed"] = sign(firmware.suit, small["severable"], by, sever=["text"])
    corpus.put_format("suit", seeds, [by, second])


def memory_images(corpus: Corpus) -> None:
    p256 = signer(P256)

    def put(module: ModuleType, seeds: Seeds, signed: bytes) -> None:
        corpus.put_format(module.name, seeds, [p256], beside(module, signed, p256, **firmware.TIME))

    text = memory_files.hex_text(MEMORY, entry=0x0800_0001)
    other = memory_files.hex_text(MEMORY, step=7, entry=0x0800_0001, end="\r\n")
    low = memory_files.hex_text([(0, b"reset")]).replace(b":00000001FF", b":0400000300003800C1\n:00000001FF")
    put(firmware.ihex, {"signed": text, "signed-otherwise": other, "segment-start": low}, text)
    head, end = memory_files.s_record(0, 0, b"fuzz"), memory_files.s_record(7, 0x0800_0001)
    lines = [memory_files.s_record(3, address, data) for address, data in MEMORY]
    text = "\n".join([head, *lines, memory_files.s_record(5, len(lines)), end, ""]).encode()
    small = "\n".join([memory_files.s_record(1, 0x100, b"reset"), memory_files.s_record(9, 0x100), ""]).encode()
    put(firmware.srec, {"signed": text, "small": small}, text)
    image = memory_files.uf2_file(MEMORY)
    two = memory_files.uf2_file(MEMORY, family=None) + memory_files.uf2_file(MEMORY, family=0xADA52840)
    put(firmware.uf2, {"signed": image, "two-families": two}, image)


def signature_files(corpus: Corpus) -> None:
    for name, output, algorithms in (
        ("raw-cms", "cms", (P256, RSA, Algorithm.RSA_PSS_SHA256, ED25519, Algorithm.ML_DSA_44)),
        ("raw-cose", "cose", (P256, ED25519, Algorithm.ML_DSA_44)),
        ("raw-sshsig", "sshsig", (P256, ED25519, RSA)),
    ):
        time = {} if output == "sshsig" else firmware.TIME
        made = {}
        for algorithm in algorithms:
            (made[algorithm],) = beside(
                firmware.raw, firmware.RAW_IMAGE, signer(algorithm), output=output, **time
            ).items()
        corpus.put(name, {f"signed-{algorithm}": content for algorithm, (_, content) in made.items()})
        corpus.know(name, [signer(a).public_key for a in algorithms], {suffix: b"" for suffix, _ in made.values()})


def minisign_files(corpus: Corpus) -> None:
    """Ours, and what minisign makes."""
    (ours,) = beside(firmware.raw, firmware.RAW_IMAGE, signer(ED25519), output="minisign", **firmware.TIME).values()
    seeds = {"signed-ed25519": ours}
    with tempfile.TemporaryDirectory() as name:
        public, secret = minisign.generate(Path(name))
        image = Path(name) / "fuzz.bin"
        image.write_bytes(firmware.RAW_IMAGE)
        for seed, options in (("signed-by-minisign", ()), ("legacy", ("-l",))):
            minisign.sign(image, secret, *options)
            seeds[seed] = image.with_name("fuzz.bin.minisig").read_bytes()
        theirs = minisign.key_of(public)
    comments = [firmware.trusted_comment(content) for seed, content in seeds.items() if seed.startswith("signed")]
    corpus.put("raw-minisign", seeds)
    corpus.know("raw-minisign", [signer(ED25519).public_key, theirs], {".minisig": b""}, comments)


def signatures(corpus: Corpus) -> None:
    """SSH signatures of people and machines, hash-based ones, and public keys of each kind."""
    keys = {algorithm: signer(algorithm).public_key for algorithm in Algorithm if algorithm is not Algorithm.HSS_LMS}
    private = HssLmsPrivateKey.generate("sha256-n24-h5-w8")
    hss = private_keys.public_half(private)
    two = HssLmsPrivateKey.generate("2xsha256-n24-h5-w8")
    trees = {"one": private, "two-levels": two}
    made = {f"signed-{name}": tree.hypertree().sign(0, bytes(24), documents.MESSAGE) for name, tree in trees.items()}
    halves = {name: private_keys.public_half(tree) for name, tree in trees.items()}
    raws = {f"key-{name}": half.key.raw for name, half in halves.items() if isinstance(half.key, HssLmsPublicKey)}
    corpus.put("lms", made | raws)
    corpus.know("lms", halves.values())
    kinds = {key.spki_der: name for name, key in keys.items()} | {hss.spki_der: "hss-lms"}
    corpus.put("public-keys", {name: der for der, name in kinds.items()})
    fido = {kind: SecurityKey(kind) for kind in ("ed25519", "ecdsa")}
    seeds = {f"signed-sk-{name}": key.sign(documents.MESSAGE, documents.NAMESPACE) for name, key in fido.items()}
    lines = {f"sk-{name}": key.line.encode() for name, key in fido.items()}
    for algorithm in (P256, ED25519, RSA):
        (armoured,) = beside(firmware.raw, documents.MESSAGE, signer(algorithm), output="sshsig").values()
        seeds |= {f"signed-{algorithm}": ssharmour.dearmour(armoured.decode()), f"armoured-{algorithm}": armoured}
        blob = raw_ssh.blob_of(signer(algorithm).public_key)
        seeds[f"key-{algorithm}"] = blob
        lines[algorithm] = sshsig.parse_public_key(blob).line().encode()
    corpus.put("sshsig", seeds | {f"line-{name}": line for name, line in lines.items()})
    corpus.know("sshsig", sidecars=lines)


def key_ceremonies(corpus: Corpus) -> None:
    vendor, key = ceremonies.Vendor(), signer(P256).public_key
    leaf, device, authority = vendor.chain(vendor.attest(key.spki_der))
    corpus.put("key-attestation", {"signed": leaf, "device": device, "authority": authority})
    chain = {"leaf": leaf, "device": device, "authority": authority, "key": key.spki_der}
    corpus.know("key-attestation", sidecars={"roots": vendor.root_pem.encode(), **chain})
    with tempfile.TemporaryDirectory() as name:
        people = {who: ceremonies.participant(Path(name), who) for who in ("ann", "ben")}
        planned = ceremonies.key("boot") + ceremonies.key("app", "ml-dsa-65")
        software = ceremonies.script(people, planned)
        attested = ceremonies.script(
            people, planned, grade="hardware-attested", module=ceremonies.module(), attestation=vendor.rule()
        )
    corpus.put("ceremony-script", {"software": software.encode(), "attested": attested.encode()})


def main() -> None:
    corpus = Corpus()
    for part in (
        uefi,
        flattened_images,
        microcontrollers,
        manifests,
        memory_images,
        signature_files,
        minisign_files,
        signatures,
        key_ceremonies,
    ):
        part(corpus)
    KNOWN.write_text(json.dumps(corpus.known, indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    main()
