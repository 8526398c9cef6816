"""Trains a policy: python run.py [--config=FILE[:method,key=value,...]] [--workdir=DIR] [--config.section.key=value ...]

Without any flag the default config runs into runs/default; the same command again resumes. Exit code 0: done, or
stopped by a signal and resumable; 2: the config or the input is wrong; 3: training stopped on purpose.
"""

import errno
import os
import pathlib
import sys

from absl import flags
from ml_collections import config_flags

CONFIG = config_flags.DEFINE_config_file("config", "experiments/configs/default.py", "the run's config")
WORKDIR = flags.DEFINE_string("workdir", "runs/default", "where the run's files go")
MODE = flags.DEFINE_enum("mode", "train", ["train"], "what to do")


def main(arguments: list[str]) -> int:
    """Returns the exit code."""
    from papo_jax.errors import InputError, TrainingStopped

    try:
        config = parse(arguments)
        from papo_jax import settings
        from papo_jax.training import loop

        loop.run(settings.resolve(config), pathlib.Path(WORKDIR.value))
    except InputError as error:
        return fail(2, error)
    except TrainingStopped as error:
        return fail(3, error)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EROFS):
            raise
        return fail(2, f"cannot write {error.filename or WORKDIR.value}: {os.strerror(error.errno)}")
    return 0


def parse(arguments: list[str]):
    """Reads the command line; whatever absl and ml_collections complain of becomes an `InputError`."""
    from papo_jax import settings
    from papo_jax.errors import InputError

    try:
        rest = flags.FLAGS(arguments)[1:]
        if rest:
            raise InputError(f"{rest[0]!r} is no flag; see the first lines of run.py")
        return CONFIG.value
    except InputError:
        raise
    except Exception as error:  # KeyError, AttributeError, TypeError, flags.Error, ... as they come
        raise InputError(settings.explain_flag_error(error, arguments)) from None


def fail(code: int, reason: object) -> int:
    """Prints one line and returns the code."""
    print("error: " + " ".join(str(reason).split()), file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv))
