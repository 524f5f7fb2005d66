"""`make demo` does the main job on real images."""

import json
import os
import shutil
import subprocess
import sys

import pytest
from demo.__main__ import put_aside
from tests.conftest import PROJECT


@pytest.mark.slow
def test_the_demo_signs_four_images_and_everybody_refuses_a_flipped_byte():
    folder = PROJECT / "build" / "demo-of-tests"  # what somebody goes on with in build/demo is left alone
    shutil.rmtree(folder, ignore_errors=True)
    environment = {k: v for k, v in os.environ.items() if not k.startswith("SEALWRIGHT_")}
    environment["DEMO_FOLDER"] = str(folder.relative_to(PROJECT))
    done = subprocess.run(
        [sys.executable, "-m", "demo"], cwd=PROJECT, env=environment, capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stdout + done.stderr
    for program in ("sbverify", "osslsigncode", "U-Boot in QEMU", "imgtool", "openssl cms"):
        assert f"{program} accepts" in done.stdout
        assert f"one byte flipped: {program} refuses" in done.stdout
    signed = folder / "signed"
    assert len(list(signed.glob("*.sealwright"))) == 4
    verifier = PROJECT / "tests" / "independent" / "verifier.py"
    for evidence in signed.glob("*.sealwright"):
        judged = subprocess.run(
            [sys.executable, verifier, evidence.with_suffix(""), evidence, folder / "trust.json"],
            capture_output=True,
            text=True,
        )
        assert judged.returncode == 0, judged.stdout + judged.stderr


def test_the_demo_of_an_earlier_run_is_put_aside_whole(tmp_path):
    folder = tmp_path / "demo"
    for number in (1, 2):
        (folder / "config-ben").mkdir(parents=True)
        connection = folder / "config-ben" / "connection.json"
        connection.write_text(json.dumps({"trust": f"{folder}/trust.json", "run": number}))
        aside = put_aside(folder)
        assert aside == tmp_path / f"demo-{number}"
        assert not folder.exists()
        kept = json.loads((aside / "config-ben" / "connection.json").read_text())
        assert kept == {"trust": f"{aside}/trust.json", "run": number}
