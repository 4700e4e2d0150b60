from __future__ import annotations

import pytest

from edge_sorter.identify.check_digit import gs1_ok, iso7064_mod37_36_ok, plausible, s10_ok, ups_ok


@pytest.mark.parametrize(
    ("check", "text", "ok"),
    [
        (gs1_ok, "106141412345678908", True),  # SSCC of the GS1 General Specifications
        (gs1_ok, "106141412345678907", False),
        (gs1_ok, "4006381333931", True),  # GTIN-13
        (gs1_ok, "4006381333913", False),
        (gs1_ok, "", False),
        (gs1_ok, "12a4", False),
        (gs1_ok, "²²", False),
        (s10_ok, "RR473124829DE", True),  # the worked example of UPU S10
        (s10_ok, "RR473124828DE", False),
        (s10_ok, "RR47312482DE", False),
        (ups_ok, "1Z999AA10123456784", True),
        (ups_ok, "1Z999AA10123456783", False),
        (ups_ok, "1Z999AA1012345678X", False),
        (iso7064_mod37_36_ok, "A12425GABC1234002M", True),  # GRid, the worked example of ISO/IEC 7064 users
        (iso7064_mod37_36_ok, "A12425GABC1234002N", False),
        (iso7064_mod37_36_ok, "A12425GACB1234002M", False),
        (iso7064_mod37_36_ok, "a1", False),
        (iso7064_mod37_36_ok, "", False),
    ],
)
def test_check_digits(check, text, ok):
    assert check(text) is ok


@pytest.mark.parametrize(
    ("symbology", "text", "believed"),
    [
        ("GS1-128", "00106141412345678908", True),
        ("GS1-128", "00106141412345678907", False),
        ("GS1-128", "0010614141234567890810ABC", True),
        ("GS1-128", "10LOT7", True),
        ("Code128", "00106141412345678907", True),
        ("Code128", "RR473124829DE", True),
        ("Code128", "RR473124822DE", False),
        ("QRCode", "1Z999AA10123456785", False),
        ("ITF14", "10614141999993", True),
        ("ITF14", "10614141999994", False),
        ("Code128", "JD554241842479", True),
        ("QRCode", "https://example.org/", True),
    ],
)
def test_only_a_broken_known_format_is_refused(symbology, text, believed):
    assert plausible(symbology, text) is believed


def test_every_single_wrong_digit_of_an_sscc_is_noticed():
    good = "106141412345678908"
    for place in range(len(good)):
        for digit in "0123456789":
            wrong = good[:place] + digit + good[place + 1 :]
            assert gs1_ok(wrong) is (wrong == good)
