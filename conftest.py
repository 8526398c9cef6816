"""Settings of the whole test run, and a small stored policy that its runs start from."""

import contextlib
import ctypes
import dataclasses
import gc
import os
import pathlib

# Most of the time of most tests is compiling. JAX reads this when it is imported, and so do the
# processes that tests start; set it to 0 to run what users run (`.ci/run` does on one Python).
os.environ.setdefault("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")

import hypothesis
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.support.seeds import SEED

jax.config.update("jax_numpy_rank_promotion", "raise")

MOST_MEMORY = 2**30  # bytes of a test process, above which it drops what it has compiled

# The same examples on every machine and in every run; under another PAPO_TEST_SEED new ones.
hypothesis.settings.register_profile("stored", derandomize=SEED == 0, deadline=None)
hypothesis.settings.load_profile("stored")


@pytest.fixture(autouse=True)
def doctest_names(doctest_namespace):
    """Docstring examples may use these names without importing them."""
    doctest_namespace.update(jax=jax, jnp=jnp, np=np)


@pytest.fixture(scope="module", autouse=True)
def compiled_programs_are_dropped():
    """Drops a module's compiled programs once the process has grown: they are seldom used again."""
    yield
    statm = pathlib.Path("/proc/self/statm")
    if not statm.exists():  # not Linux
        return
    resident_pages = int(statm.read_text().split()[1])
    if resident_pages * os.sysconf("SC_PAGE_SIZE") > MOST_MEMORY:
        jax.clear_caches()
        gc.collect()
        with contextlib.suppress(OSError, AttributeError):  # another C library
            ctypes.CDLL("libc.so.6").malloc_trim(0)


@pytest.fixture(scope="session")
def compiled_once(tmp_path_factory):
    """Keeps compiled programs and prepared tasks on disk, shared by all runs of the session.

    Processes that the runs start share them too. Where `JAX_COMPILATION_CACHE_DIR` is set, programs
    are kept there, for a next session too.
    """
    place = tmp_path_factory.mktemp("shared")
    kept = {
        "JAX_COMPILATION_CACHE_DIR": os.environ.get(
            "JAX_COMPILATION_CACHE_DIR", str(place / "programs")
        ),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "XDG_CACHE_HOME": str(place / "cache"),
    }
    before = {name: os.environ.get(name) for name in kept}
    os.environ.update(kept)
    jax.config.update("jax_compilation_cache_dir", kept["JAX_COMPILATION_CACHE_DIR"])
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    yield place
    jax.config.update("jax_compilation_cache_dir", None)
    for name, value in before.items():
        os.environ.pop(name) if value is None else os.environ.__setitem__(name, value)


@pytest.fixture(scope="session")
def policy_directory(compiled_once):
    """A Hugging Face directory, to be read only: two layers of width 32 that get some sums right.

    It is stored, since training anew gives another policy on every processor;
    `tests/support/make_policy.py` made it.
    """
    return pathlib.Path(__file__).parent / "tests/support/policy"


@pytest.fixture(scope="session")
def small_overrides(policy_directory):
    """What differs from the default config in a run of seconds, {"training.steps": 4, ...}."""
    return {
        "seed": SEED,
        "model.path": str(policy_directory),
        "task.difficulty": 1,
        "task.train_size": 64,
        "task.held_out_size": 32,
        "rollout.prompts": 4,
        "rollout.samples": 4,
        "rollout.max_new_tokens": 8,
        "training.minibatches": 2,
        "training.learning_rate": 1e-3,
        "training.steps": 4,
        "training.warmup_steps": 2,
        "checkpoint.every": 2,
        "evaluation.every": 0,
        "evaluation.problems": 16,
        "evaluation.samples": 4,
        "diagnostics.every": 0,
        "telemetry.progress": False,
    }


@pytest.fixture(scope="session")
def small(small_overrides):
    """A function from further overrides to the settings of a run of seconds."""
    from papo_jax.config import default_settings
    from papo_jax.methods import presets

    def make(overrides=None, /) -> default_settings.Settings:
        values = {**small_overrides, **(overrides or {})}
        numbers = {
            key.removeprefix("method."): value
            for key, value in values.items()
            if key.startswith("method.")
        }
        method = presets.get(numbers.pop("name", "papo"), **numbers)
        made = default_settings.Settings(method=method)
        for key, value in values.items():
            section, _, name = key.rpartition(".")
            if section == "method":
                continue
            if section:
                name, value = section, dataclasses.replace(getattr(made, section), **{name: value})
            made = dataclasses.replace(made, **{name: value})
        return made

    return make


@pytest.fixture(scope="session")
def command_line(small_overrides):
    """A function from a work directory and further overrides to the run's command line."""

    def make(workdir, overrides=None, /) -> list[str]:
        config = str(pathlib.Path(__file__).parent / "experiments/configs/default.py")
        flags = {**small_overrides, **(overrides or {})}
        return [
            "run.py",
            f"--config={config}",
            f"--workdir={workdir}",
            *(f"--config.{k}={v}" for k, v in flags.items()),
        ]

    return make


@pytest.fixture(scope="session")
def train():
    """A function that trains in a work directory and returns (rows, last state).

    It writes no report. The rows come without what a clock decides; the state is on the host.
    """
    from papo_jax.commands.train import train_policy
    from papo_jax.report import report_page
    from papo_jax.telemetry import runfiles
    from papo_jax.training.training_run import prepare_run

    def run(settings, workdir):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(
                report_page, "write_report", lambda workdir: workdir
            )  # a second of plotting a run
            train_policy(settings, workdir)
        rows = runfiles.read_rows(workdir / "metrics.jsonl")
        rows = [
            {k: v for k, v in row.items() if not k.startswith(("time/", "tokens_per_second"))}
            for row in rows
        ]
        with contextlib.closing(prepare_run(settings, workdir)) as again:
            return rows, jax.device_get(again.initial)

    return run
