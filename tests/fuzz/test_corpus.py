"""The kept inputs of the fuzz runs lead to a value or to an error of ours; what nobody signed is not accepted."""

import pytest
from tests.fuzz import harness
from tests.fuzz.harness import CORPUS, Finding, FormatTarget, known
from tests.fuzz.targets import TARGETS

from sealwright import formats
from sealwright.core.images import MemorySource

MAX_CORPUS_BYTES, MAX_INPUT_BYTES = 1 << 20, 64 * 1024
INPUTS = [
    *((path.parent.name, path.name) for path in sorted(CORPUS.glob("*/*"))),
    *((name, made) for name, target in TARGETS.items() for made in target.inputs()),
]
FORMATS = {name: target.run for name, target in TARGETS.items() if isinstance(target.run, FormatTarget)}
SIGNED = [(name, seed) for name, seed in INPUTS if name in FORMATS and seed.startswith("signed")]


def read(name: str, seed: str) -> bytes:
    path = CORPUS / name / seed
    return path.read_bytes() if path.is_file() else TARGETS[name].inputs()[seed]


@pytest.mark.parametrize(("name", "seed"), INPUTS)
def test_an_input_leads_to_a_value_or_an_error_of_ours(name, seed):
    TARGETS[name].run(read(name, seed))


@pytest.mark.parametrize(("name", "seed"), SIGNED)
def test_a_signed_seed_verifies_and_would_be_a_finding_if_nobody_knew_it(name, seed, monkeypatch):
    target, said = FORMATS[name], known(name)
    assert target.module.verify(MemorySource(read(name, seed)), said.trust, said.sidecars)
    nobody = harness.Known(keys=said.keys, sidecars=said.sidecars, contents=frozenset())
    monkeypatch.setitem(target.__dict__, "known", nobody)
    with pytest.raises(Finding, match="verify accepts what nobody signed"):
        target(read(name, seed))


def test_a_repair_keeps_what_is_right_already():
    for name, target in TARGETS.items():
        if target.repair is not None:
            for path in (CORPUS / name).glob("signed*"):
                assert target.repair(path.read_bytes()) == path.read_bytes(), f"{name}/{path.name}"


@pytest.mark.parametrize("name", formats.FORMATS)
def test_every_format_has_a_target(name):
    assert name in TARGETS or f"{name}-cms" in TARGETS


def test_every_target_has_inputs_and_the_corpus_is_small():
    assert {name for name, _ in INPUTS} == TARGETS.keys()
    sizes = [path.stat().st_size for path in CORPUS.rglob("*") if path.is_file()]
    assert max(sizes) < MAX_INPUT_BYTES
    assert sum(sizes) < MAX_CORPUS_BYTES
