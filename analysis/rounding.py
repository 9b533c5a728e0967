"""A value and its standard error as people write them: to two significant digits of the error."""

import math

__all__ = ["rounded"]

SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
SMALLEST, LARGEST = 1e-3, 1e5  # beyond these a power of ten is taken out
DIGITS = 4  # of a value whose error is not known
MOST_PLACES = 9  # after the point; of an error still smaller the power of ten is said


def rounded(value: float, error: float | None = None) -> str | None:
    """Return a value, with its standard error where there is one.

    Arguments:
        value: The value.
        error: Its standard error; None or NaN where it is not known.

    Returns:
        ``"1.531 ± 0.059"``, ``"(1.53 ± 0.06)×10⁻⁴"``, or four digits of a value whose error is not known; None of a
        value that is not finite.
    """
    if not math.isfinite(value):
        return None
    sigma = error if error is not None and math.isfinite(error) else None
    size = max(abs(value), sigma or 0.0)
    power = math.floor(math.log10(size)) if size and not SMALLEST <= size < LARGEST else 0
    scale = 10.0**power
    text = _digits(value / scale, None if sigma is None else sigma / scale).replace("-", "−")
    if not power:
        return text
    return f"{text if sigma is None else f'({text})'}×10{str(power).translate(SUPERSCRIPTS)}"


def _digits(value: float, sigma: float | None) -> str:
    if not sigma:
        return f"{value:.{DIGITS}g}" + (" ± 0" if sigma is not None else "")
    places = 1 - math.floor(math.log10(sigma))
    if round(sigma, places) >= 10.0 ** (2 - places):  # rounding adds a digit: 0.0998 to 0.10
        places -= 1
    if places > MOST_PLACES:
        return f"{value:.{MOST_PLACES}f} ± {sigma:.1e}"
    value, sigma = round(value, places), round(sigma, places)
    return f"{value:.{max(places, 0)}f} ± {sigma:.{max(places, 0)}f}"
