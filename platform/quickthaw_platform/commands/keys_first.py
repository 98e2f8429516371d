"""`quickthaw keys first`: the first key of a platform that nobody can call yet, made in its Redis."""

from __future__ import annotations

import json

import click

from quickthaw.resources import Scope
from quickthaw_platform import redis_client
from quickthaw_platform.commands.client_file import write_client_file
from quickthaw_platform.commands.ports import connect_host
from quickthaw_platform.errors import Conflict
from quickthaw_platform.redis_roles import Role, settings_of
from quickthaw_platform.registry.keys import KeyStore
from quickthaw_platform.registry.sealing import KEY_FILE, KeyFile
from quickthaw_platform.registry.secrets import SecretStore


@click.command("first")
@click.option("--anew", is_flag=True, help="Make another admin key where there is one, as when that was lost.")
@click.option("--json", "as_json", is_flag=True, help="Print the key and where it is kept as JSON.")
def keys_first(anew: bool, as_json: bool) -> None:
    """Make the first admin key of a platform that `quickthaw up` did not start.

    It needs no gateway and no key, but the platform's Redis (QUICKTHAW_REDIS_URL): whoever reaches that may do
    anything. The key is printed, and kept with the gateway's URL in `client.toml` of the data directory. The key for
    functions' secrets, which workers need, is made there, too, unless there is one.
    """
    settings = settings_of(Role.GATEWAY)
    with redis_client.connect(settings) as redis:
        store = KeyStore(redis)
        key = store.ensure_admin()
        if key is None and not anew:
            raise Conflict("there is an admin key already; use that one, or make another with --anew")
        key = key or store.create("admin", (Scope.ADMIN,)).key
        folder = settings.data_dir.expanduser()
        folder.mkdir(parents=True, exist_ok=True)
        SecretStore(redis).announce(KeyFile(folder / KEY_FILE))
    file, url = folder / "client.toml", f"http://{connect_host(settings.host)}:{settings.port}"
    write_client_file(file, url, key)
    if as_json:
        click.echo(json.dumps({"key": key, "url": url, "file": str(file)}, indent=2))
        return
    click.echo(key)
    click.echo(f"kept in {file} for {url}", err=True)
