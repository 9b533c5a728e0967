"""How far a solution is, shown on a terminal."""

from collections.abc import Callable

from tqdm import tqdm

from analysis.references.grid.march import Resolution

__all__ = ["progress_bar"]


def progress_bar(resolution: Resolution) -> Callable[[float], None]:
    """Return what to call with the fraction done of a solution, and show a bar until it is 1.

    Arguments:
        resolution: The resolution that is solved at.
    """
    title = f"fokker-planck {' x '.join(map(str, resolution.counts))}"
    bar = tqdm(total=1.0, desc=title, disable=None, leave=False)

    def show(fraction: float) -> None:
        bar.update(fraction - bar.n)
        if fraction >= 1 - 1e-12:
            bar.close()

    return show
