"""What may be a model's name and a version's number."""

from __future__ import annotations

import pytest

from gateway.core.names import is_model_name, version_number, why_no_model_name


@pytest.mark.parametrize("name", ["a", "breast-cancer", "v2.1_b", "7", "A" * 63, "statistics"])
def test_a_name_of_letters_digits_dots_hyphens_and_underscores_is_a_model_name(name: str) -> None:
    assert is_model_name(name)


@pytest.mark.parametrize(
    "name",
    ["", "..", ".a", "-a", "_a", "a/b", "a\\b", "a\0b", "a\r\nb", "a\n", "<script>", "A" * 64, "é", "٣", "stats"],
)
def test_what_could_leave_a_path_segment_or_collide_is_no_model_name(name: str) -> None:
    assert not is_model_name(name)


def test_a_version_is_a_decimal_number_from_one_up() -> None:
    assert version_number("1") == 1
    assert version_number("10") == 10
    assert version_number("9" * 18) == 10**18 - 1


@pytest.mark.parametrize("text", ["", "0", "01", "-1", "+1", "1.0", " 1", "1\n", "1_0", "٣", "x", "9" * 19])
def test_every_version_has_one_spelling(text: str) -> None:
    assert version_number(text) is None


def test_a_refused_name_is_told_apart_from_a_reserved_one() -> None:
    assert "/v2/models/stats" in why_no_model_name("stats")
    assert "63 letters" in why_no_model_name("../x")
