"""Sealwright: the open signing server whose quorum an outsider can check."""

__version__ = "0.1.0"
