"""Checkpoints without a model: what is kept, what is broken, and what is never lost."""

import json
import os
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from papo_jax.errors import InputError
from papo_jax.learner import state
from papo_jax.training.checkpoints import checkpoint_record
from papo_jax.training.checkpoints.checkpoint_arrays import abstract_state
from papo_jax.training.checkpoints.checkpoint_candidates import (
    list_best_first,
    list_newest_first,
    read_params,
)
from papo_jax.training.checkpoints.checkpoint_scores import read_saved_steps
from papo_jax.training.checkpoints.save_restore import Checkpoints
from tests.support import damages
from tests.support.seeds import SEED, make_rng


@pytest.fixture
def saved(tmp_path):
    """(folder, a function from a step to a small state) for checkpoints without a model."""
    optimizer = optax.adam(0.1)

    def of(step):
        made = state.init_state({"w": jnp.full((4,), float(step))}, optimizer, 0)
        return made._replace(step=jnp.int32(step))

    return tmp_path / "checkpoints", of


def steps_on_disk(folder):
    return sorted(int(path.name) for path in folder.iterdir() if path.name.isdigit())


def example(of):
    shapes = jax.eval_shape(lambda: of(0))
    here = jax.sharding.SingleDeviceSharding(jax.devices()[0])
    return abstract_state(shapes, jax.tree.map(lambda _: here, shapes))


def save_all(folder, of, scores, keep=2):
    checkpoints = Checkpoints(folder, keep=keep)
    for step, score in enumerate(scores, start=1):
        checkpoints.save(of(step), score)


def spoil(folder, step):
    """Cuts every file of a checkpoint that holds arrays to half its length."""
    files = [
        path
        for path in (folder / str(step)).rglob("*")
        if path.is_file() and path.stat().st_size > 0
    ]
    for path in files:
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def test_falling_reward_keeps_the_newest_and_the_best(saved):
    folder, of = saved
    save_all(folder, of, scores=[0.9, 0.7, 0.5, 0.3, 0.1])
    assert steps_on_disk(folder) == [1, 4, 5]
    assert float(Checkpoints(folder, keep=2).restore(example(of)).state.params["w"][0]) == 5.0


def test_the_best_is_remembered_by_a_run_that_goes_on(saved):
    folder, of = saved
    save_all(folder, of, scores=[0.9, 0.7, 0.5], keep=1)
    assert (list_best_first(folder), list_newest_first(folder)) == ([1, 3], [3, 1])
    checkpoints = Checkpoints(folder, keep=1)
    checkpoints.restore(example(of))
    for step, score in ((4, 0.6), (5, 0.8)):
        checkpoints.save(of(step), score)
    assert steps_on_disk(folder) == [1, 5]
    assert (list_best_first(folder), list_newest_first(folder)) == ([1, 5], [5, 1])


def test_rising_reward_keeps_the_newest(saved):
    folder, of = saved
    save_all(folder, of, scores=[0.1, 0.3, 0.5, 0.7])
    assert steps_on_disk(folder) == [3, 4]


def test_broken_checkpoint_is_passed_over_and_set_aside(saved):
    folder, of = saved
    save_all(folder, of, scores=[0.1, 0.2, 0.3])
    spoil(folder, 3)
    checkpoints = Checkpoints(folder, keep=2)
    with pytest.warns(UserWarning, match="checkpoint 3 is broken and is passed over"):
        assert int(checkpoints.restore(example(of)).state.step) == 2
    assert not (folder / "3").exists() and any((folder.parent / "broken_checkpoints").iterdir())
    checkpoints.save(of(3), 0.3)  # the step is made again
    assert int(checkpoints.restore(example(of)).state.step) == 3


def test_all_broken_is_an_input_error_and_nothing_moves(saved):
    folder, of = saved
    save_all(folder, of, scores=[0.1, 0.2])
    spoil(folder, 1), spoil(folder, 2)
    with (
        pytest.warns(UserWarning),
        pytest.raises(InputError, match=r"none of the checkpoints \[2, 1\]"),
    ):
        Checkpoints(folder, keep=2).restore(example(of))
    assert (folder / "1").exists() and (folder / "2").exists()


def test_half_written_checkpoint_is_not_seen(saved):
    folder, of = saved
    save_all(folder, of, scores=[0.1])
    (folder / "1").rename(folder / "2.saving")
    save_all(folder, of, scores=[0.1])
    assert int(Checkpoints(folder, keep=2).restore(example(of)).state.step) == 1


def test_without_a_checkpoint_there_is_nothing_to_restore(saved):
    folder, of = saved
    assert Checkpoints(folder, keep=2).restore(example(of)) is None


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    """Three checkpoints with arrays of random numbers, to be copied: (folder, states by step)."""
    folder = tmp_path_factory.mktemp("stored") / "checkpoints"
    optimizer = optax.adam(0.1)

    def of(step):
        weights = np.random.default_rng([SEED, step]).normal(size=(2, 64, 40)).astype(np.float32)
        made = state.init_state({"w": jnp.asarray(weights)}, optimizer, 0)
        return made._replace(step=jnp.int32(step))

    save_all(folder, of, scores=[0.3, 0.2, 0.1])
    return folder, of


def assert_equal(left, right):
    jax.tree.map(np.testing.assert_array_equal, left, right)


def damage_cases(folder):
    """(path in a checkpoint, damage), every file and folder of it with every damage that fits."""
    return [
        (path.relative_to(folder), damage)
        for path, fitting in damages.list_targets(folder)
        for damage in fitting
    ]


@pytest.mark.parametrize("share", [1 / 4, pytest.param(1, marks=pytest.mark.slow)])
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_no_damage_is_restored_and_no_whole_checkpoint_is_lost(stored, tmp_path, capfd, share):
    folder, of = stored
    wanted = example(of)
    cases, rng = damage_cases(folder / "3"), np.random.default_rng(SEED)
    for number in rng.permutation(len(cases))[: int(share * len(cases))]:
        path, damage = cases[number]
        place = shutil.copytree(folder, tmp_path / str(number) / "checkpoints")
        damage(place / "3" / path, rng)
        found = Checkpoints(place, keep=2).restore(wanted)
        assert int(found.state.step) == 2, (path, damage)
        assert_equal(found.state, of(2))
        assert steps_on_disk(place) == [1, 2], (path, damage)
        shutil.rmtree(tmp_path / str(number))
    assert "Traceback" not in capfd.readouterr().err


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("small", [2**20, 0], ids=["files", "arrays"])
def test_a_flipped_bit_is_found(stored, tmp_path, monkeypatch, small):
    of = stored[1]
    monkeypatch.setattr(checkpoint_record, "_SMALL", small)  # 0: as if every file were large
    save_all(tmp_path / "checkpoints", of, scores=[0.3, 0.2, 0.1])
    folder = tmp_path / "checkpoints"
    data = max((folder / "3").rglob("d/*"), key=lambda path: path.stat().st_size)
    content, rng, found = data.read_bytes(), np.random.default_rng(SEED), 0
    for _ in range(20):
        damages.flip_bit(data, rng)
        step, params = read_params(folder, [3, 2], of(0).params)
        assert_equal(params, of(step).params)
        found += step == 2
        place = shutil.copytree(folder, tmp_path / "copy" / "checkpoints")
        restored = Checkpoints(place, keep=2).restore(example(of)).state
        assert_equal(restored, of(int(restored.step)))
        shutil.rmtree(tmp_path / "copy")
        data.write_bytes(content)
    # Of a large file the bits count that the parameters are read from, a third of it.
    assert found == 20 if small else found > 0
    assert read_params(folder, [3, 2], of(0).params)[0] == 3


def test_a_record_that_was_changed_is_found(stored, tmp_path):
    folder, of = stored
    shutil.copytree(folder.parent, tmp_path, dirs_exist_ok=True)
    place = tmp_path / "checkpoints"
    record = json.loads((place / "3" / "record.json").read_text())
    record["content"]["score"] = 0.9
    (place / "3" / "record.json").write_text(json.dumps(record))
    assert list_best_first(place) == [1, 2]
    with pytest.warns(UserWarning, match="checkpoint 3 is broken .* record.json is damaged"):
        assert_equal(Checkpoints(place, keep=2).restore(example(of)).state, of(2))
    # The journal has the steps that are left; the third is made again.
    assert read_saved_steps(tmp_path / "checkpoint_scores.json") == [1, 2]


def test_parameters_alone_are_checked_too(stored, tmp_path):
    folder, of = stored
    place = shutil.copytree(folder, tmp_path / "checkpoints")
    step, params = read_params(place, list_newest_first(place), of(0).params)
    assert step == 3
    assert_equal(params, of(3).params)
    spoil(place, 3)
    with pytest.warns(UserWarning, match="checkpoint 3 is broken"):
        step, params = read_params(place, list_newest_first(place), of(0).params)
    assert step == 2
    assert_equal(params, of(2).params)
    assert steps_on_disk(place) == [1, 2, 3]  # reading changes nothing
    assert list_best_first(place) == [1, 2]
    assert read_params(place, [], of(0).params) is None


@pytest.mark.parametrize("name", ["99", "0", "2"])
@pytest.mark.parametrize("kind", ["folder", "file", "link"])
def test_what_is_no_checkpoint_makes_no_other_one_unreadable(stored, tmp_path, name, kind):
    folder, of = stored
    place = shutil.copytree(folder, tmp_path / "checkpoints")
    shutil.rmtree(place / name, ignore_errors=True)
    if kind == "folder":
        (place / name).mkdir()
    elif kind == "file":
        (place / name).write_text("mine")
    else:
        (place / name).symlink_to("nowhere")
    checkpoints = Checkpoints(place, keep=2)
    with pytest.warns(UserWarning, match=f"checkpoint {name} is broken"):
        assert_equal(checkpoints.restore(example(of)).state, of(3))
    assert os.listdir(place.parent / "broken_checkpoints") == [f"{name}-0"]
    checkpoints.save(of(4), 0.0)
    assert steps_on_disk(place) == [1, 3, 4]


def test_other_entries_of_the_folder_stay(stored, tmp_path):
    folder, of = stored
    place = shutil.copytree(folder, tmp_path / "checkpoints")
    for name in ("notes", "007", "1e3", "٣", "3.bak"):
        (place / name).mkdir()
    checkpoints = Checkpoints(place, keep=2)
    assert_equal(checkpoints.restore(example(of)).state, of(3))
    checkpoints.save(of(4), 0.0)
    assert {"notes", "007", "1e3", "٣", "3.bak"} < set(os.listdir(place))


def test_a_damaged_journal_costs_nothing(stored, tmp_path):
    folder, of = stored
    shutil.copytree(folder.parent, tmp_path, dirs_exist_ok=True)
    for content in (b"", b"{", b"[1]", b'{"1": "x"}', b"[" * 10**6, b'{"1": 1e999}', b"\xff"):
        (tmp_path / "checkpoint_scores.json").write_bytes(content)
        Checkpoints(tmp_path / "checkpoints", keep=2).restore(example(of))
        assert json.loads((tmp_path / "checkpoint_scores.json").read_text()) == {
            "1": 0.3,
            "2": 0.2,
            "3": 0.1,
        }
    (tmp_path / "checkpoint_scores.json").write_text("{")
    checkpoints = Checkpoints(tmp_path / "checkpoints", keep=1)
    checkpoints.restore(example(of))
    checkpoints.save(of(4), 0.0)
    assert steps_on_disk(tmp_path / "checkpoints") == [1, 4]  # the best is still there
    assert read_saved_steps(tmp_path / "checkpoint_scores.json") == [1, 2, 3, 4]


def test_a_state_without_a_score_is_no_rival_of_the_best(saved):
    folder, of = saved
    save_all(folder, of, scores=[0.1, None, None, None], keep=1)
    assert steps_on_disk(folder) == [1, 4]
    assert (list_best_first(folder), list_newest_first(folder)) == ([1], [4, 1])


def test_a_removal_that_was_killed_is_finished(saved):
    folder, of = saved
    save_all(folder, of, scores=[0.1, 0.2])
    (folder / "1").rename(folder / "1.removed")
    (folder / "3.saving").mkdir()
    Checkpoints(folder, keep=2)
    assert os.listdir(folder) == ["2"]


def test_a_checkpoint_of_other_data_or_weights_is_refused(saved):
    folder, of = saved
    Checkpoints(folder, keep=2, origin={"model": "a", "data": "b"}).save(of(1), 0.0)
    for origin in ({"model": "x", "data": "b"}, {"model": "a", "data": "c"}):
        with pytest.raises(InputError, match="belongs to a run whose (model|data) differed"):
            Checkpoints(folder, keep=2, origin=origin).restore(example(of))
    with pytest.raises(InputError, match="does not say which new its run began with"):
        Checkpoints(folder, keep=2, origin={"new": "a"}).restore(example(of))
    assert Checkpoints(folder, keep=2, origin={"model": "a", "data": "b"}).restore(example(of))


@pytest.mark.skipif(not os.geteuid(), reason="root may read everything")
def test_a_checkpoint_that_may_not_be_read_is_not_passed_over(saved):
    folder, of = saved
    save_all(folder, of, scores=[0.1, 0.2])
    (folder / "2" / "state").chmod(0)
    try:
        with pytest.raises(InputError, match="checkpoint 2 may not be read"):
            Checkpoints(folder, keep=2).restore(example(of))
    finally:
        (folder / "2" / "state").chmod(0o700)
    assert steps_on_disk(folder) == [1, 2]


@pytest.mark.parametrize("size", [1, 2**14, 2**14 + 1, 5 * 2**14 + 3])
def test_a_checksum_changes_with_every_word_and_every_order_of_blocks(size):
    """Blocks are of 2^14 float32; what does not fill one has its own part."""
    clean = make_rng(7).normal(size=size).astype(np.float32)
    checksum = checkpoint_record.checksum_arrays({"w": clean})
    for place in {0, size // 2, size - 1}:
        flipped = clean.copy()
        flipped.view(np.uint32)[place] ^= 1 << 13
        assert checkpoint_record.checksum_arrays({"w": flipped}) != checksum
    if size > 2**15:
        swapped = clean.copy()
        swapped[: 2**14], swapped[2**14 : 2**15] = clean[2**14 : 2**15], clean[: 2**14]
        assert checkpoint_record.checksum_arrays({"w": swapped}) != checksum
        zeroed = clean.copy()
        zeroed[1000:2024] = 0  # 4 KiB
        assert checkpoint_record.checksum_arrays({"w": zeroed}) != checksum
    assert checkpoint_record.checksum_arrays({"w": clean.reshape(-1, 1)}) != checksum
