"""Values with their standard errors as text."""

import math

import pytest

from analysis.rounding import rounded


@pytest.mark.parametrize(
    ("value", "error", "text"),
    [
        (1.531234, 0.0591, "1.531 ± 0.059"),
        (99.96, 0.0999, "99.96 ± 0.10"),  # rounding adds a digit
        (12345.0, 678.0, "12340 ± 680"),
        (1.5e-4, 6e-6, "(1.500 ± 0.060)×10⁻⁴"),
        (-2e7, 3e5, "(−2.000 ± 0.030)×10⁷"),
        (1.0, 1e-12, "1.000000000 ± 1.0e−12"),
        (0.0, 0.5, "0.00 ± 0.50"),
        (2.0, 0.0, "2 ± 0"),
        (math.pi, None, "3.142"),
        (math.pi, math.nan, "3.142"),
        (3.14159e-9, None, "3.142×10⁻⁹"),
        (math.nan, 1.0, None),
        (-math.inf, None, None),
    ],
)
def test_a_value_is_written_to_two_digits_of_its_error(value: float, error: float | None, text: str | None) -> None:
    assert rounded(value, error) == text


@pytest.mark.parametrize("power", range(-300, 300, 23))
def test_what_is_written_is_within_the_rounding_of_what_is_meant(power: int) -> None:
    for mantissa, part in ((9.95, 0.0995), (1.0, 0.1), (-3.21, 0.4567), (5.0, 2.0)):
        value, error = mantissa * 10.0**power, part * 10.0**power
        text = rounded(value, error)
        assert text is not None
        number, _, superscript = text.replace("−", "-").strip("(").partition(")×10")
        said, _, spread = number.partition(" ± ")
        scale = 10.0 ** int(superscript.translate(str.maketrans("⁻⁰¹²³⁴⁵⁶⁷⁸⁹", "-0123456789")) or 0)
        assert abs(float(said) * scale - value) <= 0.051 * error
        assert abs(float(spread) * scale - error) <= 0.051 * error
