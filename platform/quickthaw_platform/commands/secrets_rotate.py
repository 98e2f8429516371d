"""`quickthaw secrets rotate`: a new key for the secrets of functions."""

from __future__ import annotations

import json

import click

from quickthaw_platform import redis_client
from quickthaw_platform import settings as settings_module
from quickthaw_platform.commands import valkey
from quickthaw_platform.registry.sealing import KEY_FILE, KeyFile
from quickthaw_platform.registry.secrets import SecretStore


@click.command("rotate")
@click.option("--json", "as_json", is_flag=True, help="Print the file and how many secrets were sealed anew as JSON.")
def secrets_rotate(as_json: bool) -> None:
    """Make a new key for functions' secrets, and seal all of them anew with it.

    It runs on a node, whose data directory has the key, and needs a Redis user that may read and write all keys
    (QUICKTHAW_REDIS_URL; it finds that of the embedded Valkey). The key before stays in the file for what is sealed
    meanwhile. Nodes with another data directory need a copy of the file afterwards.
    """
    settings = settings_module.load()
    url = settings.redis_url or valkey.kept_url(settings.data_dir / "valkey")
    keys = KeyFile(settings.data_dir / KEY_FILE)
    with redis_client.connect(settings.model_copy(update={"redis_url": url})) as redis:
        count = SecretStore(redis).rotate(keys)
    if as_json:
        click.echo(json.dumps({"file": str(keys.path), "sealed": count}, indent=2))
        return
    click.echo(f"sealed {count} secrets anew; the key is in {keys.path}, which nodes with another data directory need")
