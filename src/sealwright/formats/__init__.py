"""Firmware formats: one pure module each.  This list is what is supported."""

from sealwright.formats.interface import Format

FORMATS: dict[str, Format] = {}
