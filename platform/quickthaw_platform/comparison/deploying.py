"""Brings the sides of a comparison up and takes them down again; each alias is noted on the disk before it is made."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from quickthaw.errors import NotFound, QuickthawError
from quickthaw_platform import plugins
from quickthaw_platform.comparison.journal import Deployed, Journal
from quickthaw_platform.comparison.sides import ALIAS_PREFIX, Side
from quickthaw_platform.serving import Deployment, Endpoint, Platform, ServingBackend


@dataclass(frozen=True, slots=True)
class Gateway:
    """The platform that serves what is no endpoint: its client, and where its gateway is."""

    client: Platform
    endpoint: Endpoint


class Stage:
    """The sides of one comparison, by name. Not for several threads."""

    def __init__(self, sides: Sequence[Side], gateway: Gateway, journal: Journal) -> None:
        self._gateway = gateway
        self._journal = journal
        token = secrets.token_hex(3)
        self._notes = {
            side.name: Deployed(gateway.endpoint.url, side.spec.name, f"{ALIAS_PREFIX}{token}-{number}")
            for number, side in enumerate(sides)
            if side.spec is not None
        }
        self.backends = {side.name: self._backend(side) for side in sides}

    def clean_up(self, say: Callable[[str], None]) -> None:
        """Take away the aliases that a killed comparison has left at this gateway."""
        for entry in self._journal.deployed():
            if entry.url == self._gateway.endpoint.url:
                say(f"removing the alias {entry.function}:{entry.alias}, which a killed comparison left")
                self._forget(entry)

    def up(self, name: str) -> Endpoint:
        """Make a side serve; raises what its backend raises."""
        if name in self._notes:
            self._journal.add(self._notes[name])
        return self.backends[name].up()

    def down(self, name: str) -> None:
        """End a side; one that is not up is left alone."""
        self.backends[name].down()
        if name in self._notes:
            self._journal.remove(self._notes[name])

    def close(self, say: Callable[[str], None]) -> None:
        """End every side, the others too where one does not end as it should."""
        for name in self.backends:
            try:
                self.down(name)
            except QuickthawError as error:
                say(f"{name} was not taken down: {error.message}; the next comparison tries again")

    def _backend(self, side: Side) -> ServingBackend:
        made = plugins.serving_backend(side.backend)
        if side.endpoint is None:
            alias = self._notes[side.name].alias
            return made(Deployment(side.spec, alias, self._gateway.client, self._gateway.endpoint))
        given = side.endpoint
        headers = {"Authorization": f"Bearer {given.api_key}"} if given.api_key else {}
        options = {"command": given.command} if given.command else {}
        return made(Deployment(endpoint=Endpoint(given.url, given.model, headers), options=options))

    def _forget(self, entry: Deployed) -> None:
        with contextlib.suppress(NotFound):  # it was noted, and never made
            self._gateway.client.delete_alias(entry.function, entry.alias)
        self._journal.remove(entry)
