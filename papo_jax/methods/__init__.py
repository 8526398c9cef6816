"""Methods: the rules by which one acts on a training step, and presets that combine them."""
