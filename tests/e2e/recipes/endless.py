"""A training script that goes on until it is asked to stop; with `deaf` it does not listen."""

import sys
import time

import stagectl

with stagectl.attach() as session:
    step = 0
    while "deaf" in sys.argv or not session.should_stop:
        session.curriculum.get_task().complete(0.25)
        step += 10
        session.update_step_count(step)
        print(f"step {step}", flush=True)
        time.sleep(0.05)
    with session.checkpoint() as folder:
        (folder / "policy.txt").write_text("weights")
