"""TensorBoard event files beside metrics.jsonl, for those who ask for them
(telemetry.tensorboard=true)."""

import importlib.util
import pathlib

from papo_jax.errors import InputError


def check_installed() -> None:
    """Raises `InputError` if the package that writes event files is not there; it is no requirement
    of ours."""
    if importlib.util.find_spec("tensorboardX") is None:
        raise InputError(
            "telemetry.tensorboard needs the package tensorboardX: pip install tensorboardX"
        )


class Writer:
    """Writes rows of metrics as scalars."""

    def __init__(self, workdir: pathlib.Path, *, step: int):
        """Opens `tensorboard/` in a work directory; a run that goes on from `step` hides what it
        will write again."""
        from tensorboardX import SummaryWriter

        self._writer = SummaryWriter(str(workdir / "tensorboard"), purge_step=step)

    def add(self, row: dict[str, float]) -> None:
        """Writes one step."""
        for name, value in row.items():
            if name != "step":
                self._writer.add_scalar(name, value, row["step"])

    def close(self) -> None:
        """Flushes what is left."""
        self._writer.close()
