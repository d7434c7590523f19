"""The models of a lake of the job chicago-arrests, by `tidemill predict` and by onnxruntime, on all rows of the table.

    tidemill demo --lake LAKE
    python tests/peers/onnx_predict.py --tidemill PATH --lake LAKE        # pip install onnxruntime numpy

Ends with 1 where a probability is off by more than 1e-6 of it, or an answer is another one.
"""

import argparse
import json
import pathlib
import subprocess
import sys
import tempfile

import numpy as np
import onnxruntime

arguments = argparse.ArgumentParser()
arguments.add_argument("--tidemill", default="target/release/tidemill")
arguments.add_argument("--lake", default="lake")
arguments.add_argument("--version", help="not the ones in use: later rows then have categories that it has not seen")
arguments = arguments.parse_args()
SQL = pathlib.Path(__file__).parent.parent.parent / "sql" / "chicago_arrests"
FEATURES = {"logistic": "features", "forest": "features", "tree": "features", "hotspots": "hotspots"}


def tidemill(*words):
    command = [arguments.tidemill, "--lake", arguments.lake, *words]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout


failed = False
with tempfile.TemporaryDirectory() as folder:
    folder = pathlib.Path(folder)
    for model, select in FEATURES.items():
        model += f"@{arguments.version}" if arguments.version else ""
        rows = tidemill("sql", "--file", SQL / f"{select}.sql", "--format", "nd-json")
        (folder / "rows.ndjson").write_bytes(rows)
        answers = tidemill("predict", "chicago-arrests", model, "--input", folder / "rows.ndjson", "--format", "nd-json")
        answers = [json.loads(line) for line in answers.splitlines()]
        tidemill("models", "export", "chicago-arrests", model, "--output", folder / "model.onnx")
        session = onnxruntime.InferenceSession(folder / "model.onnx", providers=["CPUExecutionProvider"])
        feeds = {}
        for given in session.get_inputs():
            values = [row.get(given.name) for row in answers]
            if given.type == "tensor(string)":
                column = np.array([value or "" for value in values], dtype=object)
            else:
                column = np.array([np.nan if value is None else float(value) for value in values])
            feeds[given.name] = column.reshape(-1, 1)
        found = dict(zip((of.name for of in session.get_outputs()), session.run(None, feeds)))
        said = [row.get("prediction") for row in answers]
        labels = np.array([-1 if value is None else int(value) for value in said])
        others, off = int(np.sum(labels != found["label"])), 0.0
        if "probabilities" in found:
            probabilities = np.array([row["probability"] for row in answers])
            off = np.max(np.abs(found["probabilities"][:, 1] - probabilities) / probabilities)
        failed |= bool(others > 0 or off > 1e-6)
        size = (folder / "model.onnx").stat().st_size
        print(f"{model:<12} {len(answers)} rows, {size / 1e6:.2f} MB: off by {off:.1e}, {others} other answers")
sys.exit(failed)
