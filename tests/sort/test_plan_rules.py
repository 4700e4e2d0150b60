"""The order of rules without a priority, and the mistakes that route keys, groups and limits can be part of."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sorting_world import CLASSES

from edge_sorter.errors import ConfigError
from edge_sorter.sort import check_plan
from edge_sorter.sort.plan_overlap import apart, neighbours
from edge_sorter.sort.plan_parts import When
from edge_sorter.types import PARCEL_FLAGS

LANES = [{"id": f"L{n}", "plc": n} for n in range(1, 5)] + [
    {"id": "NR", "plc": 98, "kind": "default"},
    {"id": "HOSP", "plc": 99, "kind": "exception"},
]
CODES = [{"id": "c", "regex": "(?P<country>[A-Z]{2})(?P<postcode>[0-9]+)(?P<service>[A-Z])?", "set": {"carrier": "X"}}]
FRAME = {"id": "p", "lanes": LANES, "codes": CODES, "default": "NR", "exception": "HOSP"}


def plan(*rules, **more):
    named = [{"id": f"r{index}", "to": "L1", **rule} for index, rule in enumerate(rules)]
    return check_plan({**FRAME, "rules": named, **more}, source="test", classes=CLASSES)


def problems(*rules, **more):
    with pytest.raises(ConfigError) as caught:
        plan(*rules, **more)
    return caught.value.problems


def when(**conditions):
    return {"when": conditions}


def test_rules_without_a_priority_are_asked_the_gravest_first():
    asked = plan(
        when(),
        when(unread=True),
        when(weight_g=[5000, None]),
        when(**{"class": "tube"}),
        when(postcode="7*"),
        when(carrier="X", postcode="8*"),
        when(service="E", carrier="X"),
        {**when(flags="WET"), "to": "HOSP"},
        {**when(flags="DG"), "reason": "DG"},
    )
    assert [rule.id for rule in asked.ordered] == [f"r{n}" for n in range(8, -1, -1)]
    assert [rule.rank for rule in asked.ordered] == [100, 200, 300, 400, 500, 600, 700, 800, 900]


def test_a_priority_given_goes_before_the_order_of_gravity():
    asked = plan({**when(), "priority": 950}, {**when(**{"class": "tube"}), "priority": 5}, when(flags="DG"))
    assert [rule.id for rule in asked.ordered] == ["r1", "r2", "r0"]


@pytest.mark.parametrize(
    ("rules", "more", "says"),
    [
        ([{"to": "S"}], {}, "rules.0.to.0: lane 'S' does not exist"),
        ([{"to": "L1", "overflow": "OV"}], {}, "rules.0.overflow: lane 'OV' does not exist"),
        ([{"to": "L1", "cutoff": "18:30", "late_to": "L9"}], {}, "rules.0.late_to.0: lane 'L9' does not exist"),
        ([{"to": "L1", "late_to": "L2"}], {}, "late_to needs cutoff"),
        ([{"to": "L1", "cutoff": "25:00"}], {}, "rules.0.cutoff: write it as"),
        ([{"to": "L1", "cutoff": 1110}], {}, "rules.0.cutoff: Input should be a valid string"),
        ([], {"overflow": "OV"}, "overflow: lane 'OV' does not exist"),
        ([], {"groups": [{"id": "L1", "lanes": ["L2"]}]}, "'L1' is already the name of a lane"),
        ([], {"groups": [{"id": "S", "lanes": ["L2", "L2"]}]}, "lane 'L2' is named twice"),
        ([], {"groups": [{"id": "S", "lanes": ["L7"]}]}, "lane 'L7' does not exist"),
        ([], {"groups": [{"id": "S", "lanes": ["L1"]}] * 2}, "'S' is already taken by entry 1 of groups"),
        ([], {"recirculate": {"limit": 3}}, "recirculate.loop_s: required key is missing"),
        ([], {"codes": [{"id": "c", "regex": "(?P<zip>.*)"}]}, "'zip': route keys are carrier"),
        ([], {"codes": [{"id": "c", "regex": "x"}]}, "gives no route key"),
        ([], {"codes": [{"id": "c", "key": "tracking"}]}, "at least one of regex"),
        ([], {"codes": [{"id": "c", "regex": "(a+)+", "key": "tracking"}]}, "could take minutes"),
        ([], {"day_starts": "4:00"}, 'write it as "18:30"'),
        ([when(depot="0163")], {}, "no entry of `codes` gives a depot"),
        ([when(postcode="70000..7")], {}, "two equally long starts"),
        ([when(flags="DAMAGE")], {}, "there is no flag 'DAMAGE'; did you mean 'DAMAGED'?"),
        ([when(weight_g=[9, 3])], {}, "minimum 9 must be below maximum 3"),
        ([when(unread=True, country="DE")], {}, "no parcel can meet this: it asks for a code and for none"),
        ([when(longest_mm=[0, 300], width_mm=[300, None])], {}, "no parcel can meet this: its longest side"),
        ([when(country="DE"), {**when(country=["DE", "AT"])}], {}, "share priority 500"),
        ([when(postcode="7*"), when(postcode="70000..70999")], {}, "share priority 500"),
        ([{**when(postcode="7*"), "priority": 1}, when(postcode="70000..70999")], {}, "'r1' is never reached: 'r0'"),
        ([{**when(carrier="X"), "priority": 1}, when(carrier="X", country="DE")], {}, "'r1' is never reached: 'r0'"),
        ([{**when(unread=False), "priority": 1}, when(country="DE")], {}, "'r1' is never reached: 'r0'"),
        ([{**when(weight_g=[None, 900]), "priority": 1}, when(weight_g=[5, 10])], {}, "'r1' is never reached: 'r0'"),
    ],
)
def test_mistakes_are_named_with_their_place(rules, more, says):
    found = problems(*rules, **more)
    assert any(says in problem for problem in found), found


@pytest.mark.parametrize(
    "rules",
    [
        [when(country="DE"), when(country="AT")],
        [when(postcode="70000..72999"), when(postcode="73*")],
        [when(unread=True, longest_mm=[0, 9]), {**when(country="DE"), "priority": 800}],
        [{**when(longest_mm=[0, 300]), "priority": 1}, {**when(width_mm=[300, None]), "priority": 1}],
        [{**when(carrier="X", country="DE"), "priority": 1}, when(carrier="X")],
    ],
)
def test_rules_that_can_live_together(rules):
    assert len(plan(*rules).rules) == 2


def test_a_document_is_explained_without_lines():
    assert problems(when(clas="tube"), id="a b") == (
        "id: String should match pattern '^[A-Za-z0-9][A-Za-z0-9_.-]{0,31}$' (found 'a b')",
        "rules.0.when.clas: unknown key; did you mean 'class'?",
    )


def test_the_digest_does_not_change_with_what_is_left_at_its_default():
    plain, spelled = plan(when()), plan({**when(), "reason": "PLAN_MATCH"}, rev=0, groups=[], day_starts="00:00")
    assert plain.name == spelled.name != plan(when(), rev=1).name


def test_every_flag_that_identify_sets_is_known_to_plans(root):
    text = (root / "edge_sorter/identify/parcel.py").read_text(encoding="utf-8")
    assert set(PARCEL_FLAGS) >= {word for word in ("CODE_CONFLICT", "TOUCHES_EDGE") if word in text} != set()


BANDS = st.tuples(st.integers(0, 6), st.integers(1, 6)).map(lambda p: [p[0], p[0] + p[1]])
WHENS = st.fixed_dictionaries(
    {},
    optional={
        "postcode": st.lists(st.sampled_from(["1", "1*", "12", "12*", "10..19", "2*", "20..39", "3"]), min_size=1),
        "country": st.lists(st.sampled_from(["DE", "AT", "D*", "A*"]), min_size=1, max_size=2),
        "length_mm": BANDS,
        "class": st.lists(st.sampled_from(CLASSES), min_size=1, max_size=3),
    },
)


@settings(max_examples=200, deadline=None)
@given(st.lists(WHENS, min_size=1, max_size=8))
def test_only_rules_that_are_apart_are_no_neighbours(found):
    whens = [When.model_validate(when) for when in found]
    for index, others in enumerate(neighbours(whens)):
        assert others == sorted(set(others)) and all(other < index for other in others)
        assert all(apart(whens[index], whens[other]) for other in range(index) if other not in others)


def test_a_plan_of_a_thousand_postcodes_is_checked_in_a_moment():
    began = time.process_time()
    plan(*({"when": {"postcode": f"{10_000 + 50 * n}..{10_049 + 50 * n}"}} for n in range(1000)))
    assert time.process_time() - began < 3.0
