"""The operator's page: what the line sees, decides and why, for a person in front of a browser.

Contract: a server thread reads what the main loop left behind; nobody looking costs next to nothing, anybody looking is
served what is newest, and no viewer, however slow, makes the main loop wait.
"""

from __future__ import annotations

from edge_sorter.service.web.page import Page
from edge_sorter.service.web.scene import Scene

__all__ = ["Page", "Scene"]
