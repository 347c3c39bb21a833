"""Picks the model with the best cross-validated score."""

import argparse
import glob
import json
import os
import shutil


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", required=True, help="folder of folders made by train.py")
    parser.add_argument("--out", required=True, help="file to write the best model to")
    arguments = parser.parse_args()

    candidates = []
    for path in sorted(glob.glob(os.path.join(arguments.models, "*", "score.json"))):
        with open(path) as file:
            candidates.append((json.load(file), os.path.dirname(path)))
    best, folder = max(candidates, key=lambda candidate: candidate[0]["score"])
    shutil.copy(os.path.join(folder, "model.pickle"), arguments.out)
    print(f"best of {len(candidates)}: {best['method']} ({best['setting']}), {best['score']:.4f}")


if __name__ == "__main__":
    main()
