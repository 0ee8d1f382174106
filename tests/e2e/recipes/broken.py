"""A training script that fails before its first rollout."""

print("loading the data set")
raise RuntimeError("no data set in /data")
