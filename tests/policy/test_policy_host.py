"""Failure policy, row 19: a host that answers in time, late, or not at all; judged by what the PLC side saw.

A scanner reads every parcel of the journal's line, the sorter asks the host by that code, and the test is the host.
"""

from __future__ import annotations

import time
from itertools import count

import pytest
import yaml
from golden_line import CAMERA_MM, ROOT, GoldenLine, config_with, encoder
from journal_line import ROUND_S, Belt, playing
from mosquitto import wait_until
from plc_side import PlcSide

from edge_sorter.config import IdentifySection
from edge_sorter.types import SortDecision

pytestmark = [pytest.mark.broker, pytest.mark.slow]

SCANNER_MM, LINE_MM = 200.0, 1140.0
BAD_CHECK_DIGIT = "RR473124820DE"


class Scanner:
    """Reads a code on every parcel as it passes; the codes are numbered, unless `reads` says another."""

    def __init__(self, plc: PlcSide, parcels: list[SortDecision], zero_s: float) -> None:
        self.reads: str | None = None
        self._plc, self._zero_s = plc, zero_s
        middles = sorted((parcel.position.lead_mm + parcel.position.trail_mm) / 2.0 for parcel in parcels)
        self._passes_mm = (mm - (LINE_MM - SCANNER_MM) + 1000 * ROUND_S * turn for turn in count() for mm in middles)
        self._next_mm, self._number = next(self._passes_mm), 0

    def look(self) -> None:
        while time.monotonic() > self._zero_s + (self._next_mm + 40.0) / 1000:
            self._number += 1
            text = self.reads or f"JD{self._number:06d}"
            at_s = self._zero_s + self._next_mm / 1000
            codes = [{"aim": "]C0", "text": text}]
            self._plc.say("scan/read", {"scanner": "top1", "enc_cnt": Belt.count(at_s), "codes": codes})
            self._next_mm = next(self._passes_mm)


class Host:
    """Answers what it is asked, in `mood`: prompt, slow (only when the parcel is decided), silent."""

    def __init__(self, plc: PlcSide) -> None:
        self.mood, self.flags = "prompt", []
        self._plc, self._seen = plc, 0
        self._open: list[str] = []

    def look(self) -> None:
        asked, self._seen = self._plc.asked[self._seen :], len(self._plc.asked)
        self._open += [question["code"] for question in asked]
        decided = {code["text"] for _, decision in self._plc.decisions for code in decision.get("codes", ())}
        for code in list(self._open):
            if self.mood == "prompt" or (self.mood == "slow" and code in decided):
                self._open.remove(code)
                answer = {"code": code, "result": "FOUND", "keys": {"depot": "0176"}, "flags": self.flags}
                self._plc.say("wcs/route", answer)


@pytest.fixture
def config(tmp_path):
    plan = yaml.safe_load((ROOT / "configs/demo/plan.yaml").read_text())
    plan["host"] = {"gives": ["depot"]}
    plan["rules"] = [
        {"id": "dg", "when": {"flags": "DG"}, "to": "NC", "reason": "DG"},
        {"id": "depot", "when": {"depot": "01*"}, "to": "L02"},
    ]
    path = tmp_path / "plan.yaml"
    path.write_text(yaml.safe_dump(plan))
    config = config_with(encoder={"source": "mqtt", "mm_per_count": 0.5}, camera_mm=CAMERA_MM)
    identify = IdentifySection.model_validate({"scanners": {"top1": {"at_mm": SCANNER_MM}}})
    sort = config.sort.model_copy(update={"plan": path})
    return config.model_copy(update={"identify": identify, "sort": sort})


def test_row_19_the_host_in_time_late_and_silent(broker, config) -> None:
    steady = encoder(lambda at_s: 1000.0 * at_s)
    parcels = GoldenLine(config_with(encoder={"source": "mqtt", "mm_per_count": 0.5})).play(steady).decisions
    with playing(broker, config) as (plc, _, zero_s):
        scanner, host = Scanner(plc, parcels, zero_s), Host(plc)

        def wait_for(what: str, **fields: object) -> dict:
            """Wait for a new decision that says this."""
            seen = len(plc.decisions)

            def found() -> list[dict]:
                new = [decision for _, decision in plc.decisions[seen:]]
                return [d for d in new if all(d.get(key) == value for key, value in fields.items())]

            wait_until(found, timeout_s=60, what=what, meanwhile=lambda: (scanner.look(), host.look()))
            return found()[0]

        wait_for("told in time", rev=0, reason="PLAN_MATCH", rule="depot", lane="L02")

        host.mood = "silent"
        alone = wait_for("told nothing", rev=0, reason="NO_DATA", lane="NR", action="PASS")

        host.mood = "slow"
        late = wait_for("told after the line", rev=1, reason="PLAN_MATCH", rule="depot", lane="L02")
        first = next(d for _, d in plc.decisions if (d["parcel_uid"], d["rev"]) == (late["parcel_uid"], 0))
        assert (first["reason"], first["lane"]) == ("NO_DATA", "NR")
        wait_until(lambda: plc.acted[late["parcel_uid"]] == "L02", timeout_s=20, what="the PLC takes the revision")

        host.mood, host.flags = "prompt", ["DG", "SOMETHING_NEW"]
        booked = wait_for("booked as dangerous", rev=0, reason="DG", lane="NC")
        assert booked["flags"] == ["DG"]

        scanner.reads = BAD_CHECK_DIGIT
        wait_for("a wrong check digit", rev=0, reason="CHECK_FAIL", lane="NR")
        assert BAD_CHECK_DIGIT not in {question["code"] for question in plc.asked}

        assert plc.acted[alone["parcel_uid"]] in ("NR", "L02"), "L02: the host spoke before its point of no return"
        assert plc.acted_late == 0
        assert set(plc.actions.values()) == {1}
