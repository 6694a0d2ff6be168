"""A real year of a grocery chain, replayed through tills and office (docs/demo.md)."""
