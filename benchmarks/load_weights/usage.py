"""What memory this process takes, as Linux counts it."""

from __future__ import annotations

from pathlib import Path

PROCESS = Path("/proc/self")


class Peak:
    """How far memory has grown since this was made; what is in memory twice, mapped or copied, shows.

    A page that a process maps twice counts twice in its resident size and once in its proportional one. So the peak is
    the larger of two: the high-water mark of the resident size up to the end of loading, and the proportional size once
    everything was touched. Pages of the page cache count while they are mapped.
    """

    def __init__(self) -> None:
        (PROCESS / "clear_refs").write_text("5")  # the high-water mark begins again
        self._resident = status_bytes("VmHWM")
        self._proportional = rollup_bytes("Pss")
        self._loaded = 0

    def loaded(self) -> None:
        """Take the high-water mark, before what was loaded is mapped a second time by being touched."""
        self._loaded = status_bytes("VmHWM") - self._resident

    def bytes(self) -> int:
        """Return the peak, all that was loaded being touched and still held."""
        return max(self._loaded, rollup_bytes("Pss") - self._proportional)


def status_bytes(field: str) -> int:
    """Return a field of /proc/self/status."""
    return field_bytes((PROCESS / "status").read_text(), field)


def rollup_bytes(*fields: str) -> int:
    """Return the sum of some fields of /proc/self/smaps_rollup."""
    text = (PROCESS / "smaps_rollup").read_text()
    return sum(field_bytes(text, field) for field in fields)


def field_bytes(text: str, field: str) -> int:
    """Return the value of a `Field:  123 kB` line."""
    for line in text.splitlines():
        name, _, value = line.partition(":")
        if name == field:
            return int(value.split()[0]) << 10
    raise ValueError(f"there is no field {field!r}")
