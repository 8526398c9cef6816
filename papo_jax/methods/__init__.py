"""Methods: the six places where one acts, as pure functions, and presets that combine them."""
