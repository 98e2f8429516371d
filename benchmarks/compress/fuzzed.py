"""Texts of all kinds for the fuzz: built of what must not be lost, and of what may go."""

from __future__ import annotations

import json
import random
from collections.abc import Callable

PROSE = (
    "The committee had not yet decided whether the old bridge should be repaired or replaced.",
    "It was, as usual, a rather long and quiet meeting; nobody objected, and everyone went home early.",
    "She really likes to walk along the river in the evening, when the light is soft (and the air is cool).",
    "However, there are several ways of doing this, and most of them are quite simple.",
    "Das Haus ist nicht groß, aber es hat einen schönen Garten.",
    "Собака не видела кошку, которая сидела на заборе.",
    "私はその本をまだ読んでいません。とても面白いそうです。",
    "我没有看到那只猫，它坐在墙上，看起来很高兴。",
    "לא ראיתי את החתול שישב על הגדר, אבל שמעתי אותו.",
    "لم أر القط الذي كان يجلس على السياج، لكنني سمعته جيدا.",
    "यह किताब अच्छी है, लेकिन मैंने इसे नहीं पढ़ा।",
    "Great news 🎉👩‍👩‍👧‍👦 we are all very happy today 🏳️‍🌈 and so are they.",
    "Is this the way to the station?",
)
ATOMS = (
    *(
        "3.5 km",
        "1e-7",
        "0.10",
        "$1,000",
        "-40 °C",
        "12:30",
        "٣٤",
        "½ cup",
        "twenty-five percent",
        "Janet’s",
        "New York",
    ),
    *("float", "List[int]", "null", "never", "don't", "https://example.org/a?b=1&c=2", "me@example.org", "snake_case"),
    *("x += 1", "`code here`", "{name}", "<question>", "[INST]", '"as it was said"', "“quoted words”", "«mots cités»"),
    *(
        "((",
        ")",
        "]",
        "{",
        "\u202eabc\u202c",
        "a\u0301",
        "😀",
        "'single'",
        "--flag",
        "C:\\dir",
        "NASA",
        "camelCase",
        "e.g.",
    ),
)
CODE = (
    "def f(x: int) -> float:\n    return x / 2.0\n",
    "```python\nfor i in range(10):\n    print(i)\n```",
    ">>> add(1, 2)\n3\n",
    "SELECT name FROM users WHERE age > 30;",
)
KEYS = ("id", "type", "a b", "ключ", "note", "x-y")


def prompt(rng: random.Random) -> str:
    """Return a text of up to about 2,000 characters, the same for the same state of the generator."""
    makers: tuple[Callable[[random.Random], str], ...] = (_prose, _prose, _prose, _atoms, _code, _json, _noise, _shots)
    pieces = [rng.choice(makers)(rng) for _ in range(rng.randint(0, 8))]
    return "".join(piece + rng.choice(("\n", "\n\n", " ", "  \t", "")) for piece in pieces)


def _prose(rng: random.Random) -> str:
    words = " ".join(rng.choice(PROSE) for _ in range(rng.randint(1, 4))).split(" ")
    for _ in range(rng.randint(0, 3)):
        words.insert(rng.randint(0, len(words)), rng.choice(ATOMS))
    return " ".join(words)


def _atoms(rng: random.Random) -> str:
    return " ".join(rng.choice(ATOMS) for _ in range(rng.randint(1, 12)))


def _code(rng: random.Random) -> str:
    return rng.choice(CODE)


def _json(rng: random.Random) -> str:
    return json.dumps(_value(rng, 3), ensure_ascii=rng.random() < 0.3, indent=rng.choice((None, 2)))


def _value(rng: random.Random, depth: int) -> object:
    kind = rng.randint(0, 6 if depth else 4)
    leaves = (rng.choice(PROSE), 1e-7, rng.choice((True, None, "float", "")), rng.randint(-9, 9), f"{_prose(rng)}")
    if kind < len(leaves):
        return leaves[kind]
    inner = [_value(rng, depth - 1) for _ in range(rng.randint(0, 4))]
    return dict(zip(KEYS, inner, strict=False)) if kind == 5 else inner


def _noise(rng: random.Random) -> str:
    characters = " \n\t.,:;!?()[]{}<>\"'`\\/-_=+*&^%$#@~|0aZé我ل😀\u200d\u0301\u202e"
    return "".join(rng.choice(characters) for _ in range(rng.randint(1, 60)))


def _shots(rng: random.Random) -> str:
    shots = [f"Q: {rng.choice(PROSE)} {rng.randint(1, 99)}?\nA: {rng.randint(1, 99)}" for _ in range(rng.randint(1, 4))]
    return "\n\n".join([*shots, f"Q: {rng.choice(PROSE)}\nA:"])
