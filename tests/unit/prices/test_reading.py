from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from pathlib import Path

import pytest

from quickthaw_platform.errors import SettingsInvalid
from quickthaw_platform.prices.catalogue import OfferNotFound, check_files, load
from quickthaw_platform.prices.lines import line_of
from quickthaw_platform.prices.offer import ServerlessOffer, ServerOffer
from quickthaw_platform.prices.reading import PricesInvalid, read_offers

GOOD = """\
provider = "Us"

[shared]
kind = "server"
prices_are = "x"

[[offers]]
id = "one"
name = "One"
price = { value = 1, unit = "USD/h", source = "s", date = 2026-11-01, mark = "second-hand" }
machine = { vcpus = 2, source = "s", date = 2026-11-01, mark = "second-hand" }

[[offers]]
id = "two"
name = "Two"
machine = { vcpus = 2, source = "s", date = 2026-11-01, mark = "second-hand" }

[offers.price]
value = 2
unit = "USD/h"
source = "s"
date = 2026-11-01
mark = "second-hand"
""".replace('prices_are = "x"\n', "")


def without(words: str) -> Callable[[str], str]:
    return lambda text: text.replace(words, "", 1)


def instead(words: str, others: str) -> Callable[[str], str]:
    return lambda text: text.replace(words, others, 1)


def problems(text: str) -> list[str]:
    with pytest.raises(PricesInvalid) as caught:
        read_offers(text, "us.toml")
    return [str(problem) for problem in caught.value.problems]


def test_the_text_of_these_tests_is_a_good_file() -> None:
    found = read_offers(GOOD, "us.toml")
    assert [(placed.offer.id, placed.line) for placed in found] == [("one", 7), ("two", 13)]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (without('unit = "USD/h", '), "us.toml:9: offer one: price lacks `unit`"),
        (without('unit = "USD/h"\n'), "us.toml:17: offer two: price lacks `unit`"),  # the line of its table
        (instead("USD/h", "USD/fortnight"), "us.toml:9: offer one: price.unit: the unit 'USD/fortnight' is unknown"),
        (instead('"USD/h"\n', '"h/USD"\n'), "us.toml:19: offer two: price.unit: the unit 'h/USD' is unknown"),
        (instead("USD/h", "USD/request"), "us.toml:9: offer one: price: the unit 'USD/request' does not fit here"),
        (instead("USD/h", "vCPU"), "us.toml:9: offer one: price: the unit 'vCPU' does not fit here"),
        (instead("USD/h", "EUR/h"), "us.toml:6: offer one: price is in EUR and the offer in USD: write two offers"),
        (without("date = 2026-11-01, "), "us.toml:9: offer one: price lacks `date`"),
        (instead("2026-11-01", '"2026-11-01"'), "us.toml:9: offer one: price.date: must be a date"),
        (instead("value = 1", "value = -1"), "us.toml:9: offer one: price.value: Input should be greater"),
        (without("value = 1, "), "us.toml:9: offer one: price: lacks `value`"),
        (instead("value = 2", "value = nan"), "us.toml:18: offer two: price.value: Input should be a finite number"),
        (instead("second-hand", "hearsay"), "us.toml:9: offer one: price.mark: Input should be 'read at the source'"),
        (instead('name = "One"', 'nmae = "One"'), "us.toml:8: offer one: unknown field `nmae`; did you mean `name`?"),
        (instead("value = 2", "value = 2\nprise = 3"), "us.toml:19: offer two: unknown field `price.prise`"),
        (instead('"two"', '"one"'), "us.toml:13: the id 'one' is taken: see us.toml:7"),
        (instead('"server"', '"servant"'), "`kind` must be one of serverless, server, own-machine, not 'servant'"),
        (instead("[shared]", "sharde = 1\n[shared]"), "us.toml:3: unknown field `sharde`"),
        (without('provider = "Us"'), "us.toml:1: lacks `provider`"),
        (instead("[shared]", "[shared"), "us.toml:3: not valid TOML"),
        (lambda text: text.partition("[[offers]]")[0], "us.toml:1: has no [[offers]]"),
    ],
)
def test_a_fault_is_named_with_its_line(change: Callable[[str], str], said: str) -> None:
    changed = change(GOOD)
    assert changed != GOOD
    assert any(said in problem for problem in problems(changed)), problems(changed)


def test_all_faults_are_named_at_once_in_the_order_of_their_lines() -> None:
    found = problems(GOOD.replace('unit = "USD/h"', 'unit = "USD/x"'))
    assert [problem.split(":")[1] for problem in found] == ["9", "19"]


def test_a_fault_in_what_is_shared_is_named_once_where_it_stands() -> None:
    text = GOOD.replace('kind = "server"', 'kind = "server"\nterm = "never"')
    assert [problem.partition(" Input")[0] for problem in problems(text)] == ["us.toml:5: shared: term:"]


def test_what_was_read_at_the_source_has_a_date() -> None:
    text = GOOD.replace("2026-11-01", '"undated"', 1).replace("second-hand", "read at the source", 1)
    assert any('what is "read at the source" has a date' in problem for problem in problems(text))


TOML = """\
a = { b = 1 }
[t]
b."c" = 2
long = \"\"\"
x = 3
[no]
\"\"\"
many = [4, # ]
  5]
[[list]]
x = 6
[[list]]
x = 7
[list.in]
y = 8
[[list]]
z = 9
"""


@pytest.mark.parametrize(
    ("path", "written"),
    [
        (("a",), "a = {"),
        (("a", "b"), "a = {"),  # inside an inline table
        (("t", "b", "c"), 'b."c"'),
        (("t", "long"), "long ="),
        (("t", "many", 1), "many ="),
        (("list", 0, "x"), "x = 6"),
        (("list", 1, "x"), "x = 7"),
        (("list", 1, "in", "y"), "y = 8"),
        (("list", 2, "z"), "z = 9"),
        (("no",), "a = {"),  # it is in a string: the first line stands for the whole file
    ],
)
def test_a_key_is_found_in_toml(path: tuple[str | int, ...], written: str) -> None:
    assert TOML.splitlines()[line_of(TOML, path) - 1].startswith(written)


def test_a_key_that_is_missing_is_looked_for_at_the_table_around_it() -> None:
    found = line_of(TOML, ("list", 1, "absent"))
    assert TOML.splitlines()[found - 1 : found + 1] == ["[[list]]", "x = 7"]


def own(folder: Path, text: str, name: str = "mine.toml") -> Path:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(text)
    return folder


def test_a_users_offer_takes_the_place_of_a_built_in_one_and_others_join(tmp_path: Path) -> None:
    built_in = load()
    folder = own(tmp_path / "prices", GOOD.replace('"one"', '"runpod-l4"'))
    found = load(folder)
    assert found.get("runpod-l4").name == "One"
    assert found.where("runpod-l4").file.endswith("mine.toml")
    assert len(found.offers()) == len(built_in.offers()) + 1


def test_a_folder_that_is_not_there_is_no_fault(tmp_path: Path) -> None:
    assert len(load(tmp_path / "none").offers()) == len(load().offers())


def test_an_unknown_offer_lists_the_near_ones() -> None:
    with pytest.raises(OfferNotFound, match=r"no offer is called 'modal-l5'; known: .*modal-l4"):
        load().get("modal-l5")


def test_the_users_rate_overrides_the_built_in_one(tmp_path: Path) -> None:
    rate = '[rates]\nEUR = { value = 2, unit = "USD", source = "s", date = 2026-11-01, mark = "second-hand" }\n'
    found = load(own(tmp_path, rate, "rates.toml")).get("hetzner-gex45").rate
    assert found is not None
    assert found.value == 2


def test_a_rate_in_another_unit_is_named_with_its_line(tmp_path: Path) -> None:
    rate = '\n[rates]\nEUR = { value = 2, unit = "EUR", source = "s", date = 2026-11-01, mark = "second-hand" }\n'
    with pytest.raises(SettingsInvalid, match=r"rates\.EUR must have the unit USD"):
        load(own(tmp_path, rate, "rates.toml"))


def test_a_surcharge_is_on_the_price_of_the_other_offer() -> None:
    found = load()
    managed, plain = found.get("aws-lambda-managed-m7i-xlarge"), found.get("ec2-m7i-xlarge")
    assert isinstance(managed, ServerOffer)
    assert isinstance(plain, ServerOffer)
    assert managed.price is not None
    assert plain.price is not None
    assert managed.price.amount == pytest.approx(1.15 * plain.price.amount)
    assert "ec2-m7i-xlarge" in managed.price.source


@pytest.mark.parametrize(
    ("base", "said"),
    [
        ("nothing", "over.offer: 'nothing' is no server offer with a price of its own"),
        ("modal-l4", "over.offer: 'modal-l4' is no server offer with a price of its own"),
        ("hetzner-gex45", "is in USD, and hetzner-gex45 in EUR"),
    ],
)
def test_a_surcharge_on_what_it_cannot_be_on_is_named(tmp_path: Path, base: str, said: str) -> None:
    percent = '{ value = 1, unit = "%", source = "s", date = 2026-11-01, mark = "second-hand" }'
    text = GOOD.replace("price = {", f'over = {{ offer = "{base}", percent = {percent} }}\nprice = {{', 1)
    folder = own(tmp_path, text)
    with pytest.raises(PricesInvalid, match=f"mine.toml:7: offer one: {said}"):
        load(folder)
    with pytest.raises(PricesInvalid, match=said):
        check_files([folder / "mine.toml"])


def test_the_dates_of_a_provider_are_those_of_its_prices() -> None:
    dates = load().dates()
    assert dates["Modal"] == (dt.date(2026, 5, 8), dt.date(2026, 7, 1))
    assert dates["Yandex Cloud"] is None


def test_an_offer_is_as_old_and_as_trustworthy_as_its_worst_price() -> None:
    offer = load().get("cloud-run-l4")
    assert offer.mark == "second-hand"
    assert offer.age_days(dt.date(2026, 8, 31)) == 30
    assert not offer.stale(dt.date(2026, 8, 31))
    assert offer.stale(dt.date(2027, 8, 31))
    assert load().get("yandex-serverless-containers").stale(dt.date(2026, 8, 31))


def test_every_built_in_figure_that_is_known_has_a_value_and_the_others_say_so() -> None:
    for offer in load().offers():
        assert offer.billable or offer.mark == "not verified", offer.id


def test_there_is_an_offer_of_every_provider_that_the_report_speaks_of() -> None:
    providers = {offer.provider for offer in load().offers()}
    assert providers >= {
        "AWS", "Azure", "Google Cloud", "Yandex Cloud", "Modal", "RunPod", "Lambda (lambda.ai)", "Nebius", "CoreWeave",
        "Hetzner", "OVH", "your own",
    }  # fmt: skip
    gpus = [offer for offer in load().offers() if isinstance(offer, ServerlessOffer) and offer.gpu == "L4"]
    assert {offer.provider for offer in gpus} >= {"Google Cloud", "Modal", "RunPod"}
