"""Two ranks train as one, the second of them slowly; each writes down the stage it is in at every step."""

import json
import os
import random
import sys
import time
from pathlib import Path

import torch.distributed as distributed

import stagectl

distributed.init_process_group("gloo")
rank = distributed.get_rank()
seen = []
with stagectl.attach() as session:
    step = session.step
    while not session.should_stop:
        chance = random.Random(2 * step + rank)
        for _ in range(chance.randrange(4)):
            session.curriculum.get_task().complete(float(chance.random() < 0.7))
        if rank == 1:
            time.sleep(0.01)
        step += 100
        session.update_step_count(step)
        session.log({"loss": 1.0}, step)
        seen.append([step, session.curriculum.stage.name])
        if session.checkpoint_due:
            with session.checkpoint() as folder:
                (folder / "model.txt").write_text(str(rank))
    with session.checkpoint() as folder:
        (folder / "model.txt").write_text(str(rank))
Path(sys.argv[1], f"rank{os.environ['RANK']}.json").write_text(json.dumps(seen))
distributed.destroy_process_group()
