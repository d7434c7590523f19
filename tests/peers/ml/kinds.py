"""Trees of a number and of many classes beside scikit-learn's on the same rows, in turn.

    cargo build --release -p tidemill-ml --example speed_kinds
    python tests/peers/ml/kinds.py --binary target/release/examples/speed_kinds --rows 10000,100000 --threads 2

Rows are Friedman's first function of ten columns (five of them noise) for numbers, and five clusters of twelve columns, a
tenth of the labels drawn anew, for classes; with --categories two text columns move both. Every repeat runs each side once,
one after the other, so that what else the machine does meets both, on data and with a seed of its own. Models have the same
trees, depth, leaves, learning rate, least rows of a leaf and share of features tried; boosting does not stop early. Errors
are RMSE and log loss on a fifth as many rows that neither side learned from. scikit-learn's forests get float32, made outside
of the time; its boosting is told which columns are categories, its forests get codes. Read times on a machine that does
nothing else: scikit-learn's boosting slows down ten times and more where its threads wait for a core. CPU time is that of all
threads; with --threads 1 it says the same on a machine that does.
"""

import argparse
import json
import pathlib
import statistics
import subprocess
import tempfile
import time

import numpy as np
from sklearn.datasets import make_classification
from sklearn.ensemble import (
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.metrics import log_loss
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor
from threadpoolctl import threadpool_limits


def make(rows, seed, categories):
    """Columns, codes of categories, numbers and classes."""
    rng = np.random.default_rng(seed)
    x, labels = make_classification(
        rows, n_features=12, n_informative=6, n_redundant=2, n_classes=5, n_clusters_per_class=1, flip_y=0.1, random_state=seed
    )
    x = x[:, rng.permutation(12)]
    friedman = rng.uniform(size=(rows, 10))
    number = 10 * np.sin(np.pi * friedman[:, 0] * friedman[:, 1]) + 20 * (friedman[:, 2] - 0.5) ** 2
    number += 10 * friedman[:, 3] + 5 * friedman[:, 4] + rng.normal(size=rows)
    codes = np.empty((rows, 0))
    if categories:
        codes = np.column_stack([rng.integers(0, 40, rows), rng.integers(0, 200, rows)]).astype(float)
        effect = rng.normal(size=40)
        number += 2 * effect[codes[:, 0].astype(int)]
        moved = rng.uniform(size=rows) < 0.3
        labels = np.where(moved, codes[:, 0].astype(int) * 7 % 5, labels)
    return x, friedman, codes, number, labels


def write(folder, x, codes, number, labels):
    for i in range(x.shape[1]):
        x[:, i].astype("<f8").tofile(folder / f"numeric_{i}.f64")
    for i in range(codes.shape[1]):
        codes[:, i].astype("<f8").tofile(folder / f"category_{i}.f64")
    number.astype("<f8").tofile(folder / "number.f64")
    labels.astype("<f8").tofile(folder / "class.f64")


def peer(task, seed, threads, numeric, columns):
    kind, settings = task.split("_", 1)
    regresses = kind == "number"
    if "forest" in settings:
        trees, depth = (int(n) for n in settings.split("_")[-1].split("x"))
        of = RandomForestRegressor if regresses else RandomForestClassifier
        share = 1.0 if "all" in settings else 0.5
        return of(trees, max_depth=depth, max_features=share, min_samples_leaf=5, n_jobs=threads, random_state=seed)
    if settings == "tree_10":
        of = DecisionTreeRegressor if regresses else DecisionTreeClassifier
        return of(max_depth=10, min_samples_leaf=5, random_state=seed)
    of = HistGradientBoostingRegressor if regresses else HistGradientBoostingClassifier
    return of(
        max_iter=100,
        max_leaf_nodes=31,
        early_stopping=False,
        random_state=seed,
        categorical_features=list(range(numeric, columns)) or None,
    )


def run_peer(task, x, numeric, y, rows, threads, seed):
    model = peer(task, seed, threads, numeric, x.shape[1])
    if "boost" not in task:
        x = x.astype(np.float32)
    with threadpool_limits(threads):
        started, cpu = time.perf_counter(), time.process_time()
        model.fit(x[:rows], y[:rows])
        seconds, cpu_seconds = time.perf_counter() - started, time.process_time() - cpu
        started = time.perf_counter()
        if task.startswith("number"):
            error = float(np.sqrt(np.mean((model.predict(x[rows:]) - y[rows:]) ** 2)))
        else:
            error = float(log_loss(y[rows:], model.predict_proba(x[rows:])))
        predict_seconds = time.perf_counter() - started
    return {"peer": "scikit-learn", "task": task, "rows": rows, "threads": threads, "seconds": seconds, "cpu_seconds": cpu_seconds, "predict_seconds": predict_seconds, "error": error}


def run_ours(binary, folder, task, rows, threads, seed):
    command = [str(binary), str(folder), str(rows), str(threads), str(seed), task]
    line = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return {"peer": "tidemill", **json.loads(line)}


def spread(ours, theirs, key):
    ratios = [a[key] / max(b[key], 1e-9) for a, b in zip(ours, theirs)]
    return f"{statistics.median(ratios):7.4f} ({min(ratios):.4f} to {max(ratios):.4f})"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", type=pathlib.Path, default="target/release/examples/speed_kinds")
    parser.add_argument("--rows", default="10000,100000,1000000")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--categories", action="store_true")
    parser.add_argument(
        "--tasks",
        default="number_forest_20x5,number_forest_100x10,number_tree_10,number_boost_100x31,class_forest_20x5,class_forest_100x10,class_tree_10,class_boost_100x31",
    )
    args = parser.parse_args()
    table = []
    for rows in (int(r) for r in args.rows.split(",")):
        runs = {}
        for seed in range(args.repeats):
            x, friedman, codes, number, labels = make(rows + rows // 5, seed, args.categories)
            for kind, features, y in [("number", friedman, number), ("class", x, labels)]:
                tasks = [task for task in args.tasks.split(",") if task.startswith(kind)]
                with tempfile.TemporaryDirectory() as folder:
                    write(pathlib.Path(folder), features, codes, number, labels)
                    for task in tasks:
                        ours = run_ours(args.binary, folder, task, rows, args.threads, seed)
                        wide = np.hstack([features, codes])
                        theirs = run_peer(task, wide, features.shape[1], y, rows, args.threads, seed)
                        runs.setdefault(task, []).append((ours, theirs))
                        print(json.dumps(ours), json.dumps(theirs), sep="\n", flush=True)
        for task, pairs in runs.items():
            pair = list(zip(*pairs))
            table.append(f"{rows:>9} {args.threads} {task:22} error {spread(*pair, 'error')}  fit {spread(*pair, 'seconds')}  CPU {spread(*pair, 'cpu_seconds')}  predict {spread(*pair, 'predict_seconds')}")
    print("\n     rows t task                   ratios ours / scikit-learn's: median (lowest to highest)")
    print("\n".join(table))


if __name__ == "__main__":
    main()
