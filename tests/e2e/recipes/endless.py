"""A training script that goes on until it is asked to stop, and from its checkpoints.

`deaf`: it does not listen. `dies=N`: whenever it comes to step N its process is killed. `waits=N`: at step N it
waits for a file `go` in the run's folder; an attempt that goes on from there does not.
"""

import os
import signal
import sys
import time

import stagectl

options = dict(word.partition("=")[::2] for word in sys.argv[1:])
with stagectl.attach() as session:
    step, go = session.step, session.paths.folder / "go"
    if session.resumed_from is not None:
        assert (session.resumed_from / "policy.txt").read_text() == "weights"
    while "deaf" in options or not session.should_stop:
        session.curriculum.get_task().complete(0.25)
        step += 10
        session.update_step_count(step)
        print(f"step {step}", flush=True)
        if session.checkpoint_due:
            with session.checkpoint() as folder:
                (folder / "policy.txt").write_text("weights")
        if step == int(options.get("dies", -1)):
            os.kill(os.getpid(), signal.SIGKILL)
        while step == int(options.get("waits", -1)) and not (session.should_stop or go.exists()):
            time.sleep(0.05)
        time.sleep(0.05)
    with session.checkpoint() as folder:
        (folder / "policy.txt").write_text("weights")
