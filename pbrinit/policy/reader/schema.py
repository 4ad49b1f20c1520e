"""The policy language as JSON Schema, for editors that help while a policy is written.

In: the language's keys.  Out: the schema.  It knows keys, types and what each key says; what
a text means, and whether names fit together, only `pbrctl check` knows.
"""

from __future__ import annotations

from pbrinit.policy.reader.keys import POLICY
from pbrinit.policy.reader.shapes import JsonSchema


def schema() -> JsonSchema:
    """The whole schema, of draft 4, whose address is its name: nothing is fetched from there."""
    return {
        "$schema": "http://json-schema.org/draft-04/schema#",
        "title": "pbrinit policy",
        "description": "What a machine lets in, out and through; everything else is dropped.",
        **POLICY.schema(),
    }
