"""FIT recipes of random shape, all of them bootable."""

import random

from tests.formats.fits import Part, Recipe, devicetree, kernel, template

WEAK, STRONG = ("crc32", "md5", "sha1"), ("sha256", "sha384", "sha512")


def random_recipe(dice: random.Random, *, templates: bool = False) -> Recipe:
    """Throw 1-2 images of each kind, 1-3 configurations over them, hashes, and where the data go."""
    kernels = [kernel(f"kernel-{n}", hashes=_hashes(dice)) for n in range(1, dice.randint(1, 2) + 1)]
    trees = [devicetree(f"fdt-{n}", hashes=_hashes(dice)) for n in range(1, dice.randint(1, 2) + 1)]
    others = [
        Part(name=f"{kind}-1", kind=kind, data=dice.randbytes(dice.randint(1, 5000)), hashes=_hashes(dice))
        for kind in ("ramdisk", "loadables")
        if dice.random() < 0.5
    ]
    configurations = {}
    for number in range(1, dice.randint(max(len(kernels), len(trees)), 3) + 1):
        # Counting round uses every image: one that no configuration refers to is refused.
        references = {"kernel": [kernels[number % len(kernels)].name], "fdt": [trees[number % len(trees)].name]}
        configurations[f"conf-{number}"] = references | {part.kind: [part.name] for part in others}
    external = [("-E",), ("-E", "-B", "0x200"), ("-E", "-p", "0x8000")]
    parts = (*kernels, *trees, *others)
    return Recipe(
        parts=parts,
        configurations=configurations,
        default=dice.choice([*configurations]),
        configurations_first=dice.random() < 0.3,
        mkimage=dice.choice(external) if dice.random() < 0.4 else (),
        template=template(images=["kernel", "fdt", *(part.kind for part in others)]) if templates else "",
    )


def _hashes(dice: random.Random) -> tuple[str, ...]:
    """One that protects, sometimes with weaker ones around it."""
    return (*dice.sample(WEAK, dice.randint(0, 2)), dice.choice(STRONG))
