"""Promises about the tree: what has no page, no test, no heading or no reason is found here."""

import ast
import importlib
import inspect
import io
import re
import subprocess
import sys
import tokenize
import tomllib
from functools import cache
from pathlib import Path

import pytest
from scripts import changelog
from tests.conftest import PROJECT
from tests.test_spec import anchors

from sealwright.core.errors import Code
from sealwright.formats import FORMATS
from sealwright.formats.targets import TARGETS

SOURCE, DOCS, TESTS = PROJECT / "src" / "sealwright", PROJECT / "docs", PROJECT / "tests"
MODULES = sorted(SOURCE.rglob("*.py"))
PAGES = sorted({*PROJECT.glob("*.md"), *DOCS.rglob("*.md"), TESTS / "attacks" / "README.md"})
DECISIONS = sorted((DOCS / "adr").glob("*.md"))
MAX_DECISION_LINES = 60
MAX_SIGNER_LINES = 3700
"""Of docs/adr/0009; who needs more removes something or changes that page."""

RESERVED: dict[Code, str] = {}
"""Codes that nothing raises yet, each with its reason."""


def name_of(path: Path) -> str:
    return str(path.relative_to(PROJECT))


@cache
def tracked() -> tuple[Path, ...]:
    """Every file that git knows, or would."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(command, cwd=PROJECT, capture_output=True, check=True, text=True).stdout.split("\0")
    return tuple(path for name in names if name and (path := PROJECT / name).is_file())


# Formats


def parts_of(name: str) -> list[Path]:
    """The tests of a format: ``test_<module>.py`` and those that begin so."""
    module = FORMATS[name].__name__.rsplit(".", 1)[1]
    return sorted((TESTS / "formats").glob(f"test_{module}.py")) + sorted(
        (TESTS / "formats").glob(f"test_{module}_*.py")
    )


def facts_of(name: str) -> list[str]:
    """The names of a format's tests."""
    trees = [ast.parse(path.read_text()) for path in parts_of(name)]
    return [node.name for tree in trees for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]


def wrappers_of(name: str) -> set[str]:
    """The outside verifiers that a format's tests import and call."""
    found = set()
    for path in parts_of(name):
        tree = ast.parse(path.read_text())
        imported = {
            alias.asname or alias.name
            for node in ast.walk(tree)
            if isinstance(node, ast.ImportFrom) and node.module == "tests.verifiers"
            for alias in node.names
        }
        used = {
            node.value.id
            for node in ast.walk(tree)
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name)
        }
        found |= imported & used
    return found


@pytest.mark.parametrize("name", FORMATS)
def test_a_format_has_a_page_that_begins_with_a_verification_without_us(name):
    lines = (DOCS / "formats" / f"{name}.md").read_text().splitlines()
    assert lines[0].startswith("# ")
    assert lines[2].startswith("```")
    assert not lines[3].startswith("sealwright"), "the first command verifies without us"


@pytest.mark.parametrize("name", FORMATS)
def test_an_outside_verifier_judges_a_format(name):
    wrappers = wrappers_of(name)
    assert wrappers
    assert all((TESTS / "verifiers" / f"{wrapper}.py").is_file() for wrapper in wrappers)
    judged = re.compile(r"test_.*(accept|boot).*")
    assert [fact for fact in facts_of(name) if judged.fullmatch(fact)]


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize(
    ("promise", "pattern"),
    [
        ("a flip is refused", r"test_.*flip.*"),
        ("a cut file is refused", r"test_.*(_cut_|_cut$).*"),
        ("a stranger is refused", r"test_.*stranger.*"),
        ("a stripped signature is refused", r"test_.*stripped.*"),
        ("frozen options give the same slots", r"test_.*frozen_options.*"),
        ("signing twice is defined", r"test_.*twice.*"),
    ],
)
def test_a_format_keeps_its_promises_by_name(name, promise, pattern):
    assert [fact for fact in facts_of(name) if re.fullmatch(pattern, fact)], f"{name}: no test says that {promise}"


@pytest.mark.parametrize("name", FORMATS)
def test_an_outside_verifier_judges_a_flip_too(name):
    """A flip that only our own code judges proves nothing about devices."""
    asking = asks_a_verifier(name)
    assert [fact for fact in facts_of(name) if "flip" in fact and fact in asking]


def asks_a_verifier(name: str) -> set[str]:
    """Functions of a format's tests that call an outside verifier, by themselves or through helpers."""
    called: dict[str, set[str]] = {}
    for path in [*parts_of(name), *(TESTS / "formats").glob("[!t]*.py")]:
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.FunctionDef):
                calls = {ast.unparse(inner.func) for inner in ast.walk(node) if isinstance(inner, ast.Call)}
                called[node.name] = called.get(node.name, set()) | calls
    judges = re.compile(rf"({'|'.join(wrappers_of(name))})\.(\w*verify\w*|boot\w*)")
    asking = {function for function, calls in called.items() if any(judges.fullmatch(call) for call in calls)}
    while more := {function for function, calls in called.items() if calls & asking} - asking:
        asking |= more
    return asking


@pytest.mark.parametrize("name", FORMATS)
def test_a_format_has_a_target_profile(name):
    assert [t for t in TARGETS.values() if t.formats and name in t.formats]


def test_no_page_speaks_of_a_format_that_is_not_there():
    assert {path.stem for path in (DOCS / "formats").glob("*.md")} == set(FORMATS)


# Errors


def test_every_code_has_its_heading_in_the_order_of_the_code():
    headings = re.findall(r"^## (.+)$", (DOCS / "errors.md").read_text(), re.MULTILINE)
    assert headings == [str(code) for code in Code]


@pytest.mark.parametrize("code", Code)
def test_a_heading_says_what_was_found_and_what_to_do(code):
    text = (DOCS / "errors.md").read_text()
    section = re.split(r"^#+ ", text.split(f"\n## {code}\n")[1], maxsplit=1, flags=re.MULTILINE)[0].strip()
    assert re.search(r"^Found: ", section, re.MULTILINE)
    assert re.search(r"^Do: ", section, re.MULTILINE)


def test_every_code_is_used_or_reserved_with_a_reason():
    used = set()
    for path in MODULES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "Code":
                used.add(node.attr)
    unused = {code for code in Code if code.name not in used}
    assert unused == set(RESERVED)
    assert all(RESERVED.values())


# Source


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_a_module_says_what_it_is(path):
    assert ast.get_docstring(ast.parse(path.read_text())) or path.stat().st_size < 2


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_nothing_is_left_to_do_in_a_comment(path):
    assert not re.search(r"\b(TODO|FIXME|XXX|HACK)\b", path.read_text())


@pytest.mark.parametrize("layer", ["core", "translog", "policy", "formats", "evidence"])
def test_no_outside_verifier_is_imported_by_the_product(layer):
    for path in (SOURCE / layer).rglob("*.py"):
        assert not re.search(r"^\s*(import|from) (imgtool|pymerkle|esptool|sigstore)\b", path.read_text(), re.MULTILINE)


def test_the_signer_stays_below_its_ceiling():
    lines = {module: code_lines(path) for module, path in signer_modules().items()}
    assert {"sealwright.policy.authorise", "sealwright.core.records", "sealwright.signer.engine"} <= lines.keys()
    assert sum(lines.values()) <= MAX_SIGNER_LINES, sorted(lines.items(), key=lambda item: -item[1])
    page = (DOCS / "adr" / "0009-the-size-of-the-signer.md").read_text()
    assert f"The ceiling is {MAX_SIGNER_LINES:,} code lines" in page


def signer_modules() -> dict[str, Path]:
    """The signer's modules and all of ours that they import, directly or not."""
    known = {module_name(path): path for path in MODULES}
    todo, found = [name for name in known if name.startswith("sealwright.signer")], {}
    while todo:
        name = todo.pop()
        if name in found or name not in known:
            continue
        found[name] = known[name]
        todo.append(name.rpartition(".")[0])
        for node in ast.walk(ast.parse(known[name].read_text())):
            if isinstance(node, ast.Import):
                todo += [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module:
                todo += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    return found


def module_name(path: Path) -> str:
    parts = path.relative_to(SOURCE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def code_lines(path: Path) -> int:
    """Lines that hold code: no blank ones, no comments, no docstrings."""
    text = path.read_text()
    silent = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER}
    lines: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type not in silent:
            lines |= set(range(token.start[0], token.end[0] + 1))
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            lines -= set(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    return len(lines)


def test_code_lines_are_counted_as_decided(tmp_path):
    path = tmp_path / "counted.py"
    path.write_text(
        '"""Two\nlines."""\n\n# comment\nX = (\n    1\n)  # more\n\n\ndef f():\n    """Doc."""\n    return X\n'
    )
    assert code_lines(path) == 5


# The tree


PRIVATE_KEY = re.compile(rb"-----BEGIN [A-Z ]*PRIVATE KEY-----\s+[A-Za-z0-9+/=]{40}")


def test_a_private_key_in_the_tree_is_a_test_vector_that_says_test_only():
    for path in tracked():
        if PRIVATE_KEY.search(data := path.read_bytes()):
            assert path.is_relative_to(TESTS), f"{name_of(path)} holds a private key"
            assert path.suffix not in (".py", ".md"), f"{name_of(path)}: make keys when the test runs"
            readme = path.with_name("README.md")
            said = data + (readme.read_bytes() if readme.is_file() else b"")
            assert b"TEST ONLY" in said, f"{name_of(path)} does not say TEST ONLY"


def test_no_path_of_somebodys_machine_is_in_the_tree():
    for path in tracked():
        found = re.search(rb"(?<![\w.])/(home|Users|work|root)/[\w.-]+", path.read_bytes())
        assert found is None, f"{name_of(path)}: {found}"


# Documentation


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_link_of_a_page_leads_somewhere(page):
    text = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)
    for target, anchor in re.findall(r"\]\(([^)#\s]*)(?:#([^)\s]+))?\)", text):
        if re.match(r"[a-z]+://", target):
            continue
        path = (page.parent / target).resolve() if target else page
        assert path.exists(), f"links to {target}"
        if anchor:
            assert anchor in anchors(path.read_text()), f"links to {target}#{anchor}"


@pytest.mark.parametrize("page", DECISIONS, ids=name_of)
def test_a_decision_fits_its_page_and_says_why(page):
    lines = page.read_text().splitlines()
    assert len(lines) <= MAX_DECISION_LINES
    assert re.fullmatch(rf"# {page.stem[:4]}: \S.*", lines[0])
    assert {"## Context", "## Consequences"} <= set(lines)
    assert any(line.startswith("## Decision") for line in lines)


def test_decisions_have_numbers_of_their_own_and_are_all_listed():
    assert len({page.stem[:4] for page in DECISIONS}) == len(DECISIONS)
    listed = re.findall(r"\(adr/([^)]+)\)", (DOCS / "README.md").read_text())
    assert sorted(name for name in listed if name) == [page.name for page in DECISIONS]


def test_every_page_is_reached_from_the_index():
    index = (DOCS / "README.md").read_text()
    for page in DOCS.glob("*.md"):
        assert page.name == "README.md" or f"({page.name})" in index, page.name
    for page in (DOCS / "formats").glob("*.md"):
        assert f"(formats/{page.name})" in index, page.name


def test_the_changelog_is_made_from_its_notes():
    assert changelog.build() == changelog.PAGE.read_text(), "run python scripts/changelog.py"


# Settings and commands


def settings() -> set[str]:
    """The names that the instance's settings file is asked for."""
    found = set()
    for node in ast.walk(ast.parse((SOURCE / "wiring" / "configuration.py").read_text())):
        if isinstance(node, ast.Call):
            called = node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")
            if called in ("_text", "_number", "_table", "get"):
                found |= {a.value for a in node.args if isinstance(a, ast.Constant) and isinstance(a.value, str)}
    return found


def test_every_setting_is_described_for_who_operates_it():
    text = "\n".join(page.read_text() for page in (DOCS / "operate").glob("*.md"))
    names = settings()
    assert {"instance", "origin", "log_key", "partitions", "tls_key"} <= names
    assert not {name for name in names if f"`{name}`" not in text and f"`[{name}" not in text}


def test_every_environment_variable_is_described():
    text = (DOCS / "operate" / "settings.md").read_text()
    used = {name for path in MODULES for name in re.findall(r"\bSEALWRIGHT_[A-Z_]+\b", path.read_text())}
    assert {name for name in used if f"`{name}`" not in text} == set()


def commands() -> dict[str, set[str]]:
    """Every command, with its sub-commands if it is a noun."""
    import typer
    from typer.main import get_command

    main = importlib.import_module("sealwright.cli.main")
    found: dict[str, set[str]] = {}
    for group in main.COMMANDS.values():
        for name, command in group.items():
            module, _, attribute = command.target.partition(":")
            target = getattr(importlib.import_module(module), attribute)
            found[name] = set()
            if isinstance(target, typer.Typer):
                noun = get_command(target)
                found[name] = set(noun.commands)
                assert all(sub.help for sub in noun.commands.values()), f"{name} has a sub-command without help"
            else:
                assert inspect.getdoc(target), f"{name} has no help"
            assert command.help
    return found


def test_every_command_has_help_and_those_of_the_pages_exist():
    known = commands()
    for page in PAGES:
        for noun, verb in re.findall(r"(?<![\w.])sealwright ([a-z]+)(?: ([a-z][a-z-]*))?", quoted(page.read_text())):
            assert noun in known, f"{name_of(page)} names the command {noun}"
            if known[noun] and verb:
                assert verb in known[noun], f"{name_of(page)} names the command {noun} {verb}"


def quoted(text: str) -> str:
    """What a page shows as code."""
    return "\n".join(re.findall(r"```.*?```|`[^`\n]+`", text, re.DOTALL))


# Dependencies


def requirement_names(lines: list[str]) -> dict[str, str]:
    """Name to specifier, of lines or of ``dependencies``."""
    split = (re.match(r"([A-Za-z0-9_.-]+)(.*)", line) for line in lines if line and not line.startswith(("#", "-")))
    return {found[1].lower(): found[2] for found in split if found}


def requirements(name: str) -> dict[str, str]:
    return requirement_names((PROJECT / "requirements" / f"{name}.in").read_text().splitlines())


def test_the_requirement_files_say_what_the_project_says():
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]
    assert requirements("base") == requirement_names(project["dependencies"])
    assert requirements("server") == requirement_names(project["optional-dependencies"]["server"])
    assert "-r base.in" in (PROJECT / "requirements" / "server.in").read_text().splitlines()
    assert "-r server.in" in (PROJECT / "requirements" / "dev.in").read_text().splitlines()


@pytest.mark.parametrize("name", ["base", "server", "dev"])
def test_the_locks_pin_what_is_required_by_hash(name):
    text = (PROJECT / "requirements" / f"{name}.txt").read_text()
    pinned = {found.lower() for found in re.findall(r"^([A-Za-z0-9_.-]+)==", text, re.MULTILINE)}
    assert requirements(name).keys() <= pinned
    for block in re.split(r"\n(?=[A-Za-z0-9])", text):
        assert "--hash=sha256:" in block or not re.match(r"[A-Za-z0-9_.-]+==", block), block[:60]


def test_every_dependency_and_every_debian_package_has_its_reason():
    page = (DOCS / "dependencies.md").read_text()
    rows = {row.split("|")[1].strip(): row for row in page.splitlines() if row.startswith("| ")}
    wanted = {name for file in ("base", "server", "dev") for name in requirements(file)}
    setup = re.search(r'^packages="([^"]+)"', (PROJECT / "scripts" / "setup.sh").read_text(), re.MULTILINE)
    assert setup is not None
    assert (wanted | set(setup[1].split())) - rows.keys() == set()
    assert rows.keys() - wanted - set(setup[1].split()) == {"package"}


def test_what_the_product_imports_is_declared():
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]
    declared = {*requirement_names(project["dependencies"])}
    declared |= requirement_names(project["optional-dependencies"]["server"]).keys()
    imported = set()
    for path in MODULES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                imported |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                imported.add(node.module.partition(".")[0])
    foreign = imported - sys.stdlib_module_names - {"sealwright"}
    packages = {"argon2": "argon2-cffi", "click": "typer"}
    assert {packages.get(name, name) for name in foreign} <= declared


def test_no_page_or_comment_cites_a_document_that_is_not_here():
    cited = re.compile(r"\b(?:DESIGN|PROTOCOL)\b(?!\.(?:sshsig|key|u2f|agent))")
    pages = [*PROJECT.glob("*.md"), *PROJECT.glob("docs/**/*.md"), *PROJECT.glob("src/**/*.py")]
    assert not [path for path in pages if cited.search(path.read_text())]
