"""Sends its part of the held-out rows to the classifier, one request a row, through the proxy of its own node."""

import argparse
import json
import os
import urllib.request


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", required=True, help="folder made by prepare.py")
    parser.add_argument("--part", type=int, required=True)
    parser.add_argument("--parts", type=int, required=True)
    parser.add_argument("--out", required=True, help="file to write the answers to")
    arguments = parser.parse_args()

    with open(os.path.join(arguments.data, "held_out.json")) as file:
        rows = json.load(file)["x"]
    url = os.environ["TRIREME_SERVICE_CLASSIFIER_URL"] + "/classify"
    answers = []
    for index in range(arguments.part, len(rows), arguments.parts):
        body = json.dumps({"rows": [rows[index]]}).encode()
        request = urllib.request.Request(url, body, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=60) as response:
            answer = json.load(response)
        answers.append({"row": index, "class": answer["classes"][0], "replica": answer["replica"]})
    with open(arguments.out, "w") as file:
        json.dump(answers, file)
    print(f"part {arguments.part}: {len(answers)} rows classified")


if __name__ == "__main__":
    main()
