"""Compares the answers with the truth: accuracy, confusion matrix, and how many requests each replica answered."""

import argparse
import collections
import glob
import json
import os


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", required=True, help="folder made by prepare.py")
    parser.add_argument("--answers", required=True, help="folder of files written by classify.py")
    parser.add_argument("--out", required=True, help="file to write")
    arguments = parser.parse_args()

    with open(os.path.join(arguments.data, "held_out.json")) as file:
        held_out = json.load(file)
    answers = []
    for path in sorted(glob.glob(os.path.join(arguments.answers, "*.json"))):
        with open(path) as file:
            answers += json.load(file)
    truth, classes = held_out["y"], held_out["classes"]
    if sorted(answer["row"] for answer in answers) != list(range(len(truth))):
        raise SystemExit(f"{len(answers)} answers for {len(truth)} rows: some are missing or there twice")

    confusion = [[0] * len(classes) for _ in classes]
    for answer in answers:
        confusion[truth[answer["row"]]][answer["class"]] += 1
    right = sum(confusion[i][i] for i in range(len(classes)))
    by_replica = collections.Counter(str(answer["replica"]) for answer in answers)
    result = {
        "rows": len(answers),
        "accuracy": right / len(answers),
        "classes": classes,
        "confusion": confusion,
        "requests_by_replica": dict(sorted(by_replica.items())),
    }
    with open(arguments.out, "w") as file:
        json.dump(result, file, indent=2)

    print(f"accuracy {result['accuracy']:.4f} on {result['rows']} held-out nuclei")
    print("truth \\ answer  " + "  ".join(f"{name:>9}" for name in classes))
    for name, row in zip(classes, confusion):
        print(f"{name:>14}  " + "  ".join(f"{count:>9}" for count in row))
    for replica, count in result["requests_by_replica"].items():
        print(f"replica {replica} answered {count} requests")


if __name__ == "__main__":
    main()
