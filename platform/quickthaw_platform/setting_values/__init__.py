"""Values of settings: where they come from (sources, TOML files), and how each kind is read from text."""
