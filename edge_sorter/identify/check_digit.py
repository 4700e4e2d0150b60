"""Check digits of the codes found on parcels.

Contract: `plausible` is False only for a text that has the shape of a known format and breaks its check digit; a text
of no known format is neither confirmed nor refuted here.

Rules: GS1 General Specifications 7.9 (SSCC, GTIN: weights 3 and 1), UPU S10 (weights 8 6 4 2 3 5 9 7), UPS 1Z (mod 10
with letters as (ASCII - 63) mod 10), ISO/IEC 7064 mod 37,36 (DPD prints its digit beside the bars, so it is offered
but not demanded of a bar code).
"""

from __future__ import annotations

import re

S10_WEIGHTS = (8, 6, 4, 2, 3, 5, 9, 7)
ISO_7064 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"


def gs1_ok(digits: str) -> bool:
    """Check a GTIN or SSCC: digits weighted 3, 1, 3, ... from the right, the last one completes to a multiple of 10."""
    if not (digits.isascii() and digits.isdigit()) or len(digits) < 2:
        return False
    weighted = sum(int(digit) * (3 if place % 2 else 1) for place, digit in enumerate(reversed(digits)))
    return weighted % 10 == 0


def s10_ok(text: str) -> bool:
    """Check a UPU S10 item id such as RR473124829DE."""
    if not re.fullmatch(r"[A-Z]{2}[0-9]{9}[A-Z]{2}", text):
        return False
    total = sum(weight * int(digit) for weight, digit in zip(S10_WEIGHTS, text[2:10], strict=True))
    check = 11 - total % 11
    return int(text[10]) == {10: 0, 11: 5}.get(check, check)


def ups_ok(text: str) -> bool:
    """Check a UPS tracking number: "1Z" and 16 characters, of which the last is the check digit."""
    if not re.fullmatch(r"1Z[0-9A-Z]{15}[0-9]", text):
        return False
    values = [int(char) if char.isdigit() else (ord(char) - 63) % 10 for char in text[2:17]]
    total = sum(value * (2 if place % 2 else 1) for place, value in enumerate(values))
    return int(text[17]) == -total % 10


def iso7064_mod37_36_ok(text: str) -> bool:
    """Check an ISO/IEC 7064 mod 37,36 text, whose last character is the check character."""
    if len(text) < 2 or any(char not in ISO_7064 for char in text):
        return False
    product = 36
    for char in text[:-1]:
        product = (product + ISO_7064.index(char)) % 36 or 36
        product = product * 2 % 37
    return (product + ISO_7064.index(text[-1])) % 36 == 1


def plausible(symbology: str, text: str) -> bool:
    """Tell whether a read may be believed as far as check digits go."""
    if symbology.startswith("GS1") and re.fullmatch(r"00[0-9]{18}.*", text, re.DOTALL):
        return gs1_ok(text[2:20])
    if symbology == "ITF14":
        return gs1_ok(text)
    if re.fullmatch(r"[A-Z]{2}[0-9]{9}[A-Z]{2}", text):
        return s10_ok(text)
    if re.fullmatch(r"1Z[0-9A-Z]{16}", text):
        return ups_ok(text)
    return True
