"""`quickthaw acl`: users for a Redis or Valkey of one's own, one for each kind of process."""

from __future__ import annotations

import json
import secrets

import click

from quickthaw_platform.commands.processes import PROCESSES
from quickthaw_platform.redis_roles import user_line
from quickthaw_platform.settings import ENV_PREFIX

PASSWORD_BYTES = 32


@click.command()
@click.option("--redis", "server", default="HOST:6379", show_default=True, help="Where that Redis or Valkey listens.")
@click.option("--json", "as_json", is_flag=True, help="Print users, lines and variables as JSON.")
def acl(server: str, as_json: bool) -> None:
    """Print users for a Redis (from 7) or Valkey of your own, and the variables with which processes are these users.

    Lines for its ACL file or configuration go to standard output, variables to standard error. Passwords are new each
    time; the lines hold only their digests. See docs/security.md.
    """
    rows = []
    for process in PROCESSES:
        password = secrets.token_urlsafe(PASSWORD_BYTES)
        variable = f"{ENV_PREFIX}{process.role.upper()}_REDIS_URL"
        url = f"redis://{process.role.user}:{password}@{server}/0"
        rows.append({"user": process.role.user, "line": user_line(process.role, password), variable: url})
    if as_json:
        click.echo(json.dumps(rows, indent=2))
        return
    for row in rows:
        click.echo(row.pop("line"))
        del row["user"]
        for variable, url in row.items():
            click.echo(f"{variable}={url}", err=True)
