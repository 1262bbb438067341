"""The lines of scripts/acceptance, each a function that returns its figure."""
