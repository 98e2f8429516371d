from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from quickthaw_platform import settings as settings_module
from quickthaw_platform.checkpoints.importers.importing import import_checkpoint
from quickthaw_platform.checkpoints.store import DiskStore
from quickthaw_platform.commands.config import config
from quickthaw_platform.commands.models_import import models_import
from quickthaw_platform.commands.models_verify import models_verify
from quickthaw_platform.errors import CheckpointNotFound, InvalidRequest, SettingsInvalid
from quickthaw_platform.settings import Settings
from tests.unit.checkpoints.gguf_files import write_adapter, write_llama
from tests.unit.checkpoints.models import save_llama


@pytest.fixture(autouse=True)
def fresh_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Read the settings anew in each test, with a data directory of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("QUICKTHAW_DATA_DIR", str(tmp_path / "data"))
    settings_module.load.cache_clear()
    yield
    settings_module.load.cache_clear()


def rows() -> dict[str, dict[str, object]]:
    result = CliRunner().invoke(config, ["--json"], catch_exceptions=False)
    return {row["name"]: row for row in json.loads(result.stdout)}


def test_each_setting_is_shown_with_its_value_and_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "quickthaw.toml").write_text('port = 9000\nmax_body = "1MiB"\n')
    monkeypatch.setenv("QUICKTHAW_PORT", "9001")
    shown = rows()
    assert shown.keys() == Settings.model_fields.keys()
    assert (shown["port"]["value"], shown["port"]["source"]) == (9001, "QUICKTHAW_PORT")
    assert (shown["max_body"]["value"], shown["max_body"]["source"]) == (1 << 20, "quickthaw.toml")
    assert (shown["host"]["value"], shown["host"]["source"]) == ("127.0.0.1", "default")


def test_a_password_in_a_url_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QUICKTHAW_REDIS_URL", "redis://user:hunter2@redis.lan:6379/0")
    assert rows()["redis_url"]["value"] == "redis://user:***@redis.lan:6379/0"
    assert "hunter2" not in CliRunner().invoke(config, catch_exceptions=False).stdout


def test_the_table_names_every_setting() -> None:
    shown = CliRunner().invoke(config, catch_exceptions=False).stdout
    assert all(name in shown for name in Settings.model_fields)


def test_a_setting_nobody_knows_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QUICKTHAW_PROT", "1")
    with pytest.raises(SettingsInvalid, match="unknown setting QUICKTHAW_PROT"):
        CliRunner().invoke(config, catch_exceptions=False)


def test_importing_says_what_it_is_and_what_comes_next(tmp_path: Path) -> None:
    save_llama(tmp_path / "source")
    arguments = [str(tmp_path / "source"), "--name", "tiny"]
    first = CliRunner().invoke(models_import, arguments, catch_exceptions=False).stdout
    second = CliRunner().invoke(models_import, [*arguments, "--json"], catch_exceptions=False).stdout
    assert first.startswith("tiny imported: ")
    assert first.endswith("next: quickthaw deploy --model tiny --name chat\n")
    answer = json.loads(second)
    assert (answer["name"], answer["existed"], answer["perplexity"]) == ("tiny", True, None)
    assert (tmp_path / "data" / "checkpoints" / answer["id"]).is_dir()
    assert CliRunner().invoke(models_import, arguments).stdout.startswith("tiny was imported before: ")


def test_a_source_that_is_not_there_is_an_error_of_our_tree(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match="does not exist"):
        CliRunner().invoke(models_import, [str(tmp_path / "nothing")], catch_exceptions=False)


def test_quantising_shows_what_it_costs_on_a_text_of_ones_own(tmp_path: Path) -> None:
    save_llama(tmp_path / "source")
    (tmp_path / "text").write_text("hello world hello " * 9)
    arguments = [str(tmp_path / "source"), "--quantize", "int8", "--partitions", "2", "--text", str(tmp_path / "text")]
    shown = CliRunner().invoke(models_import, arguments, catch_exceptions=False).stdout
    assert "MB of int8 in 2 partitions" in shown
    assert re.search(r"perplexity: \d\.\d{3} before quantising, \d\.\d{3} after \([+-]\d\.\d\d%\)", shown)


def test_a_gguf_file_is_shown_with_its_quantisation(tmp_path: Path) -> None:
    parts = write_llama(tmp_path / "tiny.gguf", parts=2)
    shown = CliRunner().invoke(models_import, [str(parts[0])], catch_exceptions=False).stdout
    assert "LlamaForCausalLM, GGUF, 0 MB of Q8_0 in 2 partitions" in shown
    assert CliRunner().invoke(models_verify, ["tiny"]).stdout.endswith(": whole\n")


def test_an_adapter_is_not_offered_for_a_deploy(tmp_path: Path) -> None:
    shown = CliRunner().invoke(models_import, [str(write_adapter(tmp_path / "lora.gguf"))], catch_exceptions=False)
    assert "it is a LoRA adapter: it goes with a function" in shown.stdout
    assert "deploy" not in shown.stdout


@pytest.fixture
def imported(tmp_path: Path) -> Path:
    """The folder of an imported checkpoint."""
    save_llama(tmp_path / "tiny")
    store = DiskStore(tmp_path / "data" / "checkpoints")
    return import_checkpoint(str(tmp_path / "tiny"), store, key_folder=tmp_path / "data").checkpoint.path


def test_whole_checkpoints_are_said_to_be_whole(imported: Path) -> None:
    result = CliRunner().invoke(models_verify, ["tiny"])
    assert (result.exit_code, result.stdout) == (0, f"tiny {imported.name}: whole\n")


@pytest.mark.parametrize(
    ("file", "change", "fault"),
    [
        (
            "weights-0.safetensors",
            lambda raw: raw[:-1] + bytes([raw[-1] ^ 1]),  # one bit of a weight
            "weights-0.safetensors, chunk 0: has another checksum",
        ),
        ("weights-0.safetensors", lambda raw: raw[:-1], "weights-0.safetensors: has "),  # its end is lost
        ("config.json", lambda raw: raw.replace(b"8", b"9", 1), "config.json: has another SHA-256"),  # a small file
        ("manifest.json", lambda _raw: b"{", "manifest.json: is not a manifest"),  # the manifest itself
        (
            "manifest.json",
            lambda raw: raw.replace(b'"directory:tiny"', b'"directory:other"'),  # a manifest that was edited
            "manifest.json: is that of another checkpoint",
        ),
    ],
)
def test_what_is_wrong_is_named_with_what_to_do(
    imported: Path, file: str, change: Callable[[bytes], bytes], fault: str
) -> None:
    (imported / file).write_bytes(change((imported / file).read_bytes()))
    result = CliRunner().invoke(models_verify, [])
    assert result.exit_code == 1
    assert f"  {fault}" in result.stdout
    assert f"do: quickthaw models rm {imported.name}, then quickthaw models import" in result.stdout


def test_a_missing_file_is_found_and_programs_are_told(imported: Path) -> None:
    (imported / "weights-0.safetensors").unlink()
    result = CliRunner().invoke(models_verify, ["--json"])
    (verdict,) = json.loads(result.stdout)
    assert (result.exit_code, verdict["name"]) == (1, "tiny")
    assert verdict["faults"] == [
        {"file": "weights-0.safetensors", "what": "cannot be read: No such file or directory", "chunk": None}
    ]


def test_a_name_that_is_not_there_cannot_be_verified(imported: Path) -> None:
    assert imported.is_dir()
    with pytest.raises(CheckpointNotFound, match="tiny"):
        CliRunner().invoke(models_verify, ["tinny"], catch_exceptions=False)


def test_an_empty_store_is_whole() -> None:
    result = CliRunner().invoke(models_verify, [])
    assert (result.exit_code, result.stdout) == (0, "no checkpoint is here yet\n")
