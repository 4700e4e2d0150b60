from __future__ import annotations

from pathlib import Path
from textwrap import dedent

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from sorting_world import CLASSES, parcel

from edge_sorter.errors import ConfigError
from edge_sorter.sort import load_plan
from edge_sorter.types import Action, Code

CONFIGS = Path(__file__).parents[2] / "configs"
PLANS = [CONFIGS / "demo" / "plan.yaml", *sorted((CONFIGS / "plans").glob("*.yaml"))]
FRAME = """\
id: night
lanes:
  - {{id: L01, plc: 1}}
  - {{id: L02, plc: 2}}
  - {{id: NR, plc: 98, kind: default}}
  - {{id: HOSP, plc: 99, kind: exception}}
rules:
{rules}
default: NR
exception: HOSP
"""


def brief(name, priority, when="{}", to="L01"):
    return f"{{id: {name}, priority: {priority}, when: {when}, to: {to}}}"


def write(tmp_path, text):
    path = tmp_path / "plan.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def plan_of(tmp_path, *rules):
    text = FRAME.format(rules="\n".join(f"  - {rule}" for rule in rules))
    return load_plan(write(tmp_path, text), classes=CLASSES)


def problems(tmp_path, text, *, calibrated=True):
    with pytest.raises(ConfigError) as caught:
        load_plan(write(tmp_path, text), classes=CLASSES, calibrated=calibrated)
    return caught.value.problems


@pytest.mark.parametrize("path", PLANS, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_shipped_plans_are_whole(path):
    plan = load_plan(path, classes=CLASSES)
    assert plan.name.startswith(f"{plan.id}#")


def code(text, symbology="Code128"):
    return Code(symbology, text, 3)


RULE = "{{id: r, priority: 1, when: {when}, to: L01}}"


@pytest.mark.parametrize(
    ("when", "fits", "fits_not"),
    [
        ("{}", {}, None),
        ("{class: tube}", {"class_name": "tube"}, {"class_name": "carton"}),
        ("{class: [tube, sack]}", {"class_name": "sack"}, {"class_name": "carton"}),
        ("{length_mm: [300, 420]}", {"known_size_mm": (300.0, 1.0)}, {"known_size_mm": (420.0, 1.0)}),
        ("{length_mm: [300, 420]}", {"known_size_mm": (419.9, 1.0)}, {"known_size_mm": (299.9, 1.0)}),
        ("{width_mm: [null, 200]}", {"known_size_mm": (900.0, 199.0)}, {"known_size_mm": (1.0, 200.0)}),
        ("{longest_mm: [400, null]}", {"known_size_mm": (100.0, 400.0)}, {"known_size_mm": (399.0, 100.0)}),
        ("{longest_mm: [0, null]}", {"known_size_mm": (1.0, 1.0)}, {"known_size_mm": None}),
        ("{code: {prefix: [JD, XP]}}", {"codes": (code("XP1"),)}, {"codes": (code("1XP"),)}),
        ("{code: {prefix: JD}}", {"codes": (code("A"), code("JD1"))}, {"codes": ()}),
        ("{code: {range: ['70000', '72999']}}", {"codes": (code("72999-4"),)}, {"codes": (code("73000"),)}),
        ("{code: {range: ['70000', '72999']}}", {"codes": (code("70000"),)}, {"codes": (code("71"),)}),
        ("{code: {regex: '[A-Z]{2}[0-9]+'}}", {"codes": (code("AB12"),)}, {"codes": (code("AB12X"),)}),
        ("{code: {symbology: QRCode}}", {"codes": (code("x", "QRCode"),)}, {"codes": (code("x"),)}),
        (
            "{code: {symbology: QRCode, prefix: A}}",
            {"codes": (code("A", "QRCode"),)},
            {"codes": (code("A"), code("B", "QRCode"))},
        ),
        ("{unread: true}", {"codes": ()}, {"codes": (code("A"),)}),
        ("{unread: false}", {"codes": (code("A"),)}, {"codes": ()}),
        ("{flags: [OVERSIZE, DAMAGED]}", {"flags": ("DAMAGED",)}, {"flags": ("TOUCHES_EDGE",)}),
        (
            "{class: tube, longest_mm: [0, 500]}",
            {"class_name": "tube"},
            {"class_name": "tube", "known_size_mm": (600.0, 90.0)},
        ),
    ],
)
def test_conditions(tmp_path, when, fits, fits_not):
    plan = plan_of(tmp_path, RULE.format(when=when))
    taken = plan.rule_for(parcel(1, 0.0, 0.0, **fits))
    assert taken is not None and taken.id == "r"
    if fits_not is not None:
        left = parcel(1, 0.0, 0.0, **fits_not)
        assert plan.rule_for(left) is None
        assert plan.explain(left)[0].why


def test_lowest_priority_number_is_asked_first_and_explained(tmp_path):
    plan = plan_of(
        tmp_path,
        "{id: late, priority: 9, to: L02}",
        "{id: early, priority: 1, when: {class: carton}, to: [L01, L02]}",
        "{id: bags, priority: 2, when: {class: polybag}, to: L02}",
    )
    rows = plan.explain(parcel(1, 0.0, 0.0))
    assert [(row.rule, row.matched) for row in rows] == [("early", True), ("bags", False), ("late", False)]
    assert rows[0].why == "goes to L01"
    assert "polybag" in rows[1].why
    assert rows[2].why == "an earlier rule took it"


@pytest.mark.parametrize(
    ("lane", "asked"),
    [
        ("{id: L, plc: 1}", Action.DIVERT),
        ("{id: L, plc: 1, kind: recirc}", Action.RECIRC),
        ("{id: L, plc: 1, kind: overflow}", Action.DIVERT),
        ("{id: L, plc: 1, kind: exception}", Action.EXCEPTION),
        ("{id: L, plc: 1, kind: default}", Action.PASS),
        ("{id: L, plc: 1, kind: sort, action: PASS}", Action.PASS),
    ],
)
def test_what_a_lane_asks_of_the_plc(tmp_path, lane, asked):
    plan = load_plan(write(tmp_path, f"id: p\nlanes: [{lane}]\ndefault: L\nexception: L\n"), classes=CLASSES)
    assert plan.lanes[0].asked is asked


def test_name_follows_the_content_not_the_layout(tmp_path):
    one = plan_of(tmp_path, "{id: a, priority: 1, to: L01}")
    same = plan_of(tmp_path, "{to: [L01], priority: 1,   id: a}   # a comment")
    other = plan_of(tmp_path, "{id: a, priority: 2, to: L01}")
    assert one.name == same.name and one.sha256 == same.sha256
    assert one.name != other.name


@pytest.mark.parametrize(
    ("rules", "line", "says"),
    [
        (["{id: a, priority: 1, to: L1}"], 8, "lane 'L1' does not exist; did you mean 'L01'?"),
        (["{id: a, priority: 1, to: [L01, L01]}"], 8, "named twice"),
        (["{id: a, priority: 1, to: []}"], 8, "at least 1 item"),
        (["{id: a, priority: -1, to: L01}"], 8, "greater than or equal to 0"),
        (["{id: a, priority: 1}"], 8, "required key is missing"),
        (["{id: a, priority: 1, to: L01, wen: {}}"], 8, "did you mean 'when'?"),
        (["{id: a, priority: 1, when: {clas: tube}, to: L01}"], 8, "did you mean 'class'?"),
        (["{id: a, priority: 1, when: {class: tubes}, to: L01}"], 8, "no class 'tubes'; did you mean 'tube'?"),
        (["{id: a, priority: 1, when: {class: []}, to: L01}"], 8, "at least 1 item"),
        (["{id: a, priority: 1, when: {length_mm: [9, 3]}, to: L01}"], 8, "minimum 9 must be below maximum 3"),
        (["{id: a, priority: 1, when: {length_mm: [null, null]}, to: L01}"], 8, "a minimum, a maximum or both"),
        (["{id: a, priority: 1, when: {length_mm: [.nan, 3]}, to: L01}"], 8, "finite number"),
        (["{id: a, priority: 1, when: {code: {regex: '(['}}, to: L01}"], 8, "not a regular expression"),
        (["{id: a, priority: 1, when: {code: {range: ['1', '22']}}, to: L01}"], 8, "equally long"),
        (["{id: a, priority: 1, when: {code: {}}, to: L01}"], 8, "at least one of regex"),
        (["{id: a, priority: 1, to: L01, reason: LATE}"], 8, "PLAN_MATCH"),
        (
            [brief("a", 1, "{class: tube}"), brief("a", 2)],
            9,
            "'a' is already taken by entry 1 of rules",
        ),
        (
            [brief("a", 1, "{class: [tube, sack]}"), brief("b", 1, "{class: sack}")],
            9,
            "share priority 1",
        ),
        (
            [brief("a", 1, "{class: tube}"), brief("b", 1, "{width_mm: [0, 9]}")],
            9,
            "share priority 1",
        ),
        ([brief("a", 1), brief("b", 2, "{class: tube}")], 9, "never reached"),
        (
            [brief("a", 2, "{class: tube, length_mm: [5, 6]}"), brief("b", 1, "{class: tube}")],
            8,
            "rule 'a' is never reached: 'b'",
        ),
        (
            [brief("a", 1, "{class: [carton, polybag, mailer, tube, sack]}"), brief("b", 2)],
            9,
            "never reached",
        ),
        (
            [brief("a", 1, "{code: {prefix: JD}}"), brief("b", 2, "{code: {prefix: [JD1, JDX]}}")],
            9,
            "never reached",
        ),
    ],
)
def test_mistakes_in_rules_are_named_with_their_line(tmp_path, rules, line, says):
    found = problems(tmp_path, FRAME.format(rules="\n".join(f"  - {rule}" for rule in rules)))
    assert any(problem.startswith(f"line {line},") and says in problem for problem in found), found


@pytest.mark.parametrize(
    "rules",
    [
        [brief("a", 1, "{class: tube}"), brief("b", 1, "{class: sack}")],
        [brief("a", 1, "{length_mm: [0, 5]}"), brief("b", 1, "{length_mm: [5, 9]}")],
        [brief("a", 1, "{unread: true}"), brief("b", 1, "{code: {prefix: A}}")],
        [brief("a", 1, "{code: {prefix: A}}"), brief("b", 1, "{code: {prefix: [B, C]}}")],
        [brief("a", 1, "{code: {range: ['100', '199']}}"), brief("b", 1, "{code: {range: ['20', '29']}}")],
        [brief("a", 1, "{class: tube, length_mm: [5, 6]}"), brief("b", 2, "{class: tube}")],
        [brief("a", 1, "{class: tube}"), brief("b", 2)],
        [brief("a", 1, "{flags: OVERSIZE}"), brief("b", 2, "{class: tube}")],
    ],
)
def test_rules_that_can_live_together(tmp_path, rules):
    assert len(plan_of(tmp_path, *rules).rules) == 2


@pytest.mark.parametrize(
    ("text", "line", "says"),
    [
        ("id: p\nlanes: [{id: A, plc: 1}]\nexception: A\n", 1, "default: required key is missing"),
        ("id: p\nlanes: [{id: A, plc: 1}]\ndefault: A\n", 1, "exception: required key is missing"),
        ("id: p\nlanes: [{id: A, plc: 1}]\ndefault: B\nexception: A\n", 3, "lane 'B' does not exist"),
        ("id: p\nlanes: []\ndefault: A\nexception: A\n", 2, "at least 1 item"),
        ("id: p\nlanes:\n- {id: A, plc: 1}\n- {id: A, plc: 2}\ndefault: A\nexception: A\n", 4, "already taken"),
        ("id: p\nlanes:\n- {id: A, plc: 1}\n- {id: B, plc: 1}\ndefault: A\nexception: A\n", 4, "1 is already taken"),
        ("id: p\nlanes: [{id: A, plc: 70000}]\ndefault: A\nexception: A\n", 2, "65535"),
        ("id: 'a b'\nlanes: [{id: A, plc: 1}]\ndefault: A\nexception: A\n", 1, "match pattern"),
        ("id: p\nlanes: [{id: A, plc: 1}]\ndefault: A\nexception: A\nmore: 1\n", 5, "unknown key"),
        ("id: p\nlanes: nonsense\nrules: 5\ndefault: [A]\nexception: {b: 1}\n", 2, "valid tuple"),
    ],
)
def test_mistakes_in_the_frame_are_named_with_their_line(tmp_path, text, line, says):
    found = problems(tmp_path, text)
    assert any(problem.startswith(f"line {line},") and says in problem for problem in found), found


def test_size_rules_need_a_calibrated_belt(tmp_path):
    text = FRAME.format(rules="  - {id: a, priority: 1, when: {length_mm: [1, 2]}, to: L01}")
    (problem,) = problems(tmp_path, text, calibrated=False)
    assert problem.startswith("line 8,") and "calibration" in problem


def test_classes_are_not_checked_when_the_model_is_unknown(tmp_path):
    text = FRAME.format(rules="  - {id: a, priority: 1, when: {class: dragon}, to: L01}")
    assert load_plan(write(tmp_path, text), classes=None).rules[0].when.classes == ("dragon",)


def test_all_mistakes_come_at_once(tmp_path):
    text = dedent(
        """\
        id: bad
        lanes:
          - {id: L01, plc: 1}
          - {id: L02, plc: 2, kind: sorta}
        rules:
          - {id: a, priority: 1, when: {class: cartn}, to: L9}
          - {id: b, priority: 2, when: {code: {regex: "(["}}, to: L02}
          - {id: c, priority: 3, to: L01}
          - {id: d, priority: 4, when: {length_mm: [1, 2]}, to: L01}
        default: L01
        """
    )
    lines = [problem.split(",")[0] for problem in problems(tmp_path, text, calibrated=False)]
    assert lines == ["line 1", "line 4", "line 6", "line 6", "line 7", "line 9", "line 9"]


def test_braces_in_names_come_out_as_written(tmp_path):
    (problem,) = problems(tmp_path, FRAME.format(rules='  - {id: a, priority: 1, to: "{x} {}"}'))
    assert "lane '{x} {}' does not exist" in problem


PIECES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6) | st.sampled_from(["L01", "tube"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["id", "plc", "kind", "priority", "when", "to", "class", "code", "range", "prefix", "length_mm"]
            ),
            inner,
            max_size=5,
        )
    ),
    max_leaves=12,
)


@settings(max_examples=150, deadline=None)
@given(
    st.fixed_dictionaries(
        {},
        optional={
            "id": PIECES,
            "lanes": PIECES | st.lists(PIECES, max_size=3),
            "rules": PIECES | st.lists(PIECES, max_size=3),
            "default": PIECES,
            "exception": PIECES,
        },
    )
)
def test_no_content_of_a_plan_file_does_anything_but_fit_or_be_explained(tmp_path_factory, content):
    path = tmp_path_factory.mktemp("plan") / "plan.yaml"
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    try:
        load_plan(path, classes=CLASSES)
    except ConfigError as error:
        assert error.problems or "plan" in str(error)
