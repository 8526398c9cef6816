"""Problems of a run, and the check that graders can judge them."""
