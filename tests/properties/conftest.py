"""Settings of hypothesis: quick and repeatable by default, long and random with DVM_PROPERTIES=slow."""

import os
import sys
from pathlib import Path

from hypothesis import HealthCheck, settings

sys.path.insert(0, str(Path(__file__).parent))  # for random_graphs, which the tests here share

_COMMON = {"deadline": None, "suppress_health_check": list(HealthCheck)}
settings.register_profile("fast", max_examples=400, derandomize=True, **_COMMON)
settings.register_profile("slow", max_examples=5000, print_blob=True, **_COMMON)
settings.load_profile(os.environ.get("DVM_PROPERTIES", "fast"))
