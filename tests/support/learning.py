"""Learning from the stored rollout by plain gradient steps, for the tests of `learn`.

Plain steps keep roundings as small as they are, where Adam would divide by them.
"""

import functools

import jax
import numpy as np
import optax

from papo_jax.learner.learn import Learner, learn
from papo_jax.learner.minibatches import plan_updates
from papo_jax.methods import presets

# In less than half the time.
compiled = functools.partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})
MAX_NEW_TOKENS = 8
OPTIMIZER = optax.chain(optax.clip_by_global_norm(0.1), optax.sgd(0.1, momentum=0.5))
# Every group has right and wrong answers; five of 16 are right.
REWARDS = np.float32([[1, 0, 0, 0], [0, 1, 1, 0], [0, 0, 0, 1], [0, 1, 0, 0]])
# Of the largest entry: sums in another order, eps = 6e-8 a term, and where prompts take other slots
# products of another shape. Seen: 3e-5.
ROUNDING = 2e-4
# PAPO without what looks at lengths or at other rollouts.
PAPO = presets.get("papo", lam=0.4, phase="fixed", overlong=0.0)


def make_learner(method, plan=None, *, minibatches=4, epochs=1, max_skipped=None) -> Learner:
    """The learner of a method; by default with the plan of a run."""
    plan = plan or functools.partial(
        plan_updates, minibatches=minibatches, epochs=epochs, pack=method.pack
    )
    return Learner(
        method=method,
        optimizer=OPTIMIZER,
        max_new_tokens=MAX_NEW_TOKENS,
        plan_updates=plan,
        max_skipped=max_skipped,
    )


def learn_once(state, rollout, grades, scorer, *, learner):
    """`learn` as one program: (state, output), on the host."""
    return jax.device_get(
        compiled(functools.partial(learn, learner=learner))(state, rollout, grades, scorer)
    )


def assert_near(got, want):
    """Compares leaf by leaf, to a share of the largest entry."""
    for one, other in zip(jax.tree.leaves(got), jax.tree.leaves(want), strict=True):
        bound = ROUNDING * np.abs(np.asarray(other, np.float64)).max(initial=0) + 1e-9
        np.testing.assert_allclose(one, other, rtol=0, atol=bound)


def assert_same_change(after, expected, before):
    """Compares what the parameters of a state moved by, up to roundings of the parameters."""
    largest = 0.0
    for one, other, start in zip(
        *(jax.tree.leaves(jax.device_get(state.params)) for state in (after, expected, before)),
        strict=True,
    ):
        change = np.abs(other - start).max()
        bound = ROUNDING * change + 4 * np.finfo(np.float32).eps * np.abs(other).max()
        np.testing.assert_allclose(one, other, rtol=0, atol=bound)
        largest = max(largest, change / bound)
    assert largest > 100  # something moved, by far more than the bound
