"""Splits scikit-learn's breast-cancer data (569 nuclei, 30 features) into what is trained on and what is held out."""

import argparse
import json
import os

from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import train_test_split


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", required=True, help="folder to make")
    arguments = parser.parse_args()

    data = load_breast_cancer()
    train_x, held_x, train_y, held_y = train_test_split(
        data.data, data.target, test_size=0.3, random_state=0, stratify=data.target
    )
    os.makedirs(arguments.out, exist_ok=True)
    for name, x, y in [("train", train_x, train_y), ("held_out", held_x, held_y)]:
        with open(os.path.join(arguments.out, name + ".json"), "w") as file:
            json.dump({"x": x.tolist(), "y": y.tolist(), "classes": data.target_names.tolist()}, file)
    print(f"{len(train_y)} nuclei to train on, {len(held_y)} held out")


if __name__ == "__main__":
    main()
