"""Training: the data set, time-ordered splits, the search, alert rules and the checks for leakage."""
