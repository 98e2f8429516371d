"""`quickthaw deploy`: files, parts of files, bare models, and what is wrong with them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from click.testing import Result

from tests.unit.sdk.fake_gateway import URL, FakeGateway, failed

Run = Callable[..., Result]

SOURCE = """
import quickthaw
app = quickthaw.App("demo")

@app.function(model="m")
def one(model): ...

@app.function(model="m", name="deux")
def two(model): ...
"""


class Deploys(FakeGateway):
    """Accepts what is deployed."""

    def __init__(self) -> None:
        super().__init__([self._version] * 3)

    def _version(self, request: httpx.Request) -> httpx.Response:
        spec = json.loads(request.content)
        body = {"id": "abc", "function": spec["name"], "number": 2, "checkpoint": "c", "created_at": 1.0, "spec": spec}
        return httpx.Response(200, json=body)

    @property
    def names(self) -> list[str]:
        return [json.loads(request.content)["name"] for request in self.requests]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "function.py"
    path.write_text(SOURCE)
    return path


@pytest.mark.parametrize(
    ("suffix", "names"), [("", ["one", "deux"]), (":app", ["one", "deux"]), (":one", ["one"]), (":two", ["deux"])]
)
def test_a_file_or_a_part_of_it_is_deployed(run: Run, file: Path, suffix: str, names: list[str]) -> None:
    gateway = Deploys()
    result = run(gateway, "deploy", f"{file}{suffix}")
    assert result.exit_code == 0, result.output
    assert gateway.names == names
    assert gateway.body()["source"] == {"function.py": SOURCE}
    assert gateway.lines[0] == "POST /v1/functions?alias=live"


def test_version_and_urls_are_printed(run: Run, file: Path) -> None:
    output = run(Deploys(), "deploy", f"{file}:one", "--alias", "next").output
    for text in ("one  version 2 (abc), alias next", f"{URL}/v1/functions/one/invoke", f"{URL}/t/one", f"{URL}/v1 "):
        assert text in output


def test_a_deploy_that_changed_nothing_says_that_it_made_no_new_version(run: Run, file: Path) -> None:
    class Unchanged(Deploys):
        def _version(self, request: httpx.Request) -> httpx.Response:
            return httpx.Response(200, json={**super()._version(request).json(), "unchanged": True})

    assert "no new version" in run(Unchanged(), "deploy", f"{file}:one").output
    assert "no new version" not in run(Deploys(), "deploy", f"{file}:one").output


def test_json_is_the_versions(run: Run, file: Path) -> None:
    result = run(Deploys(), "deploy", str(file), "--json")
    assert [version["function"] for version in json.loads(result.stdout)] == ["one", "deux"]


def test_a_model_without_code_is_deployed_with_its_settings(run: Run) -> None:
    gateway = Deploys()
    options = {
        "--engine": "echo",
        "--keep-alive": "5m",
        "--min-instances": "1",
        "--max-instances": "3",
        "--concurrency": "2",
        "--queue-size": "9",
        "--timeout": "1m",
        "--memory": "1GiB",
        "--option": "token_delay=5",
        "--env": "B=x=y",
    }
    words = [word for pair in options.items() for word in pair]
    result = run(
        gateway,
        "deploy",
        "--model",
        "smollm2-135m-instruct",
        "--name",
        "chat",
        *words,
        "--env",
        "A=1",
        "--option",
        "dtype=bf16",
    )
    assert result.exit_code == 0, result.output
    sent = gateway.body()
    assert (sent["name"], sent["model"], sent["engine"]) == ("chat", "smollm2-135m-instruct", "echo")
    assert sent["handler"] is None
    assert sent["source"] == {}
    assert (sent["keep_alive"], sent["limits"]["total"], sent["memory"]) == (300.0, 60.0, 1 << 30)
    assert (sent["min_instances"], sent["max_instances"], sent["concurrency"], sent["queue_size"]) == (1, 3, 2, 9)
    assert sent["env"] == {"A": "1", "B": "x=y"}
    assert sent["options"] == {"token_delay": 5, "dtype": "bf16"}


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ((), "give --model and --name"),
        (("--model", "m"), "give --model and --name"),
        (("function.py", "--engine", "echo"), "--engine goes with --model"),
        (("function.py", "--model", "m"), "either a file, or --model and --name"),
        (("--model", "m", "--name", "x", "--env", "A"), "'A' is not KEY=VALUE"),
    ],
)
def test_options_that_do_not_go_together_are_a_usage_error(run: Run, arguments: tuple[str, ...], text: str) -> None:
    result = run(FakeGateway([]), "deploy", *arguments)
    assert result.exit_code == 2
    assert text in result.stderr


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("def f(:\n  pass\n", "function.py, line 1: "),
        ("x = 1\nraise ValueError('boom')\n", "function.py, line 2: ValueError: boom"),
        ("x = 1\n", "defines no function"),
    ],
)
def test_a_broken_file_is_one_error_with_its_line(run: Run, tmp_path: Path, source: str, text: str) -> None:
    path = tmp_path / "function.py"
    path.write_text(source)
    result = run(FakeGateway([]), "deploy", str(path))
    assert result.exit_code == 1
    assert text in result.stderr
    assert "Traceback" not in result.output


@pytest.mark.parametrize(
    ("target", "text"),
    [
        ("missing.py", "missing.py does not exist"),
        (".", ". is a folder"),
        ("/dev/null", "is not a Python file"),
        ("{file}:three", "it has: app, one, two"),
    ],
)
def test_a_target_that_is_not_there_is_named(run: Run, file: Path, target: str, text: str) -> None:
    result = run(FakeGateway([]), "deploy", target.format(file=file))
    assert result.exit_code == 1
    assert text in result.stderr


def test_a_model_that_was_imported_just_now_is_waited_for(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("quickthaw.cli.deploy.LOOK_SECONDS", 0)
    missing = failed(404, "checkpoint_not_found", "no checkpoint is called 'm'; there is no checkpoint yet.")
    gateway = Deploys()
    gateway.replies[:2] = [missing, missing]
    result = run(gateway, "deploy", "--model", "m", "--name", "f")
    assert (result.exit_code, gateway.names) == (0, ["f", "f", "f"])


def test_an_unknown_model_shows_the_near_names(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("quickthaw.cli.deploy.ANNOUNCED_SECONDS", 0)
    message = "no checkpoint is called 'smolm2'; known: smollm2-135m-instruct"
    result = run(
        FakeGateway([failed(404, "checkpoint_not_found", message)]), "deploy", "--model", "smolm2", "--name", "x"
    )
    assert (result.exit_code, result.stderr) == (1, f"Error: {message}\n")


def test_a_setting_that_cannot_be_is_named(run: Run) -> None:
    result = run(FakeGateway([]), "deploy", "--model", "m", "--name", "x", "--keep-alive", "soon")
    assert result.exit_code == 1
    assert "keep_alive" in result.stderr


@pytest.mark.parametrize(
    ("option", "value", "said"),
    [
        ("--timeout", "0", "timeout: Input should be greater than 0"),
        ("--timeout", "36501d", "timeout: Input should be less than or equal to 3153600000"),
        ("--memory", "0", "memory: Input should be greater than or equal to 1"),
        ("--replicas", "0", "replicas: Input should be greater than or equal to 1"),
        ("--min-instances", "-1", "min_instances: Input should be greater than or equal to 0"),
        ("--max-instances", "0", "max_instances: Input should be greater than or equal to 1"),
        ("--concurrency", "0", "concurrency: Input should be greater than or equal to 1"),
        ("--queue-size", "-1", "queue_size: Input should be greater than or equal to 0"),
        ("--max-tokens", "0", "max_tokens: Input should be greater than or equal to 1"),
        ("--max-tokens-limit", "0", "max_tokens_limit: Input should be greater than or equal to 1"),
        ("--weight", "0", "weight: Input should be greater than 0"),
        ("--weight", "nan", "weight: "),
        ("--target-utilisation", "0", "target_utilisation: Input should be greater than 0"),
        ("--keep-alive", "-1", "keep_alive: "),
    ],
)
def test_a_number_that_cannot_be_is_refused_by_its_name(run: Run, option: str, value: str, said: str) -> None:
    result = run(FakeGateway([]), "deploy", "--model", "m", "--name", "x", option, value)
    assert result.exit_code == 1
    assert result.stderr.startswith(f"Error: {said}")


def test_where_it_may_run_and_its_share_are_options_of_a_bare_model(run: Run) -> None:
    gateway = Deploys()
    place = ["--device", "cpu", "--label", "zone=a", "--label", "gpu=l4", "--spread"]
    share = ["--weight", "2", "--target-utilisation", "0.5"]
    result = run(gateway, "deploy", "--model", "m", "--name", "f", "--min-instances", "0", *place, *share)
    assert result.exit_code == 0, result.output
    body = gateway.body()
    assert body["labels"] == {"zone": "a", "gpu": "l4"}
    assert (body["device"], body["spread"], body["weight"], body["target_utilisation"]) == ("cpu", True, 2.0, 0.5)


def test_what_it_reaches_is_an_option_of_a_bare_model(run: Run) -> None:
    gateway = Deploys()
    options = ("--network", "egress", "--egress", "api.example.com", "--egress", "*.example.org:8080")
    assert run(gateway, "deploy", "--model", "m", "--name", "f", *options).exit_code == 0
    assert gateway.body()["egress"] == ["api.example.com", "*.example.org:8080"]
    refused = run(gateway, "deploy", "--model", "m", "--name", "f", "--network", "egress", "--egress", "http://x.test")
    assert refused.exit_code != 0
    assert "'http://x.test' has no port" in refused.stderr


def test_an_adapter_is_an_option_of_a_bare_model(run: Run) -> None:
    gateway = Deploys()
    assert run(gateway, "deploy", "--model", "m", "--name", "f", "--adapter", "lora").exit_code == 0
    assert gateway.body()["adapter"] == "lora"


def test_what_prompts_begin_with_may_be_given_as_text_or_as_a_file(run: Run, tmp_path: Path) -> None:
    text, tools = tmp_path / "system.txt", tmp_path / "tools.json"
    text.write_text("You are kind.")
    tools.write_text('[{"type": "function"}]')
    gateway = Deploys()
    bare = ("deploy", "--model", "m", "--name", "f")
    assert run(gateway, *bare, "--system", f"@{text}", "--tools", str(tools)).exit_code == 0
    assert (gateway.body()["system"], gateway.body()["tools"]) == ("You are kind.", [{"type": "function"}])
    gateway = Deploys()
    assert run(gateway, *bare, "--prefix", "Once upon").exit_code == 0
    assert (gateway.body()["prefix"], gateway.body()["system"]) == ("Once upon", None)


@pytest.mark.parametrize(
    ("content", "text"), [("{}", "must hold a JSON list"), ("[", "is not JSON"), (None, "cannot be read")]
)
def test_a_file_of_tools_that_is_none_is_a_usage_error(
    run: Run, tmp_path: Path, content: str | None, text: str
) -> None:
    file = tmp_path / "tools.json"
    if content is not None:
        file.write_text(content)
    result = run(FakeGateway([]), "deploy", "--model", "m", "--name", "f", "--tools", str(file))
    assert (result.exit_code, text in result.stderr) == (2, True)


def test_options_that_are_not_given_are_left_to_the_platform(run: Run) -> None:
    gateway = Deploys()
    assert run(gateway, "deploy", "--model", "m", "--name", "f").exit_code == 0
    body = gateway.body()
    assert (body["device"], body["labels"], body["spread"], body["weight"]) == (None, {}, False, 1.0)


def test_a_check_runs_the_bundle_by_itself_and_deploys_nothing(run: Run, tmp_path: Path) -> None:
    source = SOURCE.replace("def one(model)", "def one(model, topic: str, n: int = helpers.n)")
    (tmp_path / "function.py").write_text("import helpers\n" + source)
    (tmp_path / "helpers.py").write_text("n = 1\n")
    gateway = FakeGateway([])
    result = run(gateway, "deploy", "--check", f"{tmp_path / 'function.py'}:one")
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines() == [
        "one  can be deployed",
        "  handler  one in function.py",
        "  takes    topic, n",
        "  bundle   function.py, helpers.py",
    ]
    assert gateway.requests == []


def test_a_check_finds_what_only_an_instance_would_miss(run: Run, tmp_path: Path) -> None:
    reading = "import pathlib\nname = 'data' + '.txt'\ntext = pathlib.Path(name).read_text()\n"
    (tmp_path / "function.py").write_text(reading + SOURCE)
    (tmp_path / "data.txt").write_text("")
    result = run(FakeGateway([]), "deploy", "--check", str(tmp_path / "function.py"))
    assert result.exit_code == 1
    assert "function.py, line 3: FileNotFoundError" in result.stderr


@pytest.mark.parametrize(
    ("word", "setting"),
    [
        ("0.5", {"ratio": 0.5, "budget": None, "by": "frequency"}),
        ('{"budget": 2000, "by": "compress"}', {"ratio": None, "budget": 2000, "by": "compress"}),
    ],
)
def test_compression_is_a_part_or_json(run: Run, word: str, setting: dict[str, object]) -> None:
    gateway = Deploys()
    result = run(gateway, "deploy", "--model", "m", "--name", "chat", "--compress", word)
    assert result.exit_code == 0, result.output
    assert gateway.body()["compress"] == setting


@pytest.mark.parametrize("word", ["half", "true", "[0.5]"])
def test_what_is_no_compression_is_refused_with_an_example(run: Run, word: str) -> None:
    result = run(FakeGateway([]), "deploy", "--model", "m", "--name", "chat", "--compress", word)
    assert result.exit_code == 2
    assert "such as 0.5" in result.output


def test_what_a_file_prints_while_it_is_read_is_no_part_of_the_json(run: Run, file: Path) -> None:
    file.write_text(file.read_text() + "\nprint('loading')\n")
    result = run(FakeGateway([]), "deploy", str(file), "--check", "--json")
    assert json.loads(result.stdout)
    assert "loading" in result.stderr


def test_a_file_with_a_byte_order_mark_is_deployed_as_python_reads_it(run: Run, file: Path) -> None:
    file.write_text(file.read_text(), encoding="utf-8-sig")
    result = run(FakeGateway([]), "deploy", str(file), "--check", "--json")
    assert result.exit_code == 0, result.output
    assert "\ufeff" not in json.loads(result.stdout)[0]["source"][file.name]


@pytest.mark.parametrize("option", ["--env", "--label", "--option"])
def test_a_key_that_is_given_twice_is_refused(run: Run, option: str) -> None:
    words = ("deploy", "--model", "m", "--name", "f", option, "A=1", option, "A=2")
    result = run(FakeGateway([]), *words)
    assert result.exit_code == 2
    assert "A is given twice" in result.stderr


def test_what_does_not_fit_is_told_without_the_words_of_a_library(run: Run) -> None:
    result = run(FakeGateway([]), "deploy", "--model", "m", "--name", "f", "--keep-alive", "soon")
    assert result.stderr.startswith("Error: keep_alive: 'soon' is not a duration")
    result = run(FakeGateway([]), "deploy", "--model", "m", "--name", "f", "--egress", "example.com")
    assert result.stderr.startswith("Error: `egress` lists what is reached")
