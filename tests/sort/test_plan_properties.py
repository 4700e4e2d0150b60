"""Whatever a plan file holds, and whatever parcel meets a valid plan: explained or applied, never anything else."""

from __future__ import annotations

import json

import pytest
import yaml
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from sorting_world import CLASSES, feed, make_belt, make_router, parcel

from edge_sorter.config import SortSection
from edge_sorter.errors import ConfigError
from edge_sorter.events import Flush, LaneReport, LaneStatus, LineReport, PlanOffer, WallTime
from edge_sorter.sort import check_plan, load_plan
from edge_sorter.sort.lane_board import TAKING
from edge_sorter.sort.lane_choice import choose
from edge_sorter.sort.verdict import Evidence, judge
from edge_sorter.types import PARCEL_FLAGS, Code, Reason

LANES = ["L1", "L2", "L3", "L4"]
PLACES_MM = [1500, 2500, 600, 5000]
ENDS = [*LANES, "NR", "HOSP"]
ALL = [
    *({"id": name, "plc": plc, "divert_mm": mm} for plc, (name, mm) in enumerate(zip(LANES, PLACES_MM, strict=True))),
    {"id": "NR", "plc": 98, "kind": "default"},
    {"id": "HOSP", "plc": 99, "kind": "exception"},
]
TARGETS = st.lists(st.sampled_from([*ENDS, "G", "H"]), min_size=1, max_size=4, unique=True)
CODES = [
    {"id": "own", "regex": "(?P<country>[A-Z]{2})(?P<postcode>[0-9]{2,5})", "set": {"carrier": "OWN"}},
    {"id": "gs1", "ai": "420", "key": "postcode"},
    {"id": "rest", "prefix": "Z", "key": "tracking"},
]
BAND = st.tuples(st.sampled_from([None, 0, 100, 300]), st.sampled_from([None, 200, 301, 900])).filter(
    lambda band: (band != (None, None) and None in band) or (band[0] or 0) < (band[1] or 0)
)
WHEN = st.fixed_dictionaries(
    {},
    optional={
        "class": st.lists(st.sampled_from(CLASSES), min_size=1, max_size=2, unique=True),
        "flags": st.lists(st.sampled_from(sorted(PARCEL_FLAGS)), min_size=1, max_size=2, unique=True),
        "length_mm": BAND,
        "longest_mm": BAND,
        "weight_g": BAND,
        "postcode": st.lists(st.sampled_from(["7*", "70000..72999", "10115"]), min_size=1, max_size=2),
        "country": st.sampled_from(["DE", "A*"]),
        "carrier": st.just("OWN"),
        "code": st.sampled_from([{"prefix": "DE7"}, {"symbology": "QRCode"}, {"ai": "420"}, {"regex": "[A-Z]+"}]),
        "unread": st.booleans(),
    },
)
RULE = st.fixed_dictionaries(
    {"when": WHEN, "to": TARGETS},
    optional={
        "overflow": st.sampled_from(ENDS),
        "reason": st.sampled_from(["PLAN_MATCH", "DG", "DAMAGED", "OVERSIZE"]),
        "cutoff": st.sampled_from(["00:00", "12:00", "23:59"]),
    },
)
PLANS = st.fixed_dictionaries(
    {"rules": st.lists(RULE, max_size=4)},
    optional={
        "overflow": st.sampled_from(ENDS),
        "recirculate": st.fixed_dictionaries({"limit": st.integers(0, 2), "loop_s": st.just(100.0)}),
        "day_starts": st.sampled_from(["04:00", "12:00"]),
    },
)
GROUPS = [
    {"id": "G", "lanes": ["L1", "L2"], "pick": "round_robin"},
    {"id": "H", "lanes": ["L3", "L4", "L1"], "pick": "least_full"},
]
PARCELS = st.fixed_dictionaries(
    {},
    optional={
        "class_name": st.sampled_from(CLASSES),
        "share": st.floats(0.0, 1.0),
        "hits": st.integers(1, 9),
        "known_size_mm": st.none() | st.tuples(st.floats(1.0, 2000.0), st.floats(1.0, 2000.0)),
        "flags": st.lists(st.sampled_from(sorted(PARCEL_FLAGS)), max_size=3, unique=True).map(tuple),
        "codes": st.lists(
            st.tuples(
                st.sampled_from(["Code128", "QRCode", "GS1-128"]),
                st.sampled_from(["DE70173", "AT1010", "42010115", "Z1", "ABC", ""]) | st.text(max_size=12),
            ).map(lambda pair: Code(*pair)),
            max_size=3,
        ).map(tuple),
    },
)
STATES = st.dictionaries(st.sampled_from(ENDS), st.sampled_from(list(LaneStatus)), max_size=6)


def valid(content):
    """The content as a plan, its rules one after the other; what contradicts itself is another test's matter."""
    rules = [{"id": f"r{n}", "priority": n, **rule} for n, rule in enumerate(content["rules"])]
    document = {
        **content,
        "id": "p",
        "lanes": ALL,
        "groups": GROUPS,
        "codes": CODES,
        "rules": rules,
        "default": "NR",
        "exception": "HOSP",
    }
    while True:
        try:
            return check_plan(document, source="test", classes=CLASSES)
        except ConfigError as error:
            named = {int(problem.split(".")[1]) for problem in error.problems if problem.startswith("rules.")}
            assume(named)
            document["rules"] = [rule for n, rule in enumerate(document["rules"]) if n not in named]


@settings(max_examples=300, deadline=None)
@given(PLANS, PARCELS, STATES, st.integers(0, 4), st.none() | st.floats(0.0, 86_399.0), st.booleans())
def test_every_parcel_gets_one_lane_that_can_take_it_or_an_end_of_the_plan(
    content, look, states, rounds, local_s, lost
):
    plan = valid(content)
    one = parcel(1, 0.0, 0.0, **look)
    section = SortSection(plan="unused", doubles="exception")
    wish = judge(Evidence(one, lost=lost), plan.facts(one), plan=plan, section=section, rounds=rounds, local_s=local_s)
    verdict = choose(
        wish,
        plan=plan,
        takes=lambda lane: states.get(lane.id, LaneStatus.OPEN) in TAKING,
        order=lambda group: group.lanes,
    )
    for name in (verdict.lane.id, *verdict.alternates):
        assert name in ("NR", "HOSP") or states.get(name, LaneStatus.OPEN) in TAKING
    assert verdict.lane.id not in verdict.alternates and len(set(verdict.alternates)) == len(verdict.alternates)
    assert isinstance(verdict.reason, Reason) and (verdict.rule is None) == (wish.rule is None)
    rows = plan.explain(one)
    matched = [row.rule for row in rows if row.matched]
    rule = plan.rule_for(one)
    assert matched == ([] if rule is None else [rule.id]) and all(row.why for row in rows)


EVENTS = st.one_of(
    st.tuples(st.just("parcel"), PARCELS),
    st.tuples(st.just("lane"), st.sampled_from([*ENDS, "X9"]), st.sampled_from(list(LaneStatus))),
    st.tuples(st.just("flush"), st.sampled_from(["STOP_FLUSH", "MANUAL", ""])),
    st.tuples(st.just("line"), st.sampled_from(["STOPPED", "EXECUTE"])),
    st.tuples(st.just("wall"), st.integers(0, 86_399)),
    st.tuples(st.just("plan"), PLANS | st.just({}), st.sampled_from(["NOW", "NEXT_GAP", "AT", "?"])),
)


def event_of(at_ns, kind, *values):
    if kind == "lane":
        return LaneReport(at_ns, *values)
    if kind == "flush":
        return Flush(at_ns, *values)
    if kind == "line":
        return LineReport(at_ns, *values)
    if kind == "wall":
        return WallTime(at_ns, values[0] * 10**9)
    document = {"id": "q", **values[0], "default": "NR", "exception": "HOSP", "codes": CODES, "groups": GROUPS}
    return PlanOffer(at_ns, document, values[1], at_ns + 500_000_000)


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(PLANS, st.lists(EVENTS, max_size=14), st.sampled_from(["assume_open", "plc"]), st.sampled_from([0.0, 5000.0]))
def test_any_day_of_a_line_gives_each_parcel_one_decision_and_revisions_in_order(content, day, source, min_gap_mm):
    plan = valid(content)
    belt = make_belt()
    states = {"source": source, "ttl_s": 3.0}
    router = make_router(belt, plan=plan, classes=CLASSES, lane_states=states, min_gap_mm=min_gap_mm)
    messages, crossed, at_ns = [], 0, 1_000_000_000
    for number, (kind, *values) in enumerate(day, start=1):
        at_ns += 400_000_000
        if kind != "parcel":
            messages += [(at_ns, d) for d in router.hear(event_of(at_ns, kind, *values))]
            continue
        crossed += 1
        for ahead_mm, later_ns in ((-100.0, 0), (20.0, 120_000_000)):
            at_s = (at_ns + later_ns) / 1e9
            look = parcel(number, at_s, 1200.0 + ahead_mm, **values[0])
            messages += [(at_ns + later_ns, d) for d in feed(router, belt, at_s, look)]
        at_ns += 120_000_000
    assert [d.seq for _, d in messages] == list(range(1, len(messages) + 1))
    by_uid = {}
    for sent_ns, decision in messages:
        earlier = by_uid.setdefault(decision.parcel_uid, [])
        assert decision.rev == len(earlier)
        if earlier:  # said before the point of no return of what was said before, and something else
            assert sent_ns <= earlier[-1].deadline_ns and decision.deadline_ns <= earlier[-1].deadline_ns
            assert (decision.lane, decision.action) != (earlier[-1].lane, earlier[-1].action)
        earlier.append(decision)
    assert len(by_uid) == crossed == router.counts.decided
    assert router.counts.revised == len(messages) - crossed


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.binary(max_size=300)
    | st.text(alphabet="id:lanes[]{},-rulesdefault exception&*!|>'\"\n\t#%@0159~", max_size=200).map(str.encode)
)
def test_any_bytes_are_a_plan_or_one_clear_error(tmp_path, content):
    path = tmp_path / "plan.yaml"
    path.write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        load_plan(path, classes=CLASSES)
    assert str(path) in str(caught.value)


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_a_good_plan_with_any_part_broken_is_still_explained(root, data):
    """Any value of the hub plan is replaced by anything: the result is a plan, or a list of mistakes with lines."""
    document = yaml.safe_load((root / "configs/plans/hub.yaml").read_text(encoding="utf-8"))
    place = document
    while True:
        key = data.draw(st.sampled_from(list(place) if isinstance(place, dict) else list(range(len(place)))))
        deeper = isinstance(place[key], (dict, list)) and place[key] and data.draw(st.booleans())
        if not deeper:
            break
        place = place[key]
    place[key] = data.draw(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9)
        | st.lists(st.integers(), max_size=3)
        | st.dictionaries(st.sampled_from(["id", "class", "prefix", "x"]), st.text(max_size=3), max_size=2)
    )  # fmt: skip
    try:
        plan = check_plan(document, source="test", classes=CLASSES)
    except ConfigError as error:
        assert error.problems
    else:
        assert json.dumps(plan.model_dump(mode="json")) and plan.rule_for(parcel(1, 0.0, 0.0)) in (None, *plan.rules)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a: &a [*a]\n", "line 1: aliases (*a) are not read"),
        ("a: &a [x, x]\nb: &b [*a, *a]\n", "line 2: aliases (*a) are not read"),
        ("[" * 5000, "line 1: nested more than 32 levels deep"),
        ("{a: " * 1500 + "1" + "}" * 1500, "nested more than 32 levels deep"),
        ("id: " + "9" * 5000, "is not valid YAML: Exceeds the limit"),
        ("id: 2026-99-99\n", "is not valid YAML: month must be in 1..12"),
        ("? [a]\n: 1\n", "found unhashable key"),
        ("id: \0", "is not valid YAML"),
        ("id: !!python/object:os.system x\n", "could not determine a constructor"),
        ("1: 2\n", "Keys should be strings"),
    ],
)
def test_files_made_to_do_harm_are_refused_at_once(tmp_path, text, says):
    path = tmp_path / "plan.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        load_plan(path, classes=CLASSES)
    assert says in str(caught.value)
