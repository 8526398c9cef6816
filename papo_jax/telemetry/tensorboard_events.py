"""TensorBoard event files beside metrics.jsonl, written if `telemetry.tensorboard` is true."""

import importlib.util
import pathlib

from papo_jax.errors import InputError


def check_installed() -> None:
    """Raises `InputError` without the package that writes events; it is no requirement of ours."""
    if importlib.util.find_spec("tensorboardX") is None:
        raise InputError(
            "telemetry.tensorboard needs the package tensorboardX: pip install tensorboardX"
        )


class EventWriter:
    """Writer of rows of metrics as scalars."""

    def __init__(self, workdir: pathlib.Path, *, step: int):
        """Opens `tensorboard/` in a work directory; events of `step` and later are hidden."""
        from tensorboardX import SummaryWriter  # pyright: ignore[reportMissingImports]

        self._writer = SummaryWriter(str(workdir / "tensorboard"), purge_step=step)

    def write_row(self, row: dict[str, float]) -> None:
        """Writes one step."""
        for name, value in row.items():
            if name != "step":
                self._writer.add_scalar(name, value, row["step"])

    def close(self) -> None:
        """Writes what is buffered."""
        self._writer.close()
