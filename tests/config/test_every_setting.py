"""Every setting with values that nobody wants: it works, or one line says what is wrong."""

import contextlib
import math
import resource

import pytest

from papo_jax.config import checks
from papo_jax.config.config_dict import default_config, list_keys, resolve_settings, set_keys
from papo_jax.errors import InputError
from papo_jax.training.training_run import prepare_run

KEYS = list_keys(default_config())
ODD = {
    bool: (True, False),
    int: (0, -1, 2**31, 10**18),
    float: (0.0, -1.0, 1e300, math.nan, math.inf, -math.inf),
    str: ("", " ", "no such", "\x1b[31m", "a\nb", "x" * 200, "~/no such", "/dev/null"),
}


def type_of(key: str) -> type:
    section, _, last = key.rpartition(".")
    config = default_config()
    return (config[section] if section else config).get_type(last)


CASES = [(key, value) for key in KEYS for value in ODD[type_of(key)]]


def name_case(value) -> str:
    return repr(value)[:20]


@pytest.fixture
def settings_with(small_overrides):
    """A function from a key and a value to the small run's settings with it, checked."""

    def make(key, value):
        config = default_config()
        set_keys(config, {**small_overrides, "grading.workers": 1})
        set_keys(config, {key: value})
        settings = resolve_settings(config)
        checks.check_settings(settings)
        return settings

    return make


def assert_one_line(error: InputError) -> None:
    text = str(error)
    assert text and "\n" not in text, text


@pytest.mark.parametrize("key", KEYS)
def test_settings_are_refused_in_one_line_or_pass(settings_with, key):
    for value in ODD[type_of(key)]:
        with contextlib.suppress(InputError):
            try:
                settings_with(key, value)
            except InputError as error:
                assert_one_line(error)
                raise


@pytest.mark.slow
@pytest.mark.parametrize("key", KEYS)
def test_a_run_is_refused_in_one_line_or_prepared(settings_with, tmp_path, key):
    """What passes the checks of settings, up to the first program that would be compiled."""
    for number, value in enumerate(ODD[type_of(key)]):
        try:
            settings = settings_with(key, value)
            prepare_run(settings, tmp_path / str(number)).close()
        except InputError as error:
            assert_one_line(error)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss < 2 * 2**20  # KiB


@pytest.mark.parametrize(
    "key, value, said",
    [
        ("mesh.data", 0, "mesh.data is 0; it must be at least 1"),
        ("mesh.fsdp", 0, "mesh.fsdp is 0; it must be at least 1"),
        ("mesh.tensor", -1, "mesh.tensor is -1; it must be at least 1"),
        ("training.steps", 2**31, "training.steps is 2147483648; it must be below 2,147,483,648"),
        ("training.epochs", 10**6, "1000000 updates|updates a rollout"),
        ("grading.workers", 10**6, "grading.workers is 1000000; it must be below"),
        ("rollout.prompts", 2**30, "too many tokens a rollout"),
    ],
)
def test_what_is_said(settings_with, key, value, said):
    with pytest.raises(InputError, match=said):
        settings_with(key, value)
