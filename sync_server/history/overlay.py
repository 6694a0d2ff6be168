"""What lies over the files, how long it has, and when the files are due to be made anew."""

from sync_server.history.view import Layer, View

OVERLAY_ROWS_MAX = 2_000_000
"""Some hundred megabytes; from here on the files are made anew."""
OVERLAY_ROWS_LIMIT = 2 * OVERLAY_ROWS_MAX
"""From here on it does not follow until they are."""
OVERLAY_S_MAX = 6 * 3_600.0
GONE_S_MAX = 900.0
"""After so long the rows of who is gone (erased, or joined to somebody) leave the files."""


class OverlayAge:
    """Since when there is something over the files, and since when somebody in them is gone."""

    def __init__(self) -> None:
        self._overlaid_since_s: float | None = None
        self._gone_since_s: float | None = None

    def begin(self, view: View, now_s: float) -> None:
        """Other files are under it."""
        self._overlaid_since_s = now_s if view.layers else None
        self._gone_since_s = now_s if len(view.gone()) else None

    def take(self, layer: Layer, view: View, now_s: float) -> None:
        """`layer` was laid over what was there, which is `view` now."""
        if self._overlaid_since_s is None:
            self._overlaid_since_s = now_s
        if self._gone_since_s is None and len(layer.part.persons) < len(layer.persons):
            self._gone_since_s = now_s if len(view.gone()) else None

    def is_due(self, view: View, now_s: float) -> bool:
        """Whether there is too much over the files, for too long, or of persons who are gone."""
        if not view.layers:
            return False
        waited = self._overlaid_since_s is not None and (
            now_s - self._overlaid_since_s > OVERLAY_S_MAX
        )
        gone = self._gone_since_s is not None and now_s - self._gone_since_s > GONE_S_MAX
        return waited or gone or view.overlay_rows > OVERLAY_ROWS_MAX
