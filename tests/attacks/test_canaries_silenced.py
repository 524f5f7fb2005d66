"""Attack: whoever may write beside the signer's socket puts a folder where the signer tells of its keys.

The signer must go on looking at its keys: what it cannot tell, it still refuses to sign with.
"""

import pytest
from tests.simulators.live import Live

from sealwright.signer.canary import Conditions
from sealwright.wiring import canaries

TOLD = Conditions(type="canaries", format=1, time=1, keys=())


@pytest.fixture
def configuration(tmp_path):
    return Live(tmp_path).make().configuration


@pytest.mark.parametrize("name", [canaries.FILE, f".{canaries.FILE}"])
def test_a_folder_in_the_way_stops_nothing(configuration, name):
    obstacle = canaries.path_of(configuration).with_name(name)
    (obstacle / "inside").mkdir(parents=True)
    canaries.write_conditions(configuration, TOLD)
    assert canaries.read_conditions(configuration) is None
    (obstacle / "inside").rmdir()
    obstacle.rmdir()
    canaries.write_conditions(configuration, TOLD)
    assert canaries.read_conditions(configuration) == TOLD


def test_a_link_in_the_way_is_replaced_and_not_followed(configuration, tmp_path):
    target = tmp_path / "head.json"
    target.write_bytes(b"what the signer remembers")
    for name in (canaries.FILE, f".{canaries.FILE}"):
        link = canaries.path_of(configuration).with_name(name)
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(target)
    canaries.write_conditions(configuration, TOLD)
    assert target.read_bytes() == b"what the signer remembers"
    assert canaries.read_conditions(configuration) == TOLD
