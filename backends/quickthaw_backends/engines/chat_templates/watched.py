"""A chat template changed so that its loops ask whether time is left, and its texts are measured: see limits.py."""

from __future__ import annotations

from jinja2 import Environment, nodes
from jinja2.visitor import NodeTransformer


class _Watch(NodeTransformer):
    """Has each turn of a loop and each call of a macro ask for time, and each `~` be measured."""

    def visit_For(self, node: nodes.For) -> nodes.Node:
        """Begin each turn with a question."""
        return self._asking(node)

    def visit_Macro(self, node: nodes.Macro) -> nodes.Node:
        """Begin with a question."""
        return self._asking(node)

    def visit_Concat(self, node: nodes.Concat) -> nodes.Node:
        """Have the environment put the texts together."""
        self.generic_visit(node)
        return _asked("together", node.nodes, node.lineno)

    def _asking(self, node: nodes.For | nodes.Macro) -> nodes.Node:
        self.generic_visit(node)
        node.body.insert(0, nodes.ExprStmt(_asked("check_time", [], node.lineno), lineno=node.lineno))
        return node


def watched(template: nodes.Template, environment: Environment) -> nodes.Template:
    """Return a template, as the environment has parsed it, with the questions in it."""
    made: nodes.Template = _Watch().visit(template)
    made.set_environment(environment)
    return made


def _asked(name: str, arguments: list[nodes.Expr], line: int) -> nodes.Call:
    return nodes.Call(nodes.EnvironmentAttribute(name), arguments, [], None, None, lineno=line)
