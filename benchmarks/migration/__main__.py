"""`python -m benchmarks.migration`: what a client sees when its stream moves to another node, or loses its process.

Two workers on this machine, SmolLM2, greedy streams with prompts of several lengths. Beside the platform's way to move
a stream: stopping it first. Beside resuming one whose process was killed: the client asks again. In one run,
interleaved; every answer is compared with the undisturbed one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial

import click
from rich.console import Console

from benchmarks.full import full
from benchmarks.migration.nodes import Follower, TwoNodes, Used, cost
from benchmarks.migration.report import (
    AGAIN,
    LIVE,
    RESUME,
    STOP,
    UNDISTURBED,
    Case,
    Cost,
    Found,
    Run,
    cost_report,
    gap_report,
    stage_report,
    stages_of,
)  # fmt: skip
from benchmarks.processes import end_on_sigterm
from benchmarks.report import console, publish
from benchmarks.rounds import interleave

CONTEXTS = (64, 512, 1024)
MOVES = {LIVE: 4, STOP: 2}
"""Of each stream."""

KILLS = 2
LEAD_TOKENS = 12
"""Between the first token and the first disturbance, and between one and the next."""

MOST_TOKENS = 900
"""Of one answer; a stream is cancelled when it was disturbed often enough."""

MOVED, RESUMED, ONCE = "moved", "resumed", "once"
KEEP_ALIVE_SECONDS = 900.0


class Streams:
    """Disturbs streams of the functions that it deploys."""

    def __init__(self, platform: TwoNodes) -> None:
        self._platform = platform
        self._texts = {context: platform.text_of(context) for context in CONTEXTS}
        shape = {"memory": "512MiB", "keep_alive": KEEP_ALIVE_SECONDS}
        platform.deploy(MOVED, **shape, max_instances=2)
        platform.deploy(RESUMED, **shape)
        platform.deploy(ONCE, **shape, resumable=False)

    def warm_up(self) -> None:
        """Pay for what is done once: templates and the instances of both nodes."""
        self.moved(LIVE, CONTEXTS[0])
        self.resumed(CONTEXTS[0])
        self.asked_again(CONTEXTS[0])

    def undisturbed(self, context: int, tokens: int) -> Run:
        """Let a stream run by itself."""
        follower = self._follow(MOVED, context, tokens)
        follower.wait_for_end()
        return Run(tuple(follower.pieces))

    def moved(self, way: str, context: int) -> Run:
        """Move a stream to and fro."""
        self._platform.stop_first(way == STOP)
        follower = self._follow(MOVED, context)
        follower.wait_for_pieces(1)
        costs = [self._move(follower, number) for number in range(1, MOVES[way] + 1)]
        self._lead(follower)
        follower.cancel()
        gaps = self._platform.client.life(follower.call.id).gaps
        rounds = self._platform.rounds()[follower.call.id]
        counted = tuple(replace(cost, rounds=count) for cost, count in zip(costs, rounds, strict=True))
        return Run(tuple(follower.pieces), tuple(follower.moves), tuple(gaps.values()), counted)

    def resumed(self, context: int) -> Run:
        """Kill the instance of a stream that is resumed."""
        follower = self._follow(RESUMED, context)
        follower.wait_for_pieces(1)
        killed = [self._kill(follower, number) for number in range(1, KILLS + 1)]
        self._lead(follower)
        follower.cancel()
        life = self._platform.client.life(follower.call.id)
        cuts = tuple(follower.losses)
        stages = [stages_of(at, life.steps, follower.pieces[cut].at) for cut, at in zip(cuts, killed, strict=True)]
        return Run(tuple(follower.pieces), cuts, tuple(life.gaps.values()), stages=tuple(stages))

    def asked_again(self, context: int) -> Run:
        """Kill the instance of a stream that is not resumed; the client asks again, and waits for what is new."""
        follower = self._follow(ONCE, context)
        follower.wait_for_pieces(1 + LEAD_TOKENS)
        self._platform.kill_instances(ONCE)
        follower.wait_for_end()
        had = len(follower.pieces)
        again = self._follow(ONCE, context)
        again.wait_for_pieces(had + LEAD_TOKENS)
        again.cancel()
        return Run((*follower.pieces, *again.pieces[had:]), (had,))

    def _follow(self, function: str, context: int, tokens: int = MOST_TOKENS) -> Follower:
        sampling = {"temperature": 0, "max_tokens": tokens, "ignore_eos": True, "seed": 1}
        return Follower(self._platform.client.spawn(function, {"prompt": self._texts[context]}, sampling=sampling))

    def _lead(self, follower: Follower) -> None:
        follower.wait_for_pieces(len(follower.pieces) + LEAD_TOKENS)

    def _move(self, follower: Follower, number: int) -> Cost:
        client, idle = self._platform.client, Used.now(self._platform)
        self._lead(follower)
        source = client.status(follower.call.id).node
        began = Used.now(self._platform)
        client.migrate(follower.call.id)
        follower.wait_for_move(number)
        ended = Used.now(self._platform)
        arrived = follower.pieces[follower.moves[number - 1]].at
        return cost(idle, began, ended, source or "", arrived)

    def _kill(self, follower: Follower, number: int) -> float:
        """Return when it was killed (Unix seconds)."""
        self._lead(follower)
        at = self._platform.kill_instances(RESUMED)
        follower.wait_for_loss(number)
        return at


def measure(rounds: int, contexts: Sequence[int], screen: Console) -> dict[Case, Found]:
    """Run all cases."""
    with TwoNodes() as platform:
        streams = Streams(platform)
        streams.warm_up()
        cases: dict[str, tuple[Case, Callable[[], Run]]] = {}
        for context in contexts:
            ways: Mapping[str, Callable[[], Run]] = {
                LIVE: partial(streams.moved, LIVE, context),
                STOP: partial(streams.moved, STOP, context),
                RESUME: partial(streams.resumed, context),
                AGAIN: partial(streams.asked_again, context),
            }
            cases |= {f"{way}, {context} tokens": (Case(way, context), run) for way, run in ways.items()}
        runs = interleave({name: run for name, (_, run) in cases.items()}, rounds, screen)
        found = {case: Found(tuple(runs[name])) for name, (case, _) in cases.items()}
        platform.stop_first(False)
        return _with_undisturbed(found, streams)


def _with_undisturbed(found: Mapping[Case, Found], streams: Streams) -> dict[Case, Found]:
    """Let a stream of each context run by itself, as long as the longest one; the answers should be like it."""
    whole: dict[Case, Found] = {}
    for context in dict.fromkeys(case.context for case in found):
        ours = {case: one for case, one in found.items() if case.context == context}
        longest = max(len(run.tokens) for one in ours.values() for run in one.runs)
        run = streams.undisturbed(context, longest)
        expected = tuple(run.tokens)
        whole[Case(UNDISTURBED, context)] = Found((run,), expected)
        whole |= {case: replace(one, expected=expected) for case, one in ours.items()}
    return whole


@click.command()
@click.option("--rounds", default=2, show_default=True, type=click.IntRange(1), help="Interleaved rounds.")
@full("Five rounds.", rounds=5)
@click.option("--quick", is_flag=True, help="One round with the shortest prompt: a smoke test.")
def main(rounds: int, quick: bool) -> None:
    """Move and kill streams; print tables and write benchmarks/results/bench-migration.json, -cost and -resume."""
    end_on_sigterm()
    screen = console()
    rounds, contexts = (1, CONTEXTS[:1]) if quick else (rounds, CONTEXTS)
    found = measure(rounds, contexts, screen)
    settings = {"rounds": rounds, "quick": quick, "moves": MOVES, "kills": KILLS}
    for evaluate in (gap_report, cost_report, stage_report):
        publish(evaluate(found, settings), screen)


if __name__ == "__main__":
    main()
