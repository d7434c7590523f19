"""Seconds and AUC of tidemill-ml's trees beside scikit-learn's, LightGBM's and smartcore's, on the same rows, in turn.

    cargo build --release -p tidemill-ml --example speed_trees
    python tests/peers/ml/trees.py --binary target/release/examples/speed_trees --rows 100000 --threads 2,1

Every repeat runs each side once, one after the other, so that what else the machine does meets both. Printed are one
line a run, and at the end a table of ratios ours / theirs: median, lowest and highest of the repeats, of wall seconds and
of CPU seconds (the ones to read where the machine is shared), and the mean AUC of the seeds (a repeat has a seed of its
own) on a fifth as many rows that neither side learned from. Models have the same number and depth of trees;
all else is each library's default, except that boosting does not stop early (it would stop after fewer trees). scikit-learn
and LightGBM get codes as numbers (float32 in memory order for the forests, made outside of the time); boosting is told
which columns are categories as far as it takes them (255 categories in scikit-learn, all of them in LightGBM). The
forests are compared at each side's default of features tried at a split (ours a half, scikit-learn's the root) and at the root for both.
A task refit_* is our fit after 1 % more rows, beside our own cold fit on all of them.

smartcore's forests and trees get up to --smartcore-rows rows, on one thread whatever the task says. They learn from our bins
as numbers, binning and writing the model included in the time (reading it, where they predict), and vote 0 or 1, so their
AUC is that of one threshold.
linfa is no peer here: its trees (linfa-trees) are none of our dependencies, only its clustering and logistic regression.
"""

import argparse
import json
import pathlib
import resource
import statistics
import subprocess
import tempfile
import time

import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.metrics import roc_auc_score
from sklearn.tree import DecisionTreeClassifier
from threadpoolctl import threadpool_limits

import data

try:
    import lightgbm
except ImportError:
    lightgbm = None


def peers(task, seed, threads):
    """Name and model of each peer of a task."""
    size = task.removeprefix("predict_").removeprefix("forest_").removeprefix("root_")
    if "forest" in task:
        trees, depth = (int(n) for n in size.removeprefix("forest_").split("x"))
        yield "scikit-learn", RandomForestClassifier(trees, max_depth=depth, n_jobs=threads, random_state=seed)
    elif task == "tree_10":
        yield "scikit-learn", DecisionTreeClassifier(max_depth=10, random_state=seed)
    elif task == "boost_100x31":
        yield "scikit-learn", HistGradientBoostingClassifier(
            max_iter=100, max_leaf_nodes=31, early_stopping=False, random_state=seed, categorical_features=[10, 11]
        )
        if lightgbm:
            yield "LightGBM", lightgbm.LGBMClassifier(
                n_estimators=100, num_leaves=31, n_jobs=threads, random_state=seed, verbose=-1
            )


def cpu():
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def run_peer(name, model, task, x, y, rows, threads):
    extra = {"categorical_feature": [10, 11, 12, 13]} if name == "LightGBM" else {}
    predicts = task.startswith("predict_")
    with threadpool_limits(threads):
        started, before = time.perf_counter(), cpu()
        model.fit(x[:rows], y[:rows], **extra)
        seconds, used = time.perf_counter() - started, cpu() - before
        if predicts:
            started, before = time.perf_counter(), cpu()
            model.predict_proba(x[:rows])
            seconds, used = time.perf_counter() - started, cpu() - before
        auc = roc_auc_score(y[rows:], model.predict_proba(x[rows:])[:, 1])
    return {"peer": name, "task": task, "rows": rows, "threads": threads, "seconds": seconds, "cpu_seconds": used, "auc": auc}


def run_ours(binary, folder, task, rows, threads, seed):
    command = [str(binary), str(folder), str(rows), str(threads), str(seed), task]
    line = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return {"peer": "tidemill", **json.loads(line)}


def spread(ours, theirs, key):
    ratios = [a[key] / max(b[key], 1e-9) for a, b in zip(ours, theirs)]
    return f"{statistics.median(ratios):7.4f} ({min(ratios):.4f} to {max(ratios):.4f})"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", type=pathlib.Path, default="target/release/examples/speed_trees")
    parser.add_argument("--rows", default="10000,100000,1000000")
    parser.add_argument("--threads", default="2,1")
    parser.add_argument("--smartcore-rows", type=int, default=10000, help="most rows that smartcore gets; 0: none")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument(
        "--tasks", default="forest_20x5,forest_root_20x5,forest_100x10,forest_root_100x10,tree_10,boost_100x31,predict_forest_100x10,refit_forest_20x5,refit_forest_100x10,refit_tree_10,refit_boost_100x31"
    )
    args = parser.parse_args()
    table = []
    for rows in (int(r) for r in args.rows.split(",")):
        with tempfile.TemporaryDirectory() as folder:
            x, codes, y = data.write(pathlib.Path(folder), rows + rows // 5)
            wide = np.hstack([x, codes]).astype(np.float32)
            for task in args.tasks.split(","):
                for threads in (int(t) for t in args.threads.split(",")):
                    runs = {}
                    for seed in range(args.repeats):
                        ours = run_ours(args.binary, folder, task, rows, threads, seed)
                        runs.setdefault("tidemill", []).append(ours)
                        print(json.dumps(ours), flush=True)
                        if not task.startswith(("boost", "refit_")) and rows <= args.smartcore_rows:
                            predicts = "predict_" if task.startswith("predict_") else ""
                            named = f"{predicts}smartcore_{task.removeprefix('predict_')}"
                            theirs = {**run_ours(args.binary, folder, named, rows, threads, seed), "peer": "smartcore", "task": task}
                            runs.setdefault("smartcore", []).append(theirs)
                            print(json.dumps(theirs), flush=True)
                        if task.startswith("refit_"):
                            cold = run_ours(args.binary, folder, task.removeprefix("refit_"), rows, threads, seed)
                            runs.setdefault("cold fit", []).append({**cold, "peer": "cold fit", "task": task})
                            print(json.dumps(runs["cold fit"][-1]), flush=True)
                            continue
                        for name, model in peers(task, seed, threads):
                            theirs = run_peer(name, model, task, wide, y, rows, threads)
                            runs.setdefault(name, []).append(theirs)
                            print(json.dumps(theirs), flush=True)
                    mean = lambda name: statistics.mean(r["auc"] for r in runs[name])
                    for name in runs.keys() - {"tidemill"}:
                        pair = runs["tidemill"], runs[name]
                        table.append(
                            f"{rows:>9} {threads} {task:22} {name:13} wall {spread(*pair, 'seconds')}  "
                            f"cpu {spread(*pair, 'cpu_seconds')}  AUC {mean('tidemill'):.4f} to {mean(name):.4f}"
                        )
    print("\n     rows t task                   peer          ratio ours / theirs: median (lowest to highest)")
    print("\n".join(table))


if __name__ == "__main__":
    main()
