"""Exported models beside onnxruntime, on 10,000 rows of each.

    cargo run --release -p tidemill-ml --example onnx -- FOLDER
    python tests/peers/ml/onnx_rows.py FOLDER        # pip install onnx onnxruntime numpy

Ends with 1 where a number is off by more than 1e-6 of it, or a label is another one.
"""

import json
import pathlib
import sys
import time

import numpy as np
import onnx
import onnxruntime

folder = pathlib.Path(sys.argv[1])
rows = json.loads((folder / "rows.json").read_text())
count = rows["rows"]
numbers = np.fromfile(folder / "numeric.f64").reshape(len(rows["numeric"]), count)
feeds = {name: column.reshape(-1, 1) for name, column in zip(rows["numeric"], numbers)}
for name, values in zip(rows["texts"], rows["values"]):
    feeds[name] = np.array([value or "" for value in values], dtype=object).reshape(-1, 1)

failed = False
print(f"onnxruntime {onnxruntime.__version__}; {count} rows; {np.mean(~np.isfinite(numbers)):.1%} of numbers missing")
for path in sorted(folder.glob("*.onnx")):
    onnx.checker.check_model(onnx.load(path), full_check=True)
    started = time.time()
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    loaded, started = time.time() - started, time.time()
    wanted = {given.name: feeds[given.name] for given in session.get_inputs()}
    outputs = dict(zip((output.name for output in session.get_outputs()), session.run(None, wanted)))
    seconds = time.time() - started
    said = np.fromfile(path.with_suffix(".said")).reshape(count, -1)
    others = 0
    if "variable" in outputs:
        found = outputs["variable"]
    elif "probabilities" in outputs:
        found = outputs["probabilities"]
        assert np.allclose(found.sum(axis=1), 1, rtol=1e-12)
        if said.shape[1] == 1:
            others = np.sum(outputs["label"] != (said[:, 0] > 0.5))
            said = np.hstack([1 - said, said])
        else:
            others = np.sum(outputs["label"] != said.argmax(axis=1))
    elif said.shape[1] == 2:  # an isolation forest
        others = np.sum(outputs["label"] != said[:, 0])
        found, said = outputs["scores"], said[:, 1:]
    else:
        others = np.sum(outputs["label"] != said[:, 0])
        missing = outputs["label"] == -1
        assert np.isnan(outputs["scores"][missing]).all()
        found = outputs["scores"][~missing].argmin(axis=1).reshape(-1, 1)
        said = said[~missing]
    assert found.shape == said.shape, (found.shape, said.shape)
    off = np.max(np.abs(found - said) / np.maximum(np.abs(said), np.finfo(float).tiny))
    wrong = off > 1e-6 or others > 0 or not np.isfinite(found).all()
    failed |= bool(wrong)
    print(
        f"{path.stem:<18} off by {off:.1e}, {others} other labels, spread {np.ptp(said):.3g},"
        f" {path.stat().st_size / 1e6:.2f} MB, load {loaded:.2f} s, run {seconds:.2f} s{'  WRONG' if wrong else ''}"
    )
sys.exit(failed)
