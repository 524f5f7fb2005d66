"""``sealwright key``: make and import keys beside the signer; list, show and revoke them anywhere."""

from sealwright.cli.key_ceremony import ceremony
from sealwright.cli.key_listing import list_keys, show_key
from sealwright.cli.key_making import create, import_key
from sealwright.cli.key_removal import remove, revoke
from sealwright.cli.minutes import minutes
from sealwright.cli.typed import noun

key = noun("signing keys")
key.command()(create)
key.command()(ceremony)
key.command("import")(import_key)
key.command()(remove)
key.command("list")(list_keys)
key.command("show")(show_key)
key.command()(revoke)
key.add_typer(minutes, name="minutes")
