"""`python -m quickthaw.cli`: the `quickthaw` command of this very interpreter."""

from __future__ import annotations

from quickthaw.cli.main import main

main(prog_name="quickthaw")
