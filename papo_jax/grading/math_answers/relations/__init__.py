"""Relations and sets as answers: equations, congruences, intervals."""
