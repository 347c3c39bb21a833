"""Fits one model and scores it by cross-validation on the training data alone."""

import argparse
import json
import os
import pickle

from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

MODELS = {
    ("logistic", "plain"): lambda: LogisticRegression(max_iter=5000),
    ("logistic", "tuned"): lambda: make_pipeline(StandardScaler(), LogisticRegression(C=0.5)),
    ("svm", "plain"): lambda: SVC(),
    ("svm", "tuned"): lambda: make_pipeline(StandardScaler(), SVC(C=2.0, gamma=0.02)),
    ("forest", "plain"): lambda: RandomForestClassifier(n_estimators=50, random_state=0),
    ("forest", "tuned"): lambda: RandomForestClassifier(n_estimators=100, max_features=8, random_state=0),
    ("neighbours", "plain"): lambda: KNeighborsClassifier(),
    ("neighbours", "tuned"): lambda: make_pipeline(StandardScaler(), KNeighborsClassifier(n_neighbors=9)),
}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", required=True, help="folder made by prepare.py")
    parser.add_argument("--method", required=True)
    parser.add_argument("--setting", required=True)
    parser.add_argument("--out", required=True, help="folder to make")
    arguments = parser.parse_args()

    with open(os.path.join(arguments.data, "train.json")) as file:
        train = json.load(file)
    model = MODELS[arguments.method, arguments.setting]()
    score = float(cross_val_score(model, train["x"], train["y"], cv=5).mean())
    model.fit(train["x"], train["y"])

    os.makedirs(arguments.out, exist_ok=True)
    with open(os.path.join(arguments.out, "model.pickle"), "wb") as file:
        pickle.dump(model, file)
    with open(os.path.join(arguments.out, "score.json"), "w") as file:
        json.dump({"method": arguments.method, "setting": arguments.setting, "score": score}, file)
    print(f"{arguments.method} ({arguments.setting}): cross-validated accuracy {score:.4f}")


if __name__ == "__main__":
    main()
