"""Files of a training step."""

import numpy as np

from papo_jax.learner.batches import Trajectories, UpdateBatch
from papo_jax.learner.learn import LearnOutput
from papo_jax.learner.minibatches import UpdatePlan
from papo_jax.training.step import _save_skipped


def test_a_skipped_minibatch_is_named_by_its_number_among_the_updates_that_were_tried(tmp_path):
    """Of three planned minibatches of a packed method the second is not due: the third is 1."""
    rows = np.arange(6)
    trajectories = Trajectories(*(rows[:, None] for _ in Trajectories._fields))
    arrays = {name: rows[:, None] for name in UpdateBatch._fields if name != "trajectories"}
    output = LearnOutput(
        weighted=None,
        batch=UpdateBatch(trajectories=trajectories, **arrays),
        plan=UpdatePlan(rows=np.array([[0, 1], [2, 3], [5, 4]]), keys=None, due=None),
        metrics={},
        updates={
            "update/tried": np.array([True, False, True]),
            "update/skipped": np.array([0, 0, 1]),
        },
    )
    _save_skipped(tmp_path, output, 3)
    (path,) = (tmp_path / "skipped").iterdir()
    assert path.name == "step_3_update_1.npz"
    with np.load(path) as stored:
        assert stored["tokens"].ravel().tolist() == [5, 4]
        assert stored["old_logprob"].ravel().tolist() == [5, 4]
