"""The learner: from rollouts and rewards to updated parameters, on the device."""
