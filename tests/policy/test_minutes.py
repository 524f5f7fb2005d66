"""Scripts of key ceremonies: what is long is refused before the reader of TOML sees it."""

import pytest

from sealwright.core.errors import FormatError
from sealwright.policy.minutes import MAX_LINE_BYTES, MAX_SCRIPT_BYTES, parse_script


def test_a_script_of_long_lines_is_refused_unread():
    """Found by fuzzing: a key of sixty thousand dots took minutes."""
    with pytest.raises(FormatError, match=f"line of 120003 bytes, at most {MAX_LINE_BYTES} are accepted"):
        parse_script(b"a" + b".a" * 60_000 + b"=1")
    with pytest.raises(FormatError, match=f"at most {MAX_SCRIPT_BYTES} are accepted"):
        parse_script(b"\n" * (MAX_SCRIPT_BYTES + 1))


def test_a_script_of_as_many_dots_as_fit_is_read_and_refused_for_what_it_lacks():
    with pytest.raises(FormatError, match="missing members"):
        parse_script(b"a" + b".a" * (MAX_LINE_BYTES // 2 - 2) + b"=1\n")
