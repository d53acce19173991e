"""How many examples Hypothesis tries in the tests where each costs milliseconds; `TRIMTAB_EXAMPLES=all` tries them all."""

import os

WHOLE = "TRIMTAB_EXAMPLES"


def examples(usually: int, of: int) -> int:
    """`usually` of them, `of` so many when the environment asks for all.

    Continuous integration tries the same examples in every run: more of them find what changed no sooner.
    """
    return of if os.environ.get(WHOLE) == "all" else usually
