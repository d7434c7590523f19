"""Ours and the peers in turn: a process each a round, which prints a JSON line a task (seconds, cpu_seconds, result)."""

import json
import os
import statistics
import subprocess


def lines(command, threads):
    """What a process printed, by task."""
    environment = dict(os.environ, **{f"{name}_NUM_THREADS": str(threads) for name in ("RAYON", "OMP", "OPENBLAS")})
    out = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE, text=True).stdout
    return {line["task"]: line for line in map(json.loads, out.splitlines())}


def report(rows, threads, task, pairs):
    """Prints the ratios ours / theirs (least, median, greatest) of a task's (ours, theirs), and both of the last round."""
    def show(key):
        ratios = sorted(ours[key] / theirs[key] for ours, theirs in pairs)
        return "{:.3f} / {:.3f} / {:.3f}".format(ratios[0], statistics.median(ratios), ratios[-1])
    ours, theirs = pairs[-1]
    print(f"{rows:>9} rows, {threads} threads, {task:<20} wall {show('seconds')}   cpu {show('cpu_seconds')}   "
          f"{ours['seconds']:.4f} s against {theirs['seconds']:.4f} s   "
          f"result {ours['result']:.10g} against {theirs['result']:.10g}", flush=True)
