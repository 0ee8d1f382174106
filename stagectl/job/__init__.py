"""The process that owns the training process from first to last: `python -m stagectl.job RUN_FOLDER`."""
