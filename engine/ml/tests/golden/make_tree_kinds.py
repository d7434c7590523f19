"""Golden numbers of trees of a number and of many classes from scikit-learn 1.9, for tests/tree_kinds.rs.

    python make_tree_kinds.py > tree_kinds.json

Columns have few values, so that a bin is a value and the search for splits is exact on both sides. A tree of classes has the
share of each class and the weight of each row's leaf; ours draws a leaf towards the whole by one row of mean weight, which
the test does to these numbers.
"""

import json

import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

rng = np.random.default_rng(15)
n = 700
x = np.column_stack([rng.integers(0, 40, n), rng.integers(-10, 10, n), rng.integers(0, 7, n)]).astype(float)
number = 3.0 * x[:, 0] + 0.7 * x[:, 1] * x[:, 2] + rng.normal(0, 4, n)
score = np.column_stack([0.1 * x[:, 0], 0.2 * x[:, 1] + 2, 0.5 * x[:, 2] + 0.05 * x[:, 0]]) + rng.gumbel(size=(n, 3))
label = score.argmax(axis=1)
weights = rng.integers(1, 6, n).astype(float)
missing = x.copy()
missing[rng.uniform(size=n) < 0.15 + 0.2 * (label == 1), 1] = np.nan


def number_tree(sample_weight=None):
    model = DecisionTreeRegressor(max_depth=5, min_samples_leaf=25, random_state=0).fit(x, number, sample_weight=sample_weight)
    return {"said": model.predict(x).round(9).tolist(), "importances": model.feature_importances_.tolist()}


def class_tree(sample_weight=None, class_weight=None):
    model = DecisionTreeClassifier(max_depth=5, min_samples_leaf=25, class_weight=class_weight, random_state=0)
    model.fit(x, label, sample_weight=sample_weight)
    return {
        "shares": model.predict_proba(x).round(9).ravel().tolist(),
        "leaf_weights": model.tree_.weighted_n_node_samples[model.apply(x)].round(6).tolist(),
        "importances": model.feature_importances_.tolist(),
    }


def boosted(of, y, sample_weight=None, **settings):
    model = of(max_iter=30, max_leaf_nodes=12, early_stopping=False, random_state=0, **settings)
    model.fit(missing, y, sample_weight=sample_weight)
    said = model.predict_proba(missing) if of is HistGradientBoostingClassifier else model.predict(missing)
    return said.round(7).ravel().tolist()


numbers, classes = HistGradientBoostingRegressor, HistGradientBoostingClassifier
print(
    json.dumps(
        {
            "columns": x.T.tolist(),
            "missing": [[None if np.isnan(v) else v for v in column] for column in missing.T.tolist()],
            "numbers": number.tolist(),
            "labels": label.tolist(),
            "weights": weights.tolist(),
            "number_tree": number_tree(),
            "number_tree_weighted": number_tree(weights),
            "class_tree": class_tree(),
            "class_tree_weighted": class_tree(weights),
            "class_tree_balanced": class_tree(class_weight="balanced"),
            "number_boosted": boosted(numbers, number),
            "number_boosted_l2": boosted(numbers, number, l2_regularization=3.0, learning_rate=0.3),
            "number_boosted_weighted": boosted(numbers, number, weights),
            "class_boosted": boosted(classes, label),
            "class_boosted_weighted": boosted(classes, label, weights),
        }
    )
)
