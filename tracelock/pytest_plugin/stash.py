"""What the plugin keeps with pytest's own objects while pytest runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tracelock.pytest_plugin.kept import Kept
    from tracelock.pytest_plugin.replaying import Replaying

#: Of a test: what its explorations came to, in their order.
EXPLORED: pytest.StashKey[list[Kept]] = pytest.StashKey()
#: Of the whole run: the replay that it is, if it is one.
REPLAYING: pytest.StashKey[Replaying] = pytest.StashKey()
