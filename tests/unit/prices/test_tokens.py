from __future__ import annotations

import datetime as dt
import socket
from pathlib import Path
from typing import NoReturn

import pytest

from quickthaw_platform.errors import InvalidRequest
from quickthaw_platform.prices.reading import PricesInvalid
from quickthaw_platform.prices.tokens import ModelNotFound, buy_tokens, likenesses

DAY = dt.date(2026, 11, 28)
OWN = """\
[like.mine]
models = ["groq/llama-3.1-8b-instant"]

[[offers]]
id = "friend"
like = "mine"
provider = "a friend"
model = "m"
input = { value = 1, unit = "USD/million tokens", source = "told", date = 2026-11-01, mark = "second-hand" }
output = { value = 2, unit = "USD/million tokens", source = "told", date = 2026-11-01, mark = "second-hand" }
cached = { value = 0.1, unit = "USD/million tokens", source = "told", date = 2026-11-01, mark = "second-hand" }
"""


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object) -> NoReturn:
        raise AssertionError("prices of tokens need no network")

    monkeypatch.setattr(socket.socket, "connect", refuse)


@pytest.mark.parametrize("name", likenesses())
def test_every_public_model_of_a_likeness_has_a_price(name: str) -> None:
    offers = buy_tokens(name, 1e6, 1e6, today=DAY)
    assert len(offers) >= 4
    assert [offer.bill.total for offer in offers] == sorted(offer.bill.total for offer in offers)
    for offer in offers:
        assert offer.bill.total > 0, offer.id
        assert offer.bill.total == pytest.approx(offer.usd_in + offer.usd_out), offer.id
        assert offer.date is not None, offer.id


def test_the_prices_are_those_of_the_package() -> None:
    offers = {offer.provider: offer for offer in buy_tokens("llama-3.1-8b", 2e6, 1e6, today=DAY)}
    groq = offers["groq"]
    assert (groq.usd_in, groq.usd_out) == (0.05, 0.08)
    assert groq.bill.total == pytest.approx(2 * 0.05 + 0.08)
    assert groq.source.startswith("genai-prices ")
    assert offers["deepinfra"].source == "public pages quoting DeepInfra"


def test_a_price_is_the_one_in_force_on_the_day() -> None:
    model = "novita/meta-llama/llama-3.1-8b-instruct"
    before, after = (buy_tokens(model, 1e6, 0, today=day)[0] for day in (dt.date(2026, 10, 1), DAY))
    assert (before.usd_in, after.usd_in) == (0.05, 0.02)


def test_cached_tokens_have_their_own_price_where_there_is_one(tmp_path: Path) -> None:
    (tmp_path / "tokens.toml").write_text(OWN)
    offers = {offer.provider: offer for offer in buy_tokens("mine", 10e6, 0, 8e6, today=DAY, user_dir=tmp_path)}
    assert offers["a friend"].bill.total == pytest.approx(2 * 1 + 8 * 0.1)
    assert offers["groq"].bill.total == pytest.approx(10 * 0.05)


def test_an_unknown_model_lists_the_known_ones() -> None:
    with pytest.raises(ModelNotFound, match=r"'llama-3\.1-8'; known: llama-3\.1-8b"):
        buy_tokens("llama-3.1-8", 1, 1)
    with pytest.raises(ModelNotFound, match="must begin with one of genai-prices's providers"):
        buy_tokens("grok/llama", 1, 1)
    with pytest.raises(ModelNotFound, match="These are sold by groq"):
        buy_tokens("groq/llama-4711", 1, 1)


def test_more_cached_tokens_than_came_in_are_refused() -> None:
    with pytest.raises(InvalidRequest, match="no more can be cached than came in"):
        buy_tokens("llama-3.1-8b", 1, 1, 2)


def test_a_fault_in_the_users_file_is_named_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "tokens.toml").write_text(OWN.replace("USD/million tokens", "USD/token", 1))
    with pytest.raises(PricesInvalid, match=r"tokens.toml:9: offers\.0\.input\.unit: the unit 'USD/token' is unknown"):
        buy_tokens("mine", 1, 1, user_dir=tmp_path)
