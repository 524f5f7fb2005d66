"""Scripts of key ceremonies: what is long is refused before the reader of TOML sees it."""

import base64
import struct

import pytest
from tests.simulators import ceremonies

from sealwright.core.errors import FormatError
from sealwright.policy.minutes import MAX_LINE_BYTES, MAX_SCRIPT_BYTES, parse_script


@pytest.fixture(scope="module")
def people(tmp_path_factory):
    folder = tmp_path_factory.mktemp("people")
    return {name: ceremonies.participant(folder, name) for name in ("ada", "ben")}


@pytest.fixture(scope="module")
def text(people):
    vendor = ceremonies.Vendor()
    return ceremonies.script(
        people, ceremonies.key("1"), grade="hardware-attested", module=ceremonies.module(), attestation=vendor.rule()
    )


def test_a_script_of_long_lines_is_refused_unread():
    """Found by fuzzing: a key of sixty thousand dots took minutes."""
    with pytest.raises(FormatError, match=f"line of 120003 bytes, at most {MAX_LINE_BYTES} are accepted"):
        parse_script(b"a" + b".a" * 60_000 + b"=1")
    with pytest.raises(FormatError, match=f"at most {MAX_SCRIPT_BYTES} are accepted"):
        parse_script(b"\n" * (MAX_SCRIPT_BYTES + 1))


def test_a_script_of_as_many_dots_as_fit_is_read_and_refused_for_what_it_lacks():
    with pytest.raises(FormatError, match="missing members"):
        parse_script(b"a" + b".a" * (MAX_LINE_BYTES // 2 - 2) + b"=1\n")


@pytest.mark.parametrize(
    ("escape", "found"),
    [("\\u202E", "U+202E"), ("\\u001b[2J", "U+001B"), ("\\u0000", "U+0000"), ("\\n", "U+000A"), ("\\u200b", "U+200B"),
     ("\\U000E0041", "U+E0041"), ("\\u2028", "U+2028")],
)  # fmt: skip
def test_an_escape_spells_nothing_that_no_line_may_hold(text, escape, found):
    """Who reads the file sees six harmless characters; who is shown the script would see what they mean."""
    assert parse_script(text.replace('role = "custodian"', 'role = "cust\\u00F6dian"', 1).encode())
    changed = text.replace('role = "custodian"', f'role = "cust{escape}odian"', 1)
    with pytest.raises(FormatError, match=f"forbidden character {found}".replace("+", r"\+")):
        parse_script(changed.encode())


def test_certificates_alone_have_lines_and_no_escape_beside_them(text):
    assert parse_script(text.replace("\n", "\r\n").encode()) == parse_script(text.encode())
    with pytest.raises(FormatError, match=r"forbidden character U\+202E"):
        parse_script(text.replace("-----END", "\\u202E-----END", 1).encode())


def test_one_key_is_one_participant_with_sk_in_front_or_not(people, text):
    """The plain key signs what the other one should: whoever has it is both of them."""
    ada, ben = (" ".join(people[n].with_suffix(".pub").read_text().split()[:2]) for n in ("ada", "ben"))
    bare = base64.b64decode(ada.split()[1])[-32:]
    parts = (b"sk-ssh-ed25519@openssh.com", bare, b"ssh:")
    blob = b"".join(struct.pack(">I", len(part)) + part for part in parts)
    fido = f"sk-ssh-ed25519@openssh.com {base64.b64encode(blob).decode()}"
    assert parse_script(text.replace(ada, fido).encode()).participants[0].key == fido
    with pytest.raises(FormatError, match="the same key is there twice"):
        parse_script(text.replace(ben, fido).encode())


def test_what_is_wrong_with_a_script_is_said_once(text):
    with pytest.raises(FormatError) as raised:
        parse_script(text.replace('grade = "hardware-attested"', 'grade = "hardware-claimed"').encode())
    assert raised.value.message.count("ceremony script:") == 1
    assert raised.value.message.startswith("ceremony script: attestation: grade hardware-attested needs it")
