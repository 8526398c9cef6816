"""Policy gradients, their clips and their averages, and what right and wrong answers are worth."""
