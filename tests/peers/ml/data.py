"""The rows that both sides of a speed comparison train on, as raw little-endian columns.

    python tests/peers/ml/data.py --rows 1000000 --out DIR

writes into DIR: numeric_0.f64 … numeric_9.f64, category_0.u32 … category_3.u32 (codes; 12, 60, 400 and 20,000
categories, Zipf-like), label.u8 (about 22 % ones) and shape.json. Ten numeric columns of several shapes (normal, skewed,
integer with few values, one of them with 5 % missing as NaN), a label from a logistic model with interactions and
effects by category: trees, boosting and linear models each find something. The same rows and seed give the same bytes.
"""

import argparse
import json
import pathlib

import numpy as np

CATEGORIES = (12, 60, 400, 20_000)


def make(rows: int, seed: int = 7):
    """Numeric columns (rows × 10, f8), category codes (rows × 4, u4), labels (rows, u1)."""
    rng = np.random.default_rng(seed)
    x = np.empty((rows, 10))
    x[:, 0:3] = rng.normal(size=(rows, 3))
    x[:, 3] = rng.lognormal(0.0, 1.0, rows)
    x[:, 4] = rng.exponential(2.0, rows)
    x[:, 5] = rng.integers(0, 24, rows)
    x[:, 6] = rng.integers(1, 13, rows)
    x[:, 7] = rng.uniform(-1, 1, rows)
    x[:, 8] = x[:, 0] * 0.5 + rng.normal(size=rows)
    x[:, 9] = rng.normal(size=rows) * 100 + 1000
    codes = np.empty((rows, 4), dtype=np.uint32)
    score = -2.7 + 0.8 * x[:, 0] - 0.6 * np.log1p(x[:, 3]) + 0.9 * x[:, 1] * x[:, 7]
    score += 0.7 * (np.abs(x[:, 5] - 13) > 8) + 0.3 * np.sin(x[:, 6])
    for c, count in enumerate(CATEGORIES):
        share = 1.0 / np.arange(1, count + 1) ** 0.9
        codes[:, c] = rng.choice(count, size=rows, p=share / share.sum())
        effect = np.random.default_rng(seed + 100 + c).normal(size=count)
        score += (1.2, 0.9, 0.9, 0.4)[c] * effect[codes[:, c]]
    label = (rng.uniform(size=rows) < 1.0 / (1.0 + np.exp(-score))).astype(np.uint8)
    x[rng.uniform(size=rows) < 0.05, 4] = np.nan
    return x, codes, label


def write(out: pathlib.Path, rows: int, seed: int = 7):
    """Writes the columns and gives them back."""
    x, codes, label = make(rows, seed)
    out.mkdir(parents=True, exist_ok=True)
    for c in range(x.shape[1]):
        (out / f"numeric_{c}.f64").write_bytes(x[:, c].astype("<f8").tobytes())
    for c in range(codes.shape[1]):
        (out / f"category_{c}.u32").write_bytes(codes[:, c].astype("<u4").tobytes())
    (out / "label.u8").write_bytes(label.tobytes())
    shape = {"rows": rows, "numeric": x.shape[1], "categories": list(CATEGORIES), "seed": seed}
    (out / "shape.json").write_text(json.dumps(shape) + "\n")
    return x, codes, label


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--out", type=pathlib.Path, required=True)
    args = parser.parse_args()
    *_, label = write(args.out, args.rows, args.seed)
    print(f"{args.rows} rows in {args.out}, {label.mean():.3f} positive")
