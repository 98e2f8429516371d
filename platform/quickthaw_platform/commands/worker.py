"""`quickthaw worker`: one node, in the foreground."""

from __future__ import annotations

import os
import signal
import sys

import click

from quickthaw_platform.setting_values.sources import is_blank
from quickthaw_platform.settings import ENV_PREFIX


@click.command()
@click.option("--node", help="The node's id; by default this host's name.")
@click.option("--redis", "redis_url", help="URL of the platform's Redis or Valkey.")
@click.option("--device", help="cpu, or cuda:N.")
@click.option("--label", "labels", multiple=True, metavar="KEY=VALUE", help="A label of the node; repeatable.")
def worker(node: str | None, redis_url: str | None, device: str | None, labels: tuple[str, ...]) -> None:
    """Run a worker: this machine becomes a node of the platform. SIGTERM drains it.

    Without --redis and QUICKTHAW_REDIS_URL it joins the `quickthaw up` of the same data directory.
    """
    given = (("NODE", node), ("REDIS_URL", redis_url), ("DEVICE", device), ("LABELS", ",".join(labels) or None))
    for name, value in given:
        if not is_blank(value or ""):
            os.environ[ENV_PREFIX + name] = str(value)
    from quickthaw_platform import redis_client, redis_roles, signals
    from quickthaw_platform.commands import valkey
    from quickthaw_platform.commands.devices import require_device
    from quickthaw_platform.commands.disks import require_disk
    from quickthaw_platform.worker.launch import worker_argv

    settings = redis_roles.settings_of(redis_roles.Role.WORKER)
    kept = valkey.kept_url(settings.data_dir / "valkey", redis_roles.Role.WORKER)
    if settings.redis_url is None and kept is not None:  # `quickthaw up` runs on this data directory, or has
        os.environ[ENV_PREFIX + "REDIS_URL"] = kept
        settings = settings.model_copy(update={"redis_url": kept})
    redis_client.connect(settings).close()  # says at once if no Redis is configured
    require_disk(settings)
    require_device(settings.device)
    argv = worker_argv(settings)
    if os.geteuid() == 0:
        click.echo("this worker runs as root, and so does the code of functions; see docs/security.md", err=True)
    sys.stdout.flush()
    signals.start_afresh(keeping=(signal.SIGHUP,))  # under nohup it outlives the terminal
    os.umask(0o077)  # what a worker writes is for its own user only
    os.execvp(argv[0], argv)  # the worker is this process: signals and the supervisor's tie reach it directly
