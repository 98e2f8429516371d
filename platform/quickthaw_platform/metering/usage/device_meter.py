"""How one instance uses its device: every second of its life counts once, for a phase and an API key. Pure.

| phase              | the instance …                                                                          |
|--------------------|-----------------------------------------------------------------------------------------|
| `starting/<stage>` | is being started; `starting/other` is what no stage accounts for                        |
| `starting/first_token` | has loaded and proves itself, with no call to serve                                 |
| `prefill`          | serves calls, one of which at least has put out nothing yet                             |
| `decode`           | serves calls that have all put something out                                            |
| `idle`             | is ready and serves nothing                                                             |
| `draining`         | was told to stop, or failed to start, and serves nothing; its process may still be there |

Busy seconds are shared equally among the calls that run. All times are seconds on one monotonic clock, passed in; what
comes out of order (a time before the last one) adds nothing.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field

NOBODY = ""
"""The key of seconds that no call causes."""

STARTING = "starting"
OTHER = "starting/other"
FIRST_TOKEN = "starting/first_token"
PREFILL = "prefill"
DECODE = "decode"
IDLE = "idle"
DRAINING = "draining"


@dataclass(frozen=True, slots=True)
class Tokens:
    """Tokens that calls took and gave."""

    read: int = 0
    generated: int = 0
    cached: int = 0  # of those read, what the engine did not have to compute
    saved: int = 0  # beside those read, what compression left out of prompts

    def __add__(self, other: Tokens) -> Tokens:
        return Tokens(
            self.read + other.read,
            self.generated + other.generated,
            self.cached + other.cached,
            self.saved + other.saved,
        )


@dataclass(slots=True)
class Share:
    """What an instance used in one period."""

    seconds: defaultdict[tuple[str, str], float] = field(default_factory=lambda: defaultdict(float))  # by (phase, key)
    untold: float = 0.0  # seconds of its start that no stage accounts for, so far
    tokens: dict[str, Tokens] = field(default_factory=dict)  # by key
    requests: Counter[str] = field(default_factory=Counter)  # ended, by key
    fetched: Counter[str] = field(default_factory=Counter)  # bytes, by tier

    def all_seconds(self) -> dict[tuple[str, str], float]:
        """Return the seconds by phase and key, those of the start that are untold included."""
        found = dict(self.seconds)
        if self.untold > 0:
            found[OTHER, NOBODY] = found.get((OTHER, NOBODY), 0.0) + self.untold
        return found


class DeviceMeter:
    """The life of one instance, cut into periods that the caller numbers."""

    def __init__(self, began: float, period: int) -> None:
        """It begins with its start, in that period."""
        self.last = began
        self.ended = False
        self.shares: dict[int, Share] = {period: Share()}
        self.totals: defaultdict[str, float] = defaultdict(float)  # seconds by phase, the start's stages as one
        self._period = period
        self._loaded = self._ready = self._stopping = False
        self._flights: dict[str, str] = {}  # calls that run, and their keys
        self._silent: set[str] = set()  # of these, those that have put out nothing

    @property
    def period(self) -> int:
        """The period that time is counted in now."""
        return self._period

    @property
    def is_starting(self) -> bool:
        """Whether stages of its start may still be told: earlier periods can change."""
        return not (self._loaded or self._stopping or self.ended)

    def advance(self, now: float) -> None:
        """Count the time up to `now`."""
        seconds = now - self.last
        if seconds <= 0 or self.ended:
            return
        self.last = now
        share, phase = self._share, self._phase()
        self.totals[phase.partition("/")[0]] += seconds
        if self._flights:
            each = seconds / len(self._flights)
            for key in self._flights.values():
                share.seconds[phase, key] += each
        elif phase == STARTING:
            share.untold += seconds
        else:
            share.seconds[phase, NOBODY] += seconds

    def turn(self, now: float, period: int) -> None:
        """Count what comes from `now` on in another period."""
        self.advance(now)
        if not self.ended:
            self._period = period
            self.shares.setdefault(period, Share())

    def stage(self, now: float, name: str, seconds: float) -> None:
        """Hear of a stage of the start that has just ended: the last of its time that is still untold was that stage's.

        Stages that are told of once it has loaded, such as its first prefill, are counted by what it does meanwhile.
        """
        self.advance(now)
        if not self.is_starting:
            return
        for period in sorted(self.shares, reverse=True):
            share = self.shares[period]
            told = min(max(0.0, seconds), share.untold)
            if told > 0:
                share.untold -= told
                share.seconds[f"{STARTING}/{name}", NOBODY] += told
                seconds -= told

    def loaded(self, now: float) -> None:
        """It can serve."""
        self._tell_the_rest(now)
        self._loaded = True

    def ready(self, now: float) -> None:
        """It has put something out."""
        self._tell_the_rest(now)
        self._loaded = self._ready = True

    def came(self, now: float, call: str, key: str) -> None:
        """It is given a call, or one more time the same."""
        self.advance(now)
        if call not in self._flights:
            self._flights[call] = key
            self._silent.add(call)

    def is_silent(self, call: str) -> bool:
        """Whether the call runs and has put out nothing yet."""
        return call in self._silent

    def gave(self, now: float, call: str) -> None:
        """A call has put out something."""
        self.advance(now)
        self._silent.discard(call)

    def left(self, now: float, call: str) -> None:
        """A call does not run here any more."""
        self.advance(now)
        self._flights.pop(call, None)
        self._silent.discard(call)

    def stopping(self, now: float) -> None:
        """It was told to stop, or has failed to start; calls that run are served to their end."""
        self._tell_the_rest(now)
        self._stopping = True

    def end(self, now: float) -> None:
        """Its process has ended, or it will never have one."""
        self._tell_the_rest(now)
        self.ended = True

    def count(self, key: str, tokens: Tokens) -> None:
        """Count a call that has ended, in the period that is latest."""
        share = self._share
        share.requests[key] += 1
        share.tokens[key] = share.tokens.get(key, Tokens()) + tokens

    def fetched(self, tier: str, size: int) -> None:
        """Count bytes of weights that were read for its start."""
        if size:
            self._share.fetched[tier] += size

    @property
    def _share(self) -> Share:
        return self.shares[self._period]

    def _phase(self) -> str:
        if self._flights:
            return PREFILL if self._silent else DECODE
        if self._stopping:
            return DRAINING
        if self._ready:
            return IDLE
        return FIRST_TOKEN if self._loaded else STARTING

    def _tell_the_rest(self, now: float) -> None:
        """What is untold of its start stays so."""
        self.advance(now)
        for share in self.shares.values():
            if share.untold > 0:
                share.seconds[OTHER, NOBODY] += share.untold
                share.untold = 0.0
