"""Stop strings across the borders of tokens."""

from __future__ import annotations

from collections.abc import Sequence

from quickthaw_backends.engines.marks import GAP, Sign, with_signs


class StopMatcher:
    """Passes text on until a stop string is complete; text that may be the beginning of one is held back.

    What it passes on does not depend on how the text is cut into pieces. The stop string completed first ends the
    text; of several completed by the same character, the one that began first.
    """

    def __init__(self, stops: Sequence[str], *, include: bool = False, signs: Sequence[Sign] = ()) -> None:
        """`include`: the stop string that ends the text is passed on too.

        `signs` stand in the text that is pushed in place of special tokens, and never in what is passed on. A stop
        string is found whether it was said with special tokens or letter by letter.
        """
        self._stops = dict(zip(stops, stops, strict=True))  # as looked for: as asked for
        self._stops |= {with_signs(stop, signs): stop for stop in reversed(stops)}
        self._longest = max(map(len, self._stops), default=1)
        self._passed = {ord(sign.character): sign.text if sign.shown else None for sign in signs}
        self._passed |= {ord(GAP): None} if signs else {}
        self._include = include
        self._held = ""
        self.stopped = False
        self.matched: str | None = None
        """The stop string that ended the text."""

    def push(self, text: str, *, may_stop: bool = True) -> str:
        """Take more text; return what certainly is before any stop string. After a stop nothing is returned.

        `may_stop`: whether a stop string that this text completes ends it; if not, it is text like any other.
        """
        if self.stopped:
            return ""
        past = len(self._held)
        text = self._held + text
        found = self._first_stop(text, past) if may_stop else None
        if found is not None:
            begin, stop = found
            self.matched = self._stops[stop]
            self.stopped, self._held = True, ""
            return self._shown(text[:begin]) + (self.matched if self._include else "")
        certain = len(text) - self._half_seen(text)
        self._held = text[certain:]
        return self._shown(text[:certain])

    def flush(self) -> str:
        """Return what is held back: no more text follows, so it was no stop string."""
        held, self._held = self._held, ""
        return self._shown(held)

    def _shown(self, text: str) -> str:
        return text.translate(self._passed) if self._passed else text

    def _first_stop(self, text: str, past: int) -> tuple[int, str] | None:
        """Return the stop string that is completed first, after `past` characters, and where it begins."""
        begins = ((text.find(stop, max(0, past + 1 - len(stop))), stop) for stop in self._stops)
        found = [(at + len(stop), at, stop) for at, stop in begins if at >= 0]
        return min(found)[1:] if found else None

    def _half_seen(self, text: str) -> int:
        """Return the length of the longest end of `text` with which a stop string begins."""
        return next(
            (
                n
                for n in range(min(self._longest - 1, len(text)), 0, -1)
                if any(stop.startswith(text[-n:]) for stop in self._stops)
            ),
            0,
        )
