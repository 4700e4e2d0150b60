"""What codes say: GS1 elements, route keys, patterns of how a text begins, and patterns that would take too long."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sorting_world import parcel

from edge_sorter.sort import check_plan
from edge_sorter.sort.pattern_cost import too_costly
from edge_sorter.sort.route_keys import gs1_elements
from edge_sorter.sort.starts import Start, parse_start, show_start
from edge_sorter.types import Code

SSCC = "340123450000000018"


@pytest.mark.parametrize(
    ("text", "elements"),
    [
        ("00" + SSCC, {"00": SSCC}),
        ("]C100" + SSCC, {"00": SSCC}),
        (f"42070173\x1d00{SSCC}", {"420": "70173", "00": SSCC}),
        (f"00{SSCC}42070173", {"00": SSCC, "420": "70173"}),
        ("421276 70173\x1d403DPD1", {"421": "276 70173", "403": "DPD1"}),
        ("3102000340", {"3102": "000340"}),
        ("4101234567890128" + "1012A", {"410": "1234567890128", "10": "12A"}),
        ("0012", {}),
        ("420", {}),
        ("hello", {}),
        ("", {}),
        ("\x1d\x1d", {}),
        ("²²12", {}),
    ],
)
def test_gs1_symbols_are_taken_apart(text, elements):
    assert gs1_elements(text) == elements


@given(st.text(alphabet=st.sampled_from("0123456789A]C\x1d²"), max_size=60))
def test_any_text_is_taken_apart_to_an_end(text):
    assert all(ai and value for ai, value in gs1_elements(text).items())


def plan_with(codes, **when):
    rule = {"id": "r", "to": "A", "when": when}
    frame = {"id": "p", "lanes": [{"id": "A", "plc": 1}, {"id": "B", "plc": 2}], "default": "B", "exception": "B"}
    return check_plan({**frame, "codes": codes, "rules": [rule]}, source="test", classes=None)


DPD = {
    "id": "dpd",
    "symbology": "Code128",
    "regex": "%(?P<postcode>[0-9A-Z]{7})(?P<tracking>[0-9]{14})(?P<service>[0-9]{3})(?P<country>[0-9]{3})",
    "set": {"carrier": "DPD"},
}
GS1 = [
    {"id": "sscc", "ai": "00", "key": "tracking"},
    {"id": "ship-to", "ai": "421", "regex": "(?P<country>[0-9]{3})(?P<postcode>.+)"},
    {"id": "ship-to-home", "ai": "420", "key": "postcode", "set": {"country": "276"}},
]


@pytest.mark.parametrize(
    ("entries", "codes", "known", "contradictory"),
    [
        (
            [DPD],
            [Code("Code128", "%007017301234567890123101276")],
            {"postcode": "0070173", "tracking": "01234567890123", "service": "101", "country": "276", "carrier": "DPD"},
            (),
        ),
        ([DPD], [Code("QRCode", "%007017301234567890123101276")], {}, ()),
        (GS1, [Code("GS1-128", f"421250 750 01\x1d00{SSCC}")],
         {"tracking": SSCC, "country": "250", "postcode": "75001"}, ()),
        # Two elements of one code: the earlier entry wins, without a contradiction.
        (GS1, [Code("GS1-128", "42125075001\x1d42070173")], {"country": "250", "postcode": "75001"}, ()),
        # Two codes that disagree: the key is nobody's.
        (GS1, [Code("GS1-128", "42070173"), Code("GS1-128", "42010115")], {"country": "276"}, ("postcode",)),
        (GS1, [Code("GS1-128", "42070173"), Code("GS1-QRCode", "42070173")], {"country": "276", "postcode": "70173"},
         ()),
        (GS1, [], {}, ()),
    ],
)  # fmt: skip
def test_codes_become_route_keys(entries, codes, known, contradictory):
    facts = plan_with(entries, tracking="x").facts(parcel(1, 0.0, 0.0, codes=tuple(codes)))
    assert facts.keys.known == known
    assert facts.keys.contradictory == contradictory


@pytest.mark.parametrize(
    ("patterns", "postcode", "fits"),
    [
        ("70173", "70173", True),
        ("70173", "701730", False),
        ("70*", "70173", True),
        ("70*", "71", False),
        (["10115", "70000..72999"], "72999", True),
        (["10115", "70000..72999"], "73000", False),
        ("sw1a 1aa", "SW1A1AA", True),
        ("SW1A*", "sw1a 2", True),
        ("00-950", "00-950", True),
    ],
)
def test_rules_by_postcode(patterns, postcode, fits):
    plan = plan_with([{"id": "c", "regex": "(?P<postcode>.*)"}], postcode=patterns)
    found = plan.rule_for(parcel(1, 0.0, 0.0, codes=(Code("Code128", postcode),)))
    assert (found is not None) is fits
    assert fits or "postcode is" in plan.explain(parcel(1, 0.0, 0.0, codes=(Code("Code128", postcode),)))[0].why


@pytest.mark.parametrize("pattern", ["", "*", "7*0", "70**", "1..22", "9..1", "..5", "1..2..3", "7*..8*"])
def test_patterns_that_mean_nothing_are_refused(pattern):
    with pytest.raises(ValueError, match=r"range|star"):
        parse_start(pattern)


STARTS = st.one_of(
    st.tuples(st.text("012", min_size=1, max_size=3), st.booleans()).map(lambda x: Start(x[0], x[0], x[1])),
    st.integers(1, 3)
    .flatmap(lambda n: st.tuples(*[st.text("012", min_size=n, max_size=n)] * 2))
    .map(lambda pair: Start(*sorted(pair))),
)
TEXTS = [a + b + c + d for a in "012" for b in ("", *"012") for c in ("", *"012") for d in ("", *"012")]


@settings(max_examples=300, deadline=None)
@given(STARTS, STARTS)
def test_how_two_starts_lie_to_each_other_is_told_right(one, two):
    """Against every text of up to four letters, which is longer than any of these patterns looks."""
    assert one.meets(two) == any(one.holds(text) and two.holds(text) for text in TEXTS)
    if one.within(two):
        assert all(two.holds(text) for text in TEXTS if one.holds(text))
    assert parse_start(show_start(one)) == one or one.low == one.high


@pytest.mark.parametrize(
    "pattern",
    ["[A-Z]{2}[0-9]{9}[A-Z]{2}", "1Z[0-9A-Z]{16}", "%?(?P<postcode>.{7})(?P<tracking>[0-9]{14})", "(?:DE|AT)[0-9]+",
     r"\(00\)[0-9]{18}", "([A-Z]{2})?[0-9]+", "(?:ab){3}", "[)]+", r"[\]*+]{3}x*", ".*X.*"],
)  # fmt: skip
def test_ordinary_patterns_are_allowed(pattern):
    assert too_costly(pattern) is None


@pytest.mark.parametrize(
    "pattern", ["(a+)+b", "(a|a)*b", "(?:a?){50}", "((a+)b)*", "a*a*a*a*b", "(?:[0-9]{1,3}){2,}", "(x+x+)+y", "a?" * 9]
)
def test_patterns_that_may_take_forever_are_refused(pattern):
    assert too_costly(pattern)


ATOMS = st.sampled_from(["a", "[ab]", ".", "(a)", "(?:ab)", "b"])
REPEATS = st.sampled_from(["", "", "*", "+", "?", "{2}", "{1,3}", "{2,}"])
PATTERNS = st.recursive(
    st.lists(st.tuples(ATOMS, REPEATS).map("".join), min_size=1, max_size=5).map("".join),
    lambda inner: st.tuples(inner, inner, REPEATS).map(lambda p: f"({p[0]}|{p[1]}){p[2]}"),
    max_leaves=6,
)


@settings(max_examples=200, deadline=None)
@given(PATTERNS)
def test_what_is_allowed_ends_soon_on_the_longest_code(pattern):
    if too_costly(pattern) is None:
        began = time.perf_counter()
        re.fullmatch(pattern, "a" * 255 + "!")
        assert time.perf_counter() - began < 20.0
