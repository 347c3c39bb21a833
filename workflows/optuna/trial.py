"""One trial: the accuracy of a support vector machine, by cross-validation."""

import json
import sys

from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

parameters = json.loads(sys.argv[1])
features, truth = load_breast_cancer(return_X_y=True)
model = make_pipeline(StandardScaler(), SVC(**parameters))
print(json.dumps({"accuracy": float(cross_val_score(model, features, truth, cv=5).mean())}))
