"""What decides a run: settings that declare themselves, recipes, TOML. Free of torch."""
