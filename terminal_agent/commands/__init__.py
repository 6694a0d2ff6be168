"""Groups of commands of `klantreis-till`."""
