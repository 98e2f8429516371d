"""What the cage of one instance is made of, as it travels in frames."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from quickthaw.errors import StartFailed
from quickthaw.types import Isolation, Network
from quickthaw_platform.cage.levels import Grant, at_least


@dataclass(frozen=True, slots=True)
class CageOrder:
    """Paths are those of the host; inside they are the same."""

    level: Isolation  # the weakest that will do, until it is known what the node gives
    network: Network
    scratch_bytes: int  # what the instance may write, at `strict` to all files together, else to one
    workdir: str  # the instance's own folder, which exists
    readable: tuple[str, ...] = ()  # files and folders that it may read beside Python and the system's programs
    hidden: tuple[str, ...] = ()  # folders of which it sees nothing, even where they lie in one that it may read
    gpu: bool = False  # whether it needs the devices of a GPU
    tasks: int = 1024  # processes and threads that it may have, where they can be counted for itself

    def frame(self) -> dict[str, Any]:
        """Return the order as part of a frame."""
        return asdict(self)

    @classmethod
    def of(cls, frame: dict[str, Any], grant: Grant) -> CageOrder:
        """Read what `frame` returned, for the level that the node gives.

        Raises StartFailed where that is weaker than the order demands.
        """
        asked = Isolation(frame["level"])
        if not at_least(grant.level, asked):
            raise StartFailed(
                f"isolation `{asked.value}` is demanded, and this node gives `{grant.level.value}`: "
                f"{grant.why or 'its setting isolation says so'}"
            )
        fields = {name: tuple(value) if isinstance(value, list) else value for name, value in frame.items()}
        made: dict[str, Any] = {**fields, "level": grant.level, "network": Network(frame["network"])}
        return cls(**made)
