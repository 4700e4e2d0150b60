"""`edge-sorter plan check|explain` as a person meets it: real processes, exit codes, what is printed."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

HUB = "configs/plans/hub.yaml"
DPD = "%007017301234567890123100276"


def plan(root, *args, timeout_s=120):
    command = [sys.executable, "-m", "edge_sorter", "plan", *map(str, args)]
    return subprocess.run(command, capture_output=True, text=True, timeout=timeout_s, check=False, cwd=root)


def explained(root, *args):
    done = plan(root, "explain", HUB, *args, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_check_lists_lanes_and_rules_in_the_order_they_are_asked(root):
    done = plan(root, "check", HUB, "-c", "configs/demo/line.yaml", "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["plan"].startswith("hub-night#") and found["rev"] == 12
    assert [rule["id"] for rule in found["rules"]][:4] == ["dangerous", "damaged", "rolls", "long"]
    assert [rule["rank"] for rule in found["rules"]] == sorted(rule["rank"] for rule in found["rules"])
    assert {lane["id"]: lane["action"] for lane in found["lanes"]}["LOOP"] == "RECIRC"
    assert found["warnings"] == []
    text = plan(root, "check", HUB).stdout
    assert "all full: OVF" in text and "S22" in text and "400 mm/s" in text


def test_check_lists_every_mistake_with_its_line_and_fails(root, tmp_path):
    bad = tmp_path / "bad.yaml"
    text = (root / HUB).read_text(encoding="utf-8")
    bad.write_text(text.replace("to: AT1", "to: AT2").replace("class: tube", "class: tub").replace("default: NR", ""))
    done = plan(root, "check", bad, "-c", "configs/demo/line.yaml")
    assert done.returncode == 78
    lines = [line for line in done.stderr.splitlines() if line.startswith("  - ")]
    assert len(lines) == 3 and all("line " in line for line in lines)
    assert "did you mean 'AT1'?" in done.stderr and "did you mean 'tube'?" in done.stderr


def test_check_warns_of_what_looks_like_an_oversight(root, tmp_path):
    path = tmp_path / "odd.yaml"
    path.write_text(
        "id: odd\nlanes: [{id: A, plc: 1}, {id: B, plc: 2, kind: recirc}, {id: C, plc: 3}]\n"
        "groups: [{id: G, lanes: [A]}]\n"
        "codes: [{id: c, regex: '(?P<depot>.*)'}]\n"
        "rules: [{id: r, when: {class: x}, to: B, cutoff: '18:00'}, {id: d, priority: 900, to: A, reason: DG}]\n"
        "default: A\nexception: A\n"
    )
    done = plan(root, "check", path, "--json")
    warnings = " / ".join(json.loads(done.stdout)["warnings"])
    for said in (
        "default and exception are the same lane A",
        "default lane A asks the PLC to DIVERT",
        "no overflow",
        "group G is named by no rule",
        "no rule sends anything to C",
        "parcels may go round by B without end",
        "after 18:00 its parcels go to the default lane",
        "rule d is about dangerous goods: it is asked before r",
        "code entry c gives depot, which no rule asks for",
    ):
        assert said in warnings


@pytest.mark.parametrize(
    ("args", "lane", "reason", "rule"),
    [
        (["--code", DPD], "S21", "PLAN_MATCH", "south"),
        (["--code", DPD, "--lane-full", "S21"], "S22", "PLAN_MATCH", "south"),
        (["--code", DPD, "--lane-full", "S21", "--lane-full", "S22"], "LOOP", "ALT_LANE_FULL", "south"),
        (["--code", DPD, "--rounds", "4"], "HOSP", "RECIRC_LIMIT", None),
        (["--code", DPD.replace("100276", "101276"), "--at", "23:29"], "EXP", "PLAN_MATCH", "express"),
        (["--code", DPD.replace("100276", "101276"), "--at", "1:30"], "OVF", "CUTOFF_PASSED", "express"),
        (["--code", "RR473124829DE"], "POST", "PLAN_MATCH", "post"),
        (["--code", "GS1-128:0034012345000000001842070173"], "S21", "PLAN_MATCH", "south"),
        (["--code", "GS1-128:42020095"], "N11", "PLAN_MATCH", "north"),
        (["--code", "GS1-128:42070173", "--code", "GS1-QRCode:42020095"], "HOSP", "MULTI_LABEL_CONFLICT", None),
        (["--code", "whatever"], "NR", "UNKNOWN_DEST", None),
        ([], "NR", "NO_READ", None),
        (["--class", "sack"], "BAGS", "NO_READ", "bags"),
        (["--class", "sack", "--confidence", "0.3"], "HOSP", "LOW_CONF", None),
        (["--class", "sack", "--confidence", "0.3", "--flag", "DG"], "DGL", "DG", "dangerous"),
        (["--size", "1300x200"], "HAND", "OVERSIZE", "long"),
        (["--size", "1300x200", "--lane-full", "HAND"], "HOSP", "OVERSIZE", "long"),
        (["--size", "300x200x100", "--weight", "40000"], "HAND", "OVERSIZE", "heavy"),
    ],
)
def test_explain_says_where_a_parcel_goes(root, args, lane, reason, rule):
    found = explained(root, *args)
    assert (found["lane"], found["reason"], found["rule"]) == (lane, reason, rule)
    assert sum(answer["takes"] for answer in found["rules"]) == (rule is not None)
    assert all(answer["why"] for answer in found["rules"]) and len(found["rules"]) == 11


def test_explain_in_words(root):
    text = " ".join(plan(root, "explain", HUB, "--code", DPD, "--lane-full", "S21").stdout.split())
    assert "the codes say: carrier DPD, postcode 0070173" in text
    assert "lanes: S21 FULL, S22 OPEN" in text
    assert "DIVERT S22 (PLC lane 22), then LOOP, OVF: PLAN_MATCH, by rule south of hub-night#" in text


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (["--size", "big"], "300x200"),
        (["--lane-full", "S99"], "is no lane of hub-night"),
        (["--flag", "BROKEN"], "is no flag"),
        (["--at", "25:00"], "as 18:30"),
    ],
)
def test_explain_names_what_it_does_not_understand(root, args, says):
    done = plan(root, "explain", HUB, *args)
    assert done.returncode == 2 and says in " ".join(done.stderr.replace("│", " ").split())
