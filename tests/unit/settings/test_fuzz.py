"""Any environment is read, or refused by the name of the variable that is wrong."""

from __future__ import annotations

import os
from unittest.mock import patch

from hypothesis import example, given, settings
from hypothesis import strategies as st

from quickthaw_platform import settings as settings_module
from quickthaw_platform.errors import SettingsInvalid
from quickthaw_platform.settings import ENV_PREFIX, Settings
from tests.made_up import examples

BORDERS = [
    *("0", "-0", "-1", "1e400", "nan", "inf", "-inf", "1e-400", "1_0", "٣", "0x10", "9" * 30, "9" * 5000),
    *(
        "{",
        "[]",
        '{"a": 1}',
        "null",
        "true",
        "=",
        "a=",
        "=b",
        ",",
        "a=b,a=c",
        "'",
        '"',
        "~",
        "~no-such-user/x",
        "/",
        "..",
        "*",
    ),
    *(
        "1GiB",
        "1 gib",
        "-1GiB",
        "1e3GiB",
        "9e999s",
        "5m",
        "5 fortnights",
        "tcp://1.2.3.4:5",
        "redis://",
        "unix:",
        "s3://",
    ),
    *(
        "cuda:",
        "cuda:99999999999999999999",
        "cpu:0",
        "\ufeff1",
        "\u202e",
        "😀" * 40,
        "a" * 70_000,
        "None",
        "none",
        "default",
    ),
]
TEXTS = st.sampled_from(BORDERS) | st.text(
    st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=12
)
OURS = st.dictionaries(st.sampled_from(sorted(Settings.model_fields)), TEXTS, min_size=1, max_size=3)
FOREIGN = st.from_regex(r"[A-Z0-9_]{1,20}", fullmatch=True)


def loaded(environment: dict[str, str]) -> Settings:
    """Read the settings from an environment; what must be there (PATH and so on) stays."""
    settings_module.load.cache_clear()
    with patch.dict(os.environ, environment):
        return settings_module.load()


@settings(max_examples=examples(150))
@given(OURS)
@example({"data_dir": "~/x"})
@example({"disk_dir": "~no-such-user/x"})
@example({"prices_dir": "~"})
@example({"heartbeat": "5m"})
@example({"drain_timeout": "9" * 5000, "node_memory": "9" * 400 + "GiB"})
def test_every_value_is_read_or_refused_by_its_variable(given_values: dict[str, str]) -> None:
    environment = {ENV_PREFIX + name.upper(): value for name, value in given_values.items()}
    try:
        read = loaded(environment)
    except SettingsInvalid as error:
        assert any(name in error.message for name in environment)  # noqa: PT017 - either outcome is right
    else:
        assert settings_module.describe(read)
        folders = (read.data_dir, read.bundles_dir, read.checkpoints_dir, read.own_prices_dir)
        assert not any(str(folder).startswith("~") for folder in folders)
    finally:
        settings_module.load.cache_clear()


@settings(max_examples=examples(60))
@given(FOREIGN, TEXTS)
def test_a_variable_of_ours_that_means_nothing_is_refused_or_explained(name: str, value: str) -> None:
    variable = ENV_PREFIX + name
    try:
        loaded({variable: value})
    except SettingsInvalid as error:
        assert variable in error.message  # noqa: PT017 - either outcome is right
    finally:
        settings_module.load.cache_clear()
