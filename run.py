"""Trains a policy, evaluates it, or exports it.

    python run.py [--config=FILE[:method,key=value,...]] [--config.section.key=value ...]
        [--workdir=DIR]
    python run.py --mode=evaluate [--config.evaluation.key=value ...] [--workdir=DIR]
        [--output=FILE]
    python run.py --mode=export [--workdir=DIR] [--output=DIR]
        [--dtype=float32|bfloat16|float16]

Without any flag it trains the default config in runs/default; the same command again resumes.

Exit code 0: done, or training stopped by a signal and can be resumed; 2: the config or the input is
wrong; 3: training stopped on purpose; 130: Ctrl-C ended it at once.
"""

import os
import signal
import sys


def main(arguments: list[str]) -> int:
    """Runs the command that the arguments ask for, and returns the exit code."""
    if {"-h", "--help"} & set(arguments):
        print(__doc__)
        return 0
    # Without this transformers warns on import that PyTorch is missing; nothing here needs it.
    os.environ.setdefault("TRANSFORMERS_NO_ADVISORY_WARNINGS", "1")
    from papo_jax.errors import InputError, TrainingStopped

    try:
        # Imported inside `try`: it loads every method's file, and a wrong one is an InputError.
        from papo_jax.config import command_line, config_dict

        command = command_line.parse_command_line(arguments)
        if command.mode == "export":
            from papo_jax.commands import export

            export.export_checkpoint(command.workdir, command.output, dtype=command.dtype)
        elif command.mode == "evaluate":
            from papo_jax.commands import evaluate

            evaluate.evaluate_policies(command)
        else:
            from papo_jax.commands import train

            train.train_policy(config_dict.resolve_settings(command.config), command.workdir)
    except InputError as error:
        return report_failure(2, error)
    except TrainingStopped as error:
        return report_failure(3, error)
    except OSError as error:  # a full disk, no permission, a loop of links, ...
        if error.errno is None:
            raise
        path = error.filename or "the work directory"
        return report_failure(2, f"cannot read or write {path}: {os.strerror(error.errno)}")
    return 0


def report_failure(code: int, reason: object) -> int:
    """Prints the reason on one line and returns the code."""
    from papo_jax.printable import printable_text  # a path of an OSError may hold any character

    line = printable_text(" ".join(str(reason).split()), longest=None)
    print(f"error: {line}", file=sys.stderr)
    return code


def end_at_once(number: int, frame: object) -> None:
    """Ends the program on Ctrl-C while it loads, and on a second one later.

    KeyboardInterrupt would be raised in the middle of anything: libraries swallow it or print
    tracebacks of their threads. Files are safe however the program ends.
    """
    os.write(2, b"interrupted; a run that has a checkpoint resumes from it\n")
    os._exit(130)


if __name__ == "__main__":
    signal.signal(signal.SIGINT, end_at_once)
    sys.exit(main(sys.argv))
