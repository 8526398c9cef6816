"""The four places where a method acts: advantages, the phase signal, reweighting, the objective;
and their presets."""
