"""The default run: the shipped policy `tiny` learns arithmetic under PAPO on a laptop's CPU.

    python run.py

Seen on two CPU cores: 1 to 3 minutes with compiling and five evaluations. avg@8 on the panel of 256
problems goes from 0.377 [0.349, 0.406] to 0.614 [0.575, 0.653] (on another processor, which rounds
otherwise, 0.625), pass@8 from 0.94 to 0.92, entropy from 0.27 to 0.12 nats: the policy learns to
work its answers out. A learning rate of 1e-4 peaks at step 20 and falls again, 3e-4 collapses.
"""

from papo_jax.config import config_dict


def get_config(variant: str = ""):
    """Returns the default config, changed by `variant`: a method's name and any number of
    key=value."""
    return config_dict.apply(config_dict.default_config(), variant)
