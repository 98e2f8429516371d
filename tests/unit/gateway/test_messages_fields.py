"""What becomes of each field of Anthropic's requests: the table, the schema and the document agree."""

from __future__ import annotations

from pathlib import Path

import pytest

from quickthaw_platform.errors import InvalidRequest
from quickthaw_platform.gateway.messages.schema import MessagesRequest
from quickthaw_platform.gateway.request_fields import Endpoint, Treatment, check_fields, fields_of

DOCUMENT = Path(__file__).parents[3] / "docs" / "http-api.md"
FIELDS = fields_of(Endpoint.MESSAGES)


def test_the_schema_has_the_fields_that_are_honoured_and_no_other() -> None:
    honoured = {name for name, field in FIELDS.items() if field.treatment is Treatment.HONOURED}
    assert honoured == set(MessagesRequest.model_fields)


@pytest.mark.parametrize("name", FIELDS)
def test_each_field_stands_in_the_document_with_what_becomes_of_it(name: str) -> None:
    field = FIELDS[name]
    assert f"| `{name}` | {field.treatment.value}: {field.about}" in DOCUMENT.read_text()


@pytest.mark.parametrize("name", [name for name, field in FIELDS.items() if field.treatment is Treatment.REFUSED])
def test_a_refused_field_is_named_and_its_harmless_values_pass(name: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        check_fields(Endpoint.MESSAGES, {name: "anything"}, ())
    assert refused.value.param == name
    for value in (None, *FIELDS[name].passes):
        check_fields(Endpoint.MESSAGES, {name: value}, ())
