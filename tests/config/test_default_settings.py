"""Config keys: where they come from, how they are set, and what is said of unknown ones."""

import json

import pytest

from papo_jax.config import checks, config_dict, default_settings
from papo_jax.errors import InputError
from papo_jax.methods import presets
from papo_jax.methods.method import Method
from papo_jax.methods.objectives import LossSum, Objective, token_mean


def changed(variant: str) -> default_settings.Settings:
    return config_dict.resolve_settings(
        config_dict.apply_variant(config_dict.default_config(), variant)
    )


def test_config_and_settings_are_the_same_thing():
    assert config_dict.resolve_settings(config_dict.default_config()) == default_settings.Settings()


def test_variant_names_the_method_and_sets_keys():
    made = changed("dapo,lam=0.25,training.steps=7,remat=full")
    assert made.method.name == "dapo" and made.method.hyperparameter("lam") == 0.25
    assert made.training.steps == 7 and made.model.remat == "full"
    assert changed("") == default_settings.Settings()
    assert changed("seed=3").seed == 3


def test_variant_sets_what_was_none():
    assert changed("microbatch=8").training.microbatch == 8
    assert changed("task.path=a/b.jsonl").task.path == "a/b.jsonl"
    assert changed("target=1").method.hyperparameter("target") == 1.0


@pytest.mark.parametrize(
    "variant, said",
    [
        ("learning=3", "training.learning_rate"),
        ("rollout.promts=3", "'rollout.prompts'"),
        ("every=3", "checkpoint.every or diagnostics.every or evaluation.every"),
        ("steps=many", "training.steps cannot be 'many'; it must be of type int"),
        ("steps=1.5", "type int"),
        ("renormalize=yes", "type bool"),
        ("lam=", "type float"),
    ],
)
def test_variant_that_does_not_fit(variant, said):
    with pytest.raises(InputError, match="config key|no key") as raised:
        changed(variant)
    assert said in str(raised.value) and "\n" not in str(raised.value)


def test_config_is_locked():
    config = config_dict.default_config()
    with pytest.raises((KeyError, AttributeError), match="stepz"):
        config.training.stepz = 3


@pytest.mark.parametrize(
    "name, nearest",
    [
        ("training.stepz", "training.steps"),
        ("lamb", "method.lam"),
        ("model.pth", "model.path"),
        ("temprature", "rollout.temperature"),
    ],
)
def test_nearest_key(name, nearest):
    keys = config_dict.list_keys(config_dict.default_config())
    assert nearest in config_dict.unknown_key(name, keys)


def test_wrong_type_in_a_config_file():
    config = config_dict.default_config()
    with config.unlocked():
        config.training = {**config.training.to_dict(), "steps": "many"}
    with pytest.raises(InputError, match="training.steps is 'many'; it must be of type int"):
        config_dict.resolve_settings(config)


def test_method_numbers_are_the_preset_with_what_differs():
    numbers = changed("papo,lam=0.1,clip_high=0.3").method.hyperparameters()
    assert (numbers["lam"], numbers["clip_high"], numbers["clip_low"]) == (0.1, 0.3, 0.2)
    assert changed("dapo").method.hyperparameters()["lam"] == 0.0


def test_dictionary_survives_json():
    whole = default_settings.to_dict(changed("papo"))
    assert json.loads(json.dumps(whole)) == whole
    assert whole["method"]["lam"] == 0.2 and whole["method"]["name"] == "papo"


@pytest.mark.parametrize("variant", [*presets.PRESETS, "papo,lam=0.3,target=0.2", "bapo,seed=7"])
def test_settings_survive_their_dictionary(variant):
    made = changed(variant)
    whole = json.loads(json.dumps(default_settings.to_dict(made)))
    # Of the method its name and numbers, and so no file that may be moved.
    values = (value for key, value in whole["method"].items() if key != "name")
    assert not any("papo_jax" in str(value) for value in values)
    assert whole["method"].keys() == {"name", *made.method.hyperparameters()}
    assert config_dict.resolve_settings(config_dict.from_dict(whole, "config.json")) == made


def test_dictionary_of_another_version_is_refused():
    whole = default_settings.to_dict(changed("papo"))
    older = {**whole, "method": {**whole["method"], "objective": "papo_jax.objectives.dapo"}}
    lacking = {**whole, "method": {**whole["method"]}}
    del lacking["training"]
    for values, key in ((older, "method.objective"), (lacking, "training.b1")):
        with pytest.raises(InputError, match=f"config.json is not of this version: {key}"):
            config_dict.from_dict(values, "config.json")


def test_derived_sizes():
    made = changed(
        "prompts=6,rollout.samples=4,minibatches=3,epochs=2,microbatch=4,steps=5,max_new_tokens=10"
    )
    assert (made.sequences, made.minibatch, made.microbatch) == (24, 8, 4)
    shown = dict(checks.derived_sizes(made))
    assert shown["updates a rollout"].startswith("6 =")
    assert shown["updates in all"].startswith("30 ")
    assert shown["tokens a rollout, at most"] == "240"
    assert "2 micro-batches of 4" in shown["sequences an update"]


@pytest.mark.parametrize(
    "variant, said",
    [
        (
            "prompts=16,rollout.samples=16,minibatches=7",
            "256 sequences cannot be cut into training.minibatches = 7",
        ),
        (
            "prompts=16,rollout.samples=16,minibatches=4,microbatch=5",
            "does not divide a minibatch of 64",
        ),
        ("microbatch=0", "training.microbatch"),
        ("statistics=both", "'both' is none of auto, sampler, trainer"),
        ("data=3", "multiples of mesh.data x mesh.fsdp = 3"),
        ("microbatch=1,data=2", "micro-batches of 1"),
        ("rollout.samples=1", "rollout.samples is 1; it must be at least 2"),
        ("rollout.temperature=0", "above 0"),
        ("rollout.temperature=nan", "above 0"),
        ("evaluation.temperature=-1", "evaluation.temperature"),
        ("learning_rate=nan", "training.learning_rate"),
        ("learning_rate=inf", "training.learning_rate"),
        ("weight_decay=-1", "training.weight_decay"),
        ("b1=1", "training.b1"),
        ("training.epsilon=0", "training.epsilon is 0"),
        ("papo,lam=0.6", "min(1 - w_min, w_max - 1) = 0.5"),
        ("papo,lam=-0.1", "[0, 1)"),
        ("papo,weighting=signs", "sign, graded, balanced, switch"),
        ("papo,phase=moon", "level, trend, fixed"),
        ("papo,fixed=2", "[-1, 1]"),
        ("papo,w_min=1.2", "must enclose 1"),
        ("papo,tau=0", "method.tau"),
        ("papo,hysteresis=-0.1", "method.hysteresis"),
        ("papoo", "grpo, dapo, papo"),
        ("papo,target=-1", "method.target is -1.0; it must be at least 0"),
        ("papo,target=nan", "method.target"),
        ("grpo,covariance_share=0.1", "method.covariance_share means nothing to 'grpo'"),
        ("bapo,clip_low=0.1", "method.clip_low means nothing to 'bapo'"),
        ("clip_cov,covariance_share=-0.1", "method.covariance_share is -0.1; it must be in [0, 1]"),
        ("stare,surprising_share=1.5", "method.surprising_share is 1.5; it must be in [0, 1]"),
        ("qae,quantile=0", "method.quantile is 0; it must be above 0"),
        ("steer,omega_floor=0", "method.omega_floor is 0; it must be above 0"),
        (
            "psr,overlong=0.1",
            "method.overlong = 0.1 lowers rewards, and 'psr' takes rewards of 0 and 1;"
            " leave it out",
        ),
        ("clip_cov,clip_low=0", "method.clip_low is 0; it must be above 0"),
        ("gspo,clip_high=0", "method.clip_high is 0; it must be above 0"),
        (
            "entropy_bonus,entropy_coefficient=-1",
            "method.entropy_coefficient is -1.0; it must be at least 0",
        ),
        ("kl_cov,penalty=inf", "method.penalty is inf; it must be finite"),
        ("bapo,high_max=inf", "method.high_max is inf; it must be finite"),
        ("bapo,low_min=0.95", "method.low_min = 0.95 is above method.low_max = 0.9"),
        ("cispo,weight_low=6", "method.weight_low = 6.0 is above method.weight_high = 5.0"),
        ("entropy_advantage,entropy_kappa=1", "method.entropy_kappa is 1.0; it must be above 1"),
        ("seed=3000000000", "seed is 3000000000; it must be below 2,147,483,648"),
    ],
)
def test_what_cannot_be_is_said(variant, said):
    with pytest.raises(InputError) as raised:
        checks.check_settings(changed(variant))
    assert said in str(raised.value) and "\n" not in str(raised.value)


def test_a_number_that_is_of_two_types_in_two_methods_is_said(monkeypatch):
    def loss(tokens, reduction, *, dual_clip: int = 3):
        return LossSum(tokens.logprob.sum(), reduction.count, {})

    monkeypatch.setitem(presets.PRESETS, "other", lambda: Method(Objective(loss, token_mean)))
    with pytest.raises(
        InputError,
        match="dual_clip of the method 'other' is of type int; another method's is of type float",
    ):
        presets.hyperparameter_types()


def test_default_passes_the_checks():
    assert checks.check_settings(default_settings.Settings()) is None


@pytest.mark.parametrize(
    "variant",
    [
        *presets.PRESETS,
        "cispo,weight_high=inf",
        "ce_gppo,dual_clip=inf",
        "grpo,lam=0.3",
        "papo,target=0.2",
    ],
)
def test_every_preset_passes_the_checks(variant):
    assert checks.check_settings(changed(variant)) is None
