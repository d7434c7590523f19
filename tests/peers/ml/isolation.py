"""Isolation forests beside scikit-learn's, on the same rows: scores, rows called outliers, and time.

    cargo build --release -p tidemill-ml --example isolation
    python tests/peers/ml/isolation.py [--program target/release/examples/isolation] [--rows 1000000]

For each data set: the rank correlation (Spearman) of our scores with the mean of scikit-learn's over ten seeds, and how
alike the sets of outliers are (Jaccard; contamination .05): ours with scikit-learn's, and scikit-learn's with each other.
Ends with 1 where a bound is not held: correlation .95, Jaccard at most .05 below scikit-learn's own, a fifth of its time (CPU time of all
threads, which other work on the machine leaves as it is).
"""

import argparse
import itertools
import json
import pathlib
import subprocess
import sys
import tempfile
import time

import numpy as np
from scipy.stats import spearmanr
from sklearn.datasets import load_breast_cancer, load_digits, load_wine
from sklearn.ensemble import IsolationForest

CONTAMINATION = 0.05
SEEDS = 10


def made(rows, columns=15, seed=3):
    """Customers as shops have them: heavy tails, whole numbers, columns that depend on others, and a few far off."""
    random = np.random.default_rng(seed)
    x = random.lognormal(size=(rows, columns))
    x[:, 1] = x[:, 0] * random.uniform(1, 3, rows)
    x[:, 2] = random.poisson(3, rows)
    x[:, 3] = random.integers(0, 7, rows)
    x[:, 4] = random.uniform(size=rows) < 0.9
    x[:, 5:8] = random.normal(size=(rows, 3))
    x[random.choice(rows, rows // 100, replace=False)] *= 6
    return x


def ours(program, x, seed, times=1, trees=None):
    with tempfile.TemporaryDirectory() as folder:
        file = pathlib.Path(folder) / "x.f64"
        file.write_bytes(np.asfortranarray(x, dtype="<f8").tobytes(order="F"))
        command = [program, file, str(x.shape[1]), str(seed), str(CONTAMINATION), str(times), *([str(trees)] if trees else [])]
        said = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        scores = np.frombuffer(file.with_suffix(".scores").read_bytes(), dtype="<f8")
    return scores, scores > said["result"], said["seconds"], said["cpu_seconds"]


def theirs(x, seed):
    forest = IsolationForest(contamination=CONTAMINATION, random_state=seed).fit(x)
    return -forest.score_samples(x), forest.predict(x) == -1


def jaccard(a, b):
    return (a & b).sum() / (a | b).sum()


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--program", default="target/release/examples/isolation")
    arguments.add_argument("--rows", type=int, default=1_000_000)
    arguments.add_argument("--trees", type=int, help="of ours, other than the default; scikit-learn's has its own, 100")
    arguments.add_argument("--rounds", type=int, default=3)
    arguments = arguments.parse_args()
    held = True
    print(f"{'rows':>10} columns  Spearman (least)  scikit-learn's own  Jaccard  scikit-learn's own")
    sets = {"wine": load_wine().data, "breast cancer": load_breast_cancer().data, "digits": load_digits().data,
            "customers": made(20_000)}
    for name, x in sets.items():
        of_theirs = [theirs(x, seed) for seed in range(SEEDS)]
        of_ours = [ours(arguments.program, x, seed, trees=arguments.trees) for seed in range(SEEDS)]
        mean = np.mean([scores for scores, _ in of_theirs], axis=0)
        # One of theirs with the mean of the nine others.
        rest = [(mean * SEEDS - scores) / (SEEDS - 1) for scores, _ in of_theirs]
        own_ranks = [spearmanr(of[0], rest).statistic for of, rest in zip(of_theirs, rest)]
        ranks = [spearmanr(scores, mean).statistic for scores, *_ in of_ours]
        alike = np.mean([jaccard(a[1], b[1]) for a, b in itertools.product(of_ours, of_theirs)])
        own = np.mean([jaccard(a[1], b[1]) for a, b in itertools.combinations(of_theirs, 2)])
        held &= min(ranks) >= 0.95 and alike >= own - 0.05
        print(f"{x.shape[0]:>10} {x.shape[1]:>7}  {np.mean(ranks):.4f} ({min(ranks):.4f})   {np.mean(own_ranks):.4f} ({min(own_ranks):.4f})  "
              f"{alike:>7.3f}  {own:>18.3f}  {name}")
    x = made(arguments.rows)
    for jobs in (None, -1):
        walls, cpus = [], []
        # In turns, so that what else the machine does meets both.
        for seed in range(arguments.rounds):
            *_, seconds, cpu = ours(arguments.program, x, seed, trees=arguments.trees)
            start, start_cpu = time.perf_counter(), time.process_time()
            IsolationForest(contamination=CONTAMINATION, random_state=seed, n_jobs=jobs).fit(x)
            walls.append(seconds / (time.perf_counter() - start))
            cpus.append(cpu / (time.process_time() - start_cpu))
        held &= np.median(cpus) <= 0.2
        print(f"fit and threshold of {len(x)} x {x.shape[1]}, ours / scikit-learn's (n_jobs={jobs}), median and range of {len(walls)}: "
              + ", ".join(f"{what} {np.median(of):.3f} ({min(of):.3f} to {max(of):.3f})" for what, of in (("time", walls), ("CPU time", cpus))))
    sys.exit(0 if held else 1)


main()
