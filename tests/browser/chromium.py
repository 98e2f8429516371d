"""Debian's Chromium for tests: where it is, how to install it, and how to start it without touching the network."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import Browser, sync_playwright

INSTALL_SECONDS = 300
SWITCHES = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip


class ChromiumAbsent(Exception):
    """There is no Chromium and none could be installed; the message says why."""


def chromium() -> str:
    """Return the path of Chromium; installs Debian's where it is missing and this process may.

    Raises:
        ChromiumAbsent: It is missing, and cannot be installed.
    """
    return shutil.which("chromium") or _installed()


def _installed() -> str:
    if os.geteuid() != 0:
        raise ChromiumAbsent("Debian's chromium is not installed, and only root can install it")
    if shutil.which("apt-get") is None:
        raise ChromiumAbsent("chromium is not installed, and there is no apt-get to install it with")
    for command in (["update"], ["install", "--yes", "--no-install-recommends", "chromium"]):
        _apt(command)
    path = shutil.which("chromium")
    if path is None:
        raise ChromiumAbsent("the package chromium is installed but brought no command of that name")
    return path


def _apt(command: list[str]) -> None:
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    try:
        subprocess.run(
            ["apt-get", *command], env=environment, check=True, capture_output=True, text=True, timeout=INSTALL_SECONDS
        )
    except subprocess.CalledProcessError as error:
        reason = (error.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise ChromiumAbsent(f"apt-get {command[0]} failed: {reason}") from error
    except subprocess.TimeoutExpired as error:
        raise ChromiumAbsent(f"apt-get {command[0]} took longer than {INSTALL_SECONDS} s") from error


@contextmanager
def running_chromium(path: str) -> Iterator[Browser]:
    """Run a headless Chromium with a profile of its own until the context ends."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, headless=True, args=SWITCHES)
        try:
            yield browser
        finally:
            browser.close()
