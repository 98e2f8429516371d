"""The forms in which model families write calls of tools and what they think: readers and grammars of both."""

from quickthaw_backends.engines.tool_forms.grammars import grammar
from quickthaw_backends.engines.tool_forms.piece import Piece, Reader
from quickthaw_backends.engines.tool_forms.reading import reader
from quickthaw_backends.engines.tool_forms.table import markers, short_ids

__all__ = ["Piece", "Reader", "grammar", "markers", "reader", "short_ids"]
