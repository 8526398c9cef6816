"""Rows of tokens for the tests of methods. Shapes: B sequences, T time."""

import functools

import numpy as np

assert_near = functools.partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-6)


def row(*values):
    return np.array([values], np.float32)


def in_slots(values, slots):
    """Adds padding, to one shape for all cases, so that little is compiled."""
    return np.pad(
        np.asarray(values, np.float32),
        ((0, 0), (0, slots - values.shape[1])),
        constant_values=np.nan,
    )
