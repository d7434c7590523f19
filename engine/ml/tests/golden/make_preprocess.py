"""Golden preprocessing from scikit-learn and numpy, read by tests/preprocess/main.rs.

Bless again, from engine/ml:  pip install scikit-learn && python tests/golden/make_preprocess.py
Writes preprocess.json beside this file; review the difference before committing it.
"""
import json
from pathlib import Path

import numpy as np
import sklearn
from sklearn.decomposition import PCA
from sklearn.impute import SimpleImputer
from sklearn.preprocessing import (MinMaxScaler, Normalizer, OneHotEncoder, RobustScaler, StandardScaler,
                                   TargetEncoder)

HERE = Path(__file__).parent
random = np.random.default_rng(3)
known = np.round(random.normal(size=(40, 4)) * [1, 200, 0.001, 1] + [0, 1e4, 5, 0], 6)
known[:, 3] = 7.25
known[5, 0], known[9, 1] = 9.0, -3e4
x = known.copy()
x[random.random(x.shape) < 0.15] = np.nan
x[:, 3] = 7.25
kinds = [f"k{int(k)}" for k in random.zipf(1.7, 40).clip(1, 6)]
labels = random.random(40) < 0.4


def table(values):
    return [[None if v != v else float(v) for v in row] for row in values]


low, high = np.nanpercentile(x, 25, axis=0), np.nanpercentile(x, 75, axis=0)
margin = 1.5 * (high - low)
bounded = high > low
capped = np.where(bounded, np.clip(x, low - margin, high + margin), x)
column = np.array(kinds, dtype=object)[:, None]
kept = [c for c in sorted(set(kinds))]
scaled = StandardScaler().fit_transform(known)[:, :3]
pca, white = PCA(3).fit(scaled), PCA(2, whiten=True).fit(scaled)
# Signs: the largest loading of a component is positive.
sign = lambda model: np.sign(model.components_[range(len(model.components_)), np.abs(model.components_).argmax(axis=1)])
golden = dict(
    made_by=f"make_preprocess.py, scikit-learn {sklearn.__version__}",
    x=table(x), known=table(known), kinds=kinds, labels=labels.tolist(),
    standard=table(StandardScaler().fit_transform(x)),
    standard_known=table(StandardScaler().fit_transform(known)),
    min_max=table(MinMaxScaler((-1, 2)).fit_transform(x)),
    clipped=table(MinMaxScaler(clip=True).fit(known[:20]).transform(known)),
    l1=table(Normalizer("l1").transform(known)), l2=table(Normalizer("l2").transform(known)),
    max=table(Normalizer("max").transform(known)),
    mean=table(SimpleImputer().fit_transform(x)), median=table(SimpleImputer(strategy="median").fit_transform(x)),
    robust=table(RobustScaler().fit_transform(x)),
    most_frequent=table(SimpleImputer(strategy="most_frequent").fit_transform(np.round(x))),
    kept=[[share, int(PCA(share, svd_solver="full").fit(scaled).n_components_)] for share in (0.2, 0.5, 0.7, 0.95, 0.999)],
    constant=table(SimpleImputer(strategy="constant", fill_value=-1).fit_transform(x)),
    capped=table(capped), inliers=(~((x < low - margin) | (x > high + margin))[:, bounded].any(axis=1)).tolist(),
    categories=kept, one_hot=OneHotEncoder(sparse_output=False).fit_transform(column).tolist(),
    target=TargetEncoder(smooth=10.0, target_type="binary").fit(column, labels).transform(column)[:, 0].tolist(),
    components=(pca.components_ * sign(pca)[:, None]).tolist(), variances=pca.explained_variance_.tolist(),
    ratios=pca.explained_variance_ratio_.tolist(), scores=(pca.transform(scaled) * sign(pca)).tolist(),
    white=(white.transform(scaled) * sign(white)).tolist(),
)
(HERE / "preprocess.json").write_text(json.dumps(golden) + "\n")
