"""`--mode=evaluate`: the last and the best checkpoint of a run, or a base policy, on a frozen panel."""

import contextlib
import pathlib

from papo_jax import configuration, parallel, settings as settings_module
from papo_jax.checks import check
from papo_jax.command_line import Command
from papo_jax.errors import InputError
from papo_jax.models import lora
from papo_jax.settings import Settings
from papo_jax.telemetry import progress, provenance
from papo_jax.training import checkpoint, problems, programs, workdir as workdirs
from papo_jax.training.panel import Evaluator, Record, sentence
from papo_jax.training.session import load_policy, open_pool, with_adapters

# What an evaluation may have otherwise than the run that it looks at: how the policy is asked, not which policy it is.
MAY_DIFFER = ("evaluation.", "grading.", "mesh.", "rollout.", "telemetry.", "seed", "task.path")


def run(command: Command) -> None:
    """Evaluates, writes evaluation.json and the raw verdicts, and says what came out.

    Args:
      command: its work directory holds a run, whose own config counts but for what the command names; or it holds none,
        and the base policy of the command's config is evaluated.

    Raises:
      InputError: if the config or the input is wrong; nothing is written then.
    """
    workdir = command.workdir
    fresh = not (workdir / "config.json").exists()
    settings = configuration.resolve(command.config) if fresh else _settings_of_run(command)
    check(settings)
    mesh = parallel.make_mesh(settings.mesh.data, settings.mesh.fsdp, settings.mesh.tensor)
    asked = problems.load(settings, trained=False)
    with contextlib.ExitStack() as held:
        pool = held.enter_context(open_pool(settings))
        asked = problems.check_graders(asked, pool, trained=False)
        policy = load_policy(settings, mesh)
        made = provenance.describe(settings=settings_module.to_dict(settings), data=asked.describe(), params=policy.params, mesh=mesh)
        workdirs.check_fingerprints(workdir, made, sections=("model",))
        policy = with_adapters(settings, policy, mesh)
        store = problems.encode(settings, policy, asked.panel)
        trained, frozen = lora.split(policy.params, policy.config.lora)
        program = programs.evaluation(policy, frozen, mesh, trained, settings)
        evaluator = Evaluator(settings, asked.panel, store, store.longest, policy.tokenizer, policy.stop_tokens, program, pool, mesh)
        record = Record(_output(command), evaluator, asked.evaluated.name)
        if command.output is None:
            held.callback(workdirs.hold(workdir).close)  # a run that is going on would write over it
        if fresh:
            workdirs.claim(workdir, settings_module.to_dict(settings), made, step=0)
        for step, params in _policies(workdir, trained):
            if not record.has(step):
                record.add(step, *evaluator(params))
        _say(record, settings)


def _settings_of_run(command: Command) -> Settings:
    """The run's own settings, with what the command line names put in."""
    wrong = [key for key in command.named if not key.startswith(MAY_DIFFER)]
    if wrong:
        flag = f"--config.{wrong[0]}" if wrong[0] else "--config"
        raise InputError(f"--mode=evaluate takes the config of the run in --workdir; leave {flag} out, or evaluate in another --workdir")
    path = command.workdir / "config.json"
    config = configuration.from_dict(workdirs.read_config(command.workdir), path)
    named = configuration.resolve(command.config)
    values = {key: _value(named, key) for key in command.named}
    configuration.set_keys(config, {key: value for key, value in values.items() if value is not None})
    return configuration.resolve(config)


def _value(settings: Settings, key: str):
    value = settings
    for name in key.split("."):
        value = getattr(value, name)
    return value


def _output(command: Command) -> pathlib.Path:
    output = command.output or command.workdir / "evaluation.json"
    if output.suffix != ".json" or output.is_dir():
        raise InputError(f"--output {output} must name a .json file")
    output.parent.mkdir(parents=True, exist_ok=True)
    return output


def _policies(workdir: pathlib.Path, base):
    """Yields (step, trained parameters): the best checkpoint and the last, or step 0 and the base where there is none."""
    place = workdir / "checkpoints"
    steps = {checkpoint.best_step(place), checkpoint.newest_step(place)} - {None}
    if not steps:
        yield 0, base
    for step in sorted(steps):
        yield step, checkpoint.read_params(place, step, base)


def _say(record: Record, settings: Settings) -> None:
    samples = settings.evaluation.samples
    rows = [(f"step {entry['step']}", sentence(entry, samples)) for entry in record.entries]
    print(progress.table(f"{record.path}", rows))
