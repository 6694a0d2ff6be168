"""Head office's pages: the journey summary, a member's journey; and the API behind them.

`page` and `figures` are pure; `routes` has the handlers, `assets` the files a browser loads.
"""
