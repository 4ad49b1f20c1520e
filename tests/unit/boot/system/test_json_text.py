"""What PID 1's side writes as JSON is what Python's own module reads, and writes."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pbrinit.boot.system.json_text import dumps

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)  # fmt: skip


@given(VALUES)
def test_it_writes_what_the_library_writes(value: object) -> None:
    assert dumps(value) == json.dumps(value)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), b"", {1}, object()])
def test_it_refuses_what_json_has_no_form_for(value: object) -> None:
    with pytest.raises(TypeError, match="JSON has no "):
        dumps(value)
