"""What holds for every test: hypothesis sets no time limit, which a busy machine would break."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("pbrinit", deadline=None)
settings.load_profile("pbrinit")
