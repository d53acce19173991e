"""What all tests share: how Hypothesis runs here."""

from hypothesis import HealthCheck, settings

# No deadline: the machines that run this are shared, and a slow example is not a wrong one.
settings.register_profile("trimtab", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("trimtab")
