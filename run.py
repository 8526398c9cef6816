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


def main(arguments: list[str]) -> int:
    """Returns the exit code."""
    if {"-h", "--help"} & set(arguments):
        print(__doc__)
        return 0
    from papo_jax.errors import InputError, TrainingStopped

    workdir = ""
    try:
        config, workdir = parse(arguments)
        from papo_jax import settings
        from papo_jax.training import loop

        loop.run(settings.resolve(config), pathlib.Path(workdir))
    except InputError as error:
        return fail(2, error)
    except TrainingStopped as error:
        return fail(3, error)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EROFS, errno.ENOTDIR):
            raise
        return fail(2, f"cannot write {error.filename or workdir}: {os.strerror(error.errno)}")
    return 0


def parse(arguments: list[str]):
    """Returns (config, workdir); whatever absl and ml_collections complain of becomes an `InputError`."""
    from papo_jax import settings
    from papo_jax.errors import InputError

    known = flags.FlagValues()  # of this call alone, so that `main` can be called again
    config = config_flags.DEFINE_config_file(
        "config", "experiments/configs/default.py", "the run's config", flag_values=known, sys_argv=arguments
    )
    workdir = flags.DEFINE_string("workdir", "runs/default", "where the run's files go", flag_values=known)
    flags.DEFINE_enum("mode", "train", ["train"], "what to do", flag_values=known)
    try:
        rest = known(arguments)[1:]
        config.value.keys()  # a file that cannot be read is only reported when it is used
    except Exception as error:  # KeyError, AttributeError, TypeError, flags.Error, ... as they come
        raise InputError(settings.explain_flag_error(error, arguments)) from None
    if rest:
        raise InputError(f"{rest[0]!r} is no flag; see the first lines of run.py")
    return config.value, workdir.value


def fail(code: int, reason: object) -> int:
    """Prints one line and returns the code."""
    print("error: " + " ".join(str(reason).split()), file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv))
