"""docs/cli.md names every command, argument and option, and none that does not exist."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from quickthaw.cli.main import main

DOCUMENT = (Path(__file__).parents[3] / "docs" / "cli.md").read_text()
HEADING = re.compile(r"^### `quickthaw ([^`]+)`$", re.MULTILINE)


def commands(group: click.Group, path: tuple[str, ...] = ()) -> Iterator[tuple[str, click.Command]]:
    """Yield every command that does something, by its whole name."""
    context = click.Context(group, info_name="quickthaw")
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None, f"{name} does not load"
        if isinstance(command, click.Group):
            yield from commands(command, (*path, name))
        else:
            yield " ".join((*path, name)), command


COMMANDS = dict(commands(main))


def sections() -> dict[str, str]:
    """Return the text under each command's heading, by the command's name."""
    pieces = HEADING.split(DOCUMENT)[1:]
    found = {}
    for heading, text in zip(pieces[::2], pieces[1::2], strict=True):
        words = [word for word in heading.split() if word.islower()]
        found[" ".join(words)] = heading + re.split(r"^## ", text, maxsplit=1, flags=re.MULTILINE)[0]
    return found


SECTIONS = sections()


def options_of(command: click.Command) -> set[str]:
    return {name for p in command.params if isinstance(p, click.Option) for name in (*p.opts, *p.secondary_opts)}


def test_every_command_has_a_section_and_every_section_a_command() -> None:
    assert set(SECTIONS) == set(COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_a_section_names_exactly_the_commands_options(name: str) -> None:
    written = set(re.findall(r"`(--?[a-z][a-z0-9-]*)`", SECTIONS[name]))
    assert written == options_of(COMMANDS[name])


@pytest.mark.parametrize("name", COMMANDS)
def test_a_heading_names_the_commands_arguments(name: str) -> None:
    context = click.Context(COMMANDS[name])
    usage = [piece for p in COMMANDS[name].get_params(context) for piece in p.get_usage_pieces(context)]
    heading = SECTIONS[name].splitlines()[0]
    assert heading.split()[len(name.split()) :] == [piece for word in usage for piece in word.split()]


def test_the_global_options_are_documented() -> None:
    table = DOCUMENT.split("## ")[0]
    for option in options_of(main):
        assert f"`{option}`" in table


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_and_option_explains_itself(name: str) -> None:
    command = COMMANDS[name]
    assert command.help
    for parameter in command.params:
        if isinstance(parameter, click.Option):
            assert parameter.help, parameter.name


@pytest.mark.parametrize("name", COMMANDS)
def test_what_lists_or_shows_has_json(name: str) -> None:
    action = name.split()[-1]
    silent = {"rm", "stop", "revoke", "up", "worker"}
    assert ("--json" in options_of(COMMANDS[name])) != (action in silent or name == "secrets set")
