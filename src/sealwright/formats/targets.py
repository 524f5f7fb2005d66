"""Target profiles: what each verifier or bootloader that has been tried accepts.  Data, one line a fact."""

from sealwright.formats.interface import TargetProfile

ANY = TargetProfile(name="any", description="No device is named: the format's own limits are the only ones.")
TARGETS: dict[str, TargetProfile] = {}
