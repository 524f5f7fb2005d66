"""Options as people write them become what the format's ``prepare`` takes, and nothing else does."""

import pytest

from sealwright.client.options import check_known, check_values, parse_options, with_time
from sealwright.core import records
from sealwright.core.errors import ArgumentError, ConfigurationError
from sealwright.formats import FORMATS


@pytest.mark.parametrize(
    ("image_format", "texts", "options"),
    [
        ("raw", ["signing_time=5"], {"signing_time": 5}),
        ("raw", ["signing-time=0x10"], {"signing_time": 16}),
        ("mcuboot", ["version=1.2.3+4", "header-size=0x200"], {"version": "1.2.3+4", "header_size": 512}),
        ("mcuboot", ["pad_header=true", "overwrite_only=no"], {"pad_header": True, "overwrite_only": False}),
        ("mcuboot", ["align=8", "erased_value=0xff"], {"align": 8, "erased_value": 255}),
        ("mcuboot", ["dependencies=1:1.0.0,2:2.0.0+7"],
         {"dependencies": [{"image": 1, "version": "1.0.0"}, {"image": 2, "version": "2.0.0+7"}]}),
        ("mcuboot", ["custom_tlvs=0xa0:beef,161:", "rom-fixed=0x8000", "public_key=full", "hash=sha512"],
         {"custom_tlvs": [{"kind": 160, "value": "beef"}, {"kind": 161, "value": ""}], "rom_fixed": 0x8000,
          "public_key": "full", "hash": "sha512"}),
        ("esp32-secure-boot-v2", ["existing=append"], {"existing": "append"}),
        ("u-boot-fit", ["configurations=conf-1,conf-2"], {"configurations": ["conf-1", "conf-2"]}),
        ("u-boot-fit", ["configurations=a", "configurations=b"], {"configurations": ["a", "b"]}),
        ("u-boot-fit", ["key_name=2026"], {"key_name": "2026"}),
        ("uefi-pe", ["existing=append"], {"existing": "append"}),
    ],
)  # fmt: skip
def test_options_become_what_the_format_takes(image_format, texts, options):
    known = FORMATS[image_format]
    assert parse_options(known, texts) == options
    records.load(known.Options, with_time(known, options, 7))


@pytest.mark.parametrize(
    ("image_format", "text", "said"),
    [
        ("raw", "signing_time=noon", "'noon': a number belongs there"),
        ("raw", "signing_time=-5", "a number belongs there"),
        ("raw", "signing_time=" + "9" * 5000, "a number belongs there"),
        ("mcuboot", "pad_header=maybe", "true or false belongs there"),
        ("mcuboot", "align=3", "one of 1, 2, 4, 8, 16, 32 belongs there"),
        ("mcuboot", "dependencies=1", "IMAGE:VERSION belongs there"),
        ("uefi-pe", "existing=ignore", "one of refuse, append belongs there"),
        ("raw", "signing_time", "is no option"),
        ("raw", "=5", "is no option"),
    ],
)
def test_a_value_that_does_not_fit_is_told(image_format, text, said):
    with pytest.raises(ConfigurationError, match=said):
        parse_options(FORMATS[image_format], [text])


def test_an_option_given_twice_is_refused():
    with pytest.raises(ConfigurationError, match="signing_time is given twice"):
        parse_options(FORMATS["raw"], ["signing_time=5", "signing_time=6"])


def test_an_option_that_none_of_the_formats_knows_is_refused_and_those_of_another_image_are_not():
    check_known([FORMATS["raw"], FORMATS["mcuboot"]], ["version=1.2.3", "signing_time=5"])
    with pytest.raises(ConfigurationError, match="raw has no option version") as caught:
        check_known([FORMATS["raw"]], ["version=1.2.3"])
    assert caught.value.hint.startswith("options: ")
    assert "signing_time" in caught.value.hint
    assert parse_options(FORMATS["raw"], ["version=1.2.3"]) == {}


def test_the_time_is_filled_in_where_a_format_takes_one_and_none_was_chosen_or_left_out():
    assert with_time(FORMATS["raw"], {}, 7) == {"signing_time": 7}
    assert with_time(FORMATS["raw"], {"signing_time": 5}, 7) == {"signing_time": 5}
    assert with_time(FORMATS["u-boot-fit"], {"key_name": "dev"}, 7) == {"key_name": "dev", "timestamp": 7}
    assert with_time(FORMATS["mcuboot"], {}, 7) == {}
    left_out = parse_options(FORMATS["uefi-pe"], ["signing_time="])
    assert with_time(FORMATS["uefi-pe"], left_out, 7) == {}


@pytest.mark.parametrize(
    ("image_format", "options", "said"),
    [
        ("dfuse", {"signing_time": 5}, "dfuse needs the option signature_address"),
        ("uefi-variable", {"timestamp": 5}, "uefi-variable needs the option variable"),
        ("intel-hex", {}, "intel-hex needs the option signing_time"),
    ],
)
def test_an_option_that_is_missing_is_named_with_an_example(image_format, options, said):
    with pytest.raises(ArgumentError, match=said) as caught:
        check_values(FORMATS[image_format], options)
    name = said.rpartition(" ")[2]
    assert caught.value.hint.startswith(f"such as --option {name}=")
    assert caught.value.exit_code == 64
    (example,) = [caught.value.hint.removeprefix("such as --option ")]
    check_values(FORMATS[image_format], {**options, **parse_options(FORMATS[image_format], [example])})


def test_a_value_that_a_format_does_not_take_is_an_error_of_the_command_line():
    check_values(FORMATS["u-boot-fit"], {"key_name": "dev"})
    with pytest.raises(ArgumentError, match="option key_name: 'a/b' does not match"):
        check_values(FORMATS["u-boot-fit"], {"key_name": "a/b"})
