"""The default run: the shipped policy `tiny` learns arithmetic under PAPO on a laptop's CPU."""

from papo_jax import settings


def get_config(variant: str = ""):
    """Returns the default config, changed by `variant`: a method's name and any number of key=value."""
    return settings.apply(settings.default_config(), variant)
