from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from quickthaw_platform.comparison.estimates import Estimate
from quickthaw_platform.comparison.exhibits import LatencyCurve, Surface, Timeline
from quickthaw_platform.comparison.figures import latency, pareto, style, timeline
from quickthaw_platform.comparison.figures.gallery import chapters, draw_all, plates
from quickthaw_platform.comparison.figures.plate import Absent, Plate
from quickthaw_platform.comparison.figures.theme import inline
from quickthaw_platform.comparison.report import Report
from tests.unit.comparison.example_report import example_report

NAMES = [
    "break-even", "surface", "pareto", "hybrid", "latency-ttft", "latency-e2e", "cold-start", "attainment", "timeline",
    "ablations",
]  # fmt: skip


@pytest.fixture(scope="module")
def report() -> Report:
    return example_report()


@pytest.fixture(scope="module")
def folder(report: Report, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where all figures of the report were drawn."""
    folder = tmp_path_factory.mktemp("drawn") / "figures"
    assert list(draw_all(report, folder)) == NAMES
    return folder


def without_data(report: Report) -> Report:
    empty: dict[str, object] = {name: [] for name, value in report if isinstance(value, list)}
    return report.model_copy(update=empty)


def axes_of(report: Report, name: str) -> Axes:
    """Draw a figure and return its first axes."""
    plate = next(plate for plate in plates(report) if plate.name == name)
    with style.styled():
        return plate.draw().axes[0]


def labelled(axes: Axes, ending: str) -> list[Line2D]:
    return [line for line in axes.lines if str(line.get_label()).endswith(ending)]


def test_every_figure_is_written_as_svg_and_as_png(folder: Path) -> None:
    wanted = sorted(f"{name}.{kind}" for name in NAMES for kind in ("png", "svg"))
    assert sorted(file.name for file in folder.iterdir()) == wanted
    assert all(file.read_text().startswith("<?xml") for file in folder.glob("*.svg"))
    assert all(file.read_bytes().startswith(b"\x89PNG") for file in folder.glob("*.png"))


def test_the_same_report_gives_the_same_bytes(report: Report, folder: Path, tmp_path: Path) -> None:
    draw_all(report, tmp_path)
    for file in folder.iterdir():
        assert file.read_bytes() == (tmp_path / file.name).read_bytes(), file.name
    assert "<dc:date>" not in (folder / "break-even.svg").read_text()


def test_a_figure_without_data_is_not_drawn_and_says_why(report: Report, tmp_path: Path) -> None:
    bare = without_data(report)
    assert draw_all(bare, tmp_path) == {}
    absent = [plate for chapter in chapters(bare).values() for plate in chapter]
    assert len(absent) == 9
    assert all(isinstance(plate, Absent) and plate.why for plate in absent)


@pytest.mark.parametrize("name", ["break-even", "attainment"])
def test_what_is_simulated_is_dashed_and_says_so_and_what_is_measured_is_not(report: Report, name: str) -> None:
    axes = axes_of(report, name)
    simulated, measured = labelled(axes, ", simulated"), labelled(axes, ", measured")
    assert len(simulated) == 2
    assert {line.is_dashed() for line in simulated} == {True}
    assert measured
    assert {line.get_linestyle() for line in measured} == {"None"}


def test_only_measured_points_are_corners_of_the_steps(report: Report) -> None:
    simulated = [point.model_copy(update={"front": True, "simulated": True}) for point in report.pareto]
    steps = "beaten by no other measured point"
    assert len(labelled(axes_of(report, "pareto"), steps)) == 1
    assert labelled(axes_of(report.model_copy(update={"pareto": simulated}), "pareto"), steps) == []


def test_saturated_points_are_hollow(report: Report) -> None:
    axes = axes_of(report, "attainment")
    assert len(labelled(axes, "saturated")) == 1
    spared = [point.model_copy(update={"saturated": False}) for point in report.attainment]
    axes = axes_of(report.model_copy(update={"attainment": spared}), "attainment")
    assert labelled(axes, "saturated") == []


def test_each_figure_has_axes_with_units_and_words_with_numbers(report: Report) -> None:
    for plate in plates(report):
        assert re.search(r"\d", plate.numbers), plate.name
        assert plate.caption.endswith("."), plate.name
        with style.styled():
            drawn = plate.draw()
        assert any(re.search("second|requests|USD", axes.get_xlabel()) for axes in drawn.axes), plate.name


def test_cold_requests_have_a_panel_of_their_own_only_where_there_are_some(report: Report) -> None:
    with style.styled():
        (plate, *_) = [plate for plate in latency.plates(report) if isinstance(plate, Plate)]
        titles = [axes.get_title(loc="left") for axes in plate.draw().axes]
        assert [title.split(":")[0] for title in titles] == ["All requests", "Cold", "Warm"]
        every = [curve for curve in report.latency_curves if curve.which == "all"]
        (other, *_) = latency.plates(report.model_copy(update={"latency_curves": every}))
        assert isinstance(other, Plate)
        assert [axes.get_title(loc="left") for axes in other.draw().axes] == ["All requests"]


def test_a_curve_of_many_requests_is_thinned_and_keeps_its_ends(report: Report) -> None:
    count = 100_000
    curve = LatencyCurve(
        label="serverless", backend="serverless", measure="ttft", which="all", count=count,
        x=[0.1 + number / count for number in range(count)], y=[(number + 1) / count for number in range(count)],
    )  # fmt: skip
    axes = axes_of(report.model_copy(update={"latency_curves": [curve]}), "latency-ttft")
    seconds = np.asarray(axes.lines[0].get_xdata())
    assert len(seconds) == latency.MOST_POINTS
    assert (seconds[0], seconds[-1]) == (curve.x[0], curve.x[-1])


def test_one_request_and_one_sample_can_be_drawn(report: Report, tmp_path: Path) -> None:
    curve = LatencyCurve(
        label="serverless", backend="serverless", measure="ttft", which="all", count=1, x=[0.3], y=[1.0]
    )
    line = Timeline(
        backend="serverless", repeat=0, at=[0.0], instances_starting=[0], instances_ready=[1], in_use=[0], queued=[0]
    )
    surface = Surface(
        title="one cell", serverless_offer="a", serverful_offer="b", rates=[1.0], cvs=[1.0], ratio=[[1.0]],
        crossings=[None], here_rate=1.0, here_cv=None,
    )  # fmt: skip
    update = {
        "latency_curves": [curve],
        "timelines": [line],
        "surfaces": [surface],
        "attainment": report.attainment[:1],
    }
    drawn = draw_all(without_data(report).model_copy(update=update), tmp_path)
    assert list(drawn) == ["surface", "latency-ttft", "attainment", "timeline"]


def test_what_costs_nothing_stays_in_sight(report: Report) -> None:
    free = report.pareto[0].model_copy(update={"per_thousand_requests": Estimate(value=0.0, count=360)})
    for points in ([free], [free, *report.pareto[1:]]):
        left, right = axes_of(report.model_copy(update={"pareto": points}), "pareto").get_xlim()
        assert left < 0 < right
        assert left > -1


def test_a_figure_of_an_earlier_report_that_has_no_data_any_more_goes(report: Report, tmp_path: Path) -> None:
    for name in ("pareto.svg", "pareto.png", "notes.txt"):
        (tmp_path / name).write_text("")
    draw_all(without_data(report), tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == ["notes.txt"]


def test_every_pair_of_offers_has_its_figure(report: Report) -> None:
    twice = report.model_copy(update={"break_evens": report.break_evens * 2})
    assert [plate.name for plate in plates(twice) if plate.name.startswith("break")] == ["break-even", "break-even-2"]


def test_a_pair_that_never_crosses_says_which_is_always_cheaper(report: Report) -> None:
    pair = report.break_evens[0].model_copy(update={"always": "serverless"})
    plate = plates(report.model_copy(update={"break_evens": [pair]}))[0]
    assert "The serverless offer is cheaper at every rate" in plate.numbers
    with style.styled():
        assert not any("break-even" in text.get_text() for text in plate.draw().axes[0].texts)


def test_offers_in_another_currency_do_not_share_an_axis(report: Report) -> None:
    foreign = report.pareto[0].model_copy(update={"currency": "EUR"})
    (plate,) = pareto.plates(report.model_copy(update={"pareto": [*report.pareto, foreign]}))
    assert isinstance(plate, Plate)
    assert "EUR are left out" in plate.caption
    assert "€" not in plate.numbers


def test_the_timeline_follows_the_order_of_the_run_and_shows_one_block_each(report: Report) -> None:
    with style.styled():
        (plate,) = timeline.plates(report.model_copy(update={"timelines": report.timelines[::-1]}))
        assert isinstance(plate, Plate)
        titles = [axes.get_title(loc="left") for axes in plate.draw().axes]
    assert [title for title in titles if title] == ["serverless", "serverful", "hybrid"]
    assert "repeat 1" in plate.numbers


def test_a_short_start_is_seen_in_the_timeline(report: Report) -> None:
    line = Timeline(
        backend="serverless", repeat=0, at=[0.0, 1.0, 2.0, 3.0], instances_starting=[0, 2, 0, 0],
        instances_ready=[0, 1, 1, 1], in_use=[0, 0, 0, 0], queued=[0, 0, 0, 0],
    )  # fmt: skip
    starting = axes_of(report.model_copy(update={"timelines": [line]}), "timeline").collections[0]
    (area,) = starting.get_paths()
    box = area.get_extents()
    assert box.ymax == 3
    assert area.contains_point((1.5, 2.0))
    assert not area.contains_point((2.5, 2.0))


def test_intervals_of_simulated_points_are_dashed(report: Report) -> None:
    points = [point for point in report.pareto if point.simulated]
    bars = axes_of(report.model_copy(update={"pareto": points}), "pareto").collections
    assert len(bars) == 2
    assert "None" not in str([bar.get_linestyle() for bar in bars])  # a solid line has no dashes


def test_names_with_dollars_markup_and_other_scripts_are_drawn_as_they_are(report: Report, tmp_path: Path) -> None:
    name = "a $x^2$ <b>&</b> 模型"
    points = [point.model_copy(update={"backend": name}) for point in report.attainment]
    only = without_data(report).model_copy(update={"attainment": points})
    svg = draw_all(only, tmp_path)["attainment"].read_text()
    assert "a $x^2$ &lt;b&gt;&amp;&lt;/b&gt; 模型, measured" in svg


@pytest.mark.parametrize("name", NAMES)
def test_inline_figures_have_ids_of_their_own_and_colours_of_the_page(folder: Path, name: str) -> None:
    svg = inline((folder / f"{name}.svg").read_text(), "mine", 'A "title"', "words")
    ids = re.findall(r'\bid="([^"]+)"', svg)
    assert ids
    assert all(name.startswith("mine-") for name in ids)
    assert set(re.findall(r'(?:url\(#|href="#)([^")]+)', svg)) <= set(ids)
    assert re.findall(r"(?<!, )#[0-9a-f]{6}\b", svg) == []  # each colour is the second choice of a variable
    assert 'aria-label="A &quot;title&quot;" aria-describedby="words"' in svg
    assert "<style" not in svg


def test_what_is_no_svg_is_refused() -> None:
    with pytest.raises(ValueError, match="the figure mine is no SVG"):
        inline("<html></html>", "mine", "", "")


def test_words_and_pages_need_no_plotting_library() -> None:
    code = (
        "import sys\nfrom quickthaw_platform.comparison.html import render_html\n"
        "from tests.unit.comparison.example_report import example_report\nrender_html(example_report(), {})\n"
        "print('matplotlib' in sys.modules)"
    )
    root = Path(__file__).parents[3]
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
