"""Checkpoints: layout, manifest, importers and the catalogue."""
