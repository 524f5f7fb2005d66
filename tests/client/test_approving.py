"""What an approver is shown of their own copy."""

import pytest
from tests.formats import dfu_files

from sealwright.client.approving import _inspect
from sealwright.client.files import FileSource
from sealwright.core.errors import FormatError


def test_a_file_is_shown_as_what_it_is_signed_as_and_never_as_what_else_it_claims_to_be(tmp_path):
    path = tmp_path / "firmware.itb"
    path.write_bytes(dfu_files.with_suffix(b"\xd0\x0d\xfe\xed" + bytes(60)))
    with FileSource(path) as source:
        assert _inspect("dfu", source).format == "dfu"
        with pytest.raises(
            FormatError, match=r"firmware\.itb would be signed as u-boot-fit, but cannot be shown as that"
        ):
            _inspect("u-boot-fit", source)
