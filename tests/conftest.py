"""Settings that all tests share."""

from hypothesis import HealthCheck, settings

# How long an example takes depends on the machine and on the sanitizers, and says nothing about our code.
settings.register_profile("heyfleet", settings(), deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("heyfleet")
