"""Fingerprint of weights: of all of their bytes, whatever pieces they are read in."""

import hashlib

import jax.numpy as jnp
import numpy as np

from papo_jax.telemetry import provenance


def test_fingerprint_is_that_of_the_whole_bytes(monkeypatch):
    values = np.arange(24, dtype=np.float32)
    params = {
        "a": {"b": jnp.asarray(values.reshape(4, 3, 2))},
        "c": jnp.asarray(values[:5], jnp.bfloat16),
    }
    text = (
        b"['a']['b'] (4, 3, 2) float32"
        + values.tobytes()
        + b"['c'] (5,) bfloat16"
        + values[:5].astype(jnp.bfloat16).tobytes()
    )
    for entries in (2**24, 13, 1):
        monkeypatch.setattr(provenance, "_ENTRIES_AT_ONCE", entries)
        assert provenance.fingerprint_params(params) == hashlib.sha256(text).hexdigest()
    changed = {**params, "c": params["c"].at[4].add(1)}
    assert provenance.fingerprint_params(changed) != provenance.fingerprint_params(params)
