"""The commands of `klantreis-office`, one file a noun; `sync_server.cli` puts them together."""
