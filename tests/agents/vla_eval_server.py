"""vla-eval's own server with the toy's policy: `python vla_eval_server.py FILE` writes its port to FILE."""

import os
import sys
from pathlib import Path

import anyio
from remote_policy import decide
from vla_eval.model_servers.predict import PredictModelServer
from vla_eval.model_servers.serve import serve_async


class Toy(PredictModelServer):
    """Fails in the task that asks for yellow, where it is told to."""

    def predict(self, obs, ctx):
        if "yellow" in obs["task_description"]:
            raise ValueError("yellow is not known here")
        return {"actions": decide(obs["images"]["top"], obs["states"], obs["task_description"])}

    def get_action_spec(self):
        return {}

    def get_observation_spec(self):
        return {}


async def main(file):
    async with anyio.create_task_group() as group:
        port = await group.start(serve_async, Toy(chunk_size=3), "127.0.0.1", 0)
        Path(f"{file}.new").write_text(str(port))
        os.replace(f"{file}.new", file)


anyio.run(main, sys.argv[1])
