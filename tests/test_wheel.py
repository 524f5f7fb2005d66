"""The wheel, installed alone into an empty environment: the base install verifies and inspects, offline."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tests.conftest import PROJECT, missing

VALUES = PROJECT / "docs" / "spec" / "values"
TRUST = VALUES / "trust.json"
SERVER_PARTS = ("starlette", "uvicorn", "uvloop", "httptools", "argon2")
INDEX_SECONDS = 300

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from a copy, so that nothing is left in the tree."""
    folder = tmp_path_factory.mktemp("wheel")
    for name in ("src", "pyproject.toml", "README.md", "LICENSE"):
        source = PROJECT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, folder)
    run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder / "dist", folder)
    (made,) = (folder / "dist").glob("*.whl")
    return made


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of programs of an environment that holds the base requirements and the wheel."""
    folder = tmp_path_factory.mktemp("empty") / "environment"
    run(sys.executable, "-m", "venv", folder)
    pip = [folder / "bin" / "python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    required = subprocess.run(
        [*pip, "--require-hashes", "--requirement", PROJECT / "requirements" / "base.txt"],
        capture_output=True,
        text=True,
        check=False,
        timeout=INDEX_SECONDS,
    )
    if required.returncode and "No matching distribution" in required.stderr + required.stdout:
        missing("package index")
    assert required.returncode == 0, required.stderr
    run(*pip, "--no-deps", "--no-index", wheel)
    return folder / "bin"


def run(*command: str | Path) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=INDEX_SECONDS)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def sealwright(installed: Path, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run the installed command away from the tree, with nothing of ours in the environment."""
    environment = {"PATH": os.environ["PATH"], "HOME": str(installed.parent), "LANG": "C.UTF-8"}
    return subprocess.run(
        [installed / "sealwright", *arguments],
        capture_output=True,
        text=True,
        check=False,
        cwd=installed.parent,
        env=environment,
        timeout=60,
    )


def test_the_environment_is_small_and_not_the_tree(installed):
    code = (
        "import importlib.util as u, sealwright\n"
        f"print(sealwright.__file__, [name for name in {SERVER_PARTS!r} if u.find_spec(name)])"
    )
    where = run(installed / "python", "-I", "-c", code)
    assert where.startswith(str(installed.parent))
    assert where.rstrip().endswith("[]")


@pytest.mark.parametrize("name", ["app.bin", "boot.bin"])
def test_the_evidence_of_the_values_is_verified_and_a_flipped_image_refused(installed, tmp_path, name):
    for suffix in ("", ".p7s", ".sealwright"):
        shutil.copy(VALUES / f"{name}{suffix}", tmp_path)
    image = tmp_path / name
    accepted = sealwright(installed, "verify", image, "--trust", TRUST)
    assert accepted.returncode == 0, accepted.stderr
    assert accepted.stdout.startswith(f"verified: {image}")
    data = image.read_bytes()
    image.write_bytes(bytes((data[0] ^ 1,)) + data[1:])
    refused = sealwright(installed, "verify", image, "--trust", TRUST)
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "sealwright: error: this is not the approved image" in refused.stderr


def test_an_image_is_inspected(installed):
    described = sealwright(installed, "inspect", VALUES / "app.bin")
    assert described.returncode == 0, described.stderr
    assert "raw" in described.stdout.splitlines()[0]


@pytest.mark.parametrize("command", ["verify", "inspect"])
def test_no_server_part_is_loaded(installed, command):
    arguments = [command, str(VALUES / "app.bin"), *(["--trust", str(TRUST)] if command == "verify" else [])]
    code = (
        "import sys\nfrom sealwright.cli.main import main\n"
        f"assert main({arguments!r}) == 0\n"
        "print('loaded', [m for m in sys.modules if m.startswith(('sealwright.server', 'sealwright.storage', "
        "'sealwright.signer', 'sealwright.keystores', 'sealwright.wiring'))])"
    )
    assert run(installed / "python", "-I", "-c", code).splitlines()[-1] == "loaded []"


def test_a_command_of_the_server_says_what_to_install(installed, tmp_path):
    refused = sealwright(installed, "server", tmp_path)
    assert refused.returncode == 78
    assert "sealwright: hint: install sealwright[server] on this machine" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_the_help_works_without_the_server(installed):
    listed = sealwright(installed, "--help")
    assert listed.returncode == 0
    assert "verify" in listed.stdout
