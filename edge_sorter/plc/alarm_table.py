"""Every alarm this program can raise: how urgent, what it says, and what to do about it. All of these words are here.

Severity: 1 parcels go to the wrong place or nowhere, 2 the line runs without vision, 3 it runs with less, 4 look soon.
"""

from __future__ import annotations

from typing import NamedTuple


class AlarmText(NamedTuple):
    """One row."""

    severity: int
    text: str
    advice: str


ALARMS: dict[str, AlarmText] = {
    "CAM_LOST": AlarmText(
        2, "The camera sends no pictures", "Check its cable, power and network; it is reopened by itself"
    ),
    "CAM_FROZEN": AlarmText(2, "The camera repeats one picture", "Restart the camera"),
    "CAM_DARK": AlarmText(2, "The picture is black", "Check the lamp and the lens cap"),
    "CAM_STALE": AlarmText(
        2, "Pictures arrive too late to be used", "Check the network to the camera and the load here"
    ),
    "ENCODER_LOST": AlarmText(2, "The belt moves and the encoder does not count", "Check the encoder and plc/enc"),
    "ENCODER_REVERSED": AlarmText(2, "The encoder counts backwards", "Check its direction in the PLC"),
    "ENCODER_SLIP": AlarmText(
        2, "Encoder and picture disagree on the belt's speed", "Check wheel, mm_per_count, calibration"
    ),
    "MODEL_FAILED": AlarmText(
        2, "The model or its engine failed", "See the log; restart, or go back to the last model"
    ),
    "MODEL_REFUSED": AlarmText(
        3, "A new model was not taken; the one before still decides", "Mend what it names, or put detect.model back"
    ),
    "MODEL_ROLLED_BACK": AlarmText(
        2, "A new model did worse; the one before decides again", "Put detect.model back; what it names was taken back"
    ),
    "ENGINE_FALLBACK": AlarmText(
        3, "An inference engine failed and a slower one took over", "Mind the belt speed it names; mend, then restart"
    ),
    "JOURNAL_STOPPED": AlarmText(4, "The journal is not written", "Make room on its disk; it goes on by itself"),
    "EVIDENCE_STOPPED": AlarmText(
        4,
        "Clips and records of exceptions are not kept",
        "Make room on its disk; it goes on by itself",
    ),
    "OVERLOAD": AlarmText(
        3, "Pictures wait too long to be looked at", "Slow the line down; check temperature and load"
    ),
    "PLC_STALE": AlarmText(3, "The PLC gateway's heartbeat is late", "Check the gateway and the network to the broker"),
    "PLC_SILENT": AlarmText(2, "The PLC gateway does not answer", "Check that the gateway and the PLC program run"),
    "BROKER_LOST": AlarmText(
        3, "The broker was lost and found again", "Check the broker and the network if it repeats"
    ),
    "NO_ACK": AlarmText(
        1, "Decisions stay unanswered, also when repeated", "Check the gateway: it must acknowledge each"
    ),
    "KEY_CONFLICT": AlarmText(
        1, "The PLC refused a decision", "See plc/ack: same parcel with other content, or a replay?"
    ),
    "UNVERIFIED": AlarmText(2, "Parcels do not show up at the lane's eye", "Check diverter and photo-eye of the lane"),
    "MISSORT": AlarmText(
        1, "Parcels went to other lanes than decided", "Disable the lane until its diverter was checked"
    ),
    "LATE": AlarmText(2, "Decisions came too late to be sent", "Check load and timing; see docs/plc.md on the budget"),
    "PLAN_REJECTED": AlarmText(
        3, "A sort plan was refused; the one before still sorts", "See plan/status for every mistake"
    ),
    "BAD_INPUT": AlarmText(
        4, "Messages to this program were refused", "See `rejected` in kpi, and the log for the first of each"
    ),
    "CERT_EXPIRES": AlarmText(3, "A TLS certificate ends within 30 days", "Renew it; without it the connection ends"),
    "OUTBOX_FULL": AlarmText(
        3, "Parcel records were dropped, the oldest first", "Make room, or raise plc.outbox.max_mb"
    ),
    "OUTBOX_FAILED": AlarmText(3, "Parcel records cannot be stored", "Check the disk: full, read-only or broken?"),
}
"""Code to what it means. A code that is not here is told as severity 3 with its own name."""


def alarm_text(code: str) -> AlarmText:
    """Return the row of a code; unknown ones explain themselves by name."""
    return ALARMS.get(code, AlarmText(3, code.replace("_", " ").capitalize(), "See the log"))
