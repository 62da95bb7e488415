"""One rank of the PyTorch side of the benchmark: DDP over gloo, one thread, fp32, fused AdamW."""

import argparse
import os
import pathlib
import time

import numpy
import torch
import torch.distributed
import yaml
from torch.nn.parallel import DistributedDataParallel

from decoder import Decoder


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("config", type=pathlib.Path)
    parser.add_argument("--data", required=True, help="PREFIX of PREFIX.bin, int32 token ids")
    parser.add_argument("--steps", type=int, required=True)
    parser.add_argument("--compile", action="store_true")
    options = parser.parse_args()

    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo")
    rank, ranks = torch.distributed.get_rank(), torch.distributed.get_world_size()
    cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {cores[rank % len(cores)]})  # as mpirun binds its ranks

    config = yaml.safe_load(options.config.read_text())
    length, settings = config["data"]["sequence_length"], config["optimizer"]
    mine = config["batch"]["sequences"] // ranks
    torch.manual_seed(config["run"]["seed"])
    decoder = Decoder(config["model"], length)
    model = DistributedDataParallel(decoder, gradient_as_bucket_view=True)
    train = torch.compile(model) if options.compile else model
    groups = [
        {"params": [p for p in model.parameters() if p.dim() > 1], "weight_decay": settings["weight_decay"]},
        {"params": [p for p in model.parameters() if p.dim() == 1], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(
        groups, lr=settings["learning_rate"], betas=settings["betas"], eps=settings["epsilon"], fused=True
    )
    tokens = numpy.memmap(f"{options.data}.bin", dtype="<i4", mode="r")

    for step in range(options.steps):
        start = time.perf_counter()
        first = (step * ranks + rank) * mine
        rows = [tokens[(first + i) * length :][: length + 1] for i in range(mine)]
        ids = torch.from_numpy(numpy.stack(rows).astype(numpy.int64))
        optimizer.zero_grad()
        loss = train(ids[:, :-1], ids[:, 1:])
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), settings["clip_norm"])
        optimizer.step()
        seconds = time.perf_counter() - start
        if rank == 0:
            print(step + 1, loss.item(), seconds, flush=True)
    torch.distributed.destroy_process_group()


if __name__ == "__main__":
    main()
