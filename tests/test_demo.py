"""`make demo` does the main job on real images."""

import os
import subprocess
import sys

import pytest
from tests.conftest import PROJECT


@pytest.mark.slow
def test_the_demo_signs_four_images_and_everybody_refuses_a_flipped_byte():
    environment = {k: v for k, v in os.environ.items() if not k.startswith("SEALWRIGHT_")}
    done = subprocess.run(
        [sys.executable, "-m", "demo"], cwd=PROJECT, env=environment, capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stdout + done.stderr
    for program in ("sbverify", "osslsigncode", "U-Boot in QEMU", "imgtool", "openssl cms"):
        assert f"{program} accepts" in done.stdout
        assert f"one byte flipped: {program} refuses" in done.stdout
    signed = PROJECT / "build" / "demo" / "signed"
    assert len(list(signed.glob("*.sealwright"))) == 4
    verifier = PROJECT / "tests" / "independent" / "verifier.py"
    for evidence in signed.glob("*.sealwright"):
        judged = subprocess.run(
            [sys.executable, verifier, evidence.with_suffix(""), evidence, PROJECT / "build" / "demo" / "trust.json"],
            capture_output=True,
            text=True,
        )
        assert judged.returncode == 0, judged.stdout + judged.stderr
