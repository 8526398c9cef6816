"""Problems of a run: those it trains on and its evaluation set, checked to be gradable."""

import dataclasses
import datetime
import itertools
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from papo_jax import grading, tasks
from papo_jax.config.default_settings import Settings
from papo_jax.errors import InputError
from papo_jax.evaluation.eval_set import eval_set_fingerprint
from papo_jax.grading import Judgment
from papo_jax.models import Policy
from papo_jax.rollout.chat import ChatOptions
from papo_jax.rollout.prompts import PromptStore
from papo_jax.tasks import Task, overlap
from papo_jax.tasks.problem import Problem
from papo_jax.training.problems import prompt_token_cache
from papo_jax.training.problems.grader_check import check_reference_answers
from papo_jax.training.problems.grader_check_record import locate_record

PROBES = 8  # questions of a quick grader's self-test that go through the pool


@dataclasses.dataclass(frozen=True)
class RunProblems:
    """The problems of a run.

    Attributes:
      train: the task that is trained on.
      evaluated: the task that the evaluation set is of; `train` itself unless evaluation.task
        names another.
      eval_set: the fixed problems to evaluate on.
      checked: what the graders' self-test found, one line a source.
    """

    train: Task
    evaluated: Task
    eval_set: list[Problem]
    checked: tuple[str, ...] = ()

    def describe(self) -> dict[str, Any]:
        """Returns what `provenance.json` says of them."""
        return {
            "task": self.train.name,
            "train": len(self.train.train),
            "held_out": len(self.train.held_out),
            "fingerprint": self.train.fingerprint,
            "evaluated": {"task": self.evaluated.name, "fingerprint": self.evaluated.fingerprint},
            "panel": eval_set_fingerprint(self.eval_set),
            "notes": [*self.train.notes, *self.checked],
            "graders": grading.versions(),
        }


def load_problems(settings: Settings, *, trained: bool = True, base: bool = False) -> RunProblems:
    """Loads the tasks of a run.

    Args:
      settings: of the run.
      trained: whether there will be training; without it the task that is trained on may have
        nothing to train on.
      base: whether the policy has not been trained on the task either, so that the two may share
        problems.

    Returns:
      `RunProblems`.

    Raises:
      InputError: if a task cannot be loaded, is too small, or the two share problems.
    """
    train = _load_task(dataclasses.asdict(settings.task))
    evaluated = train
    if settings.evaluation.task is not None:
        own = {name: getattr(settings.evaluation, name) for name in ("path", "grader", "template")}
        evaluated = _load_eval_task(
            {**dataclasses.asdict(settings.task), **own, "name": settings.evaluation.task}
        )
    if trained and not len(train.train):
        raise InputError(
            f"task {train.name} has no problems to train on; name it in evaluation.task, and"
            " another in task.name"
        )
    if trained and settings.rollout.prompts > len(train.train):
        raise InputError(
            f"rollout.prompts = {settings.rollout.prompts} is more than the {len(train.train)}"
            f" problems of {train.name}"
        )
    chosen = tasks.choose_eval_set(evaluated, settings.evaluation.problems)
    if not base and evaluated is not train:
        overlap.check_overlap(
            train.train, chosen, used=[part.template for part in (*train.parts, *evaluated.parts)]
        )
    return RunProblems(train, evaluated, chosen)


def check_graders(
    problems: RunProblems, pool: grading.Pool, *, trained: bool = True
) -> RunProblems:
    """Has every task grade its own reference answers, and perturbed ones.

    A check that these problems have passed under these graders is not made again; then a few
    questions alone show that the pool works.

    Args:
      problems: of the run.
      pool: that the run will be graded by.
      trained: whether the problems to train on are needed too.

    Returns:
      The problems, with what was found.

    Raises:
      InputError: if a reference answer is not right, or a perturbed one is.
    """

    def judge_all(asked: list[tuple[str, str, str]]) -> list[Judgment]:
        pooled = list(_needs_pool(asked))
        found = iter(pool.judge(list(itertools.compress(asked, pooled)), batch_deadline=None))
        return [
            next(found) if through else grading.judge(*question)
            for question, through in zip(asked, pooled, strict=True)
        ]

    record = locate_record(_list_fingerprints(problems, trained))
    lines = record.read_lines()
    if lines is not None:
        check_reference_answers(problems.eval_set[:PROBES], judge_all)
        return dataclasses.replace(problems, checked=lines)
    needed = [*problems.train.train, *problems.eval_set] if trained else problems.eval_set
    found = check_reference_answers(needed, judge_all)
    tried = (
        f"{count:,} reference answers pass the self-test of grader {grader}"
        for grader, count in found.reference_counts.items()
    )
    lines = (*tried, *found.summary_lines())
    record.write_lines(lines)
    return dataclasses.replace(problems, checked=lines)


def _list_fingerprints(problems: RunProblems, trained: bool) -> list[str]:
    """Lists the fingerprints of the problems that `check_graders` asks."""
    train = [problems.train.fingerprint] if trained else []
    return [*train, problems.evaluated.fingerprint, eval_set_fingerprint(problems.eval_set)]


def _needs_pool(asked: list[tuple[str, str, str]]) -> Iterator[bool]:
    """Tells which questions go through the pool: those of the grader that is slow and may hang.

    Reference answers are data, not what a model wrote. Of the other graders a few questions go
    through it too, which shows that it works.
    """
    seen = Counter()
    for grader, _, _ in asked:
        seen[grader] += 1
        yield grader == "math" or seen[grader] <= PROBES


def make_chat_options(settings: Settings) -> ChatOptions:
    """Returns the options of the chat template that the settings ask for."""
    return ChatOptions(settings.model.chat, settings.model.system, settings.model.thinking)


def encode_prompts(
    settings: Settings,
    policy: Policy,
    problems: Sequence[Problem],
    *,
    moment: datetime.datetime,
    fingerprint: str | None = None,
) -> PromptStore:
    """Encodes prompts once and for all; those of a whole task are kept for the next run.

    Args:
      settings: of the run.
      policy: whose tokenizer, chat template and sizes count.
      problems: in order.
      moment: that the chat template may write.
      fingerprint: of the problems, under which their prompts are kept; None to keep none.

    Raises:
      InputError: if one does not fit the settings or the model.
    """
    chat = dataclasses.replace(make_chat_options(settings), moment=moment)
    key = prompt_token_cache.make_key(policy, chat, fingerprint) if fingerprint else None
    store = prompt_token_cache.read_prompts(key) if key else None
    if store is None:
        store = PromptStore.from_problems(policy.tokenizer, problems, chat)
        if key:
            prompt_token_cache.keep_prompts(key, store)
    store.check_tokens(policy.config.vocabulary_size)
    room = policy.config.max_positions - settings.rollout.max_new_tokens
    store.check_lengths(max_prompt_tokens=settings.rollout.max_prompt_tokens, max_positions=room)
    return store


def check_token_budget(settings: Settings, store: PromptStore) -> None:
    """Raises `InputError` if the passes of an update cannot hold the longest row a device."""
    budget = settings.training.microbatch_tokens
    parts = settings.mesh.data * settings.mesh.fsdp
    longest = store.max_length + settings.rollout.max_new_tokens
    if budget is not None and budget < parts * longest:
        shares = f" x {parts} parts of the mesh" if parts > 1 else ""
        raise InputError(
            f"training.microbatch_tokens = {budget} is below the longest row: {store.max_length} +"
            f" {settings.rollout.max_new_tokens} tokens{shares}; make it at least {parts * longest}"
        )


def _load_eval_task(options: dict[str, Any]) -> Task:
    """Loads the task of the evaluation set; errors name the keys that its options come from."""
    try:
        return _load_task(options)
    except InputError as error:
        said = str(error).replace("task.name", "evaluation.task")
        for key in ("path", "grader", "template"):
            said = said.replace(f"task.{key}", f"evaluation.{key}")
        raise InputError(said) from None


def _load_task(options: dict[str, Any]) -> Task:
    return tasks.load(options.pop("name"), **options)
