"""What all tests share: how Hypothesis runs here."""

import os

from hypothesis import HealthCheck, settings

# In continuous integration the same examples every time; elsewhere new ones, so that the search goes on.
# No deadline: the machines that run this are shared, and a slow example is not a wrong one.
settings.register_profile(
    "trimtab",
    deadline=None,
    derandomize=bool(os.environ.get("CI")),
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("trimtab")
