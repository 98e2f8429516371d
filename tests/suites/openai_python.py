"""The tests of OpenAI's Python client, from its source distribution, of the resources that quickthaw serves.

They were written for a mock server that answers any valid request with a made-up object, so they also name objects that
do not exist and ask for things that no text model does.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from tests.suites.environments import Environment, Python
from tests.suites.outcomes import Case
from tests.suites.suite import Place, pytest_cases

VERSION = "3.57.0"
RESOURCES = ("chat", "responses", "test_completions.py", "test_embeddings.py", "test_models.py", "test_responses.py")
KEY_IN_TESTS = 'api_key = "My API Key"'
CONFIGURATION = "[pytest]\nasyncio_mode = auto\nasyncio_default_fixture_loop_scope = session\nxfail_strict = true\n"
TEST_SECONDS = 180
PROCESSES = 6
"""Most tests leave `max_tokens` out; answers are long, and quick only as a batch."""

ENVIRONMENT = Python(
    (
        f"openai[aiohttp]=={VERSION}",
        *("pytest==9.2.0", "pytest-asyncio==1.5.0", "pytest-timeout==2.4.0", "pytest-xdist==3.8.0"),
        *("respx==0.23.1", "inline-snapshot==0.36.1", "rich==15.0.0"),
    ),
    (f"openai=={VERSION}",),
)


@dataclass(frozen=True)
class OpenAIPython:
    """`TEST_API_BASE_URL` leads the tests to quickthaw; of their text only the API key is changed."""

    name: str = "openai"
    version: str = VERSION
    environment: Environment = ENVIRONMENT

    def run(self, place: Place) -> list[Case]:
        """Run pytest over a copy of the tests."""
        folder = place.scratch / "work"
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(place.environment / "source" / "tests", folder / "tests")
        (folder / "pytest.ini").write_text(CONFIGURATION)
        _give_key(folder / "tests" / "conftest.py", place.api_key)
        python = str(self.environment.program(place.environment))
        tests = [f"tests/api_resources/{resource}" for resource in RESOURCES]
        command = [python, "-m", "pytest", f"--timeout={TEST_SECONDS}", f"--numprocesses={PROCESSES}", *tests]
        return pytest_cases(command, place, folder, {"TEST_API_BASE_URL": f"{place.url}/v1"})


def _give_key(conftest: Path, key: str) -> None:
    text = conftest.read_text()
    if KEY_IN_TESTS not in text:
        raise RuntimeError(f"{conftest} no longer says {KEY_IN_TESTS}")
    conftest.write_text(text.replace(KEY_IN_TESTS, f'api_key = "{key}"'))


SUITE = OpenAIPython()
