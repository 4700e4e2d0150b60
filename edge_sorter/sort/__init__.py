"""Parcels in, decisions out: which lane, why, and until when; the plan is data, the router latches once a parcel."""

from edge_sorter.sort.counts import RouterCounts
from edge_sorter.sort.deadline import budget_ms, deadline_ns
from edge_sorter.sort.plan import Explained, SortPlan, check_plan, load_plan
from edge_sorter.sort.plan_parts import Lane, Rule
from edge_sorter.sort.plan_switch import PlanStatus
from edge_sorter.sort.plc_items import PlcItems, open_items
from edge_sorter.sort.router import Router

__all__ = [
    "Explained",
    "Lane",
    "PlanStatus",
    "PlcItems",
    "Router",
    "RouterCounts",
    "Rule",
    "SortPlan",
    "budget_ms",
    "check_plan",
    "deadline_ns",
    "load_plan",
    "open_items",
]
