"""Values of scanner and printer models, one TOML file a model, each value with its source."""
