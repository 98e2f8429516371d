"""Chat templates that were made to harm: each ends with an error for whoever sent the conversation, in seconds."""

from __future__ import annotations

import resource
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from quickthaw.errors import InvalidRequest
from quickthaw_backends.engines.chat_templates import ChatTemplate, limits

pytestmark = pytest.mark.timeout(60)

MESSAGES = [{"role": "user", "content": "hello"}]
SECONDS = 0.3
MOST_COMPUTING_SECONDS = 2.0
MOST_MEMORY_BYTES = 1 << 30
"""Beyond what the process has."""

LOOPS = "{% for a in range(99999) %}{% for b in range(99999) %}"
ENDS = "{% endfor %}{% endfor %}"
NESTED = LOOPS + ENDS


def repeated(first: str, how: str) -> str:
    """Set `ns.x` sixty times to what is made of it."""
    return f"{{% set ns = namespace(x={first}) %}}{{% for i in range(60) %}}{{% set ns.x = {how} %}}{{% endfor %}}"


def doubled(how: str) -> str:
    return repeated("'aaaaaaaa'", how)


TREE = repeated("['a']", "[ns.x, ns.x]")
MACRO = "{% macro m(n) %}{% if n %}{{ m(n - 1) }}{{ m(n - 1) }}{% endif %}{% endmacro %}{{ m(60) }}"
BLOCK = "{% set y %}{{ ns.x }}{{ ns.x }}{% endset %}{% set ns.x = y %}"
BOMBS = {
    "nested loops": NESTED,
    "nested loops in a macro": "{% macro m() %}" + NESTED + "{% endmacro %}{{ m() }}",
    "a macro that calls itself twice": MACRO,
    "a loop in loops": "{% for a in [1, 1] recursive %}{{ loop([1, 1]) }}{% endfor %}",
    "loops that write": LOOPS + "{{ messages[0].content }}" + ENDS,
    "loops of filters": "{% for a in range(99999) %}{{ range(99999)|map('string')|list|length }}{% endfor %}",
    "filters on filters": "{{ range(99999)" + "|map('string')" * 2000 + "|list|length }}",
    "filtered loops": "{% for a in range(99999) %}{% for b in range(99999) if false %}{% endfor %}{% endfor %}",
    "a long text": "{{ 'a' * 1500000000 }}",
    "a long text the other way": "{{ 1500000000 * 'a' }}",
    "a long list": "{{ ([0] * 1500000000)|length }}",
    "a text that is doubled by ~": doubled("ns.x ~ ns.x"),
    "a text that is doubled by +": doubled("ns.x + ns.x"),
    "a text that is doubled by join": doubled("[ns.x, ns.x]|join"),
    "a text that is doubled by a text's join": doubled("''.join([ns.x, ns.x])"),
    "a text that is doubled by replace": doubled("ns.x|replace('a', 'aa')"),
    "a text that is doubled by a text's replace": doubled("ns.x.replace('a', 'aa')"),
    "a text that is doubled by format": doubled("'%s%s'|format(ns.x, ns.x)"),
    "a text that is doubled by a block": doubled("ns.x").replace("{% set ns.x = ns.x %}", BLOCK),
    "a list that is doubled": repeated("[1]", "ns.x + ns.x"),
    "a wide filter": "{{ 'a'|center(2000000000) }}",
    "a wide method": "{{ 'a'.ljust(2000000000) }}",
    "a wide format": "{{ '%2000000000d' % 1 }}",
    "a wide format by an argument": "{{ '%*d' % (2000000000, 1) }}",
    "a wide format of a filter": "{{ '%2000000000d'|format(1) }}",
    "a wide format of a method": "{{ '{:2000000000}'.format(1) }}",
    "a wide format within a format": "{{ '{:{}}'.format(1, 2000000000) }}",
    "wide tabs": "{{ ('\t' * 100000).expandtabs(1000000) }}",
    "an indent": "{{ ('\n' * 100000)|indent(1000000) }}",
    "a power": "{{ 9 ** 9 ** 9 ** 9 }}",
    "a number that is squared": repeated("9", "ns.x * ns.x"),
    "a tree shown": TREE + "{{ ns.x }}",
    "a tree as JSON": TREE + "{{ ns.x|tojson }}",
    "a tree in a text": TREE + "{{ 'a' ~ ns.x }}",
    "a sum of lists": "{{ (range(99999)|batch(1)|list|sum(start=[]))|length }}",
    "rows": "{{ 'a'|batch(2000000000, 'a')|list }}",
    "many places of a format": "{{ ('%(a)s' * 100000) % {'a': 'a' * 1000000} }}",
    "many places of a method": "{{ ('{0}' * 100000).format('a' * 1000000) }}",
    "a long template": "{{ messages }}" * 20_000,
}  # fmt: skip


@pytest.fixture
def little(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Give templates little time, and the process a gigabyte more than it has, lest a bomb be a danger to others."""
    monkeypatch.setattr(limits, "MAX_SECONDS", SECONDS)
    before = resource.getrlimit(resource.RLIMIT_DATA)
    has = int(Path("/proc/self/statm").read_text().split()[5]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_DATA, (has + MOST_MEMORY_BYTES, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_DATA, before)


@pytest.mark.usefixtures("little")
@pytest.mark.parametrize("source", BOMBS.values(), ids=BOMBS)
def test_a_bomb_is_refused_in_seconds_without_taking_the_memory(source: str) -> None:
    began = time.thread_time()
    with pytest.raises(InvalidRequest, match="chat template") as caught:
        ChatTemplate(source, {}).render(MESSAGES)
    assert time.thread_time() - began < MOST_COMPUTING_SECONDS
    assert not isinstance(caught.value.__cause__, MemoryError)


def test_what_templates_do_is_done_as_before() -> None:
    source = (
        "{% macro shown(m) %}<{{ m.role }}>{{ m['content']|trim }}{% endmacro %}"
        "{% set ns = namespace(last='', n=0) %}"
        "{% for m in messages %}{% if loop.first and m.role == 'system' %}{% continue %}{% endif %}"
        "{{ shown(m) }}{% set ns.last = ns.last ~ m.role + ';' %}{% set ns.n = ns.n + 2 ** 3 * loop.index %}"
        "{% endfor %}"
        "|{{ ns.last }}|{{ ns.n }}|{{ {'a': [1, 'é']}|tojson }}|{{ messages|map(attribute='role')|join(', ') }}"
        "|{{ '%s-%03d' % ('x', 7) }}|{{ '{}:{:>4}'.format('y', 1) }}|{{ ' a b '.strip().split(' ')[-1] }}"
        "|{{ messages[1:]|length }}|{{ 'x' * 3 }}|{{ messages|selectattr('role', 'equalto', 'user')|list|length }}"
        "|{{ 'a\nb'|indent(2) }}|{{ none is none }}|{{ bos_token }}"
    )
    messages = [
        {"role": "system", "content": "s"}, {"role": "user", "content": " u "}, {"role": "assistant", "content": "a"}
    ]  # fmt: skip
    text = ChatTemplate(source, {"bos_token": "<s>"}).render(messages).text
    assert text == (
        "<user>u<assistant>a|user;assistant;|40|"
        '{"a": [1, "é"]}|system, user, assistant|x-007|y:   1|b|2|xxx|1|a\n  b|True|<s>'
    )


def test_a_long_conversation_takes_a_small_part_of_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_SECONDS", limits.MAX_SECONDS / 4)
    source = "{% for m in messages %}<{{ m.role }}>{{ m.content | trim | replace('\n', '\n\n') }}{% endfor %}"
    turns = [{"role": ("user", "assistant")[at % 2], "content": "line\n" * 20} for at in range(2001)]
    assert ChatTemplate(source, {}).render(turns).text.count("line\n\n") == 2001 * 20 - 2001
