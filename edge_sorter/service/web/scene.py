"""What stays the same from frame to frame: belt, decision line, lanes, rules, names.

Contract: a `Scene` is frozen and made once the line is ready, and again when its plan changes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from edge_sorter.belt import Belt
from edge_sorter.config import Config
from edge_sorter.sort import SortPlan

PALETTE = ("#2e9e5b", "#2f7de1", "#e58a00", "#a546c8", "#009c9c", "#7a6a55", "#d6347f", "#7b8c00")
EXCEPTION_COLOUR = "#d93a34"
PASS_COLOUR = "#7d8794"


@dataclass(frozen=True, slots=True)
class Scene:
    """The line as the page draws it.

    Attributes:
        config: The configuration in force.
        belt: Map, motion and decision line.
        plan: The sort plan in force.
        classes: Class names of the model.
        size_px: Width and height of the camera's picture.
    """

    config: Config
    belt: Belt
    plan: SortPlan
    classes: tuple[str, ...]
    size_px: tuple[int, int]

    def as_json(self) -> dict[str, Any]:
        """Return everything a browser needs to draw the line."""
        line = self.config.line
        return {
            "name": "/".join((line.enterprise, line.site, line.area, line.line, line.cell)),
            "title": f"{line.line} {line.cell}",
            "plan": self.plan.name,
            "classes": self.classes,
            "size_px": self.size_px,
            "line_px": self.belt.line.ends_px,
            "crop": self.config.detect.crop,
            "lanes": self._lanes(),
            "belt": self._belt_mm(),
            "rules": {rule.id: _rule(rule.model_dump(mode="json", by_alias=True)) for rule in self.plan.ordered},
            "min_class_confidence": self.config.sort.min_class_confidence,
        }

    def _lanes(self) -> list[dict[str, Any]]:
        plain = [lane.id for lane in self.plan.lanes if lane.kind in ("sort", "overflow", "recirc")]
        return [
            {
                "id": lane.id,
                "kind": lane.kind,
                "plc": lane.plc,
                "divert_mm": lane.divert_mm or self.config.sort.timing.divert_mm,
                "colour": PALETTE[plain.index(lane.id) % len(PALETTE)]
                if lane.id in plain
                else PASS_COLOUR
                if lane.kind == "default"
                else EXCEPTION_COLOUR,
            }
            for lane in self.plan.lanes
        ]

    def _belt_mm(self) -> dict[str, Any] | None:
        """Return the belt from above in millimetres: its edges, the stretch in view, the decision line."""
        belt_map = self.belt.map
        if belt_map is None:
            return None
        (ax, ay), (bx, by) = self.belt.line.ends_px
        at_mm = belt_map.point_mm(((ax + bx) / 2, (ay + by) / 2))[0]
        width, height = self.size_px
        dx, dy = self.belt.direction
        middle = (width / 2, height / 2)
        reach = min(
            (width / 2) / abs(dx) if abs(dx) > 1e-6 else float("inf"),
            (height / 2) / abs(dy) if abs(dy) > 1e-6 else float("inf"),
        )
        aside = belt_map.point_px((at_mm, belt_map.middle_y_mm + 10.0))
        foot = belt_map.point_px((at_mm, belt_map.middle_y_mm))
        begin = belt_map.point_mm((middle[0] - reach * dx, middle[1] - reach * dy))[0]
        end = belt_map.point_mm((middle[0] + reach * dx, middle[1] + reach * dy))[0]
        return {
            "across_mm": belt_map.across_mm,
            "view_mm": (min(begin, end), max(begin, end)),
            "line_mm": at_mm,
            "y_down": dx * (aside[1] - foot[1]) - dy * (aside[0] - foot[0]) > 0.0,
            "speed_mm_s": self.config.belt.speed_mm_s,
        }


def _rule(rule: dict[str, Any]) -> dict[str, Any]:
    when = {key: value for key, value in rule["when"].items() if value is not None}
    return {"priority": rule["priority"], "when": when, "to": rule["to"]}
